"""The experiments' scripts: the whole way on a small data set, and the paper's numbers that they print."""

import pathlib

import cifar10
import numpy as np
import pipeline
import pytest

from rsjax import results
from rsjax.analysis import statistics

PUBLISHED = pathlib.Path(__file__).parents[2] / "shared/data/published/cohen2019/certify/cifar10/resnet110"


def test_trained_certified_and_tabulated_and_nothing_done_twice(write_npz, tmp_path, capsys):
  data, out = write_npz(shape=(8, 8, 3)), tmp_path / "out"
  flags = ["--preset", "smoke", "--arch", "convnet", "--batch", "8", "--epochs", "2", "--max", "3"]
  flags += ["--sigma", "0.25", "0.5", "--data", str(data), "--out", str(out)]
  assert cifar10.main([*flags, "--certify-sigma", "0.5"]) == 0
  assert (out / "mismatch_sigma_0.5" / "certified_accuracy.md").exists()
  first = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
  assert cifar10.main([*flags, "--certify-sigma", "0.5"]) == 0
  kept = [path for path in first if path.suffix in (".tsv", ".json", ".md") and "tables" not in path.parts]
  assert [path for path in kept if path.read_bytes() != first[path]] == []
  assert cifar10.main(flags) == 0
  table = (out / "tables" / "certified_accuracy.md").read_text()
  assert "sigma = 0.25" in table and "sigma = 0.5" in table
  assert "| 0.5 | 0.5 | data.npz | 3 | 1,000 | float32 |" in (out / "summary.md").read_text()
  assert len(results.read(out / "noise_0.5_sigma_0.5.tsv")) == 3
  assert "beside" not in capsys.readouterr().out  # the paper's network was another


@pytest.mark.parametrize(
  "bad, word",
  [
    (["--certify-data", "missing.npz"], "missing.npz"),
    (["--certify-data", "digits"], "digits does not fit"),
    (["--N", "3"], "n"),
    (["--sigma", "0"], "sigma"),
  ],
)
def test_what_certification_would_refuse_is_refused_before_the_training(bad, word, write_npz, tmp_path, capsys):
  flags = ["--preset", "smoke", "--data", str(write_npz(shape=(8, 8, 3))), "--out", str(tmp_path / "out")]
  assert cifar10.main([*flags, *bad]) == 2
  error = capsys.readouterr().err
  assert error.startswith("cifar10.py: error:") and word in error
  assert not (tmp_path / "out").exists()


def test_time_to_accuracy_is_that_of_the_first_epoch_that_reached_it():
  log = {"time": [10.0, 10.0, 10.0], "testacc": [0.35, 0.51, 0.48]}
  assert pipeline.time_to_accuracy(log) == {30: 10.0, 40: 20.0, 50: 20.0}


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the paper's result files are not at hand")
def test_the_papers_numbers_are_those_of_its_files():
  for sigma, wanted in cifar10.PAPER.items():
    file = results.read_any(PUBLISHED / f"noise_{sigma:.2f}" / "test" / f"sigma_{sigma:.2f}")
    assert len(file) == cifar10.PAPER_IMAGES
    found = statistics.certified_accuracy(file, list(wanted), "paper")
    np.testing.assert_allclose(found, list(wanted.values()), atol=1e-12)


def test_numbers_stand_beside_the_papers(tmp_path):
  digits = pathlib.Path(__file__).parents[1] / "experiments" / "digits" / "certify_0.25.tsv"
  paper = {0.25: {0: 0.5, 0.25: 0.4}, 0.5: {0: 0.3}}
  pipeline.beside(tmp_path, paper, {0.25: results.read(digits)}, 500)
  *_, first, second = (tmp_path / "beside_the_paper.md").read_text().splitlines()
  assert first.startswith("| 0.25 | 0 | 0.500 | 0.455 to 0.545 | 0.931 |")
  assert second.startswith("| 0.25 | 0.25 | 0.400 |")

"""The experiments' scripts: the whole way on a small data set, the paper's numbers and its figures."""

import json

import cifar10
import gpu_first
import numpy as np
import paper_figures
import pipeline
import published
import pytest
from helpers import DIGITS, PUBLISHED

from rsjax import results, train
from rsjax.analysis import statistics
from rsjax.cli import training as options


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
  assert "| 0.5 | 0.5 | data.npz | 3 | 1,000 | 1,100 | float32 |" in (out / "summary.md").read_text()
  assert len(results.read(out / "noise_0.5_sigma_0.5.tsv")) == 3
  assert "beside" not in capsys.readouterr().out  # the paper's network was another


@pytest.mark.parametrize("name", published.OBJECTIVES)
def test_preset_paper_trains_each_objective_as_published_and_stands_beside_its_published_rows(name):
  settings = lambda sigma, *flags: options.settings_of(
    train.parser().parse_args(["cifar10", "cifar_resnet110", "out", "--noise", sigma, *flags])
  )
  rows = published.ACCURACY[name]
  assert list(rows) == list(published.ACR[name])
  for sigma, row in rows.items():
    assert min(row.values()) >= 0 and list(row.values()) == sorted(row.values(), reverse=True)
    flags = pipeline.flags_of(cifar10.recipe("paper", name, sigma))
    assert settings(str(sigma), *flags) == settings(str(sigma), "--preset", name)


def test_objectives_stand_side_by_side_and_catrs_gets_its_votes(write_npz, tmp_path):
  data, out = write_npz(shape=(8, 8, 3)), tmp_path / "out"
  flags = ["--preset", "smoke", "--arch", "convnet", "--batch", "16", "--max", "3", "--N", "20"]
  flags += ["--sigma", "0.25", "--data", str(data), "--out", str(out), "--objective"]
  assert cifar10.main([*flags, "catrs", "gaussian"]) == 0
  first = {path: path.read_bytes() for path in out.rglob("*") if path.suffix in (".tsv", ".json", ".md")}
  assert cifar10.main([*flags, "catrs", "gaussian"]) == 0
  assert [path for path in first if path.read_bytes() != first[path]] == []
  table = (out / "objectives_sigma_0.25" / "summary.md").read_text()
  assert "| catrs | 1 | " in table and "| gaussian | 1 | " in table
  assert (out / "objectives_sigma_0.25" / "certified_accuracy.png").exists()
  assert len(results.read(out / "votes.tsv")) == 40
  assert not list(out.rglob("beside_the_paper.md"))  # the published network was another


@pytest.mark.parametrize(
  "bad, word",
  [
    (["--certify-data", "missing.npz"], "missing.npz"),
    (["--certify-data", "digits"], "digits does not fit"),
    (["--N", "3"], "n"),
    (["--sigma", "0"], "sigma"),
    (["--sigma", "0.12", "--objective", "gaussian", "macer"], "macer has published settings for noise 0.25"),
    (["--preset", "equal"], "give --objective"),
    (["--preset", "equal", "--objective", "catrs"], "preset equal is for gaussian, consistency"),
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


def test_the_gpus_first_minutes_go_on_after_a_part_that_fails_and_do_nothing_twice(
  tmp_path, monkeypatch, capsys
):
  """A part passes, one fails, one is ended at its limit with what it printed; those two alone run again."""
  out, ran = tmp_path / "out", tmp_path / "ran"
  note = f"print(file=open({str(ran)!r}, 'a'), end="
  codes = {
    "good": note + """'g'); print('{"draws/s": 2.5}')""",
    "bad": note + "'b'); raise SystemExit('no')",
    "slow": note + "'s'); print('begun', flush=True); import time; time.sleep(60)",
  }
  planned = {name: (["-c", code], 60) for name, code in codes.items()}
  planned["slow"] = (["-c", codes["slow"]], 3)
  monkeypatch.setattr(gpu_first, "parts", lambda *_: planned)
  monkeypatch.setattr(gpu_first, "ended_along", None)  # forking is warned of where JAX runs, as it does here
  run = lambda: gpu_first.main(["--out", str(out), "--minutes", "10"])
  assert run() == 1
  records = json.loads((out / "summary.json").read_text())["parts"]
  assert [records[name]["why"] for name in planned] == [None, "exit code 1", "over its time limit"]
  assert records["good"]["result"] == {"draws/s": 2.5}
  assert records["slow"]["tail"] == ["begun"]
  assert json.loads((out / "bad.json").read_text()) == records["bad"]
  assert run() == 1
  planned |= {name: (["-c", note + "'+')"], 60) for name in ("bad", "slow")}
  assert run() == 0
  assert ran.read_text() == "gbs" + "bs" + "++"
  assert "good" in capsys.readouterr().out


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the paper's result files are not at hand")
def test_the_papers_numbers_are_those_of_its_files():
  for sigma, wanted in cifar10.PAPER.items():
    file = results.read_any(PUBLISHED / f"noise_{sigma:.2f}" / "test" / f"sigma_{sigma:.2f}")
    assert len(file) == cifar10.PAPER_IMAGES
    found = statistics.certified_accuracy(file, list(wanted), "paper")
    np.testing.assert_allclose(found, list(wanted.values()), atol=1e-12)


def test_numbers_stand_beside_the_papers(tmp_path):
  paper = {0.25: {0: 0.5, 0.25: 0.4}, 0.5: {0: 0.3}}
  pipeline.beside(tmp_path, paper, {0.25: results.read(DIGITS[1])}, 500)
  *_, first, second = (tmp_path / "beside_the_paper.md").read_text().splitlines()
  assert first.startswith("| 0.25 | 0 | 0.500 | 0.455 to 0.545 | 0.931 |")
  assert second.startswith("| 0.25 | 0.25 | 0.400 |")


def test_the_acr_stands_beside_the_published_one_where_that_is_known(tmp_path):
  file = results.read(DIGITS[1])
  pipeline.beside(tmp_path, {0.25: {0: 0.5}}, {0.25: file}, 10_000, {0.25: 0.552, 0.5: 0.72})
  *_, first, second = (tmp_path / "beside_the_paper.md").read_text().splitlines()
  assert first.startswith(f"| 0.25 | ACR | 0.552 | | {statistics.average_certified_radius(file):.3f} | ")
  assert second.startswith("| 0.25 | 0 | 0.500 | 0.490 to 0.510 |")


def test_the_papers_bound_is_the_largest_and_its_rivals_are_as_published():
  """Values by hand of the formulas, on a grid of their free parameter."""
  for p_a in (0.55, 0.7, 0.9, 0.99):
    p_b = 1 - p_a
    a = np.geomspace(1.001, 60, 20_000)
    mean = (0.5 * (p_a ** (1 - a) + p_b ** (1 - a))) ** (1 / (1 - a))
    li = np.sqrt(-(2 / a) * np.log(1 - p_a - p_b + 2 * mean)).max()
    assert paper_figures.li(p_a) == pytest.approx(li, rel=1e-4)
    e = np.linspace(1e-6, min(1, np.log(p_a / p_b) / 2), 20_000)[:-1]
    lecuyer = (e / np.sqrt(2 * np.log(1.25 * (1 + np.exp(e)) / (p_a - np.exp(2 * e) * p_b)))).max()
    assert paper_figures.lecuyer(p_a) == pytest.approx(lecuyer, rel=1e-3)
    assert 0 < lecuyer < li < paper_figures.cohen(p_a)


@pytest.mark.parametrize("argv", [["bounds"], ["radius"], ["draws", str(DIGITS[1])], ["alpha", str(DIGITS[1])]])
def test_figures_of_the_paper(argv, tmp_path):
  paper_figures.main([*argv, str(tmp_path / "figure.png")])
  assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_prediction_against_n(capsys):
  paper_figures.main(["predict", str(DIGITS[2])])
  lines = capsys.readouterr().out.splitlines()[-3:]
  assert [line.split()[0] for line in lines] == ["100", "1,000", "10,000"]
  assert all(sum(map(float, line.split()[1:])) == pytest.approx(1, abs=0.003) for line in lines)

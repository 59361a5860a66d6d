"""The commands analyze and visualize, and the figures of the paper, as users type them."""

import importlib
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from rsjax import analysis, analyze, results, visualize

ROOT = pathlib.Path(__file__).parents[1]
DIGITS = [str(ROOT / "experiments" / "digits" / f"certify_{sigma}.tsv") for sigma in ("0.12", "0.25", "0.5")]
paper_figures = importlib.import_module("paper_figures")


def ran(argv, capsys, main=analyze.main):
  assert main([str(a) for a in argv]) == 0
  return capsys.readouterr()


def refused(argv, capsys, *said, main=analyze.main):
  assert main([str(a) for a in argv]) == 2
  out, err = capsys.readouterr()
  assert not out
  assert len(err.splitlines()) <= 2 and "Traceback" not in err
  for text in said:
    assert text in err


def foreign(path, radius="0.123", rows=120, correct=None, header="idx\tlabel\tpredict\tradius\tcorrect\ttime"):
  lines = [header]
  lines += [
    f"{20 * i}\t{i % 3}\t{i % 3}\t{radius}\t{1 if correct is None else correct(i)}\t0:00:13.7"
    for i in range(rows)
  ]
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text("\n".join(lines) + "\n")
  return path


def test_tables_and_plots_of_several_files(tmp_path, capsys):
  out = ran([*DIGITS, "--radii", 0, 0.25, "--rho", 0.01, "--intervals", "-o", tmp_path / "t"], capsys)
  assert "sigma = 0.12 0.94 0.78 0.365" in " ".join(out.out.split())
  assert "only 72 images" in out.err
  names = {p.name for p in (tmp_path / "t").iterdir()}
  assert names == {
    f"certified_accuracy.{ending}" for ending in ("md", "tex", "csv", "json", "png", "pdf", "svg")
  }
  said = json.loads((tmp_path / "t" / "certified_accuracy.json").read_text())
  assert [row["certified_accuracy"][0] for row in said["files"]] == pytest.approx([68 / 72, 67 / 72, 61 / 72])
  assert said["warnings"]


def test_the_paper_counts_the_radius_itself(tmp_path, capsys):
  path = foreign(tmp_path / "noise_0.50" / "sigma_0.25", radius="0.25")
  said = ran([path, "--radii", 0.25], capsys)
  assert "0.00" in said.out.splitlines()[3]
  assert "120 times an image's radius is exactly R" in said.out
  assert "sigma = 0.25, training noise 0.5" in said.out
  assert "1.00" in ran([path, "--radii", 0.25, "--rule", "paper"], capsys).out.splitlines()[3]


def test_foreign_files_are_read_with_care(tmp_path, capsys):
  totals = foreign(tmp_path / "totals.tsv", correct=lambda i: i + 1)
  said = ran([totals], capsys).err
  assert "`correct` is not predict = label in 119 rows" in said
  assert "three significant figures" in said and "no manifest" in said
  headless = foreign(tmp_path / "noise_0.00" / "sigma_0.25")
  headless.write_text(headless.read_text().removesuffix("\n"))
  assert "sigma = 0.25, training noise 0 " in ran([headless], capsys).out
  assert len(results.read_any(headless)) == 120
  again = foreign(tmp_path / "again.tsv")
  again.write_text(again.read_text() + "0\t1\t2\t0.5\t0\t1\n")
  read = results.read_any(again)
  assert len(read) == 120 and read.columns["radius"][0] == 0.123
  assert "1 rows are of images that stand there before" in ran([again], capsys).err
  for bad, words in (
    ("x", "line 2: radius cannot be 'x'"),
    ("nan", "line 2: radius"),
    ("-1", "line 2: radius"),
  ):
    refused([foreign(tmp_path / "bad.tsv", radius=bad)], capsys, words)
  refused(
    [foreign(tmp_path / "head.tsv", header="a\tb\tc\td\te\tf")], capsys, "line 1", "lacks idx, label, predict"
  )
  refused([foreign(tmp_path / "r.tsv"), "--alpha", 0.01], capsys, "keeps no votes")


def test_other_alpha_and_fewer_draws(capsys):
  whole, less = (ran([DIGITS[1], *flags], capsys).out for flags in ([], ["--n", 1000, "--alpha", 1e-6]))
  acr = lambda said: float(said.splitlines()[3].split()[-3])
  assert acr(less) < acr(whole)
  refused([DIGITS[1], "--n", 200_000], capsys, "from 1 to the 100,000 draws")


@pytest.mark.parametrize(
  ("flags", "said"),
  [
    (["missing.tsv"], ["missing.tsv cannot be read"]),
    ([DIGITS[0], "--rho", "2"], ["rho must be", "got 2.0"]),
    ([DIGITS[0], "--alpha", "0"], ["alpha must be", "got 0.0"]),
    ([DIGITS[0], "--radii", "-1"], ["radii must be numbers >= 0"]),
    ([*DIGITS, "--label", "one"], ["--label was given 1 times for 3 files"]),
    ([DIGITS[0], "-o", DIGITS[0]], ["cannot be a directory"]),
    ([str(ROOT / "README.md")], ["line "]),
  ],
)
def test_bad_input(flags, said, capsys):
  try:
    assert analyze.main(flags) == 2
  except SystemExit as error:
    assert error.code == 2
  err = capsys.readouterr().err
  for text in said:
    assert text in err
  assert "Traceback" not in err


def test_predictions_against_more_draws(tmp_path, capsys):
  said = ran([DIGITS[2], "--n", 100, "--reference", DIGITS[2], "-o", tmp_path], capsys)
  shares = json.loads((tmp_path / "predictions.json").read_text())["files"][0]
  assert sum(shares[name] for name in analysis.CATEGORIES) == pytest.approx(1)
  assert "accurate: the leading class of" in said.out
  assert "correct, accurate" in (tmp_path / "predictions.md").read_text()


def test_analyze_runs_where_jax_is_not_installed(tmp_path):
  code = (
    "import sys\n"
    "for name in ('jax', 'jaxlib', 'flax', 'optax', 'orbax', 'tensorflow'): sys.modules[name] = None\n"
    "from rsjax import analyze\n"
    f"sys.exit(analyze.main({[*DIGITS, '-o', str(tmp_path)]!r}))\n"
  )
  subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
  assert (tmp_path / "certified_accuracy.svg").exists()


def pixels(path):
  with Image.open(path) as image:
    return np.asarray(image, float)


def test_noisy_images_share_their_noise(tmp_path, capsys):
  ran(["digits", tmp_path, "3,7", 0.1, 0.2], capsys, visualize.main)
  assert {p.name for p in tmp_path.iterdir()} == {
    *(f"{i}_{s}.png" for i in (3, 7) for s in ("0", "0.1", "0.2")), "contact_sheet.png"
  }  # fmt: skip
  plain, little, more = (pixels(tmp_path / f"7_{s}.png") for s in ("0", "0.1", "0.2"))
  inside = (little > 0) & (little < 255) & (more > 0) & (more < 255)
  assert inside.sum() > 10
  np.testing.assert_allclose((more - plain)[inside], 2 * (little - plain)[inside], atol=1.6)
  assert pixels(tmp_path / "contact_sheet.png").shape[1] > 3 * 160
  for argv, said in (
    (["digits", tmp_path, "3,x", 0.1], "INDEX must be integers"),
    (["digits", tmp_path, "360", 0.1], "images 0 to 359"),
    (["digits", tmp_path, "3", "-1"], "sigma must be"),
    (["digits", tmp_path / "3_0.1.png", "3", 0.1], "cannot be a directory"),
  ):
    refused(["--", *argv], capsys, said, main=visualize.main)


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


@pytest.mark.parametrize("argv", [["bounds"], ["radius"], ["draws", DIGITS[1]], ["alpha", DIGITS[1]]])
def test_figures_of_the_paper(argv, tmp_path):
  paper_figures.main([*argv, str(tmp_path / "figure.png")])
  assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_prediction_against_n(capsys):
  paper_figures.main(["predict", DIGITS[2]])
  lines = capsys.readouterr().out.splitlines()[-3:]
  assert [line.split()[0] for line in lines] == ["100", "1,000", "10,000"]
  assert all(sum(map(float, line.split()[1:])) == pytest.approx(1, abs=0.003) for line in lines)

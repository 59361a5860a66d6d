"""--noise-kind splitting and columns, from training to the analysis of what is certified."""

import pytest
from helpers import ran, refused, without_time

from rsjax import analyze, certify, check, predict, results, train


@pytest.fixture(scope="module")
def bands(small_npz, tmp_path_factory):
  """A classifier of 8x8 images that was barely trained on bands of two columns."""
  out = tmp_path_factory.mktemp("bands") / "out"
  kind = ["--noise-kind", "columns", "--noise", "2"]
  assert train.main([small_npz, "convnet", str(out), *kind, "--epochs", "1", "--batch", "16"]) == 0
  return str(out)


def test_patches_are_certified_continued_shared_analysed_and_checked(bands, small_npz, tmp_path, capsys):
  argv = lambda out, *more: [small_npz, bands, "2", tmp_path / out, "--noise-kind", "columns", *more]
  said = ran(certify.main, argv("x.tsv", "--max", "2"), capsys)
  assert "column bands of 2, exact" in said.out and "trained with" not in said.err
  assert "8 draws per image" in said.err
  content = (tmp_path / "x.tsv").read_text()
  (tmp_path / "x.tsv").write_text(content[:-9])  # as if it had been killed
  ran(certify.main, argv("x.tsv", "--max", "4", "--batch", "24"), capsys)
  for part in ("1/2", "2/2"):
    ran(certify.main, argv(f"s{part[0]}.tsv", "--max", "4", "--shard", part), capsys)
  joined = results.join([results.read(tmp_path / f"s{part}.tsv") for part in (1, 2)])[0]
  whole = results.read(tmp_path / "x.tsv")
  assert joined.columns["votes"].tolist() == whole.columns["votes"].tolist() and whole.complete
  said = ran(check.main, [tmp_path / "x.tsv", "--checkpoint", bands, "--rows", "2"], capsys)
  assert (
    "columns noise with band = 2, all of its 8 draws, exact" in said.out and "votes drawn again" in said.out
  )
  argv = [tmp_path / "x.tsv", "-o", tmp_path / "t", "--rho", "0.01", "--claim", "0% at 1"]
  said = ran(analyze.main, [*argv, "--html", tmp_path / "r.html"], capsys)
  assert "at patch width" in said.out and "none is wrong by chance" in said.out
  assert "alpha is not recorded" not in said.err
  page = (tmp_path / "r.html").read_text()
  assert "exact certificate" in page and "1 - alpha" not in page and "--noise-kind columns" in page
  assert "patch of R columns" in (tmp_path / "t" / "certified_accuracy.md").read_text()
  refused(analyze.main, [tmp_path / "x.tsv", "--alpha", "0.01"], capsys, "exact", "without an alpha")


def test_l1_is_certified_with_lambda_and_what_does_not_apply_is_refused(bands, small_npz, tmp_path, capsys):
  argv = lambda sigma, *more: [small_npz, bands, sigma, tmp_path / "x.tsv", "--noise-kind", "splitting", *more]
  said = ran(certify.main, argv("0.0577", "--lambda", "0.1", "--max", "2", "--seed", "3"), capsys)
  assert "trained with column" in said.err and "template of seed 0, not 3" in said.err
  file = results.read(tmp_path / "x.tsv")
  assert file.settings["noise_thresholds"] == file.settings["n"] == 51 and "alpha" not in file.settings
  before = without_time(tmp_path / "x.tsv")
  for sigma, flags, *said in (
    ("0.1", ["--N", "100"], "certified exactly", "Leave out --N"),
    ("0.1", ["--N0", "100", "--alpha", "0.01"], "Leave out --N0 and --alpha"),
    ("0.1", ["--radii", "0,1"], "Leave out --radii"),
    ("0.1", ["--stop", "anytime"], "Leave out --stop"),
    ("0.1", ["--lambda", "0.2"], "SIGMA 0.1 means lambda = 0.173205", "give SIGMA 0.1155"),
    ("0.001", [], "lambda of splitting noise", "at least 0.00588"),
    ("64", [], "at most 10"),
    ("0.2", [], "begun with other settings", "noise_lambda"),
  ):
    refused(certify.main, argv(sigma, *flags), capsys, *said, folder=tmp_path)
  assert without_time(tmp_path / "x.tsv") == before
  columns = [small_npz, bands, "4", tmp_path / "y.tsv", "--noise-kind", "columns"]
  refused(certify.main, columns, capsys, "too wide for images of 8", folder=tmp_path)
  refused(predict.main, columns, capsys, "certified exactly", folder=tmp_path)
  refused(
    certify.main,
    [small_npz, bands, "1", tmp_path / "y.tsv", "--lambda", "1"],
    capsys,
    "belongs to --noise-kind",
  )

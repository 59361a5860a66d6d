"""--noise-kind of certify and predict, from the first row to the analysis."""

import numpy as np
from helpers import ran, refused

from rsjax import analyze, certify, check, predict, results


def test_grid_noise_is_certified_continued_checked_and_named(trained, tmp_path, capsys):
  out = tmp_path / "grid.tsv"
  argv = lambda most, *more: [
    "digits",
    trained,
    "0.25",
    out,
    "--noise-kind",
    "grid",
    "--N",
    "300",
    "--max",
    most,
    *more,
  ]
  said = ran(certify.main, argv("2"), capsys)
  assert "grid noise" in said.out
  assert "trained with" not in said.err
  ran(certify.main, argv("4", "--batch", "70"), capsys)
  whole = tmp_path / "whole.tsv"
  ran(certify.main, [a if a is not out else whole for a in argv("4")], capsys)
  np.testing.assert_array_equal(results.read(out).columns["votes"], results.read(whole).columns["votes"])
  ran(check.main, [out, "--checkpoint", trained, "--rows", "1"], capsys)
  assert "grid noise" in ran(analyze.main, [out, "--norm", "linf"], capsys).out
  other = ["digits", trained, "0.25", out, "--N", "300", "--max", "4"]
  refused(certify.main, other, capsys, "noise", folder=tmp_path)


def test_a_noise_other_than_that_of_training_is_noted(trained, tmp_path, capsys):
  argv = ["digits", trained, "0.25", tmp_path / "u.tsv", "--noise-kind", "uniform", "--max", "2", "--N", "300"]
  said = ran(certify.main, argv, capsys)
  assert "trained with Gaussian noise, not uniform noise" in said.err
  assert results.read(tmp_path / "u.tsv").settings["noise_lambda"] == float(np.float32(np.sqrt(3) * 0.25))
  refused(
    analyze.main, [tmp_path / "u.tsv", "--norm", "l2"], capsys, "uniform noise proves radii in l1 and linf"
  )
  argv = ["digits", trained, "0.25", tmp_path / "p.tsv", "--noise-kind", "laplace", "--max", "2", "--N", "300"]
  assert "2 images" in ran(predict.main, argv, capsys).out

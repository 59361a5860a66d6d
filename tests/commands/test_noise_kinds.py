"""--noise-kind of certify and predict, from the first row to the analysis."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ran, refused

from rsjax import analyze, certify, check, noise, predict, results, train
from rsjax.analysis.reports import origin
from rsjax.classifiers import checkpoint
from rsjax.noise import threefry
from rsjax.runs import split


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
  assert "--noise-kind grid" in origin.command(results.read(out))
  other = ["digits", trained, "0.25", out, "--N", "300", "--max", "4"]
  refused(certify.main, other, capsys, "noise", folder=tmp_path)


def test_training_under_a_kind_is_recorded_and_continued_under_it_alone(tmp_path, capsys):
  out = tmp_path / "uniform"
  argv = ["digits", "convnet", out, "--noise", "0.25", "--epochs", "1", "--batch", "720", "--noise-kind"]
  said = ran(train.main, [*argv, "uniform"], capsys)
  assert "uniform noise, noise_sd 0.25" in said.err
  assert "accuracy under uniform noise" in said.out
  loaded = checkpoint.load(out)
  found = loaded.metadata
  assert found["noise_sd"] == 0.25
  assert noise.from_settings(found["training"]["noise"]) == noise.Uniform(0.25)
  assert "already trained" in ran(train.main, [*argv, "uniform"], capsys).out
  refused(train.main, argv[:-1], capsys, "noise_kind was uniform, is now gaussian", folder=tmp_path)
  notes = lambda kind: " ".join(split.notes(noise.of_kind(kind, 0.25), loaded))
  assert "noise" not in notes("uniform")
  assert "the classifier was trained with uniform noise, not Gaussian noise" in notes("gaussian")
  grid = found | {"training": found["training"] | {"noise": noise.GridGaussian(0.25).settings()}}
  assert noise.suits(noise.kind_of_training(grid), "gaussian")  # the same to a network
  assert noise.kind_of_training({"members": [found, found]}) == "uniform"
  assert noise.kind_of_training({"members": [found, grid], "noise_sd": 0.25}) is None


@pytest.mark.parametrize("kind", ["gaussian", "grid", "laplace", "uniform"])
def test_training_and_its_evaluation_see_the_noise_that_is_certified(kind):
  """Moments and, where they tell the kinds apart, ranges, of one draw for each of many pixels."""
  drawn = noise.of_kind(kind, 0.2)
  images = jnp.full((2, 3, 32, 32, 3), 100 / 255, jnp.float32)
  noisy = np.asarray(noise.perturb_for_training(drawn, jax.random.key(1), images))
  rows = images.reshape(6, 32, 32, 3)
  words = jnp.arange(6, dtype=jnp.uint32)
  certified = drawn.perturb(
    jax.tree.map(jnp.asarray, drawn.parameters()), threefry.base_key(0), words, words, rows
  )
  certified = np.asarray(noise.images_and_valid(certified)[0])
  for z in (noisy - 100 / 255, certified - 100 / 255):
    assert abs(z.mean()) < 0.01
    assert abs(z.std() - 0.2) < 0.01
    assert abs((np.abs(z) > 0.4).mean() - (np.abs(certified - 100 / 255) > 0.4).mean()) < 0.01
  assert np.ptp(noisy, axis=(0, 1)).min() > 0  # each copy has its own draw
  if kind == "grid":
    np.testing.assert_allclose(255 * noisy, np.rint(255 * noisy), atol=1e-3)


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

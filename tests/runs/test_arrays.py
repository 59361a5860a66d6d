"""Inputs that are no images: arrays of any shape and range are certified, if they are said to be such."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import linear, without_time

import rsjax
from rsjax import analysis

ROWS = np.random.default_rng(2).normal(3, 20, (5, 7)).astype(np.float32)  # a table: no pixels in [0, 1]
LABELS = np.array([0, 1, 0, 1, 0])
SIGMA = 8.0


@pytest.fixture
def table():
  """Weights of `linear` for rows of seven numbers, |w| = 1."""
  w = np.random.default_rng(3).normal(size=7).astype(np.float32)
  return w / np.linalg.norm(w), np.float32(0)


@pytest.fixture
def g(table):
  return rsjax.smooth(linear, table, sigma=SIGMA, inputs="arrays")


def test_radii_of_a_table_approach_the_truth_in_its_units(g, table):
  exact = np.abs(ROWS.astype(np.float64) @ table[0])
  found = g.certify(ROWS, LABELS, n=20_000, progress=False)
  assert (found.predict == (ROWS @ table[0] > 0)).all()
  assert (found.radius < exact).all()
  assert (exact - found.radius < 0.07 * SIGMA).all()


@pytest.mark.parametrize("shape", [(16,), (2, 8), (2, 2, 2, 2)])
def test_arrays_have_the_noise_of_images_with_as_many_numbers(linear_variables, images, shape):
  pixels = images.astype(np.float32) / 255
  settings = dict(n=300, progress=False)
  wanted = rsjax.smooth(linear, linear_variables, sigma=0.25).certify(pixels, **settings)
  g = rsjax.smooth(linear, linear_variables, sigma=0.25, inputs="arrays")
  found = g.certify(pixels.reshape(-1, *shape), **settings)
  assert found.votes.tolist() == wanted.votes.tolist() and found.radius.tolist() == wanted.radius.tolist()


def test_one_number_is_enough():
  above = lambda v, x: jnp.concatenate([0 * x, x - v], axis=1)
  g = rsjax.smooth(above, np.float32(5), sigma=1.0, inputs="arrays")
  found = g.certify(np.float32([[4], [6.5]]), n=20_000, progress=False)
  assert found.predict.tolist() == [0, 1]
  np.testing.assert_allclose(found.radius, [1, 1.5], atol=0.1)


def test_a_file_is_continued_read_and_shown_in_the_inputs_units(g, tmp_path):
  path, whole = tmp_path / "r.tsv", tmp_path / "whole.tsv"
  certify = lambda g, file: g.certify(ROWS, LABELS, n=500, file=file, progress=False)
  certify(g, whole)
  certify(g, path)
  rows = path.read_text().splitlines(keepends=True)
  path.write_text("".join(rows[:3]))
  certify(g, path)
  assert without_time(path) == without_time(whole)
  found = rsjax.read(path)
  assert found.results.complete and found.settings["inputs"] == "arrays" and found.contradictions() == []
  in_linf = analysis.with_norm(found.results, "linf")
  np.testing.assert_allclose(in_linf.columns["radius"], found.radius / np.sqrt(7), atol=2e-6)
  rows = analysis.summarize([found.results], [0.0, 5.0])
  assert "(l2, in units of the inputs)" in analysis.caption(
    rows
  ) and "in units of the inputs" in analysis.latex(rows)
  assert ", radii in units of the inputs, n = 500" in repr(found)
  assert found.table().endswith("\nradii in units of the inputs, n = 500")
  assert found.plot().axes[0].get_xlabel() == "l2 radius, in units of the inputs"


def test_arrays_and_images_are_not_in_one_table(g, images, linear_variables):
  arrays = g.certify(ROWS, LABELS, n=100, progress=False)
  pictures = rsjax.smooth(linear, linear_variables, sigma=0.25).certify(
    images, LABELS[[0] * 6], n=100, progress=False
  )
  with pytest.raises(rsjax.InputError, match="images and of other arrays cannot be compared"):
    analysis.table([arrays, pictures], [0.0])


def test_nothing_is_said_about_pixels_and_something_about_one_class(table):
  apply = lambda v, x: linear(v, x + 1000 * v[0][None])
  with warnings.catch_warnings():
    warnings.simplefilter("error")  # of a sigma that would be in grey levels, or of dark pixels
    g = rsjax.smooth(apply, table, sigma=SIGMA, inputs="arrays")
    g.certify(ROWS / 1000, n=100, progress=False)
  [warning] = g.check(np.repeat(ROWS, 4, 0), np.tile([0, 1], 10)).warnings
  assert "class 1 is answered for 20 of 20 noisy arrays" in warning and "pixels" not in warning


@pytest.mark.parametrize(
  ("arrays", "message"),
  [
    (ROWS.astype(np.float64), r"^arrays must be float32 .* but array 0 is float64\[7\]: give .astype"),
    (ROWS.astype(np.uint8), r"^arrays must be float32 .*uint8\[7\]"),
    (np.where(ROWS.max() == ROWS, np.float32("inf"), ROWS), "not finite"),
    (ROWS[0], r"arrays must be \[arrays, ...\], got \[7\]: give row\[None\] if it is one row"),
    ([ROWS[0], ROWS[1][:3]], "arrays must be of one shape"),
  ],
)
def test_arrays_that_cannot_be_used_are_refused(g, arrays, message):
  with pytest.raises(rsjax.InputError, match=message):
    g.certify(arrays, n=100, progress=False)


def test_without_being_told_arrays_are_refused_with_the_mend(table, images, linear_variables):
  g = rsjax.smooth(linear, table, sigma=0.25)
  for arrays in (ROWS, list(ROWS), np.zeros((2, 7, 1, 1), np.float32) - 1):
    with pytest.raises(rsjax.InputError, match='inputs="arrays"'):
      g.certify(arrays, n=100, progress=False)
  with pytest.raises(rsjax.InputError, match='inputs must be "images" or "arrays", got'):
    rsjax.smooth(linear, table, sigma=0.25, inputs="tables")
  with pytest.raises(rsjax.InputError, match="grid noise is for images"):
    rsjax.smooth(linear, table, noise=rsjax.GridGaussian(0.25), inputs="arrays")


@pytest.mark.parametrize(
  ("low", "high", "told"),
  [
    (0, 255, r"0\.\.255: sigma and radii are in these units.*\(there this sigma is 0.0314\)"),
    (0, 16, r"0\.\.16: .*\(there this sigma is 0.5, if no pixel can be above 16\)"),
    (-1, 1, r"\[-1, 1\]: .*\(there this sigma is 4\)"),
    (-2, 2.5, "normalised ones: sigma and radii are in these units"),
    (0, 1, r'\[0, 1\]: leave out inputs="arrays"'),
  ],
)
def test_arrays_that_look_like_images_are_told(low, high, told):
  """Whose radii would else be taken for those of images."""
  pictures = np.linspace(low, high, 2 * 8 * 8 * 3, dtype=np.float32).reshape(2, 8, 8, 3)
  score = lambda v, x: jnp.stack([x.sum((1, 2, 3)) - v, v - x.sum((1, 2, 3))], 1)
  g = rsjax.smooth(score, np.float32(pictures.sum() / 2), SIGMA, inputs="arrays")
  with pytest.warns(UserWarning, match=told):
    g.certify(pictures, n=100, progress=False)
  assert any("look like images" in warning for warning in g.check(pictures).warnings)
  with pytest.warns(UserWarning, match=told):
    rsjax.smooth(lambda v, x: x.sum((1, 2, 3)), np.float32(0), SIGMA, inputs="arrays").certify_value(
      pictures, epsilon=0.1, n=500, progress=False
    )


def test_columns_of_very_different_scales_are_told(table):
  rows = np.random.default_rng(4).normal(size=(12, 7)).astype(np.float32)
  g = rsjax.smooth(linear, table, SIGMA, inputs="arrays")
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    g.certify(rows, n=100, progress=False)
  wide = rows * np.float32([1, 1, 1, 1, 1, 1, 1000])
  with pytest.warns(UserWarning, match="columns have standard deviations from .*: divide each column by"):
    g.certify(wide, n=100, progress=False)


def test_rows_that_depend_on_each_other_are_refused(table):
  coupled = lambda v, x: linear(v, x - x.mean(0, keepdims=True))
  with pytest.raises(rsjax.InputError, match="depend on the other images of its batch"):
    rsjax.smooth(coupled, table, sigma=SIGMA, inputs="arrays").certify(ROWS, n=100, progress=False)


def test_values_of_arrays_are_bounded(table):
  score = lambda v, x: x @ v[0]
  g = rsjax.smooth(score, table, sigma=SIGMA, inputs="arrays")
  found = g.certify_value(ROWS[:2], epsilon=1.0, n=500, progress=False)
  exact = ROWS[:2] @ table[0]
  assert (found.lower < exact - 1).all() and (exact + 1 < found.upper).all()

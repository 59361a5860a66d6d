"""Gaussian noise on the 1/255 grid: its law is exact, and a classifier that reads rounding gains nothing."""

import bisect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import linear
from scipy import special, stats

import rsjax
from rsjax import analysis, bounds, devices, noise, results
from rsjax.errors import InputError
from rsjax.noise import Gaussian, GridGaussian, grid, threefry
from rsjax.procedures import Certify
from rsjax.smoothing import Execution, Smoothed

SIGMAS = (0.001, 0.12, 0.25, 1.0)
ATTACKED = (32, 32, 3)

draw_steps = devices.jit(grid.grid_steps)


def steps_of(sigma, words):
  """(K, known) of sign bits and m together, integers below 2**64."""
  high, low = np.divmod(np.array(words, np.uint64), 2**32)
  found = draw_steps(grid.table(sigma), high.astype(np.uint32), low.astype(np.uint32))
  return tuple(np.asarray(part) for part in found)


def drawn(sigma, index, draw, level=0, shape=(4, 4, 3), seed=0):
  """The noise in grid steps, int64[rows, h, w, c], as programs draw it."""
  made = GridGaussian(sigma)
  images = jnp.full((len(index), *shape), level / 255, jnp.float32)
  perturb = devices.jit(made.perturb)
  found = perturb(made.parameters(), threefry.base_key(seed), jnp.uint32(index), jnp.uint32(draw), images)
  assert np.asarray(found.valid).all()
  return np.rint(255 * np.asarray(found.images, np.float64)).astype(int) - level


@pytest.mark.parametrize("sigma", SIGMAS)
def test_every_threshold_is_the_nearest_integer(sigma):
  """By mpmath at 50 digits, which has its own series for the normal distribution."""
  mpmath = pytest.importorskip("mpmath", reason="mpmath is not installed: thresholds are not recomputed")
  with mpmath.workdps(50):
    exact = lambda j: 2**64 * mpmath.ncdf(-(mpmath.mpf(2 * j) - 1) / (510 * mpmath.mpf(sigma)))
    found = grid.thresholds(sigma)
    for j, threshold in enumerate(found, 1):
      assert abs(threshold - exact(j)) < 0.51
    assert exact(len(found) + 1) < grid.LEAST


@pytest.mark.parametrize("sigma", [*SIGMAS, 0.5, 2.0])
def test_steps_are_those_of_the_thresholds_for_any_word(sigma):
  """Of random words, and of those next to every threshold and every border of the table."""
  rng = np.random.default_rng(0)
  thresholds = sorted(grid.thresholds(sigma))
  leading = (len(grid.table(sigma).first) // grid._EXPONENTS).bit_length() - 1
  near = [*thresholds, *grid.bucket_starts(leading), grid.LEAST, 2**24, 2**32, 2**39, 2**56]
  words = {max(0, min(2**63 - 1, word + by)) for word in near for by in range(-3, 4)}
  words |= {0, 1, 2**63 - 1, *rng.integers(0, 2**63, 1000).tolist()}
  words |= {int(word) >> int(by) for word, by in zip(rng.integers(0, 2**63, 5000), rng.integers(0, 63, 5000))}
  words = sorted(words)
  wanted = [len(thresholds) - bisect.bisect_right(thresholds, m) for m in words]
  close = [any(m - t in (-1, 0) for t in thresholds[max(0, i - 1) : i + 1])
           for m in words for i in [bisect.bisect_right(thresholds, m + 1)]]  # fmt: skip
  steps, known = steps_of(sigma, words)
  np.testing.assert_array_equal(known, [m >= grid.LEAST and not c for m, c in zip(words, close)])
  np.testing.assert_array_equal(steps[known], np.array(wanted)[known])
  negative, known_too = steps_of(sigma, [word + 2**63 for word in words])  # the sign bit
  np.testing.assert_array_equal(known, known_too)
  np.testing.assert_array_equal(negative, -steps)


@pytest.mark.parametrize("sigma", [*SIGMAS, 10.0])
def test_draws_are_rarely_void(sigma):
  """Of all words, those that are void, as counted, are a smaller part than is said."""
  assert (grid.LEAST + 2 * grid.GUARD * len(grid.thresholds(sigma))) / 2**63 < grid.VOID


def test_it_is_rounded_normal_and_near_misses_are_rejected():
  z = drawn(0.02, np.zeros(4000, int), np.arange(4000)).ravel()

  def p_value(sample, sigma=0.02):
    ends = np.arange(-12, 12) + 0.5
    expected = np.diff(special.ndtr(np.r_[-np.inf, ends, np.inf] / (255 * sigma))) * len(sample)
    return stats.chisquare(np.bincount(np.searchsorted(ends, sample), minlength=25), expected).pvalue

  assert p_value(z) > 0.01
  assert p_value(z, 1.02 * 0.02) < 1e-3
  assert p_value(z, 0.98 * 0.02) < 1e-3
  assert abs(z.mean()) < 3.5 * z.std() / np.sqrt(z.size)
  assert abs(z.mean() + 0.05) > 3.5 * z.std() / np.sqrt(z.size)  # a twentieth of a step would be seen


def test_coordinates_draws_and_images_are_uncorrelated():
  z = drawn(0.25, np.full(8000, 3), np.arange(8000)).reshape(8000, -1)
  correlation = np.corrcoef(np.c_[z, np.roll(z, 1, axis=0)].T) - np.eye(2 * z.shape[1])
  assert np.abs(correlation).max() < 5.5 / np.sqrt(8000)
  assert not np.array_equal(z, drawn(0.25, np.full(8000, 4), np.arange(8000)).reshape(8000, -1))


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 5, 3)])
def test_a_draw_does_not_depend_on_its_companions(shape):
  index, draw = np.arange(33) % 4, np.arange(33) ** 5
  together = drawn(0.25, index, draw, shape=shape)
  for batch in (1, 7):
    parts = [drawn(0.25, index[i : i + batch], draw[i : i + batch], shape=shape) for i in range(0, 33, batch)]
    np.testing.assert_array_equal(np.concatenate(parts), together)


def test_what_the_classifier_sees_is_a_function_of_the_sum_of_integers():
  """The noise does not depend on the image, and two images never reach one grid point by different floats."""
  index, draw = np.zeros(50, int), np.arange(50)
  wanted = drawn(0.25, index, draw)
  for level in (1, 77, 255):
    np.testing.assert_array_equal(drawn(0.25, index, draw, level), wanted)


def threshold_classifier(variables, images):
  """Class 1 where the only pixel is at least `variables`."""
  above = images.reshape(-1) >= variables - 1e-3
  return jnp.stack([jnp.where(above, -1.0, 1.0), jnp.where(above, 1.0, -1.0)], 1)


def test_radii_exceed_the_true_one_as_rarely_as_alpha_allows():
  """Of a threshold in one pixel, whose true radius reaches to half a step below it; 2 % more is rejected."""
  sigma, alpha, level, threshold, count, n = 0.1, 0.05, 120, 107, 200, 20_000
  smoothed = Smoothed(threshold_classifier, np.float32(threshold / 255), GridGaussian(sigma))
  image = np.full((1, 1, 1), level, np.uint8)
  examples = [(i, image) for i in range(count)]
  found = [o for _, o in smoothed.outcomes(Certify(100, n, alpha), examples, execution=Execution(20_000))]
  radii, true = np.array([o.radius for o in found]), (level - threshold + 0.5) / 255
  allowed = stats.binom.ppf(0.999, count, alpha)
  assert 0 < np.sum(radii > true) <= allowed
  assert np.sum(1.02 * radii > true) > allowed
  assert np.sum(radii > true - 0.5 / 255) > allowed  # half a grid step less is not the true radius


def reads_rounding(x0, z):
  """Class 1 where every coordinate can be x0 plus a float32: it distinguishes x0 from its neighbours."""
  reached = ((z - x0[None]) + x0[None] == z).reshape(len(z), -1).all(1)
  return jnp.stack([jnp.where(reached, -1.0, 1.0), jnp.where(reached, 1.0, -1.0)], 1)


@pytest.fixture(scope="module")
def attack():
  """certify(noise) -> the answers and radii for x0 and for its neighbour, and their l2 distance."""
  rng = np.random.default_rng(0)
  x0 = rng.integers(40, 216, ATTACKED).astype(np.uint8)
  x1 = x0 + rng.choice([-1, 1], ATTACKED).astype(np.int8).astype(np.uint8)
  distance = np.linalg.norm(x0.astype(float) - x1) / 255

  def certify(made):
    variables = x0.astype(np.float32) / 255
    on_grid = isinstance(made, GridGaussian)
    given = [x0, x1] if on_grid else [x.astype(np.float32) / 255 for x in (x0, x1)]
    g = rsjax.smooth(reads_rounding, variables, noise=made)
    found = g.certify(given, n=1000, progress=False, execution=Execution(100))
    return found.predict, found.radius, distance

  return certify


@pytest.mark.parametrize("sigma", [0.25, 1.0])
def test_noise_added_in_floating_point_certifies_what_is_false(attack, sigma, monkeypatch):
  """The danger that grid noise is for: every draw betrays the image to which it was added.

  Product and sum are each rounded, as operation by operation. XLA may fuse them. Then this attack fails, but
  one that knows of the fusion need not.
  """

  def rounded_twice(parameters, key, index, draw, images):
    z = threefry.standard_normal(key, index, draw, images.shape[1:])
    scaled = jax.lax.optimization_barrier(parameters * jax.lax.optimization_barrier(z))
    return images + scaled

  monkeypatch.setattr(Gaussian, "perturb", staticmethod(rounded_twice))
  predict, radius, distance = attack(Gaussian(sigma))
  assert predict.tolist() == [1, 0]
  assert radius[0] > 2 * distance


@pytest.mark.parametrize("sigma", [0.25, 1.0])
def test_grid_noise_betrays_nothing(attack, sigma):
  predict, radius, distance = attack(GridGaussian(sigma))
  assert predict[0] == predict[1] != -1
  assert min(radius) > distance


@pytest.mark.parametrize("count", [1, 2, 8])
@pytest.mark.parametrize("rows", [7, 64])
def test_votes_do_not_depend_on_rows_or_devices(linear_variables, images, cpu_mesh, rows, count):
  smoothed = Smoothed(linear, linear_variables, GridGaussian(0.5))

  def run(execution):
    found = smoothed.outcomes(Certify(10, 150), enumerate(images), execution=execution)
    return [outcome.votes.tolist() for _, outcome in found]

  assert run(Execution(rows, cpu_mesh(count))) == run(Execution(30, cpu_mesh(1)))


def test_a_void_draw_votes_for_nobody_and_counts(linear_variables, images, monkeypatch):
  pairs = threefry.random_pairs

  def often_void(key, index, draw, size):
    high, low = pairs(key, index, draw, size)
    chosen = (draw % 4 == 0)[:, None] & (jnp.arange(size) == 5)[None]
    return jnp.where(chosen, jnp.uint32(0), high), jnp.where(chosen, jnp.uint32(4095), low)

  monkeypatch.setattr(threefry, "random_pairs", often_void)
  fresh = lambda variables, x: linear(variables, x)
  smoothed = Smoothed(fresh, linear_variables, GridGaussian(0.5))
  [(_, found)] = smoothed.outcomes(Certify(100, 400), [(0, images[0])], execution=Execution(50))
  assert (found.invalid0, found.invalid, found.n, found.votes.sum()) == (25, 100, 400, 300)


def test_the_multiclass_bound_takes_void_draws_to_be_the_others(linear_variables):
  radius = lambda made, upper: float(bounds.multiclass_radius(0.9, upper, made))
  assert radius(GridGaussian(1.0), 0.01) <= radius(Gaussian(1.0), 0.01 + grid.VOID * grid.MOST_PIXELS)
  assert radius(GridGaussian(1.0), 0.01) > radius(Gaussian(1.0), 0.01) - 1e-5


def test_its_file_says_what_it_is_and_is_analysed_again(linear_variables, images, tmp_path):

  g = rsjax.smooth(linear, linear_variables, noise=GridGaussian(0.25))
  labels = np.zeros(6, int)
  found = g.certify(images, labels, n=1000, file=tmp_path / "x.tsv", progress=False)
  settings = {"noise": "grid", "sigma": 0.25, "noise_bits": 64, "noise_guard": 1}
  assert {name: found.settings[name] for name in settings} == settings
  assert found.settings.keys() > settings.keys()
  p = bounds.lower_confidence_bound(found.nA, 1000, 0.001)
  np.testing.assert_array_equal(found.radius, bounds.certified_radius(p, 0.25))
  file = results.read(tmp_path / "x.tsv")
  assert not [text for text in analysis.warnings([file], ["x"], []) if "votes" in text or "lacks" in text]
  assert (analysis.with_alpha(file, 1e-6).columns["radius"] <= found.radius).all()
  rows = analysis.summarize([file], [0.0])
  assert rows[0]["name"] == "sigma = 0.25, grid noise"
  with pytest.raises(InputError, match="noise"):
    rsjax.smooth(linear, linear_variables, sigma=0.25).certify(
      images, labels, n=1000, file=tmp_path / "x.tsv", progress=False
    )
  with pytest.raises(InputError, match="noise_guard = 1, got 0"):
    noise.from_settings(settings | {"noise_guard": 0})


def test_float_images_and_unusual_sigmas_are_refused(linear_variables, images):
  g = rsjax.smooth(linear, linear_variables, noise=GridGaussian(0.25))
  floats = images.astype(np.float32) / 255
  for run in (g.certify, g.predict, g.check):
    with pytest.raises(InputError, match="8-bit images: images must be uint8, got float32"):
      run(floats)
  with pytest.raises(InputError, match="uint8"):
    list(Smoothed(linear, linear_variables, GridGaussian(0.25)).outcomes(Certify(), enumerate(floats)))
  for sigma in (63.75, 1e-5, -1.0, float("nan"), "0.25"):
    with pytest.raises(InputError, match="sigma"):
      GridGaussian(sigma)
  for given in ({}, {"sigma": 0.25, "noise": Gaussian(0.25)}):
    with pytest.raises(InputError, match="either `sigma`"):
      rsjax.smooth(linear, linear_variables, **given)

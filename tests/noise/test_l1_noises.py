"""Uniform and Laplace noise: their laws, and radii that are never above the true ones, but reach them."""

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import linear
from scipy import stats

import rsjax
from rsjax import analysis, bounds, devices
from rsjax.errors import InputError
from rsjax.noise import Laplace, Uniform, from_settings, threefry
from rsjax.procedures import Certify
from rsjax.smoothing import Execution, Smoothed

NOISES = [Uniform(0.5), Laplace(0.5)]


def drawn(noise, index, draw, shape=(4, 4, 3)):
  images = jnp.zeros((len(index), *shape), jnp.float32)
  perturb = devices.jit(noise.perturb)
  return np.asarray(
    perturb(noise.parameters(), threefry.base_key(0), jnp.uint32(index), jnp.uint32(draw), images)
  )


@pytest.mark.parametrize("noise", NOISES)
def test_its_law_is_that_of_its_name_and_near_misses_are_rejected(noise):
  z = drawn(noise, np.full(8000, 3), np.arange(8000)).ravel().astype(np.float64)
  law = {
    "uniform": stats.uniform(-np.sqrt(0.75), 2 * np.sqrt(0.75)),
    "laplace": stats.laplace(0, np.sqrt(0.125)),
  }
  p_value = lambda sample: stats.kstest(sample, law[noise.name].cdf).pvalue
  assert p_value(z) > 0.01
  assert p_value(1.01 * z) < 1e-3
  assert p_value(z + 0.005) < 1e-3
  assert abs(z.std() - 0.5) < 0.005  # sigma is the standard deviation
  assert stats.pearsonr(z[:-1], z[1:]).pvalue > 1e-3


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 5, 3)])
def test_a_draw_does_not_depend_on_its_companions(noise, shape):
  draw = np.arange(33)
  together = drawn(noise, draw % 4, draw, shape)
  for batch in (1, 8):
    parts = np.split(draw, range(batch, 33, batch))
    assert np.array_equal(np.concatenate([drawn(noise, d % 4, d, shape) for d in parts]), together)


def step(variables, images):
  """Class 1 where the first pixel is above 0.5, which is as far in l1 as it is below or above."""
  first = images.reshape(len(images), -1)[:, 0]
  return jnp.stack([jnp.full_like(first, 0.0), first - 0.5], 1)


@pytest.mark.parametrize("noise", NOISES)
def test_radii_exceed_the_true_one_as_rarely_as_alpha_allows(noise):
  """Of a half-space with a single pixel, for which both certificates are exact; 2 % more is rejected."""
  alpha, distance, count, n = 0.05, 0.25, 200, 20_000
  image = np.full((1, 2, 1), 0.5 + distance, np.float32)
  found = Smoothed(step, np.float32(0), noise).outcomes(
    Certify(100, n, alpha), [(i, image) for i in range(count)], execution=Execution(20_000)
  )
  radii = np.array([outcome.radius for _, outcome in found])
  allowed = stats.binom.ppf(0.999, count, alpha)
  assert 0 < np.sum(radii > distance) <= allowed
  assert np.sum(1.02 * radii > distance) > allowed


def box(variables, images):
  """Class 1 within a cube around 0.5 that the variables reach, class 0 elsewhere."""
  inside = (abs(images - 0.5) <= variables).reshape(len(images), -1).all(1)
  return jnp.stack([jnp.where(inside, -1.0, 1.0), jnp.where(inside, 1.0, -1.0)], 1)


def test_the_linf_radius_of_uniform_noise_is_that_of_cubes():
  """The base classifier is a cube as large as the noise's: p falls from 1 as (1 - r / (2 lambda))^d exactly."""
  noise, d = Uniform(0.25), 4
  p = lambda r: (1 - r / (2 * noise.reach)) ** d
  # What holds for every classifier: from p = 1 the answer may change where the cubes share half.
  worst = 2 * noise.reach * (1 - 0.5 ** (1 / d))
  assert p(worst) == pytest.approx(0.5)
  almost = float(bounds.in_norm(bounds.radius(1 - 1e-12, noise), noise, "linf", d))
  assert almost <= worst < 1.02 * almost
  image = np.full((2, 2, 1), 0.5, np.float32)
  shifted = image + np.float32(almost)  # beyond the certified ball the cube has less than half
  smoothed = Smoothed(box, np.float32(noise.reach), noise)
  run = lambda x: next(iter(smoothed.outcomes(Certify(100, 20_000), [(0, np.clip(x, 0, 1))])))[1]
  assert run(image).prediction == 1
  assert abs(run(shifted).votes[1] / 20_000 - p(almost)) < 0.02


@pytest.mark.parametrize("noise", NOISES)
def test_radii_are_rounded_down_and_end_at_one_half(noise):
  p = np.array([0.1, 0.5, 0.5 + 1e-9, 0.9, 0.99993])
  exact = {
    "uniform": 2 * noise.reach * (p - 0.5) if noise.name == "uniform" else 0,
    "laplace": -noise.scale * np.log(2 * (1 - p)) if noise.name == "laplace" else 0,
  }[noise.name]
  found = bounds.radius(p, noise)
  assert np.all(found <= np.maximum(exact, 0))
  assert np.all(found > exact - 1.01e-6)


@pytest.mark.parametrize("noise", NOISES)
def test_its_file_names_its_norm_and_its_numbers(noise, linear_variables, images, tmp_path):
  g = rsjax.smooth(linear, linear_variables, noise=noise)
  found = g.certify(images, np.zeros(6, int), n=1000, file=tmp_path / "x.tsv", progress=False)
  assert {name: found.settings[name] for name in noise.settings()} == noise.settings()
  assert from_settings(found.settings) == noise
  [row] = analysis.summarize([found.results], [0.0])
  assert (row["norm"], row["name"]) == ("l1", f"sigma = 0.5, {noise.name} noise")
  np.testing.assert_array_equal(analysis.with_alpha(found.results, 0.001).columns["radius"], found.radius)
  with pytest.raises(InputError, match="not in 'l2'"):
    analysis.with_norm(found.results, "l2")
  if noise.name == "uniform":
    assert (analysis.with_norm(found.results, "linf").columns["radius"] <= found.radius).all()
  else:
    with pytest.raises(InputError, match="not in 'linf'"):
      analysis.with_norm(found.results, "linf")


@pytest.mark.parametrize("noise", NOISES)
def test_what_is_known_of_gaussian_noise_only_is_refused(noise, linear_variables, images):
  g = rsjax.smooth(linear, linear_variables, noise=noise)
  with pytest.raises(InputError, match="proved for Gaussian and grid noise only"):
    g.certify(images, bound="multi", progress=False)
  with pytest.raises(InputError, match="tolerance is for Gaussian and grid noise only"):
    g.certify(images, tolerance=0.05, progress=False)
  with pytest.raises(InputError, match="sigma must be a number > 0"):
    rsjax.smooth(linear, linear_variables, noise=type(noise)(0.0))
  g.certify(images[:1], radii=[0.1], n=1000, progress=False)

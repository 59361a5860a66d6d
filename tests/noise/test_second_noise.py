"""The seams hold another noise: drawn, certified, recorded, analysed and told from Gaussian files."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import DIGITS, linear

from rsjax import analysis, bounds, noise, results
from rsjax.bounds import radii
from rsjax.errors import InputError
from rsjax.noise import Gaussian, threefry
from rsjax.procedures import Certify
from rsjax.runs.certification import Job, into_file
from rsjax.smoothing import Smoothed


@dataclasses.dataclass(frozen=True)
class Uniform:
  """U[-reach, reach] on each pixel, whose radius is 2 reach (p - 1/2) in l1 (Yang et al. 2020)."""

  reach: float

  name: ClassVar[str] = "uniform"
  norm: ClassVar[str] = "l1"

  @classmethod
  def from_settings(cls, settings):
    return cls(settings["reach"])

  def settings(self):
    return {"noise": self.name, "reach": self.reach}

  def parameters(self):
    return np.float32(self.reach)

  @staticmethod
  def perturb(parameters, key, index, draw, images):
    bits = threefry.random_bits(key, index, draw, int(np.prod(images.shape[1:])))
    unit = (bits >> np.uint32(8)).astype(jnp.float32) / np.float32(2**24)
    return images + parameters * (2 * unit - 1).reshape(images.shape)

  def sample(self, key, shape):
    return jax.random.uniform(key, shape, jnp.float32, -self.reach, self.reach)


@pytest.fixture
def file(linear_variables, images, monkeypatch, tmp_path):
  monkeypatch.setitem(noise.KINDS, "uniform", Uniform)
  monkeypatch.setitem(
    radii._RADII,
    Uniform,
    lambda p, n: bounds.round_down(2 * n.reach * np.maximum(np.asarray(p) - 0.5, 0), bounds.RADIUS_DIGITS),
  )
  smoothed = Smoothed(linear, linear_variables, Uniform(0.5))
  return into_file(Job(smoothed, images, np.zeros(6, int), range(6), Certify(n=1000)), tmp_path / "u.tsv")


def test_its_radii_are_its_own_and_its_file_says_so(file):
  assert {name: file.settings[name] for name in ("noise", "reach")} == {"noise": "uniform", "reach": 0.5}
  assert "sigma" not in file.settings
  p = bounds.lower_confidence_bound(file.columns["nA"], 1000, 0.001)
  np.testing.assert_allclose(file.columns["radius"], np.maximum(p - 0.5, 0), atol=1e-6)
  assert not [text for text in analysis.warnings([file], ["x"], []) if "votes" in text or "lacks" in text]


def test_it_is_analysed_again_and_shown_in_its_norm(file, tmp_path):
  stricter = analysis.with_alpha(file, 1e-6)
  p = bounds.lower_confidence_bound(file.columns["nA"], 1000, 1e-6)
  np.testing.assert_allclose(stricter.columns["radius"], np.maximum(p - 0.5, 0), atol=1e-6)
  rows = analysis.summarize([file], [0.0, 0.1])
  assert "(l1, pixels" in analysis.caption(rows)
  assert "| l1 radius |" in analysis.markdown(rows)
  analysis.plot([file], tmp_path / "plot.svg")
  assert "6 images certified" in repr(analysis.Found(file))


def test_it_is_not_put_beside_gaussian_radii(file):
  other = results.read(DIGITS[0])
  with pytest.raises(InputError, match="radii in l1 and l2 cannot be compared"):
    analysis.summarize([file, other], [0.0])
  with pytest.raises(InputError, match="another noise"):
    analysis.agreement(other, file)


def test_a_noise_without_a_radius_is_refused(linear_variables):
  with pytest.raises(InputError, match="give Gaussian"):
    Smoothed(linear, linear_variables, Uniform(0.5))
  with pytest.raises(InputError, match="sigma must be a number > 0"):
    Smoothed(linear, linear_variables, Gaussian(0.0))

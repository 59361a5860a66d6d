"""Uniform noise, which proves l1 radii: U[-lambda, lambda] on each pixel.

Source: Yang et al. 2020, "Randomized smoothing of all shapes and sizes".
"""

import dataclasses
import math
from typing import Any, ClassVar

import numpy as np

from rsjax.noise.gaussian import Gaussian


@dataclasses.dataclass(frozen=True)
class Uniform:
  """U[-lambda, lambda] on each pixel, independently, for lambda = sqrt(3) sigma.

  Attributes:
    sigma: standard deviation, in units of [0, 1] pixels.
  """

  sigma: float

  name: ClassVar[str] = "uniform"
  norm: ClassVar[str] = "l1"

  def __post_init__(self) -> None:
    object.__setattr__(self, "sigma", Gaussian(self.sigma).sigma)

  @property
  def reach(self) -> float:
    """Lambda as drawn, a float32, in units of [0, 1] pixels."""
    return float(np.float32(math.sqrt(3) * self.sigma))

  @classmethod
  def from_settings(cls, settings: dict[str, Any]) -> "Uniform":
    """The noise that `settings` describe."""
    return cls(settings["sigma"])

  def settings(self) -> dict[str, Any]:
    """The values that describe it in a manifest."""
    return {"noise": self.name, "sigma": self.sigma, "noise_lambda": self.reach}

  def parameters(self) -> np.float32:
    """The first argument of `perturb`."""
    return np.float32(self.reach)

  @staticmethod
  def perturb(parameters: Any, key: Any, index: Any, draw: Any, images: Any) -> Any:
    """The images with the noise of their (seed, index, draw), see `Noise`; parameters: lambda, float32[]."""
    import jax.numpy as jnp

    from rsjax.noise import threefry

    bits = threefry.random_bits(key, index, draw, int(np.prod(images.shape[1:])))
    # (2 k + 1) / 2**24 - 1 for k of 24 bits: exact, and as often u as -u
    odd = (2 * (bits >> np.uint32(8)).astype(jnp.int32) + (1 - 2**24)).astype(jnp.float32)
    return images + parameters * (odd * np.float32(2.0**-24)).reshape(images.shape)

  def sample(self, key: Any, shape: tuple[int, ...]) -> Any:
    """float32[shape] of noise from a JAX key, for training; no certificate depends on it."""
    import jax
    import jax.numpy as jnp

    return jax.random.uniform(key, shape, jnp.float32, -self.reach, self.reach)

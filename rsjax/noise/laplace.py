"""Laplace noise, which proves l1 radii: the density falls as exp(-|x| / b) on each pixel.

Source: Teng, Lee and Yuan 2020, "l1 adversarial robustness certificates: a randomized smoothing approach".
"""

import dataclasses
import math
from typing import Any, ClassVar

import numpy as np

from rsjax.noise.gaussian import Gaussian


@dataclasses.dataclass(frozen=True)
class Laplace:
  """Laplace noise of scale b on each pixel, independently, for b = sigma / sqrt(2).

  Attributes:
    sigma: standard deviation, in units of [0, 1] pixels.
  """

  sigma: float

  name: ClassVar[str] = "laplace"
  norm: ClassVar[str] = "l1"

  def __post_init__(self) -> None:
    object.__setattr__(self, "sigma", Gaussian(self.sigma).sigma)

  @property
  def scale(self) -> float:
    """The scale b as drawn, a float32, in units of [0, 1] pixels."""
    return float(np.float32(self.sigma / math.sqrt(2)))

  @classmethod
  def from_settings(cls, settings: dict[str, Any]) -> "Laplace":
    """The noise that `settings` describe."""
    return cls(settings["sigma"])

  def settings(self) -> dict[str, Any]:
    """The values that describe it in a manifest."""
    return {"noise": self.name, "sigma": self.sigma, "noise_scale": self.scale}

  def parameters(self) -> np.float32:
    """The first argument of `perturb`."""
    return np.float32(self.scale)

  @staticmethod
  def perturb(parameters: Any, key: Any, index: Any, draw: Any, images: Any) -> Any:
    """The images with the noise of their (seed, index, draw), see `Noise`; parameters: b, float32[].

    Drawn by 24 bits and a sign, it ends at about 17 b; beyond is a mass of 6e-8 per pixel.
    """
    import jax
    import jax.numpy as jnp

    from rsjax.noise import threefry

    bits = threefry.random_bits(key, index, draw, int(np.prod(images.shape[1:])))
    part = (bits >> np.uint32(9)).astype(jnp.float32) * np.float32(2.0**-23) + np.float32(2.0**-24)  # exact
    size = jax.lax.optimization_barrier(-jnp.log(part))  # as in `threefry`: the same in every program
    z = jnp.where(bits & np.uint32(1) == 1, -size, size)
    return images + parameters * z.reshape(images.shape)

  def sample(self, key: Any, shape: tuple[int, ...]) -> Any:
    """float32[shape] of noise from a JAX key, for training; no certificate depends on it."""
    import jax
    import jax.numpy as jnp

    return self.scale * jax.random.laplace(key, shape, jnp.float32)

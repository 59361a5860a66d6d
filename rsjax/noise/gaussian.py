"""Gaussian noise, the paper's: N(0, sigma^2) on each pixel.

Source: Cohen et al. 2019, section 3.
"""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from rsjax.errors import InputError
from rsjax.noise.numbering import is_number

USUAL_SIGMA, ABSURD_SIGMA = 2.0, 10.0  # published work ends at 1; grey levels begin at about 12


def grey_levels(sigma: float, name: str = "sigma") -> str | None:
  """What to say about a sigma that seems to be in grey levels, from 0 to 255; None for a usual one."""
  if not sigma > USUAL_SIGMA:
    return None
  return (
    f"{name} = {sigma:g} is in units of [0, 1] pixels, and such noise hides the image: if you meant grey "
    f"levels from 0 to 255, give {sigma:g} / 255 = {sigma / 255:.3g}"
  )


@dataclasses.dataclass(frozen=True)
class Gaussian:
  """N(0, sigma^2) on each pixel, independently.

  Attributes:
    sigma: standard deviation, in units of [0, 1] pixels; 0 is no noise, which certifies nothing.
  """

  sigma: float

  name: ClassVar[str] = "gaussian"
  norm: ClassVar[str] = "l2"

  def __post_init__(self) -> None:
    if is_number(self.sigma):
      object.__setattr__(self, "sigma", float(self.sigma))  # NumPy's numbers would not go into a manifest
    if not (is_number(self.sigma) and 0 <= self.sigma <= float(np.finfo(np.float32).max)):
      raise InputError(f"sigma must be a number >= 0 (in units of [0, 1] pixels), got {self.sigma!r}")

  @classmethod
  def from_settings(cls, settings: dict[str, Any]) -> "Gaussian":
    """The noise that `settings` describe."""
    return cls(settings["sigma"])

  def settings(self) -> dict[str, Any]:
    """The values that describe it in a manifest."""
    return {"noise": self.name, "sigma": self.sigma}

  def parameters(self) -> np.float32:
    """The first argument of `perturb`: an array, so that one compiled program serves every sigma."""
    return np.float32(self.sigma)

  @staticmethod
  def perturb(parameters: Any, key: Any, index: Any, draw: Any, images: Any) -> Any:
    """The images with the noise of their (seed, index, draw), see `Noise`; parameters: sigma, float32[]."""
    from rsjax.noise import threefry

    z = threefry.standard_normal(key, index, draw, images.shape[1:])
    return images + parameters * z

  def sample(self, key: Any, shape: tuple[int, ...]) -> Any:
    """float32[shape] of noise from a JAX key, for training; no certificate depends on it."""
    import jax
    import jax.numpy as jnp

    return self.sigma * jax.random.normal(key, shape, jnp.float32)

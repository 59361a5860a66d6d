"""Splitting noise with fixed offsets (DSSN), which proves exact l1 radii for 8-bit images, without any chance.

Thresholds split the grey levels of each pixel into parts, `q` levels wide, where q = floor(510 lambda). The
classifier sees the middle of the part that the pixel is in, cut to [0, 1]. Where the parts begin is a number
from 0 to q - 1 for each pixel: a template, which is the same for all images, plus the draw number, modulo q.
After q draws each pixel has had each beginning once. So another value of a pixel, k levels away, changes what
the classifier sees in k of the q draws at most, and an image at an l1 distance of k / 255 changes k votes.

The template is made of the seed alone. The certificate holds for every template; only accuracy depends on it.
Everything is computed in integers, so that nothing is rounded.

Source: Levine and Feizi 2021, "Improved, deterministic smoothing for l1 certified robustness".
"""

import dataclasses
import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rsjax.errors import InputError
from rsjax.noise.gaussian import ABSURD_SIGMA, Gaussian

LEVELS = 255  # steps of an 8-bit image
FEWEST = 3  # draws: of fewer, no votes certify any distance for a class other than 0
_ROUNDING = 1e-9  # of 510 lambda, which a float such as 0.1 may miss
TRAINING_SEED = 0  # of the template of training: that of certification, unless another is asked for


@dataclasses.dataclass(frozen=True)
class Splitting:
  """Thresholds 2 lambda apart, with an offset for each pixel, for lambda = sqrt(3) sigma; for uint8 images.

  Attributes:
    sigma: standard deviation of uniform noise of this lambda, in units of [0, 1] pixels.

  Raises:
    InputError: for a sigma out of range.
  """

  sigma: float

  name: ClassVar[str] = "splitting"
  norm: ClassVar[str] = "l1"
  exact: ClassVar[bool] = True

  def __post_init__(self) -> None:
    object.__setattr__(self, "sigma", Gaussian(self.sigma).sigma)
    if self.sigma > ABSURD_SIGMA:
      raise InputError(
        f"sigma of splitting noise must be at most {ABSURD_SIGMA:g}, in units of [0, 1] pixels, got "
        f"{self.sigma:g}"
      )
    if self.thresholds < FEWEST:
      raise InputError(
        f"lambda of splitting noise, sqrt(3) sigma, must be at least {FEWEST / (2 * LEVELS):.5f}, in units of "
        f"[0, 1] pixels, got {math.sqrt(3) * self.sigma:.4g}: floor(510 lambda) = {self.thresholds} draws "
        "certify nothing"
      )

  @classmethod
  def of_lambda(cls, reach: float) -> "Splitting":
    """The noise with this lambda, in units of [0, 1] pixels."""
    return cls(_sigma_of(Gaussian(reach).sigma))

  @property
  def thresholds(self) -> int:
    """q: how many offsets there are, and how many grey levels are between two thresholds of a pixel."""
    return math.floor(2 * LEVELS * math.sqrt(3) * self.sigma + _ROUNDING)

  @classmethod
  def from_settings(cls, settings: dict[str, Any]) -> "Splitting":
    """The noise that `settings` describe.

    Raises:
      InputError: if the lambda or the thresholds that they name are not those of its sigma.
    """
    made = cls(settings["sigma"])
    for name, value in made.settings().items():
      if settings.get(name) != value:
        raise InputError(f"splitting noise of sigma {made.sigma:g} must have {name} = {value}, "
                         f"got {settings.get(name)!r}")  # fmt: skip
    return made

  def settings(self) -> dict[str, Any]:
    """The values that describe it in a manifest; lambda is that of the thresholds."""
    reach = self.thresholds / (2 * LEVELS)
    return {
      "noise": self.name,
      "sigma": self.sigma,
      "noise_lambda": reach,
      "noise_thresholds": self.thresholds,
    }

  def passes(self, image_shape: tuple[int, ...]) -> int:
    """How many draws an exact certificate takes: one for each offset."""
    return self.thresholds

  def check_image(self, image: NDArray[Any]) -> None:
    """Raises InputError unless the image is uint8."""
    if image.dtype != np.uint8:
      raise InputError(f"splitting noise is for 8-bit images: images must be uint8, got {image.dtype}")

  def parameters(self) -> np.int32:
    """The first argument of `perturb`."""
    return np.int32(self.thresholds)

  @staticmethod
  def perturb(parameters: Any, key: Any, index: Any, draw: Any, images: Any) -> Any:
    """The images as split at this draw, the offset, see `Noise`; parameters: q, int32[]. No use of index."""
    import jax.numpy as jnp

    begins = template(parameters, key, images.shape[1:])[None]
    begins = (begins + draw.astype(jnp.int32)[:, None, None, None]) % parameters
    return _split(parameters, begins, images)

  def perturb_for_training(self, key: Any, images: Any) -> Any:
    """float32[..., h, w, c], each image split at a random offset; the template is that of seed 0."""
    import jax
    import jax.numpy as jnp

    from rsjax.noise import threefry

    q = jnp.int32(self.thresholds)
    *leading, _, _, _ = images.shape
    offset = jax.random.randint(key, (*leading, 1, 1, 1), 0, q, jnp.int32)
    begins = template(q, threefry.base_key(TRAINING_SEED), images.shape[-3:])
    begins = (jnp.broadcast_to(begins, images.shape) + jnp.broadcast_to(offset, images.shape)) % q
    return _split(q, begins, images)


def template(thresholds: Any, key: Any, shape: tuple[int, ...]) -> Any:
  """int32[h, w, c]: where the first part of each pixel begins in draw 0, from 0 to q - 1; `thresholds` is q."""
  import jax.numpy as jnp

  from rsjax.noise import threefry

  zero = jnp.zeros(1, jnp.uint32)
  bits = threefry.random_bits(key, zero, zero, int(np.prod(shape)))
  return (bits % jnp.asarray(thresholds).astype(jnp.uint32)).astype(jnp.int32).reshape(shape)


def _split(q: Any, begins: Any, images: Any) -> Any:
  """float32, the middles of the parts that pixels are in; a threshold lies half a level above `begins`."""
  import jax.numpy as jnp

  levels = jnp.rint(images * LEVELS).astype(jnp.int32)
  part = (levels - begins - 1) // q
  low = jnp.maximum(2 * (begins + q * part) + 1, 0)  # in halves of a level
  high = jnp.minimum(2 * (begins + q * (part + 1)) + 1, 2 * LEVELS)
  return (low + high).astype(jnp.float32) / np.float32(4 * LEVELS)


def _sigma_of(reach: float) -> float:
  return reach / math.sqrt(3)

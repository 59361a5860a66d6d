"""Column ablation, which proves exactly how wide a patch may be that an attacker replaces, without any chance.

The classifier sees a band of adjacent columns of the image, and 0 elsewhere. There is one draw for each column
that the band may begin with; bands wrap around. A patch that is m columns wide meets m + band - 1 of the bands,
wherever it is and however high, so that it changes as many votes at most.

Source: Levine and Feizi 2020, "(De)randomized smoothing for certifiable defense against patch attacks". Their
classifier can tell columns that are left out from black ones; here both are 0.
"""

import dataclasses
import numbers
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rsjax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Columns:
  """All columns but those of a band are replaced by 0.

  Attributes:
    band: how many columns the classifier sees, at least 1.

  Raises:
    InputError: for anything else.
  """

  band: int

  name: ClassVar[str] = "columns"
  norm: ClassVar[str] = "patch"
  exact: ClassVar[bool] = True

  def __post_init__(self) -> None:
    if isinstance(self.band, bool) or not (
      isinstance(self.band, numbers.Real) and self.band >= 1 and float(self.band).is_integer()
    ):
      raise InputError(
        f"the band of column ablation must be a whole number of pixels from 1 on, got {self.band!r}"
      )
    object.__setattr__(self, "band", int(self.band))

  @classmethod
  def from_settings(cls, settings: dict[str, Any]) -> "Columns":
    """The noise that `settings` describe."""
    return cls(settings["band"])

  def settings(self) -> dict[str, Any]:
    """The values that describe it in a manifest."""
    return {"noise": self.name, "band": self.band}

  def passes(self, image_shape: tuple[int, ...]) -> int:
    """How many draws an exact certificate takes: one for each column.

    Raises:
      InputError: if the band is so wide that no votes would certify a patch of one column.
    """
    width = image_shape[1]
    if 2 * self.band >= width:
      raise InputError(
        f"a band of {self.band} columns is too wide for images of {width}: even a patch of one column meets "
        f"{min(self.band, width)} of the {width} bands; give at most {(width - 1) // 2}"
      )
    return width

  def check_image(self, image: NDArray[Any]) -> None:
    """Raises InputError for an image that is too narrow for the band."""
    self.passes(image.shape)

  def parameters(self) -> np.int32:
    """The first argument of `perturb`."""
    return np.int32(self.band)

  @staticmethod
  def perturb(parameters: Any, key: Any, index: Any, draw: Any, images: Any) -> Any:
    """The images' bands that begin with column `draw`; see `Noise`. parameters: band, int32[]."""
    import jax.numpy as jnp

    return _keep(parameters, draw.astype(jnp.int32)[:, None, None, None], images)

  def perturb_for_training(self, key: Any, images: Any) -> Any:
    """float32[..., h, w, c], a band of its own of each image, from a JAX key."""
    import jax
    import jax.numpy as jnp

    *leading, _, width, _ = images.shape
    first = jax.random.randint(key, (*leading, 1, 1, 1), 0, width, jnp.int32)
    return _keep(jnp.int32(self.band), first, jnp.asarray(images))


def _keep(band: Any, first: Any, images: Any) -> Any:
  """The images with 0 in all columns but `band` of them from `first` on; first: int32[..., 1, 1, 1]."""
  import jax.numpy as jnp

  width = images.shape[-2]
  column = jnp.arange(width, dtype=jnp.int32).reshape((1,) * (images.ndim - 2) + (width, 1))
  return jnp.where((column - first) % width < band, images, np.float32(0))

"""The interface of every noise."""

from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np


class Drawn(NamedTuple):
  """Images with noise, float32[rows, h, w, c], and whether each draw is valid, bool[rows].

  A draw that is not is void: it votes for nobody, but counts in n.
  """

  images: Any
  valid: Any


def images_and_valid(perturbed: Any) -> tuple[Any, Any]:
  """What `Noise.perturb` returned as (images, bool[rows]), or (images, True) if no draw can be void."""
  return perturbed if isinstance(perturbed, Drawn) else (perturbed, True)


class Noise(Protocol):
  """A frozen dataclass of its parameters, which are checked when it is made.

  Attributes:
    name: the name of the noise in manifests.
    norm: the norm of the radii that it proves, for example "l2"; "patch": they are widths of patches in pixels.

  For training it has a method `sample(key, shape)`, float32[shape] of noise from a JAX key that is added to
  images, or, if it is not added, `perturb_for_training(key, images)`: see the function of that name.

  A noise of which there are finitely many draws, so that all of them are classified and nothing is left to
  chance, says `exact = True` and has a method `passes(image_shape)`: how many there are (`procedures.Exact`).
  """

  name: ClassVar[str]
  norm: ClassVar[str]

  @classmethod
  def from_settings(cls, settings: dict[str, Any]) -> "Noise":
    """The noise that a manifest's settings describe."""
    ...

  def settings(self) -> dict[str, Any]:
    """The values that describe it in a manifest: its name as `noise`, and its fields by their names."""
    ...

  def parameters(self) -> Any:
    """The first argument of `perturb`: arrays, so that one compiled program serves all parameters."""
    ...

  @staticmethod
  def perturb(parameters: Any, key: Any, index: Any, draw: Any, images: Any) -> Any:
    """The images with the noise of their (seed, index, draw), for certification; it never changes.

    Args:
      parameters: from `parameters`.
      key: `threefry.base_key(seed)`.
      index: uint32[rows], each row's image index.
      draw: uint32[rows], each row's draw number.
      images: float32[rows, h, w, c].

    Returns:
      float32[rows, h, w, c]; a `Drawn` where some draws may be void.
    """
    ...


def is_exact(noise: Noise) -> bool:
  """Whether the certificates of the noise are exact, from all of its draws, and not from a random choice."""
  return getattr(noise, "exact", False)


def check_image(noise: Noise, image: np.ndarray) -> None:
  """Refuses an image that the noise is not for, if it has a method `check_image` that says so.

  Raises:
    InputError: for example for float32 images, if the noise is for 8-bit images.
  """
  if check := getattr(noise, "check_image", None):
    check(image)

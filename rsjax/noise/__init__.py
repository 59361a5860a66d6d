"""Noise as a value: an object defines how noise is drawn; `rsjax.bounds` has the radii that it proves.

  >>> noise = Gaussian(0.25)
  >>> noise.perturb(noise.parameters(), threefry.base_key(0), jnp.uint32([7]), jnp.uint32([3]), x).shape
  (1, 8, 8, 1)

Each noise has one file here, with a frozen dataclass like `gaussian.Gaussian` that is listed in `KINDS`, and
its radius in `rsjax.bounds`. Importing this package does not import JAX; drawing does.
"""

import dataclasses
from typing import Any

from rsjax.errors import InputError
from rsjax.noise.columns import Columns
from rsjax.noise.gaussian import ABSURD_SIGMA, Gaussian, grey_levels
from rsjax.noise.grid import GridGaussian
from rsjax.noise.laplace import Laplace
from rsjax.noise.noise import Drawn, Noise, check_image, images_and_valid, is_exact
from rsjax.noise.numbering import WORD, check_seed, is_number, make_plain, plain
from rsjax.noise.splitting import Splitting
from rsjax.noise.training import called, kind_of_training, perturb_for_training, suits
from rsjax.noise.uniform import Uniform

__all__ = [
  "ABSURD_SIGMA",
  "KINDS",
  "WORD",
  "Columns",
  "Drawn",
  "Gaussian",
  "GridGaussian",
  "Laplace",
  "Noise",
  "Splitting",
  "Uniform",
  "called",
  "check_image",
  "check_seed",
  "from_settings",
  "grey_levels",
  "images_and_valid",
  "is_exact",
  "is_number",
  "kind_of_training",
  "lacking",
  "make_plain",
  "of_kind",
  "parameter_names",
  "perturb_for_training",
  "plain",
  "suits",
]

# By the name that stands in manifests.
KINDS: dict[str, Any] = {
  kind.name: kind for kind in (Gaussian, GridGaussian, Uniform, Laplace, Splitting, Columns)
}


def from_settings(settings: dict[str, Any]) -> Noise:
  """The noise that a manifest's settings name; if they name none, it is Gaussian noise.

  Raises:
    InputError: for a noise that this version does not know, or parameters out of range.
  """
  return _kind(settings).from_settings(settings)


def of_kind(name: str, sigma: float) -> Noise:
  """The noise of this name in `KINDS` with standard deviation sigma, in units of [0, 1] pixels.

  Column ablation has no standard deviation: for it, sigma is the width of its band in pixels.
  """
  return _kind({"noise": name})(sigma)


def parameter_names(settings: dict[str, Any]) -> list[str]:
  """The names of the parameters of the noise that settings name.

  Raises:
    InputError: for a noise that this version does not know.
  """
  return [field.name for field in dataclasses.fields(_kind(settings))]


def lacking(settings: dict[str, Any]) -> list[str]:
  """The parameters of the noise that are missing from settings."""
  return [name for name in parameter_names(settings) if settings.get(name) is None]


def _kind(settings: dict[str, Any]) -> Any:
  name = settings.get("noise", Gaussian.name)
  if name not in KINDS:
    raise InputError(f"noise must be one of {', '.join(KINDS)}, got {name!r}")
  return KINDS[name]

"""Settings of objectives: dataclass fields that know their range, and what commands say about them."""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from rsjax.errors import InputError
from rsjax.noise import Gaussian, Noise, make_plain


def setting(
  default: Any,
  help: str,
  *,
  least: float | None = None,
  below: float | None = None,
  choices: tuple[str, ...] = (),
  source: str = "",
) -> Any:
  """A dataclass field.

  Args:
    default: its value if none is given; None: the setting is off.
    help: what it is, for the commands' --help.
    least, below: its range; `below` is not in it.
    choices: the values of a text.
    source: whose the default is, if not everybody's.
  """
  metadata = {"help": help, "least": least, "below": below, "choices": choices, "source": source}
  return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Settings:
  """What every objective has, and the check of its values.

  Attributes:
    noise_sd: standard deviation of the training noise, in units of [0, 1] pixels.
    noise: the training noise; if none is given, Gaussian noise of `noise_sd`.

  Raises:
    InputError: for values out of range, and for a noise that the objective is not for.
  """

  noise_sd: float = setting(0.0, "standard deviation of the training noise, pixels in [0, 1]", least=0)
  noise: Noise = dataclasses.field(
    default=None,  # type: ignore[assignment]
    kw_only=True,
    metadata={"help": "the noise to train under"},
  )

  name: ClassVar[str]
  any_noise: ClassVar[bool] = False  # whether its formula holds for every noise, not only for Gaussian noise

  def __post_init__(self) -> None:
    make_plain(self)
    for field in dataclasses.fields(self):
      if field.name != "noise":
        _check(field, getattr(self, field.name))
    if self.noise is None:
      object.__setattr__(self, "noise", Gaussian(self.noise_sd))
    if not hasattr(self.noise, "norm"):
      raise InputError(f"noise must be a noise such as rsjax.Uniform(0.25), got {self.noise!r}")
    sigma = getattr(self.noise, "sigma", 0.0)
    if self.noise_sd not in (0, sigma):
      raise InputError(f"noise_sd = {self.noise_sd:g} contradicts noise = {self.noise}: give one of them")
    object.__setattr__(self, "noise_sd", sigma)
    if self.noise.name != Gaussian.name and not self.any_noise:
      raise InputError(
        f"the objective {self.name} is for Gaussian noise only, got {self.noise.name} noise: give the "
        "objective gaussian, stability or consistency"
      )


def _check(field: dataclasses.Field, value: Any) -> None:
  name, wanted = field.name, field.metadata
  if value is None and field.default is None:
    return
  if wanted["choices"]:
    if value not in wanted["choices"]:
      raise InputError(f"{name} must be one of {', '.join(wanted['choices'])}, got {value!r}")
    return
  if isinstance(field.default, bool):
    if not isinstance(value, bool):
      raise InputError(f"{name} must be True or False, got {value!r}")
    return
  least, below = wanted["least"], wanted["below"]
  whole = is_whole(field)
  good = not isinstance(value, bool) and isinstance(value, int if whole else (int, float))
  if not good or not (np.isfinite(value) and value >= least and (below is None or value < below)):
    kind = "a whole number" if whole else "a number"
    limits = f">= {least}" if below is None else f"in [{least}, {below})"
    raise InputError(f"{name} must be {kind} {limits}, got {value}")


def is_whole(field: dataclasses.Field) -> bool:
  """Whether a setting is a whole number."""
  return field.type in (int, int | None)

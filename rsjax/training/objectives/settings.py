"""Settings of objectives: dataclass fields that know their range, and what commands say about them."""

import dataclasses
from typing import Any

import numpy as np

from rsjax.errors import InputError
from rsjax.noise import make_plain


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

  Raises:
    InputError: for values out of range.
  """

  noise_sd: float = setting(0.0, "standard deviation of the training noise, pixels in [0, 1]", least=0)

  def __post_init__(self) -> None:
    make_plain(self)
    for field in dataclasses.fields(self):
      _check(field, getattr(self, field.name))


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

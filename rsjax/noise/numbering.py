"""The numbers that identify a draw of noise: seed, index and draw number, each a 32-bit word."""

import dataclasses
import numbers
from typing import Any

import numpy as np

from rsjax.errors import InputError

WORD = 2**32  # seeds, image indices and draw numbers are below it: each is folded in as one word


def check_seed(seed: int) -> int:
  """The seed as a Python integer; raises InputError unless it is an integer from 0 to 2**32 - 1."""
  if isinstance(seed, bool) or not isinstance(seed, numbers.Integral) or not 0 <= seed < WORD:
    raise InputError(f"seed must be an integer from 0 to 2**32 - 1, got {seed}")
  return int(seed)


def plain(value: Any) -> Any:
  """NumPy numbers, also within tuples, as Python numbers, which fit into manifests; anything else unchanged."""
  if isinstance(value, tuple):
    return tuple(plain(part) for part in value)
  of_numpy = isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0)
  return value.item() if of_numpy else value


def is_number(value: Any) -> bool:
  """Whether what a user gives is a real number; true and false, which Python counts as 1 and 0, are none."""
  return isinstance(value, numbers.Real) and not isinstance(value, bool)


def make_plain(settings: Any) -> None:
  """Applies `plain` to every field of a frozen dataclass, within its `__post_init__`."""
  for field in dataclasses.fields(settings):
    object.__setattr__(settings, field.name, plain(getattr(settings, field.name)))

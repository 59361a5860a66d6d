"""What names a draw of noise: seed, image index and draw number, each a 32-bit word."""

import numbers

from rsjax.errors import InputError

WORD = 2**32  # seeds, image indices and draw numbers are below it: each is folded in as one word


def check_seed(seed: int) -> int:
  """The seed as a Python integer; raises InputError unless it is an integer from 0 to 2**32 - 1."""
  if isinstance(seed, bool) or not isinstance(seed, numbers.Integral) or not 0 <= seed < WORD:
    raise InputError(f"seed must be an integer from 0 to 2**32 - 1, got {seed}")
  return int(seed)

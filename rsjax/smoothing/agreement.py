"""How far a classifier's outputs for the same inputs agree, where only rounding may make them differ.

>>> compared(np.array([[1.0, 2.0], [3.0, 0.0]]), np.array([[1.0, 2.0], [0.0, 3.0]]))
(1.0, 1)
"""

import numpy as np
from numpy.typing import NDArray

from rsjax.smoothing.scale import sizes

ROUNDING, CLEAR = 1e-4, 1e-2  # of the outputs' size: what may differ unsaid, and what is refused
_LEAST = 1e-4  # a probability, below which 1 - p may be rounding


def compared(one: NDArray[np.float64], other: NDArray[np.float64], logits: bool = True) -> tuple[float, int]:
  """(largest difference relative to the outputs' size, inputs whose outputs differ by more than `CLEAR`).

  Probabilities are compared by their logarithms, because those of a confident classifier hardly change. Another
  answer differs clearly, and so does an output that is finite in one of the two only. An output that is the
  same for all inputs, such as a masked class at -1e9, has no part in the size.

  Args:
    one, other: float64[inputs, outputs].
    logits: whether the largest output is the answer; else they are real numbers.
  """
  finite = np.isfinite(one) & np.isfinite(other)
  clear = (np.isfinite(one) != np.isfinite(other)).any(1)
  both = np.where(finite, np.stack([one, other]), 0)
  least = 1e-30
  if logits:
    clear |= finite.all(1) & (one.argmax(1) != other.argmax(1))
    if finite.all() and both.min() >= 0 and np.abs(both.sum(-1) - 1).max() < CLEAR:
      both, least = np.log(np.clip(both, _LEAST, 1)), 1.0
  varies = np.ptp(both, axis=(0, 1)) > 0
  gaps = np.abs(both[0] - both[1]).max(1) / max(np.abs(both[..., varies]).max(initial=0), least)
  return float(gaps.max()), int((clear | (gaps > CLEAR)).sum())


def gap(found: np.ndarray) -> tuple[float, bool]:
  """(largest difference of rows of logits relative to their size, whether the same of them are finite)."""
  finite = np.isfinite(found)
  differences = np.ptp(np.where(finite.all(0), found, 0), axis=0)
  return float((differences / sizes(found)).max()), bool((finite == finite[0]).all())

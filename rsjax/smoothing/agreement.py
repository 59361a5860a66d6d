"""How far a classifier's outputs for the same inputs agree, where only rounding may make them differ.

>>> compared(np.array([[1.0, 2.0], [3.0, 0.0]]), np.array([[1.0, 2.0], [0.0, 3.0]]))
(1.0, 1)
"""

import numpy as np
from numpy.typing import NDArray

ROUNDING, CLEAR = 1e-4, 1e-2  # of the outputs' size: what may differ unsaid, and what is refused
_MASKED = 100  # times the median logit, from which on a negative one is a mask
_LEAST = 1e-4  # a probability, below which 1 - p may be rounding


def compared(one: NDArray[np.float64], other: NDArray[np.float64], logits: bool = True) -> tuple[float, int]:
  """(largest difference relative to the outputs' size, inputs whose outputs differ by more than `CLEAR`).

  Probabilities are compared by their logarithms, because those of a confident classifier hardly change. A
  different answer counts as a clear difference, and so does an output that is finite in only one of the two.

  Args:
    one, other: float64[inputs, outputs].
    logits: whether the largest output is the answer; else they are real numbers.
  """
  finite = np.isfinite(one) & np.isfinite(other)
  clear = (np.isfinite(one) != np.isfinite(other)).any(1)
  both = np.where(finite, np.stack([one, other]), 0)
  least = 0.0
  if logits:
    clear |= finite.all(1) & (one.argmax(1) != other.argmax(1))
    if finite.all() and both.min() >= 0 and np.abs(both.sum(-1) - 1).max() < CLEAR:
      both, least = np.log(np.clip(both, _LEAST, 1)), 1.0
  gaps = (np.abs(both[0] - both[1]) / np.maximum(sizes(np.concatenate(both)), least)).max(1)
  return float(gaps.max()), int((clear | (gaps > CLEAR)).sum())


def gap(found: np.ndarray) -> tuple[float, bool]:
  """(largest difference of rows of logits relative to their size, whether the same of them are finite)."""
  finite = np.isfinite(found)
  differences = np.ptp(np.where(finite.all(0), found, 0), axis=0)
  return float((differences / sizes(found)).max()), bool((finite == finite[0]).all())


def sizes(logits: NDArray[np.floating]) -> NDArray[np.float64]:
  """float64[classes]: the largest logit, by absolute value; of a masked class, its own.

  Beside a mask of -1e9, any difference of the other logits would seem to be rounding.

  Args:
    logits: float[rows, classes]; those that are not finite count as 0.
  """
  finite = np.where(np.isfinite(logits), logits, 0).astype(np.float64)
  own = np.abs(finite).max(0, initial=0.0)
  masked = (finite < -_MASKED * np.median(np.abs(finite), axis=1, keepdims=True)).any(0)
  return np.where(masked, own, own[~masked].max(initial=1e-30))

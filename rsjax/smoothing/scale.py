"""What differences of logits are measured by: the largest of them, without masks such as -1e9.

>>> sizes(np.array([[2.0, -3.0, -1e9]]))
array([3.e+00, 3.e+00, 1.e+09])
"""

import numpy as np
from numpy.typing import NDArray

_MASKED = 100  # times the median logit, from which on a negative one is a mask


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

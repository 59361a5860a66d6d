"""Bounds and tests of a binomial proportion; NumPy and SciPy only.

Everything is float64 and works elementwise on arrays. Every rounding error is on the safe side: a lower bound
is never above the value that exact arithmetic gives.

The bounds hold for one look at a number of draws that was fixed beforehand. They are not valid when the
votes decide when to stop; those of `sequential` are.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from rsjax.errors import InputError
from rsjax.noise import is_number

# SciPy's inverse beta is right to about 1e-15 relative. Taking off a thousand times more keeps every bound
# on the safe side and costs nothing visible.
_SAFETY = 1e-12
_SMALLEST_ALPHA = 1e-100  # see the test that compares with mpmath


def lower_confidence_bound(k: ArrayLike, n: ArrayLike, alpha: float) -> NDArray[np.float64]:
  """One-sided Clopper-Pearson lower bound of a binomial proportion, of level 1 - alpha.

  Args:
    k: successes, integer array, 0 <= k <= n.
    n: draws, integer array, n >= 1, broadcast against `k`.
    alpha: failure probability, in (0, 1).

  Returns:
    float64, the broadcast shape: p with P(true proportion < p) <= alpha. It is 0 for k = 0, and
    alpha**(1/n) for k = n.

  Raises:
    InputError: for counts or an alpha outside these ranges.

  Source: Clopper and Pearson 1934; LOWERCONFBOUND in Cohen et al. 2019, section 3.2.2.
  """
  check_alpha(alpha)
  return lower_bound_at_level(k, n, alpha)


def lower_bound_at_level(k: ArrayLike, n: ArrayLike, level: ArrayLike) -> NDArray[np.float64]:
  """`lower_confidence_bound` with one level per element: failure probabilities in (0, 1)."""
  k, n = _counts(k, n)
  lower = special.betaincinv(np.maximum(k, 1), n - k + 1, level)
  return np.where(k > 0, lower * (1 - _SAFETY), 0.0)


def interval(k: ArrayLike, n: ArrayLike, confidence: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
  """Two-sided Clopper-Pearson interval of a binomial proportion.

  Args:
    k, n: as for `lower_confidence_bound`.
    confidence: in (0, 1): the proportion is outside with probability at most 1 - confidence.

  Returns:
    (low, high), float64 of the broadcast shape.
  """
  k, n = np.asarray(k), np.asarray(n)
  alpha = (1 - confidence) / 2
  return lower_confidence_bound(k, n, alpha), 1 - lower_confidence_bound(n - k, n, alpha)


def binomial_p_value(k: ArrayLike, n: ArrayLike) -> NDArray[np.float64]:
  """p-value of the two-sided exact test that a binomial proportion is 1/2.

  Args:
    k: successes, integer array, 0 <= k <= n.
    n: draws, integer array, n >= 0, broadcast against `k`; with no draws the p-value is 1.

  Returns:
    float64 in [0, 1], the broadcast shape.

  Source: BINOMPVALUE in Cohen et al. 2019, section 3.2.1 (PREDICT; Hung and Fithian 2019). At 1/2
  the binomial is symmetric, so the test is twice the smaller tail.
  """
  some, all_ = _counts(k, n, smallest_n=0)
  fewer = np.minimum(some, all_ - some)
  tail = special.betainc(np.maximum(all_ - fewer, 1), fewer + 1, 0.5)  # P(Binomial(n, 1/2) <= fewer)
  return np.where((all_ == 0) | (2 * some == all_), 1.0, np.minimum(1.0, 2 * tail))


def smallest_n_to_certify(alpha: float) -> int:
  """Fewest draws with which a unanimous vote certifies at this alpha: alpha**(1/n) > 1/2."""
  check_alpha(alpha)
  n = max(1, math.floor(-math.log2(alpha)))
  while lower_confidence_bound(n, n, alpha) <= 0.5:
    n += 1
  return n


def smallest_n_to_predict(alpha: float) -> int:
  """Fewest draws with which a unanimous vote is an answer of PREDICT: 2 * 2**-n <= alpha."""
  check_alpha(alpha)
  n = max(1, math.floor(-math.log2(alpha)))
  while binomial_p_value(n, n) > alpha:
    n += 1
  return n


def check_alpha(alpha: float) -> None:
  """Raises InputError unless alpha is between 1e-100 and 1: below that, SciPy's inverse is not reliable."""
  if not (is_number(alpha) and 0 < alpha < 1):
    raise InputError(f"alpha must be a number between 0 and 1, got {alpha!r}")
  if alpha < _SMALLEST_ALPHA:
    raise InputError(
      f"alpha must be at least {_SMALLEST_ALPHA:g}, below which no bound is computed, got {alpha!r}"
    )


def _counts(k: ArrayLike, n: ArrayLike, smallest_n: int = 1) -> tuple[NDArray[np.float64], ...]:
  given: tuple[NDArray[Any], ...] = np.asarray(k), np.asarray(n)
  for name, array in zip("kn", given):
    if not np.issubdtype(array.dtype, np.integer):
      raise InputError(f"{name} must be integer counts, got {array.dtype}")
  successes, draws = given
  if not np.all((draws >= smallest_n) & (successes >= 0) & (successes <= draws)):
    raise InputError(f"counts must have n >= {smallest_n} and 0 <= k <= n, got k = {successes}, n = {draws}")
  return np.broadcast_arrays(successes.astype(np.float64), draws.astype(np.float64))

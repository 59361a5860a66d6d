"""Bounds of a median-smoothed function, from the order statistics of its noisy outputs; NumPy and SciPy only.

  >>> median_ranks(2000, epsilon=0.36, noise=Gaussian(0.25), alpha=2e-5)
  (102, 1899)

g(x) is the median of f(x + z), for any real function f and Gaussian noise z. Let y be a number with
P(f(x + z) <= y) > p, for p = Phi(epsilon / sigma). By the lemma of Neyman and Pearson, as in Cohen et al. 2019,
P(f(x' + z) <= y) is above 1/2 at every point x' within epsilon of x, so that no median there is above y. The
q-th smallest of n outputs is such a number, unless q outputs or more are at a y with P(f(x + z) <= y) <= p.
Each output is at such a number with probability p at most, whether f is continuous or not, so that this happens
with probability P(Binomial(n, p) >= q) at most. The lower bound is the same of -f: its rank is n + 1 - q.

Outputs that are not known, or not finite, count as +inf for the upper bound and as -inf for the lower one: the
bounds hold whatever numbers stand in their place.

Everything is float64, and every rounding error widens the bounds.

Source: Chiang et al. 2020, "Detection as regression: certified object detection by median smoothing", lemma 1.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from rsjax.bounds.binomial import check_alpha
from rsjax.bounds.radii import drawn_sigma
from rsjax.errors import InputError
from rsjax.noise import WORD, Gaussian, GridGaussian, Noise, is_number

_SAFETY = 1e-12  # of the probability of a tail, which SciPy computes to about 1e-15; see `binomial`
_LEVEL_SAFETY = 1e-9  # of alpha: SciPy's incomplete beta is right to about 1e-12


def median_ranks(n: int, epsilon: float, noise: Noise, alpha: float) -> tuple[int, int]:
  """Which of n outputs, in increasing order and from 1 on, bound the median within epsilon: (lower, upper).

  Args:
    n: draws.
    epsilon: the l2 distance from the image at which the bounds hold, in units of [0, 1] pixels, >= 0.
    noise: Gaussian or grid noise.
    alpha: probability with which one bound or the other may be wrong; each may with alpha / 2.

  Raises:
    InputError: for values out of range, another noise, or an n that is too small; the message has the smallest.
  """
  if (least := smallest_n_for_median(epsilon, noise, alpha)) > n:
    raise InputError(
      f"n = {n:,} draws are too few to bound a median within epsilon = {epsilon:g} at sigma = "
      f"{_sigma(noise):g} and alpha = {alpha:.3g}: give at least n = {least:,}"
    )
  tail = _tail(epsilon, noise)
  above, too_many = 0, n // 2 + 1  # outputs above the upper bound: so many pass, so many do not
  while too_many - above > 1:
    middle = (above + too_many) // 2
    above, too_many = (middle, too_many) if _passes(middle, n, tail, alpha) else (above, middle)
  return above + 1, n - above


def smallest_n_for_median(epsilon: float, noise: Noise, alpha: float) -> int:
  """Fewest draws whose smallest and largest output are bounds: Phi(epsilon / sigma)**n < alpha / 2.

  Args:
    epsilon, noise, alpha: as for `median_ranks`.

  Raises:
    InputError: for values out of range, another noise, or an epsilon for which 2**32 draws are too few.
  """
  tail = _tail(epsilon, noise)
  check_alpha(alpha)
  if tail == 0 or (n := math.log(alpha / 2) / math.log1p(-tail)) > WORD:
    raise InputError(
      f"epsilon = {epsilon:g} is too large for sigma = {_sigma(noise):g}: 2**32 draws would not bound a "
      "median; give a smaller epsilon, or more noise"
    )
  found = max(1, math.floor(n))
  while not _passes(0, found, tail, alpha):
    found += 1
  return found


def median_bounds(
  outputs: NDArray[np.floating], ranks: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
  """(lower, median, upper) of each column of outputs.

  Args:
    outputs: [n, columns], those that are unknown or not finite included.
    ranks: from `median_ranks` of n.

  Returns:
    float64[columns] each. The median is that of the finite outputs, NaN if there are none; it is an estimate,
    and no less than lower and no more than upper.
  """
  known = np.sort(np.where(np.isfinite(outputs), outputs, np.inf), axis=0).astype(np.float64)
  finite = np.isfinite(known).sum(0)
  lower_rank, upper_rank = ranks
  place = lower_rank - 1 - (len(known) - finite)  # after the unknown outputs, which are -inf here
  pick = lambda places: np.take_along_axis(known, np.maximum(places, 0)[None], 0)[0]
  lower = np.where(place >= 0, pick(place), -np.inf)
  halves = (pick((finite - 1) // 2), pick(finite // 2))
  median = np.where(finite > 0, halves[0] / 2 + halves[1] / 2, np.nan)
  return lower, np.clip(median, *halves), known[upper_rank - 1]


def _passes(above: int, n: int, tail: float, alpha: float) -> bool:
  """Whether `above` outputs or fewer are in the tail with probability below alpha / 2."""
  return bool(special.betaincc(above + 1, n - above, tail) < alpha / 2 * (1 - _LEVEL_SAFETY))


def check_distance(epsilon: float) -> None:
  """Raises InputError unless epsilon is a number of at least 0."""
  if not (is_number(epsilon) and 0 <= epsilon < math.inf):
    raise InputError(f"epsilon must be a number >= 0 (l2, in units of [0, 1] pixels), got {epsilon!r}")


def _tail(epsilon: float, noise: Noise) -> float:
  """Phi(-epsilon / sigma), rounded down."""
  sigma = _sigma(noise)
  check_distance(epsilon)
  return float(special.ndtr(-float(epsilon) / sigma)) * (1 - _SAFETY)


def _sigma(noise: Noise) -> float:
  if not isinstance(noise, Gaussian | GridGaussian):
    raise InputError(f"medians are bounded under Gaussian and grid noise, not under {noise.name} noise")
  return drawn_sigma(noise)

"""The top-k radius of one class: where it stays among the k most probable classes.

  >>> lower, upper = top_k_bounds([30_000], [[20_000, 15_000, 10_000]], 100_000, alpha=0.001)  # k = 3
  >>> top_k_radius(lower, upper, Gaussian(1.0)).round(6)
  array([0.361482])

The class is given beforehand, by its label or by draws of their own. Let p be its probability, and q_1 >= q_2
>= ... those of the other classes. The class is among the top k if fewer than k others are as probable as it.

If it is not, at a point at distance r < R, then k others are at least as probable there. Take t of these, those
that are least probable at the image itself. At the image they have Q_t = q_(k-t+1) + ... + q_k together at
most, and so at the point at most Phi(Phi^-1(Q_t) + r / sigma) (Neyman and Pearson). There they have t times the
probability of the class at least, which is at least Phi(Phi^-1(p) - r / sigma). So R is the largest r with

    Phi(Phi^-1(L) - r / sigma) > Phi(Phi^-1(U_t) + r / sigma) / t    for some t = 1, ..., k,

where L <= p and U_t >= Q_t. L has 0.8 alpha. The other 0.2 alpha are shared by k + 1 bounds (one, if k = 1)
of the k most probable others, constants that nobody needs to know: a bound of each one's count, and one of
all their counts together. If these hold, the bound made of the j-th largest count of all others is at least
q_j, for each j <= k: the j most probable have counts whose bounds are at least q_j, and the least of these j
counts is at most the j-th largest of all. And the k largest counts are together at least those of any k
classes. So U_t is the sum of the bounds made of the (k-t+1)-th to the k-th largest count; for t = k it is the
smallest of this sum, the bound made of the k largest together, and 1 - L.

Draws that voted for nobody count as one class more. By looks the same holds at all looks at once.

Everything is float64, elementwise, and rounded toward safety: L and the radius down, U up.

Source: Jia, Cao, Wang and Gong 2020, theorem 1, with other bounds than their Bonferroni's over all classes;
Clopper and Pearson 1934.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from rsjax.bounds.binomial import lower_confidence_bound
from rsjax.bounds.multiclass import LOWER_SHARE, UPPER_SHARE, Pair, check_multiclass_noise, with_void_draws
from rsjax.bounds.radii import RADIUS_DIGITS, drawn_sigma, round_down
from rsjax.bounds.sequential import Plan, lower_bound_at_look
from rsjax.errors import InputError
from rsjax.noise import Noise

# Of counts, draws and a share of alpha: lower bounds.
_Bound = Callable[[ArrayLike, NDArray[np.int64], float], NDArray[np.float64]]

_SAFETY = 1e-12  # see `radii`
_HALVINGS = 60  # of an interval of at most 100


def top_k_bounds(votes: ArrayLike, others: ArrayLike, n: ArrayLike, alpha: float) -> Pair:
  """(L, U), for a number of draws that was fixed beforehand.

  Args:
    votes: int[rows], votes for the class.
    others: int[rows, k], the k largest counts among the other classes, in falling order; draws that voted for
      nobody are one.
    n: int[rows], draws; votes and others add up to n at most.
    alpha: failure probability, in (0, 1), of all bounds together.

  Returns:
    float64[rows], float64[rows, k]: with probability at least 1 - alpha the class's probability is at least L,
    and the t least of the k largest among the others add up to U[t - 1] at most, for all t.

  Raises:
    InputError: for counts or an alpha outside these ranges.
  """
  return _bounds(votes, others, n, lambda k, draws, share: lower_confidence_bound(k, draws, share * alpha))


def top_k_bounds_at_look(votes: ArrayLike, others: ArrayLike, n: ArrayLike, plan: Plan) -> Pair:
  """(L, U) at a look of a plan; with probability at least 1 - plan.alpha they hold at all looks at once.

  Args:
    votes, others: as for `top_k_bounds`.
    n: int[rows], draws, looks of the plan.
    plan: fixed before the draws were made.

  Raises:
    InputError: for counts outside their range, or an n that is no look.
  """
  return _bounds(votes, others, n, lambda k, draws, share: lower_bound_at_look(k, draws, plan.scaled(share)))


def shows_top_k(lower: ArrayLike, upper: ArrayLike) -> NDArray[np.bool_]:
  """bool[rows]: whether the class is shown to be among the top k at the image itself."""
  low, high = np.asarray(lower, np.float64), np.asarray(upper, np.float64)
  return np.asarray((low[..., None] * _sizes(high) * (1 - _SAFETY) > high).any(axis=-1))


def top_k_distance(lower: ArrayLike, upper: ArrayLike) -> NDArray[np.float64]:
  """float64[rows]: the radius in units of sigma, rounded down; 0: none."""
  low, high = np.asarray(lower, np.float64)[..., None], np.asarray(upper, np.float64)
  sizes = _sizes(high)
  shown = low * sizes * (1 - _SAFETY) > high
  z_low, z_high = special.ndtri(np.where(shown, low, 0.5)), special.ndtri(np.where(shown, high, 0.5))
  z_low, z_high = z_low - _SAFETY * np.abs(z_low), z_high + _SAFETY * np.abs(z_high)
  # Where it is reached, Phi(z_low - r) <= 1 / (2 t) <= Phi(z_high + r) / t.
  near, far = np.zeros(shown.shape), np.maximum(np.maximum(-z_high, z_low - special.ndtri(0.5 / sizes)), 0)
  for _ in range(_HALVINGS):
    middle = (near + far) / 2
    ours, theirs = special.log_ndtr(z_low - middle), special.log_ndtr(z_high + middle) - np.log(sizes)
    # The logarithm of the left falls by .79 at least for each 1 of r, so that a slip costs no more than it is.
    holds = ours - theirs > _SAFETY * (1 - ours - theirs)
    near, far = np.where(holds, middle, near), np.where(holds, far, middle)
  return np.where(shown, near * (1 - _SAFETY), 0.0).max(axis=-1)


def top_k_radius(lower: ArrayLike, upper: ArrayLike, noise: Noise) -> NDArray[np.float64]:
  """float64[rows]: the certified radius, rounded down; 0 where nothing is certified.

  The class is among the top k of the smoothed classifier within the OPEN ball of this radius.

  Args:
    lower, upper: from `top_k_bounds`.
    noise: as for `radius`; Gaussian.

  Raises:
    InputError: for noise of which no such radius is known, or bounds that are no probabilities.

  Source: Jia et al. 2020, theorem 1.
  """
  check_multiclass_noise(noise)
  low, high = np.asarray(lower, np.float64), np.asarray(upper, np.float64)
  if not (np.all((low >= 0) & (low < 1)) and np.all((high > 0) & (high <= 1)) and high.ndim == low.ndim + 1):
    raise InputError(f"lower must be in [0, 1), and each row of upper in (0, 1], got {low} and {high}")
  high = with_void_draws(high, noise)
  distance = drawn_sigma(noise) * top_k_distance(low, high) * (1 - _SAFETY)  # type: ignore[arg-type]
  return round_down(np.maximum(distance, 0.0), RADIUS_DIGITS)


def _sizes(upper: NDArray[np.float64]) -> NDArray[np.float64]:
  """1, ..., k."""
  return np.arange(1.0, upper.shape[-1] + 1)


def _bounds(votes: ArrayLike, others: ArrayLike, n: ArrayLike, bound: _Bound) -> Pair:
  count, largest = np.asarray(votes, np.int64), np.asarray(others, np.int64)
  if largest.ndim != count.ndim + 1 or largest.shape[-1] < 1:
    raise InputError(f"others must have k >= 1 counts for each of votes, got {largest.shape}, {count.shape}")
  draws = np.broadcast_to(np.asarray(n, np.int64), count.shape)
  if np.any(largest < 0) or np.any(np.diff(largest, axis=-1) > 0) or np.any(count + largest.sum(-1) > draws):
    raise InputError("others must be counts in falling order, and with votes add up to n at most")
  k = largest.shape[-1]
  share = UPPER_SHARE / (1 if k == 1 else k + 1)
  lower = bound(count, draws, LOWER_SHARE)
  together = _above(bound(draws - largest.sum(-1), draws, share))
  upper = np.minimum(together, _above(lower))[..., None]  # of all k
  if k > 1:
    each = _above(bound(draws[..., None] - largest, np.broadcast_to(draws[..., None], largest.shape), share))
    sums = np.cumsum(each[..., ::-1], axis=-1) * (1 + _SAFETY)  # of the last, of the last two, ...
    upper = np.minimum(np.concatenate([sums[..., :-1], np.minimum(sums[..., -1:], upper)], axis=-1), 1.0)
  return lower, upper


def _above(lower: NDArray[np.float64]) -> NDArray[np.float64]:
  """1 minus a lower bound, rounded up."""
  return np.minimum(np.nextafter(1 - lower, 2.0), 1.0)

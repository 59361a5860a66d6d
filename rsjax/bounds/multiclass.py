"""The multi-class (two-sided) radius: from the votes of the selected class and of the strongest other one.

  >>> lower, upper = multiclass_bounds(60_000, 10_000, 100_000, alpha=0.001)
  >>> float(multiclass_radius(lower, upper, Gaussian(1.0)))  # the one-sided radius is 0.240938
  0.751552

The radius is sigma / 2 * (Phi^-1(L) - Phi^-1(U)): L bounds the selected class's probability from below at level
0.8 alpha, U that of every other class from above at level 0.2 alpha. The votes choose whose count U is made
of: the largest, M, among the other classes, where draws that voted for nobody count as one class more.

That needs no correction for the number of classes. Let B be the most probable of the other classes, a constant.
The draws that are not for B are Bernoulli with probability 1 - p_B, so that a lower bound of it from n - N_B of
n draws fails with probability at most 0.2 alpha. A lower bound does not fall as the count grows, and
n - M <= n - N_B. So U, which is 1 minus the bound of n - M, is at least p_B, but for 0.2 alpha, and p_B is at
least every other class's. By looks the same holds at all looks at once. Where L <= p_A, 1 - L is at least p_B,
too, and the smaller of both is taken.

The shares 0.8 and 0.2 are fixed. Neither they, nor whether this radius or the one-sided one is taken, may
depend on the votes of the images: the larger of both could fail with probability up to alpha for each.

Everything is float64, elementwise, and rounded toward safety: L and the radius down, U up.

Source: Cohen et al. 2019, theorem 1, with both bounds; Clopper and Pearson 1934.
"""

import functools
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from rsjax.bounds.binomial import lower_confidence_bound
from rsjax.bounds.radii import RADIUS_DIGITS, drawn_sigma, round_down
from rsjax.bounds.sequential import Plan, lower_bound_at_look
from rsjax.errors import InputError
from rsjax.noise import Gaussian, GridGaussian, Noise

BoundKind: TypeAlias = Literal["one-sided", "multi"]
Pair: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]

ONE_SIDED: Literal["one-sided"] = "one-sided"
MULTI: Literal["multi"] = "multi"
LOWER_SHARE, UPPER_SHARE = 0.8, 0.2  # of alpha, for L and for U

_SAFETY = 1e-12  # see `radii`


def multiclass_bounds(k: ArrayLike, m: ArrayLike, n: ArrayLike, alpha: float) -> Pair:
  """(L, U), for a number of draws that was fixed beforehand.

  Args:
    k: votes for the selected class, integer array.
    m: the largest count among the other classes, draws that voted for nobody being one; integer array.
    n: draws, integer array, n >= 1 and k + m <= n; all are broadcast.
    alpha: failure probability, in (0, 1), of both bounds together.

  Returns:
    float64, the broadcast shape: with probability at least 1 - alpha the selected class's probability is at
    least L and every other's at most U.

  Raises:
    InputError: for counts or an alpha outside these ranges.
  """
  lower, rest = lower_confidence_bound(k, n, LOWER_SHARE * alpha), _rest(k, m, n)
  return lower, _upper(lower, lower_confidence_bound(rest, n, UPPER_SHARE * alpha))


def multiclass_bounds_at_look(k: ArrayLike, m: ArrayLike, n: ArrayLike, plan: Plan) -> Pair:
  """(L, U) at a look of a plan; with probability at least 1 - plan.alpha they hold at all looks at once.

  Args:
    k, m: as for `multiclass_bounds`.
    n: draws, integer array of looks of the plan.
    plan: fixed before the draws were made.

  Raises:
    InputError: for counts outside their range, or an n that is no look.
  """
  below, above = _plans(plan)
  lower, rest = lower_bound_at_look(k, n, below), _rest(k, m, n)
  return lower, _upper(lower, lower_bound_at_look(rest, n, above))


def multiclass_distance(lower: ArrayLike, upper: ArrayLike) -> NDArray[np.float64]:
  """(Phi^-1(L) - Phi^-1(U)) / 2, rounded down: the radius in units of sigma; at most 0: none."""
  z_lower, z_upper = special.ndtri(np.asarray(lower)), special.ndtri(np.asarray(upper))
  # Each quantile is right to a few 1e-16 of itself, not of their difference, which may be much smaller.
  return (z_lower - z_upper - _SAFETY * (np.abs(z_lower) + np.abs(z_upper))) / 2


def multiclass_radius(lower: ArrayLike, upper: ArrayLike, noise: Noise) -> NDArray[np.float64]:
  """The certified radius of a classifier smoothed with `noise`, rounded down; 0 where nothing is certified.

  The smoothed classifier is constant within the OPEN ball of this radius.

  Args:
    lower: lower bound(s) of the top class's probability, in [0, 1).
    upper: upper bound(s) of every other class's, in (0, 1].
    noise: as for `radius`.

  Returns:
    float64, in the norm of the noise and units of [0, 1] pixels, a multiple of 10**-RADIUS_DIGITS.

  Raises:
    InputError: for noise of which no such radius is known, or bounds outside these ranges.

  Source: Cohen et al. 2019, theorem 1.
  """
  check_multiclass_noise(noise)
  low, high = np.asarray(lower, np.float64), np.asarray(upper, np.float64)
  if not (np.all((low >= 0) & (low < 1)) and np.all((high > 0) & (high <= 1))):
    raise InputError(f"lower must be in [0, 1) and upper in (0, 1], got {low} and {high}")
  return _RADII[type(noise)](low, high, noise)


def shows_more(lower: ArrayLike, upper: ArrayLike) -> NDArray[np.bool_]:
  """Whether the top class is shown to be more probable than every other: else nothing is answered."""
  return np.asarray(lower) > np.asarray(upper)


def check_bound(bound: str) -> None:
  """Raises InputError unless `bound` is the name of a bound."""
  if bound not in (ONE_SIDED, MULTI):
    raise InputError(f'bound must be "{ONE_SIDED}" or "{MULTI}", got {bound!r}')


def check_multiclass_noise(noise: Noise) -> None:
  """Raises InputError unless `noise` is one whose multi-class radius is known."""
  if type(noise) not in _RADII:
    raise InputError(f"the multi-class radius is proved for Gaussian and grid noise only, not for {noise!r}")


def bound_settings(bound: BoundKind) -> dict[str, Any]:
  """What a manifest says of it; {} of the one-sided bound, once the only one."""
  return {} if bound == ONE_SIDED else {"bound": bound, "bound_shares": [LOWER_SHARE, UPPER_SHARE]}


def bound_from_settings(settings: dict[str, Any]) -> BoundKind:
  """Which bound `settings` describe.

  Raises:
    InputError: for one that this version does not know, or other shares of alpha.
  """
  bound, shares = settings.get("bound", ONE_SIDED), settings.get("bound_shares")
  if bound == ONE_SIDED and shares is None:
    return ONE_SIDED
  if bound != MULTI or shares != [LOWER_SHARE, UPPER_SHARE]:
    raise InputError(f"its bound is not known: {bound!r} with shares {shares!r} of alpha")
  return cast(BoundKind, bound)


@functools.lru_cache(maxsize=32)
def _plans(plan: Plan) -> tuple[Plan, Plan]:
  """The plans of L and of U."""
  return plan.scaled(LOWER_SHARE), plan.scaled(UPPER_SHARE)


def _rest(k: ArrayLike, m: ArrayLike, n: ArrayLike) -> NDArray[np.int64]:
  """How many draws are not for the strongest other class."""
  if not np.all(np.add(k, m) <= n):
    raise InputError(f"k and m are votes for two classes, k + m <= n, got k = {k!r}, m = {m!r}, n = {n!r}")
  return np.subtract(n, m)


def _upper(lower: NDArray[np.float64], rest: NDArray[np.float64]) -> NDArray[np.float64]:
  """U from the lower bounds of the selected class and of all draws that are not for the strongest other."""
  # 1 - x is exact for x >= 1/2; below it rounds, by less than one step to the next number.
  return np.minimum(np.nextafter(1 - np.maximum(lower, rest), 2.0), 1.0)


def with_void_draws(upper: NDArray[np.float64], noise: Noise) -> NDArray[np.float64]:
  """An upper bound of what votes say of other classes, with the votes that they may have lost to void draws."""
  void = getattr(noise, "void", 0.0)
  return np.minimum(np.nextafter(upper + void, 2.0), 1.0) if void else upper


def _gaussian(lower: NDArray[np.float64], upper: NDArray[np.float64], noise: Any) -> NDArray[np.float64]:
  distance = drawn_sigma(noise) * multiclass_distance(lower, with_void_draws(upper, noise)) * (1 - _SAFETY)
  return round_down(np.maximum(distance, 0.0), RADIUS_DIGITS)


_RADII: dict[type, Callable[[NDArray[np.float64], NDArray[np.float64], Any], NDArray[np.float64]]] = {
  Gaussian: _gaussian,
  GridGaussian: _gaussian,
}

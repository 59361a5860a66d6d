"""What the votes at a look promise of the multi-class radius at the last look of a plan. No JAX.

Everything is elementwise, in the votes for the selected class and the largest count among the other classes. It
decides when drawing stops, and never what is certified.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from rsjax import bounds
from rsjax.bounds import LOWER_SHARE, UPPER_SHARE, Plan
from rsjax.noise import Noise


def radius(votes: ArrayLike, other: ArrayLike, n: int, plan: Plan, noise: Noise) -> NDArray[np.float64]:
  """The multi-class radius at the look of n draws, as it is recorded."""
  return bounds.multiclass_radius(*bounds.multiclass_bounds_at_look(votes, other, n, plan), noise)


def distances(
  votes: ArrayLike, other: ArrayLike, n: int, plan: Plan
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
  """The radius now and the one expected of all draws, in units of sigma; not above 0 where none is shown.

  The expected one is that of the same shares of the last look's draws, with their number fixed beforehand.
  """
  now = bounds.multiclass_distance(*bounds.multiclass_bounds_at_look(votes, other, n, plan))
  lower = _expected(votes, n, plan, LOWER_SHARE * plan.cumulative[-1])
  rest = _expected(np.subtract(n, other), n, plan, UPPER_SHARE * plan.cumulative[-1])
  return now, bounds.multiclass_distance(lower, 1 - np.maximum(lower, rest))


def hopeless(
  votes: ArrayLike, other: ArrayLike, n: int, plan: Plan, noise: Noise, r: ArrayLike, give_up: float
) -> NDArray[np.bool_]:
  """Whether the radius at the last look is hardly ever above r.

  Both of its bounds are taken to end more favourably than expected, by as many of their standard deviations as
  a normal variable exceeds with probability `give_up`. Their sum deviates by no more than the sum of their
  deviations, so that the radius is above r with probability `give_up` at most, by a normal approximation.

  Args:
    votes, other: so far.
    n: draws so far, one of the plan's looks.
    r: radius, or radii, in units of [0, 1] pixels.
    give_up: probability, in [0, 0.5), that is not worth the draws; 0: where no further votes can reach it.
  """
  s, m, n_max = np.asarray(votes), np.asarray(other), plan.looks[-1]
  aim = np.asarray(r)
  impossible = np.asarray(
    radius(s + n_max - n, m, n_max, plan, noise) <= aim
  )  # all further votes for the class
  if not give_up:
    return impossible
  z = -float(special.ndtri(give_up))
  lower = _best(s, n, plan, LOWER_SHARE, z)
  rest = _best(n - m, n, plan, UPPER_SHARE, z)
  return impossible | (bounds.multiclass_radius(lower, 1 - np.maximum(lower, rest), noise) <= aim)


def _expected(votes: ArrayLike, n: int, plan: Plan, level: ArrayLike) -> NDArray[np.float64]:
  """The lower bound, at a level, of the same share of the last look's draws, of one vote at least."""
  n_max = plan.looks[-1]
  x = np.maximum(votes, 1) * n_max / n
  return special.betaincinv(x, n_max - x + 1, level)


def _best(votes: ArrayLike, n: int, plan: Plan, share: float, z: float) -> NDArray[np.float64]:
  """The lower bound expected at the last look and z standard deviations more, at most that of all votes."""
  s, n_max = np.asarray(votes), plan.looks[-1]
  level = share * np.where(s == n, plan.cumulative[-1], plan.alphas[-1])
  q = (s + 0.5) / (n + 1)
  spread = np.sqrt(q * (1 - q) * (1 / n - 1 / n_max))
  unanimous = (share * plan.cumulative[-1]) ** (1 / n_max)
  return np.minimum(_expected(s, n, plan, level) + z * spread, unanimous)

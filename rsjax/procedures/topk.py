"""Top-k certificates of a class that is given for each row, such as its label, from stored votes. No JAX.

The class must be a constant for the votes: a label, or one that other draws selected. No selection is needed.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from rsjax import bounds
from rsjax.bounds import Plan
from rsjax.noise import Noise
from rsjax.procedures.counts import Counts
from rsjax.procedures.outcomes import ABSTAIN, Certificates

# Of votes int64[rows] for a class, the k largest counts int64[rows, k] of others, and draws: L and U.
_Bounds = Callable[
  [NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]], tuple[NDArray[np.float64], NDArray[np.float64]]
]


def certify_top_k(
  votes: Counts, classes: NDArray[np.int64], k: int, alpha: float, noise: Noise
) -> Certificates:
  """Where each row's own one of `classes` stays among the k most probable.

  Each row's answer is false with probability at most alpha, if its number of draws did not depend on the votes.

  Returns:
    Certificates whose `selected` is the class, and `prediction`, too, where it is shown to be among the top k.
  """
  return _certificates(votes, classes, k, lambda c, m, n: bounds.top_k_bounds(c, m, n, alpha), noise)


def certify_top_k_at_looks(
  votes: Counts, classes: NDArray[np.int64], k: int, plan: Plan, noise: Noise
) -> Certificates:
  """The same, for each row at the look of its number of draws, whatever chose the look."""
  return _certificates(votes, classes, k, lambda c, m, n: bounds.top_k_bounds_at_look(c, m, n, plan), noise)


def _certificates(
  votes: Counts, classes: NDArray[np.int64], k: int, both: _Bounds, noise: Noise
) -> Certificates:
  count = votes.of(classes)
  lower, upper = both(count, votes.largest_others(classes, k), votes.draws())
  shown = np.where(bounds.shows_top_k(lower, upper), classes, ABSTAIN)
  return Certificates(shown, bounds.top_k_radius(lower, upper, noise), classes, count, lower)

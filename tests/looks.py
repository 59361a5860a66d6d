"""What tests of looks compute exactly: how votes go on from look to look, by direct convolution in float64."""

import numpy as np
from scipy import stats

TRIMMED = 1e-17  # probability of votes that are left out on either side, at each look


def walk(looks, p, stopped):
  """How votes are distributed at each look among the runs that were not stopped before.

  Args:
    looks: numbers of draws.
    p: probability of a vote.
    stopped: stopped(look, votes int64[k]) -> bool[k], where runs end at this look.

  Yields:
    (look, votes int64[k], probability float64[k], stopped bool[k]) of each look, before runs are stopped there.
  """
  low, mass, before = 0, np.ones(1), 0
  for look, n in enumerate(looks):
    more = n - before
    law = stats.binom(more, p)
    first, last = int(law.ppf(TRIMMED)), int(law.isf(TRIMMED))
    mass = np.convolve(mass, law.pmf(np.arange(first, last + 1)))
    low, before = low + first, n
    kept = np.flatnonzero(mass > TRIMMED / n)
    if not len(kept):
      return
    low, mass = low + kept[0], mass[kept[0] : kept[-1] + 1]
    votes = np.arange(low, low + len(mass))
    ends = np.asarray(stopped(look, votes))
    yield look, votes, mass, ends
    mass = np.where(ends, 0.0, mass)


def fewest(bound, looks, p):
  """int64[looks]: the fewest votes whose bound(votes, looks) is above p, by bisection; n_k + 1 if none is."""
  looks = np.asarray(looks)
  low, high = np.zeros_like(looks), looks + 1
  while (high - low > 1).any():
    middle = (low + high) // 2
    above = bound(middle, looks) > p
    low, high = np.where(above, low, middle), np.where(above, middle, high)
  return high


def crossing(bound, looks, p):
  """P(the bound of any look is above p): the error of who stops at the first look where it is.

  bound: bound(votes int64[looks], looks) -> float64[looks]; at each look it does not fall as votes grow.
  """
  needed = fewest(bound, looks, p)
  return sum(mass[ends].sum() for _, _, mass, ends in walk(looks, p, lambda look, s: s >= needed[look]))

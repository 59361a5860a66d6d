"""What tests of looks compute exactly: how votes go on from look to look; and files of such procedures."""

import numpy as np
from scipy import special, stats

from rsjax import results
from rsjax.noise import Gaussian

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


def drive(procedure, noise, shares, rng):
  """The outcome of a procedure for an image whose draws, in order, vote for the classes with these shares."""
  steps = procedure.steps(noise)
  counted = lambda count: np.bincount(rng.choice(len(shares), count, p=shares), minlength=len(shares))
  try:
    counts = next(steps)
    while True:
      counts = steps.send(tuple(map(counted, counts)))
  except StopIteration as end:
    return end.value


def every_run(procedure, noise):
  """All runs of a procedure that takes few draws, for an image of two classes, of which the first is selected.

  Returns:
    (draws, votes for the first class, number of orders of these votes) float64[runs], and the runs' outcomes.
  """
  found = []

  def follow(before, orders):
    """The runs that begin with these votes of each step."""
    steps = procedure.steps(noise)
    counts = next(steps)
    try:
      for step, votes in enumerate(before):
        more = np.array([votes, counts[-1] - votes])
        counts = steps.send((np.array([1, 0]), more) if step == 0 else (more,))
    except StopIteration as end:
      found.append((end.value.n, sum(before), orders, end.value))
      return
    for votes in range(counts[-1] + 1):
      follow([*before, votes], orders * special.comb(counts[-1], votes, exact=True))

  follow([], 1)
  n, votes, orders, ends = zip(*found)
  return *(np.array(column, float) for column in (n, votes, orders)), ends


def write_file(path, procedure, images=120, skip=2, settings=None):
  """Writes a result file of a procedure whose images vote at random, at sigma 0.25, and reads it."""
  noise, indices = Gaussian(0.25), list(range(0, skip * images, skip))
  said = {"command": procedure.command, **noise.settings(), **procedure.settings(), "seed": 0}
  said |= {"precision": "default", "dataset": "d" * 64, "checkpoint": "c" * 64, "split": "test"}
  manifest = results.Manifest(
    said | {"skip": skip, "max": None, "dtype": "float32"} | (settings or {}),
    indices,
    {"dataset": "made.npz", "images": skip * images, "selected": images},
    {"jax": "0", "rsjax": "0", "device": "cpu"},
  )
  with results.open_for_append(path, manifest, results.columns_of(procedure)) as writer:
    for index in indices:
      rng = np.random.default_rng(index)
      shares = rng.dirichlet([0.3] * 4)
      outcome = drive(procedure, noise, shares, rng)
      writer.append(results.row_of(index, outcome, int(shares.argmax()), 0.1))
  return results.read(path)

"""The radii at which the leaderboard of certified robustness compares methods.

>>> radii_for(["imagenet"])
(1.0, 2.0)

Source: the SoK "Certified Robustness for Deep Neural Networks" (Li, Xie, Li, IEEE S&P 2023), whose leaderboard
has l2 columns at 0.25, 1 and 2 for CIFAR-10, and at 1 and 2 for ImageNet.
"""

from collections.abc import Sequence

from rsjax.analysis.labels import facts
from rsjax.data.known import named_in
from rsjax.errors import InputError
from rsjax.results import Results

RADII = {"cifar10": (0.25, 1.0, 2.0), "imagenet": (1.0, 2.0)}


def radii_of(files: Sequence[Results]) -> tuple[float, ...]:
  """The leaderboard's radii for the data set of these files: from its name, or without a manifest their paths.

  Raises:
    InputError: if the data set is not known, has no column on the leaderboard, or differs among the files; or
      if radii are not l2.
  """
  for f in files:
    if (norm := facts(f)["norm"]) != "l2":
      raise InputError(f"the leaderboard's radii are l2, those of {f.path} are {norm}: give radii as numbers")
  return radii_for([facts(f)["dataset"] or f.path for f in files])


def radii_for(names: Sequence[str]) -> tuple[float, ...]:
  """The leaderboard's radii for data sets of these names or paths; errors as for `radii_of`."""
  found = {}
  for name in names:
    known = [key for key in named_in(name) if key in RADII]
    if len(known) != 1:
      raise InputError(
        f"the leaderboard has columns for cifar10 and imagenet, and {name!r} names neither: give radii as "
        "numbers"
      )
    found[known[0]] = RADII[known[0]]
  if len(found) > 1:
    raise InputError("the leaderboard's radii of cifar10 and imagenet differ: give files of one data set")
  return next(iter(found.values()))

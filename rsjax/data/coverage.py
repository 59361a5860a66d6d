"""Whether images come from a part of the classes only, as when a folder sorted by class is cut.

>>> few_classes(np.repeat(np.arange(10), 50), 1000)
'its 500 images are of 10 of 1,000 classes only: were they cut from a set that is sorted by class?...'
>>> few_classes(np.arange(500) % 10, 10) is None
True
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

_FEWEST = 5  # images, below which labels say too little
_MANY = 20  # images, from which on the number of missing classes is nearly Poisson's
_CHANCE = 1e-4  # a choice at random of equally frequent classes is told with at most about this probability


def few_classes(labels: ArrayLike, classes: int, known: bool = True) -> str | None:
  """A sentence if the images with these labels are of fewer classes than chance explains; else None.

  If classes are equally frequent, a random choice of N images misses about classes (1 - 1 / classes)^N classes,
  and for 20 images or more their number is nearly Poisson's. The probability that N images are all of some k
  classes is at most (classes choose k) (k / classes)^N.

  Args:
    labels: int[images].
    classes: how many classes there are.
    known: whether that is known; else there may be more.
  """
  labels = np.asarray(labels)
  there = len(np.unique(labels))
  missing = classes - there
  if len(labels) < _FEWEST or missing <= 0:
    return None
  chance = special.binom(classes, there) * (there / classes) ** len(labels)
  if len(labels) >= _MANY:
    chance = min(chance, special.pdtrc(missing - 1, classes * (1 - 1 / classes) ** len(labels)))
  if chance > _CHANCE:
    return None
  of = f"{classes:,}{'' if known else ' or more'}"
  return (
    f"its {len(labels):,} images are of {there:,} of {of} classes only: were they cut from a set that "
    "is sorted by class? Certified accuracy is then that of these classes; take evenly spaced images"
  )

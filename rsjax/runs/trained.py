"""Whether images that Python is given are those of the classifier's training: certificates say little then.

>>> split = data.load("digits", "train")
>>> told([(split.digest, 10)], split.images, split.labels)
['these are the images that the classifier was trained on, not test images']
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsjax.classifiers.denoised import Base
from rsjax.data import arrays
from rsjax.errors import warn

_MOST = 2**30  # numbers


def sets_of(classifier: Base) -> tuple[tuple[str, int], ...]:
  """(digest of the training set, number of classes) of each member whose metadata has them."""
  known = ((member.metadata.get("dataset_digest"), member.spec.num_classes) for member in classifier.members)
  return tuple(dict.fromkeys((digest, classes) for digest, classes in known if isinstance(digest, str)))


def told(sets: Sequence[tuple[str, int]], images: Any, labels: NDArray[np.int64] | None) -> list[str]:
  """A sentence if images and labels are, all together, a training set of those that `sets_of` gives.

  Only arrays of at most a gigabyte are compared: a part of a training set has another digest, and photos, or
  larger arrays, take long to read.
  """
  is_array = isinstance(images, np.ndarray) and images.ndim == 4 and images.dtype in (np.uint8, np.float32)
  if not sets or labels is None or not is_array or images.size > _MOST:
    return []
  pixels = images if images.dtype == np.uint8 else np.rint(255 * images).astype(np.uint8)
  if not any(arrays.digest_of(pixels, labels, classes) == digest for digest, classes in sets):
    return []
  return ["these are the images that the classifier was trained on, not test images"]


def noted(
  sets: Sequence[tuple[str, int]], images: Any, labels: NDArray[np.int64] | None, notes: Sequence[str]
) -> dict[str, list[str]]:
  """What a manifest notes: the `notes`, and what is `told`, of which it warns; {} if there is nothing."""
  found = told(sets, images, labels)
  for text in found:
    warn(text)
  return {"notes": [*notes, *found]} if notes or found else {}

"""What a first look at some images found, and what is odd about it: one class for all, accuracy at chance.

>>> look = Look(np.zeros(20, int), np.zeros(20, int), np.arange(20) % 4, 4)
>>> [warning] = suspicions(look, IMAGES)
>>> warning[:56]
'class 0 is answered for 20 of 20 noisy images: does the '
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy import special

from rsjax.errors import InputError
from rsjax.smoothing.inputs import IMAGES, Inputs

FEWEST = 16  # images, below which answers say too little
_NEARLY_ALL = 0.95  # of the answers, for one class
_SHIFTED = 1e-2  # answers that guessing gives with at most this probability are one below the labels
_LUCK = 0.05  # accuracies that guessing reaches with at least this probability are at chance


@dataclasses.dataclass(frozen=True)
class Look:
  """What a first look at some images found.

  Attributes:
    clean, noisy: int64[images], the base classifier's answers, without noise and with one draw of it.
    labels: int64[images], or None if they are not known.
    classes: how many logits it has.
    warnings: what a referee would ask about; () if there is nothing.
  """

  clean: NDArray[np.int64]
  noisy: NDArray[np.int64]
  labels: NDArray[np.int64] | None
  classes: int
  warnings: tuple[str, ...] = ()

  def accuracy(self) -> tuple[float, float]:
    """(without noise, with noise), as fractions; needs labels."""
    if self.labels is None:
      raise InputError("accuracy needs labels: give `labels`")
    return float((self.clean == self.labels).mean()), float((self.noisy == self.labels).mean())

  def counts(self) -> NDArray[np.int64]:
    """int64[classes]: how often each class was answered with noise; logits that are not finite answer none."""
    return np.bincount(self.noisy[self.noisy >= 0], minlength=self.classes)

  def __str__(self) -> str:
    count = self.counts()
    top = int(count.argmax())
    known = "" if self.labels is None else "accuracy {:.2f} clean, {:.2f} with noise; ".format(*self.accuracy())
    text = (
      f"{len(self.noisy)} images: {known}{np.count_nonzero(count)} of {self.classes} classes answered, "
      f"most often class {top} ({count[top]} times)"
    )
    return "\n".join([text, *(f"warning: {warning}" for warning in self.warnings)])

  __repr__ = __str__


def suspicions(look: Look, of: Inputs) -> list[str]:
  """What is odd about some answers; of fewer than 16 images only that labels seem to be counted from 1."""
  total = len(look.noisy)
  if told := _counted_from_one(look):
    return [told]
  if total < FEWEST:
    return []
  count = look.counts()
  if (silent := total - int(count.sum())) >= _NEARLY_ALL * total:
    return [f"the logits of {silent} of {total} noisy images are not finite: no image can be certified by them"]
  top = int(count.argmax())
  expected = 0.0 if look.labels is None else float((look.labels == top).mean())
  if count[top] >= _NEARLY_ALL * total and expected > 0.5:
    return [
      f"class {top} is answered for {count[top]} of {total} noisy {of}, and is the label of {expected:.0%}: a "
      f"classifier that answers class {top} for everything would look the same; add {of} of other classes"
    ]
  if count[top] >= _NEARLY_ALL * total:
    given = (
      "pixels in the range it was trained on? It is given pixels in [0, 1], and must normalise them (or "
      "multiply by 255) itself"
    )
    given = given if of == IMAGES else "values on the scale it was trained on, and is sigma in their units?"
    return [f"class {top} is answered for {count[top]} of {total} noisy {of}: does the classifier get {given}"]
  if look.labels is None:
    return []
  clean, noisy = (int((answers == look.labels).sum()) for answers in (look.clean, look.noisy))
  if special.betainc(max(noisy, 1), total - noisy + 1, 1 / look.classes) > _LUCK or noisy == 0:
    return [
      f"accuracy with noise is at chance, {noisy} of {total} images (without noise {clean}): was the "
      "classifier trained with noise, and do its classes and normalisation fit?"
    ]
  return []


def _counted_from_one(look: Look) -> str | None:
  """A sentence if the answers are the labels less 1, for more images than chance explains; else None."""
  if look.labels is None or len(np.unique(look.labels)) < 2 or look.labels.min() < 1:
    return None
  total, right, below = len(look.labels), *(int((look.clean == look.labels - k).sum()) for k in (0, 1))
  guessed = lambda hits: special.betainc(max(hits, 1), total - hits + 1, 1 / look.classes) if hits else 1.0
  if guessed(below) > _SHIFTED or guessed(right) < _LUCK:
    return None
  return (
    f"{right} of {total} labels are the classifier's answer, but {below} are its answer plus 1: are labels "
    "counted from 1? Classes are counted from 0: subtract 1 from each label"
  )

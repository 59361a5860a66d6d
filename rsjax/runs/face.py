"""The object that `rsjax.smooth` and `rsjax.load` give: a smoothed classifier, to certify and predict with.

>>> g = smooth(apply, variables, sigma=0.25)
>>> found = g.certify(images[:2], n=1000, progress=False)
>>> found.predict, found.radius
(array([0, 0]), array([0.36..., 0.26...]))
"""

import dataclasses
import operator
import pathlib
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rsjax import devices, files, models
from rsjax.analysis import Found
from rsjax.classifiers import checkpoint
from rsjax.errors import InputError
from rsjax.noise import WORD, Gaussian, check_seed, grey_levels
from rsjax.procedures import Certify, Predict, Procedure
from rsjax.runs import certification
from rsjax.runs.progress import Bar, Progress
from rsjax.smoothing import Execution, Smoothed, scheduling
from rsjax.smoothing.inspection import Look
from rsjax.smoothing.votes import Apply


@dataclasses.dataclass(frozen=True)
class SmoothedClassifier(Smoothed):
  """A base classifier and the noise that smooths it; `certify` and `predict` answer for many images.

  Attributes:
    apply, variables, noise: as for `smoothing.Smoothed`.
    name: what result files call the classifier, and tell it from others by; None: its variables tell.

  Raises:
    InputError: as `smoothing.Smoothed`, and for a name that is empty or no string.
  """

  name: str | None = None

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.name is not None and not (isinstance(self.name, str) and self.name.strip()):
      raise InputError(f"name must be a string that is not empty, got {self.name!r}")

  def check(self, images: Any, labels: ArrayLike | None = None, *, most: int = 256) -> Look:
    """A look at the base classifier in seconds: accuracy without and with noise, and which classes it answers.

    Args:
      images, labels: as for `certify`.
      most: how many images to look at, evenly spread over those given.

    Returns:
      What was found; printed, it is a line, and one for each thing that is odd.

    Raises:
      InputError: as `certify`, a classifier whose logits depend on the other images of the batch included.
    """
    if operator.index(most) < 1:
      raise InputError(f"most must be at least 1, got {most}")
    known = _checked_labels(images, labels)
    if not len(images):
      raise InputError("images must be at least one, got none")
    places = np.linspace(0, len(images) - 1, min(most, len(images))).astype(int)
    first = scheduling.checked((0, images[0]))[1]
    coupled = self.inspector.independence(first)
    chosen = [scheduling.checked((int(i), images[i]), first)[1] for i in places]
    look = self.inspector.look(chosen, None if known is None else known[places])
    return dataclasses.replace(look, warnings=(*([coupled] if coupled else []), *look.warnings))

  def certify(
    self,
    images: Any,
    labels: ArrayLike | None = None,
    *,
    n0: int = 100,
    n: int = 100_000,
    alpha: float = 0.001,
    seed: int = 0,
    indices: Iterable[int] | None = None,
    file: str | pathlib.Path | None = None,
    progress: bool = True,
    execution: Execution = Execution(),
  ) -> Found:
    """Certified radii of some images, by CERTIFY (Cohen et al. 2019, section 3.2.2).

    With probability at least 1 - alpha, for each image, over the noise that is drawn: the smoothed classifier
    answers `predict` everywhere in the open l2 ball of `radius` around the image.

    Args:
      images: a sequence; images[i] is uint8[h, w, c] in 0..255, or float32[h, w, c] in [0, 1].
      labels: int[images]; they do not enter a certificate, only whether it is `correct`.
      n0: draws to select the class with.
      n: draws to estimate with.
      alpha: probability, per image, with which the answer may be wrong.
      seed: of the noise, which is a function of (seed, index, draw number).
      indices: which images, by their position; None: all. The position names an image to the noise.
      file: a result file to write each row to at once; if it is there with the same images, labels, variables
        and settings, and logits for the first image that are the same, it is continued. Needs labels.
      progress: whether a bar is shown on stderr.
      execution: what decides speed, and never a result.

    Returns:
      One row per image, in the order of indices. Of several processes (see `devices.processes`) only the first
      has what was written to a file; the others get None.

    Raises:
      InputError: for anything that cannot be used, a classifier whose logits depend on the other images of the
        batch included. What `apply` itself raises goes through.
    """
    return self._run(Certify(n0, n, alpha), images, labels, seed, indices, file, progress, execution)

  def predict(
    self,
    images: Any,
    labels: ArrayLike | None = None,
    *,
    n: int = 1000,
    alpha: float = 0.001,
    seed: int = 0,
    indices: Iterable[int] | None = None,
    file: str | pathlib.Path | None = None,
    progress: bool = True,
    execution: Execution = Execution(),
  ) -> Found:
    """The smoothed classifier's class of some images, or -1, by PREDICT (Cohen et al. 2019, section 3.2.1).

    With probability at least 1 - alpha, for each image, it abstains or is right about the smoothed classifier.

    Args:
      n: draws.
      images, labels, alpha, seed, indices, file, progress, execution: as for `certify`.

    Returns:
      One row per image, in the order of indices.

    Raises:
      InputError: as `certify`.
    """
    return self._run(Predict(n, alpha), images, labels, seed, indices, file, progress, execution)

  def _run(
    self,
    procedure: Procedure,
    images: Any,
    labels: ArrayLike | None,
    seed: int,
    indices: Iterable[int] | None,
    file: str | pathlib.Path | None,
    progress: bool,
    execution: Execution,
  ) -> Found:
    seed = check_seed(seed)
    if file is not None:
      file = files.local(file)
    known = _checked_labels(images, labels)
    chosen = _chosen(len(images), indices)
    if known is None and file is not None:
      raise InputError("a result file holds labels: give `labels`")
    named = pathlib.Path(file).stem if file is not None else "images"
    job = certification.Job(
      self,
      images,
      known,
      chosen,
      procedure,
      seed,
      classifier=self.name,
      about={"dataset": named, "images": len(images)},
    )
    told = _Shown() if progress else _Noted()
    try:
      if file is None:
        return Found(certification.into_memory(job, execution, told))
      written = certification.into_file(job, file, execution, told)
    finally:
      told.close()
    if written is None:
      return None  # type: ignore[return-value]  # said in the docstring: only the first process has it
    return Found(written)


def smooth(apply: Apply, variables: Any, *, sigma: float, name: str | None = None) -> SmoothedClassifier:
  """The classifier `apply` smoothed by Gaussian noise.

  Args:
    apply: any pure function (variables, float32[b, h, w, c]) -> logits[b, classes], of pixels in [0, 1]; its
      normalisation is part of it, and each row's logits are independent of the other rows.
    variables: its pytree of arrays.
    sigma: standard deviation of the noise, in units of [0, 1] pixels.
    name: what result files call the classifier. Needed for a file where variables hold no arrays, as when the
      weights are within `apply`: nothing else would tell the file of one such classifier from another's.

  Raises:
    InputError: for a sigma that is not a positive number, or an empty name.
  """
  return SmoothedClassifier(apply, variables, _noise(sigma), name)


def load(path: str | pathlib.Path, *, sigma: float, dtype: str | None = None) -> SmoothedClassifier:
  """The classifier in a directory that `rsjax.train` or `rsjax.convert` wrote, smoothed by Gaussian noise.

  Args:
    path: the directory.
    sigma: standard deviation of the noise, in units of [0, 1] pixels.
    dtype: "float32" or "bfloat16", what it computes in; None: float32 on CPU, bfloat16 on accelerators.

  Raises:
    InputError: where there is no classifier, or for a sigma that is not a positive number.
  """
  noise = _noise(sigma)
  classifier = checkpoint.load(path)
  apply, variables = models.inference(classifier.model(dtype or devices.default_dtype()), classifier.variables)
  return SmoothedClassifier(apply, variables, noise)


def _checked_labels(images: Any, labels: ArrayLike | None) -> NDArray[np.int64] | None:
  """The labels as an array, where there are any; refuses images that are no sequence, and labels of others."""
  if not (hasattr(images, "__len__") and hasattr(images, "__getitem__")):
    raise InputError(f"images must be a sequence of arrays, got {type(images).__name__}")
  if labels is None:
    return None
  known = np.asarray(labels)
  if known.shape != (len(images),) or not np.issubdtype(known.dtype, np.integer):
    raise InputError(
      f"labels must be {len(images)} integers, one per image, got {known.dtype}{list(known.shape)}"
    )
  if known.min(initial=0) < 0:
    raise InputError(f"labels must be 0 or more, got {known.min()}")
  return known


def _noise(sigma: float) -> Gaussian:
  noise = Gaussian(sigma)
  if told := grey_levels(noise.sigma):
    warnings.warn(told, stacklevel=3)
  return noise


def _chosen(count: int, indices: Iterable[int] | None) -> list[int]:
  """The indices as a list, each within the images and there once."""
  try:
    chosen = list(range(count)) if indices is None else [operator.index(i) for i in indices]
  except TypeError as error:
    raise InputError(f"indices must be integers: {error}") from error
  outside = [i for i in chosen if not 0 <= i < min(count, WORD)]
  if outside:
    raise InputError(f"indices must be positions of the {count} images, got {outside[0]}")
  if len(set(chosen)) < len(chosen):
    raise InputError("indices must be of different images")
  return chosen


class _Noted(Progress):
  """Silent, but for notes, which are Python warnings."""

  def note(self, text: str) -> None:
    warnings.warn(text, stacklevel=6)


class _Shown(_Noted, Bar):
  """A bar, and notes as Python warnings."""

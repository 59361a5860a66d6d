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
from collections.abc import Iterable, Sequence
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import ArrayLike

from rsjax import devices, files, models
from rsjax.analysis import Found
from rsjax.classifiers import checkpoint
from rsjax.errors import InputError
from rsjax.noise import Gaussian, check_seed, grey_levels
from rsjax.procedures import (
  Certify,
  CertifyByLooks,
  Predict,
  PredictByLooks,
  Procedure,
  StopRule,
)
from rsjax.runs import certification, given
from rsjax.runs.progress import Bar, Progress
from rsjax.smoothing import Execution, Smoothed, scheduling, tuning
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
    known = given.checked_labels(images, labels)
    if not len(images):
      raise InputError("images must be at least one, got none")
    places = np.linspace(0, len(images) - 1, min(most, len(images))).astype(int)
    first = scheduling.checked((0, images[0]))[1]
    coupled = self.inspector.independence(first)
    chosen = [scheduling.checked((int(i), images[i]), first)[1] for i in places]
    look = self.inspector.look(chosen, None if known is None else known[places])
    return dataclasses.replace(look, warnings=(*([coupled] if coupled else []), *look.warnings))

  def draws_per_second(self, image: Any, *, execution: Execution = Execution()) -> float:
    """Noisy images classified a second on this machine in a long run, measured in a second or two.

    Args:
      image: one of those to be certified; its size counts.
      execution: what decides speed; rows None: the rule of thumb.

    Raises:
      InputError: for an image that cannot be used.
    """
    shape = scheduling.checked((0, image))[1].shape
    return tuning.measure(self.apply, self.variables, shape, execution)

  def certify(
    self,
    images: Any,
    labels: ArrayLike | None = None,
    *,
    n0: int | Literal["auto"] = 100,
    n: int = 100_000,
    alpha: float = 0.001,
    bound: Literal["one-sided", "multi"] = "one-sided",
    radii: float | Sequence[float] | None = None,
    tolerance: float | None = None,
    stop: StopRule | Literal["anytime"] | None = None,
    give_up: float | None = None,
    time_budget: float | None = None,
    seed: int = 0,
    indices: Iterable[int] | None = None,
    file: str | pathlib.Path | None = None,
    progress: bool = True,
    execution: Execution = Execution(),
  ) -> Found:
    """Certified radii of some images, by CERTIFY (Cohen et al. 2019, section 3.2.2).

    With probability at least 1 - alpha, for each image, over the noise that is drawn: the smoothed classifier
    answers `predict` everywhere in the open l2 ball of `radius` around the image. Also where drawing stops
    early, by whatever rule: the bounds of all looks hold together (`bounds.sequential`).

    Args:
      images: a sequence; images[i] is uint8[h, w, c] in 0..255, or float32[h, w, c] in [0, 1].
      labels: int[images]; they do not enter a certificate, only whether it is `correct`.
      n0: draws to select the class with; "auto", with a rule for stopping: 100, and 900 more where two classes
        are close.
      n: draws to estimate with; with a rule for stopping the most.
      alpha: probability, per image, with which the answer may be wrong.
      bound: "multi": the votes for the strongest other class count, too, which certifies more where there are
        many classes (`bounds.multiclass`). To be chosen before any results are seen.
      radii: stop when it is settled which of these radii, increasing, are certified; the radius of an image is
        then a lower bound.
      tolerance: stop when the radius is within this share of what n draws are expected to certify, or within
        0.02 sigma.
      stop: "anytime": all images go on side by side, and an interrupt (Ctrl-C, a notebook's stop) or
        `time_budget` ends with the radius that each has by then; or a rule of `rsjax.procedures`.
      give_up: of radii and tolerance: probability with which draws that are saved would have certified more;
        None: 0.01.
      time_budget: seconds after which to end, as by an interrupt; without another rule it is that of "anytime".
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
    rule = given.rule(radii, tolerance, stop, give_up, time_budget)
    if rule is None and n0 == "auto":
      raise InputError('n0="auto" needs a rule for stopping: give radii, tolerance or stop, or a number')
    procedure: Procedure = (
      Certify(cast(int, n0), n, alpha, bound)
      if rule is None
      else CertifyByLooks(n0, n, alpha, rule, bound=bound)
    )
    return self._run(procedure, images, labels, seed, indices, file, progress, execution, time_budget)

  def predict(
    self,
    images: Any,
    labels: ArrayLike | None = None,
    *,
    n: int | None = None,
    alpha: float = 0.001,
    fixed: bool = False,
    seed: int = 0,
    indices: Iterable[int] | None = None,
    file: str | pathlib.Path | None = None,
    progress: bool = True,
    execution: Execution = Execution(),
  ) -> Found:
    """The smoothed classifier's class of some images, or -1, by PREDICT (Cohen et al. 2019, section 3.2.1).

    With probability at least 1 - alpha, for each image, it abstains or is right about the smoothed classifier.
    It looks at the votes again and again, and stops when the answer is significant; most images take some tens
    of draws.

    Args:
      n: draws, at most; None: 100,000, or with `fixed` 1,000.
      fixed: whether every image takes n draws, as in the paper.
      images, labels, alpha, seed, indices, file, progress, execution: as for `certify`.

    Returns:
      One row per image, in the order of indices.

    Raises:
      InputError: as `certify`.
    """
    if fixed:
      procedure: Procedure = Predict(1000 if n is None else n, alpha)
    else:
      procedure = PredictByLooks(100_000 if n is None else n, alpha)
    return self._run(procedure, images, labels, seed, indices, file, progress, execution)

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
    seconds: float | None = None,
  ) -> Found:
    seed = check_seed(seed)
    if file is not None:
      file = files.local(file)
    known = given.checked_labels(images, labels)
    chosen = given.chosen(len(images), indices)
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
        return Found(certification.into_memory(job, execution, told, seconds))
      written = certification.into_file(job, file, execution, told, seconds)
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


def _noise(sigma: float) -> Gaussian:
  noise = Gaussian(sigma)
  if told := grey_levels(noise.sigma):
    warnings.warn(told, stacklevel=3)
  return noise


class _Noted(Progress):
  """Silent, but for notes, which are Python warnings."""

  def note(self, text: str) -> None:
    warnings.warn(text, stacklevel=6)


class _Shown(_Noted, Bar):
  """A bar, and notes as Python warnings."""

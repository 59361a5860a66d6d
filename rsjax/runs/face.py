"""The object that `rsjax.smooth` and `rsjax.load` return: a smoothed classifier that certifies and predicts.

>>> g = SmoothedClassifier(apply, variables, Gaussian(0.25))
>>> found = g.certify(images[:2], n=1000, progress=False)
>>> found.predict, found.radius
(array([0, 0]), array([0.36..., 0.26...]))
"""

import dataclasses
import operator
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rsjax import files
from rsjax.analysis import Found, FoundValues
from rsjax.errors import InputError
from rsjax.noise import check_image, check_seed
from rsjax.procedures import CertifyMedian, Predict, PredictByLooks, Procedure, StopRule
from rsjax.runs import attack, attackable, finding, given, trained, values
from rsjax.runs.job import Job
from rsjax.smoothing import Execution, Smoothed, tuning
from rsjax.smoothing.inputs import check_shape
from rsjax.smoothing.looking import Look
from rsjax.smoothing.votes import class_count


@dataclasses.dataclass(frozen=True)
class SmoothedClassifier(attackable.Attackable, Smoothed):
  """A base classifier and the noise that smooths it; `certify`, `predict`, `attack` answer for many images.

  Attributes:
    apply, variables, noise, inputs: as for `smoothing.Smoothed`.
    name: the name by which result files identify the classifier; None: they identify it by its variables.
    image_shape: (h, w, c) of the images that it takes; None: not known.
    dtype: what it computes in, as files record it; None: not known.
    notes: what a reader of its files must know.
    trained_on: what `trained.sets_of` knows of its training.

  Raises:
    InputError: as for `smoothing.Smoothed`, for a name that is empty or not a string, and for variables that
      hold tensors of PyTorch.
  """

  name: str | None = None
  image_shape: tuple[int, int, int] | None = None
  dtype: str | None = None
  notes: tuple[str, ...] = ()
  trained_on: tuple[tuple[str, int], ...] = ()

  def __post_init__(self) -> None:
    given.check_apply(self.apply)
    super().__post_init__()
    given.check_name(self.name)
    given.check_variables(self.variables)
    object.__setattr__(self, "variables", given.as_they_are(self.variables))

  def check(self, images: Any, labels: ArrayLike | None = None, *, most: int = 256) -> Look:
    """A quick look at the base classifier: accuracy without and with noise, and which classes it answers.

    Args:
      images, labels: as for `certify`.
      most: how many images to look at, evenly spread over those given.

    Returns:
      What was found; it prints as one line, and one more for each anomaly.

    Raises:
      InputError: as for `certify`, also for a classifier whose logits depend on the other images of the batch.
    """
    if operator.index(most) < 1:
      raise InputError(f"most must be at least 1, got {most}")
    known = given.checked_labels(images, labels, self.inputs)
    if not len(images):
      raise InputError("images must hold at least one image, got none")
    places = np.linspace(0, len(images) - 1, min(most, len(images))).astype(int)
    first = self.checked((0, images[0]))[1]
    self._check_fit(first, known)
    chosen = [self.checked((int(i), images[i]), first)[1] for i in places]
    unsound = self.inspector.soundness(chosen)
    look = self.inspector.look(chosen, None if known is None else known[places])
    odd = (*unsound, *trained.told(self.trained_on, images, known))
    odd += (*given.odd_inputs(self, chosen),)
    return dataclasses.replace(look, warnings=(*odd, *look.warnings))

  def _check_image(self, first: NDArray[Any]) -> None:
    """Refuses images of another shape than the classifier's, or that the noise is not for."""
    if self.image_shape is not None:
      check_shape(first.shape, self.image_shape)
    check_image(self.noise, first)

  def _check_fit(self, first: NDArray[Any], labels: NDArray[np.int64] | None) -> None:
    """As `_check_image`; also refuses labels that are none of its classes."""
    self._check_image(first)
    classes = class_count(self.apply, self.variables, first.shape)
    given.check_below(labels, classes)

  def draws_per_second(self, image: Any, *, execution: Execution = Execution()) -> float:
    """Noisy images classified per second on this machine in a long run; measuring takes a second or two.

    Args:
      image: one of the images to be certified; its size matters.
      execution: what decides speed; rows None: the rule of thumb.

    Raises:
      InputError: for an image that cannot be used.
    """
    shape = self.checked((0, image))[1].shape
    return tuning.measure(self.apply, self.variables, shape, execution, self.noise)

  def certify(
    self,
    images: Any,
    labels: ArrayLike | None = None,
    *,
    n0: int | Literal["auto"] = given.N0,
    n: int = given.N,
    alpha: float = given.ALPHA,
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

    For each image, with probability at least 1 - alpha over the noise that is drawn, the smoothed classifier
    answers `predict` everywhere in the open l2 ball of `radius` around the image. This also holds if drawing
    stops early, by any rule: the bounds of all looks hold together (`bounds.sequential`).

    Splitting noise and column ablation are certified exactly instead: all of their draws are classified,
    nothing is left to chance, and n0, n, alpha, bound and the rules for stopping do not apply.

    Args:
      images: a sequence of uint8[h, w, c] in 0..255, or float32[h, w, c] in [0, 1], or other arrays (`inputs`).
      labels: int[images]; they do not affect a certificate, only whether it is `correct`.
      n0: draws to select the class with; "auto", with a rule for stopping: 100, or 1,000 if two are close.
      n: draws to estimate with; with a rule for stopping, the maximum.
      alpha: probability, per image, with which the answer may be wrong.
      bound: "multi": the votes for the strongest other class count, too, which certifies more where there are
        many classes (`bounds.multiclass`). To be chosen before any results are seen.
      radii: stop when it is settled which of these radii, increasing, are certified; the radius of an image is
        then a lower bound.
      tolerance: stop when the radius is within this share of what n draws are expected to certify, or within
        0.02 sigma.
      stop: "anytime": all images go on side by side, and after an interrupt (Ctrl-C, a notebook's stop) or
        `time_budget` each gets the radius that it has reached; or a rule of `rsjax.procedures`.
      give_up: for radii and tolerance: probability that the draws that are saved would have certified more;
        None: 0.01.
      time_budget: seconds after which the run ends, as by an interrupt; without another rule, as for "anytime".
      seed: the seed of the noise, which is a function of (seed, index, draw number).
      indices: which images, by their position; None: all. The noise of an image depends on its position.
      file: a result file to which each row is written at once; it needs labels. If it exists with the same
        images, labels, settings and classifier (by variables, first logits and constants), it is continued.
      progress: whether a bar is shown on stderr.
      execution: what decides speed, and never a result.

    Returns:
      One row per image, in the order of indices. If several processes write to a file (see
      `devices.processes`), only the first gets the result; the others get None.

    Raises:
      InputError: for anything that cannot be used, also for a classifier whose logits depend on the other
        images of the batch. Exceptions of `apply` itself are passed on.
    """
    rule = given.rule(radii, tolerance, stop, give_up, time_budget)
    procedure = given.certification(self.noise, n0, n, alpha, bound, rule)
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
    """The smoothed classifier's class for some images, or -1, by PREDICT (Cohen et al. 2019, section 3.2.1).

    For each image, with probability at least 1 - alpha, it abstains or is right about the smoothed classifier.
    It looks at the votes repeatedly, and stops when the answer is significant; most images take some tens of
    draws.

    Args:
      n: draws per image, at most; None: 100,000, or with `fixed` 1,000.
      fixed: whether every image takes n draws, as in the paper.
      images, labels, alpha, seed, indices, file, progress, execution: as for `certify`.

    Returns:
      One row per image, in the order of indices.

    Raises:
      InputError: as for `certify`.
    """
    if fixed:
      procedure: Procedure = Predict(1000 if n is None else n, alpha)
    else:
      procedure = PredictByLooks(100_000 if n is None else n, alpha)
    return self._run(procedure, images, labels, seed, indices, file, progress, execution)

  def certify_value(
    self,
    images: Any,
    *,
    epsilon: float,
    n: int = 10_000,
    alpha: float = 0.001,
    seed: int = 0,
    indices: Iterable[int] | None = None,
    progress: bool = True,
    execution: Execution = Execution(),
  ) -> FoundValues:
    """Bounds of the median-smoothed function near some images, by median smoothing (Chiang et al. 2020).

    `apply` returns real numbers here, [b] or [b, outputs], instead of logits. For each image, with probability
    at least 1 - alpha over the noise that is drawn, the median of each output under the noise is from `lower`
    to `upper` at every point within the l2 distance `epsilon` of the image. If there are several outputs, the
    bounds of all hold together: each has an equal share of alpha.

    Args:
      epsilon: the l2 distance, in units of [0, 1] pixels, >= 0.
      n: draws per image. Its outputs are held in memory until all are there.
      images, alpha, seed, indices, progress, execution: as for `certify`.

    Returns:
      One row per image, in the order of indices.

    Raises:
      InputError: as for `certify`; for noise other than Gaussian and grid noise; and for an n that is too small
        for epsilon, sigma and alpha: the message has the smallest.
    """
    given.checked_labels(images, None, self.inputs)
    chosen = given.chosen(len(images), indices)
    if chosen:
      self._check_image(self.checked((chosen[0], images[chosen[0]]))[1])
    return values.certify(
      self, images, chosen, CertifyMedian(epsilon, n, alpha), check_seed(seed), progress, execution
    )

  def _run(
    self,
    procedure: Procedure | None,
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
    known = given.checked_labels(images, labels, self.inputs)
    chosen = given.chosen(len(images), indices)
    if known is None and file is not None:
      raise InputError("a result file needs labels: give `labels`")
    if not chosen and file is not None:
      raise InputError("a result file needs at least one image, but no image is given, or chosen by `indices`")
    job = Job(
      self,
      images,
      known,
      chosen,
      procedure or given.exact(self.noise, images, chosen),
      seed,
      classifier=self.name,
      about={"images": len(images)}
      | ({} if indices is None else {"selected": len(chosen)})
      | trained.noted(self.trained_on, images, known, self.notes),
      dtype=self.dtype,
    )
    if chosen:
      self._check_fit(job.first_image(), known)
    job, execution = attack.of_job(job, execution)
    # Only the first process has it, as the docstring of `certify` says.
    return finding.found(job, file, execution, progress, seconds)  # type: ignore[return-value]

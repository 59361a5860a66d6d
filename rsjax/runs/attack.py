"""Runs an attack on a smoothed classifier for some images: it searches points, and verifies each by PREDICT.

  >>> job = AttackJob(Smoothed(apply, variables, Gaussian(0.25)), images, labels, [0, 2], Attack((0.5,)))
  >>> points = job.outcomes(job.indices, Execution(rows=512), progress=lambda draws: None, ended=None)
  >>> for index, found in points:
  ...   print(index, found.prediction, found.epsilon)
  0 1 0.5
  2 1 0.0

Many images share the program of the search: each has a lane, and its own radius, the next larger one after a
point that was not verified. The noise of the search has other draw numbers than that of the verification, so
that no point is verified by draws for which it was optimised.
"""

import collections
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from numpy.typing import NDArray

from rsjax import attacks, bounds, devices
from rsjax.errors import InputError
from rsjax.noise import Gaussian
from rsjax.procedures import ABSTAIN, Attack, Attacked, Prediction
from rsjax.procedures.attack import FIRST_DRAW, NONE
from rsjax.runs.job import Job
from rsjax.smoothing import Execution, inputs, votes
from rsjax.smoothing.execution import default_rows

_FEWER_ROWS = 4  # times fewer rows has a step of the verification
_PER_LANE = 4  # images, at least, if there are several lanes
_SHRINKINGS = 20  # of a point that rounding leaves outside its radius, each by twice as much as the one before


class AttackJob(Job):
  """A `Job` whose procedure is an `Attack`.

  Raises:
    InputError: for noise other than Gaussian noise, for inputs that are no images, without labels, or for radii
      that no two images of this size have between them.
  """

  procedure: Attack

  def __post_init__(self) -> None:
    super().__post_init__()
    if type(self.smoothed.noise) is not Gaussian:
      raise InputError(
        f"the attack is in l2 and for Gaussian noise, not for {self.smoothed.noise.name} noise: give "
        "the noise gaussian"
      )
    if self.smoothed.inputs != inputs.IMAGES:
      raise InputError('attacks are on images, whose pixels stay in [0, 1]: leave out inputs="arrays"')
    if self.labels is None:
      raise InputError("an attack searches for an answer other than the label: give `labels`")
    shape, farthest = self.first_image().shape if self.indices else (), self.procedure.radii[-1]
    if shape and farthest > math.sqrt(math.prod(shape)):
      raise InputError(
        f"radii must be at most {math.sqrt(math.prod(shape)):.6g}, which is how far images of "
        f"{'x'.join(map(str, shape))} pixels in [0, 1] can be apart, got {farthest:g}: divide radii in grey "
        "levels by 255"
      )

  def outcomes(
    self,
    todo: Sequence[int],
    execution: Execution,
    progress: Callable[[int], None],
    ended: Callable[[], bool] | None,
  ) -> Iterator[tuple[int, Attacked]]:
    """(index, outcome) of each image of `todo`, the last ones of `indices`, in their order."""
    search = _Search(self, execution)
    first = len(self.indices) - len(todo)
    # An image's lane follows from its place, so that a run that is continued finds the same points.
    waiting = [collections.deque(range(first, len(self.indices))[(k - first) % search.lanes :: search.lanes])
               for k in range(search.lanes)]  # fmt: skip
    attacked: list[_Image | None] = [None] * search.lanes
    decided: dict[int, Attacked] = {}
    while first < len(self.indices):
      for lane, places in enumerate(waiting):
        if attacked[lane] is None and places:
          attacked[lane] = _Image(self, places.popleft())
      self._round(search, attacked, progress)
      for lane, image in enumerate(attacked):
        if image is not None and image.outcome is not None:
          decided[image.place] = image.outcome
          attacked[lane] = None
      while first in decided:
        yield self.indices[first], decided.pop(first)
        first += 1

  def _round(
    self,
    search: "_Search",
    attacked: Sequence["_Image | None"],
    progress: Callable[[int], None],
  ) -> None:
    """One search for each image at its radius, and the verification of what is found."""
    points = search(attacked)
    present = [(lane, image) for lane, image in enumerate(attacked) if image is not None]
    progress(len(present) * self.procedure.gradient_draws)
    asked = [(image, *one) for lane, image in present for one in image.candidates(points[:, lane])]
    answers = self.smoothed.outcomes(
      self.procedure,
      ((image.index, point) for image, _, _, point in asked),
      seed=self.seed,
      execution=search.verification,
      progress=progress,
    )
    for (image, epsilon, norm, _), (_, answer) in zip(asked, answers):
      image.add(answer, epsilon, norm)
    for _, image in present:
      image.end_round(self.procedure.gradient_draws)


class _Image:
  """One image, and how far its attack has come."""

  def __init__(self, job: AttackJob, place: int) -> None:
    self.place, self.index, self._attack = place, job.indices[place], job.procedure
    _, image = job.smoothed.checked((self.index, job.images[self.index]))
    self.image = image.astype(np.float32) / np.float32(255) if image.dtype == np.uint8 else image
    self.label = int(job.labels[self.index])  # type: ignore[index]  # checked when the job was made
    self.outcome: Attacked | None = None
    self._at, self._draws = 0, 0
    self._itself: Prediction | None = None  # PREDICT's answer at the image
    self._best: tuple[float, float, Prediction] | None = None  # the nearest point that was verified

  @property
  def radius(self) -> float:
    """The radius at which it is searched."""
    return self._attack.radii[self._at]

  def candidates(self, points: NDArray[np.float32]) -> Iterator[tuple[float, float, NDArray[np.float32]]]:
    """(radius, distance, point) of all that is to be verified: at first also the image itself."""
    if self._itself is None:
      yield 0.0, 0.0, self.image
    for point in points:
      point, norm = within(self.image, point, self.radius)
      if norm > 0:
        yield self.radius, norm, point

  def add(self, answer: Any, epsilon: float, norm: float) -> None:
    """PREDICT's answer at a point."""
    self._draws += answer.n
    if self._itself is None:  # the image comes first
      self._itself = answer
    if answer.prediction not in (ABSTAIN, self.label) and (self._best is None or norm < self._best[1]):
      self._best = epsilon, norm, answer

  def end_round(self, draws: int) -> None:
    """All points of this radius are verified, which the search took `draws` to find."""
    self._draws += draws
    self._at += 1
    if self._best is not None:
      epsilon, norm, answer = self._best
      self.outcome = Attacked.at(answer, epsilon, norm, self._draws)
    elif self._at == len(self._attack.radii):
      assert self._itself is not None
      self.outcome = Attacked.at(self._itself, NONE, NONE, self._draws)


class _Search:
  """The compiled search, with `lanes` for some images, and how steps of their `verification` are executed."""

  def __init__(self, job: AttackJob, execution: Execution) -> None:
    smoothed, attack = job.smoothed, job.procedure
    self._shape = job.first_image().shape
    resolved = execution.resolve(self._shape)
    mesh = resolved.mesh
    # Images take different numbers of rounds: a lane that has several of them is not idle for long.
    lanes = max(1, min(resolved.rows // attack.noise_vectors, len(job.indices) // _PER_LANE))
    self.lanes = -(-lanes // mesh.size) * mesh.size
    # The few draws of a look would leave most of a larger step empty.
    fewer = max(1, resolved.rows // _FEWER_ROWS)
    self.verification = dataclasses.replace(execution, rows=fewer)
    self._over_lanes, everywhere = NamedSharding(mesh, P(devices.AXIS)), NamedSharding(mesh, P())
    constants = (np.uint32(job.seed), smoothed.noise.parameters())
    self._constants = (
      devices.put_weights(smoothed.variables, everywhere),
      *devices.put(constants, everywhere),
    )
    self._search = attacks.make_search(
      smoothed.apply,
      smoothed.noise.perturb,
      attack.methods,
      attack.iterations,
      attack.noise_vectors,
      FIRST_DRAW,
      mesh,
    )

  def __call__(self, images: Sequence[_Image | None]) -> NDArray[np.float32]:
    """float32[methods, lanes, h, w, c]: a point for each image at its radius; of no use where there is none."""
    pixels = np.zeros((self.lanes, *self._shape), np.float32)
    labels, index = np.zeros(self.lanes, np.int32), np.zeros(self.lanes, np.uint32)
    radius = np.ones(self.lanes, np.float32)
    for lane, one in enumerate(images):
      if one is not None:
        pixels[lane], labels[lane], index[lane], radius[lane] = one.image, one.label, one.index, one.radius
    lanes = devices.put((pixels, labels, index, radius), self._over_lanes)
    try:
      return np.asarray(jax.device_get(self._search(*self._constants, *lanes)))
    except jax.errors.JaxRuntimeError as error:
      if not votes.out_of_memory(error):
        raise
      raise InputError(
        f"a device's memory is too small for gradients of {self.lanes} images: give fewer `rows`, or fewer "
        "`noise_vectors`"
      ) from error


def within(
  image: NDArray[np.float32], point: NDArray[np.float32], radius: float
) -> tuple[NDArray[np.float32], float]:
  """(point, distance): the point as it is used, moved to the image until it is within the radius.

  Args:
    image, point: float32 of one shape, in [0, 1].
    radius: at least 0, with at most six decimals.

  Returns:
    The distance is that of the float32 values, rounded up to six decimals; a point that is not finite gives the
    image itself, at distance 0.
  """
  if not np.isfinite(point).all():
    return image, 0.0
  moved = np.clip(point, 0, 1).astype(np.float32)
  for k in range(_SHRINKINGS):
    if (norm := bounds.l2_distance(moved, image)) <= radius:
      return moved, norm
    share = np.float32(1 - 2.0 ** (k - _SHRINKINGS))
    moved = np.clip(image + share * (point - image), 0, 1).astype(np.float32)
  return image, 0.0


def of_job(job: Job, execution: Execution) -> tuple[Job, Execution]:
  """(the same job as an `AttackJob`, the execution with its rows chosen); unchanged if it is no attack.

  Rows are not searched for, because they fix how many images share the program of the search.

  Raises:
    InputError: as for `AttackJob`.
  """
  if not isinstance(job.procedure, Attack):
    return job, execution
  attack_job = AttackJob(**vars(job))
  if execution.rows is None and job.indices:
    mesh = execution.mesh or devices.draws_mesh()
    execution = dataclasses.replace(execution, rows=default_rows(job.first_image().shape, mesh))
  return attack_job, execution

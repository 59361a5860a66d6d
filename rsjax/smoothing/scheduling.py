"""Decides which draws are made when: many images are in flight, each with its own procedure.

A procedure asks for fresh draws and waits for their votes; meanwhile other images fill the steps. The draws
of an image are numbered in the order in which its procedure asks for them: selection and estimation are
disjoint by construction, and an answer counts exactly the draws asked for, never "what has arrived". So
outcomes do not depend on rows, devices, depth or the number of images in flight; they come in the images'
order.
"""

import collections
import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from rsjax.devices import processes
from rsjax.errors import InputError
from rsjax.noise import WORD, Noise, check_image
from rsjax.procedures import Outcome, Procedure, end_now
from rsjax.smoothing import votes
from rsjax.smoothing.execution import Execution, Resolved
from rsjax.smoothing.inputs import IMAGES, Example, Inputs, checked
from rsjax.smoothing.packing import Request, Work

_BREADTH = 2**31  # bytes of images, that are held where all go on side by side
_SMALL = 4  # a request is small if a step has room for so many of them

logger = logging.getLogger("rsjax")


def outcomes(
  apply: votes.Apply,
  variables: Any,
  examples: Iterable[Example],
  procedure: Procedure,
  noise: Noise,
  *,
  inputs: Inputs = IMAGES,
  seed: int = 0,
  execution: Execution = Execution(),
  progress: Callable[[int], None] = lambda draws: None,
  ended: Callable[[], bool] | None = None,
  program: type[votes.Steps] = votes.Steps,
) -> Iterator[tuple[int, Outcome]]:
  """Runs the procedure for each image, in order; takes images from `examples` only as rows become free.

  Large requests are served in the images' order, so that a run that is killed has turned most of its draws into
  outcomes. Small ones are served before them, as they come: they cost little, and keep the later steps full.

  With `ended` it goes breadth first instead: it takes as many images as fit into memory, and brings all of them
  to their next look before any to the one after. When `ended()` is true, or at a KeyboardInterrupt, every image
  is decided by the last look that it passed; the outcomes end before the first image that has passed none.

  Args:
    apply, variables: the base classifier, see `votes.Apply`; variables is its pytree of arrays.
    examples: (index, image) pairs; image uint8[h, w, c] in 0..255 or float32[h, w, c] in [0, 1], or another
      array, see `inputs`; all alike; index, from 0 to 2**32 - 1, fixes the noise of the image.
    procedure: which draws to ask for, and what follows from their votes.
    noise: of the smoothed classifier.
    inputs: whether the classifier takes images, or float32 arrays of any shape.
    seed: of the noise.
    execution: what decides speed.
    progress: called with the number of draws whose votes have arrived, each time that some arrive.
    ended: whether to end now; called before each step. Several processes follow the first one's answer.
    program: what the devices compute of each draw: votes, or the outputs themselves.

  Yields:
    (index, outcome) of each image.

  Raises:
    InputError: for images or a classifier other than described.
  """
  images = _Images(examples, procedure, noise, inputs)
  if (first := images.start()) is None:
    return
  resolved = execution.resolve(first.shape)
  steps = program(apply, variables, noise, seed, resolved, first.shape)
  if ended is None:
    images.small = resolved.rows // _SMALL
    yield from _run(images, steps, resolved, progress)
    return
  while images.undecided < max(resolved.most_images, _BREADTH // first.nbytes) and images.start() is not None:
    pass
  with contextlib.suppress(KeyboardInterrupt):
    yield from _run(images, steps, resolved, progress, ended)
  yield from images.end()


def _run(
  images: "_Images",
  steps: votes.Steps,
  resolved: Resolved,
  progress: Callable[[int], None],
  ended: Callable[[], bool] | None = None,
) -> Iterator[tuple[int, Outcome]]:
  """The outcomes, until all are there or it is ended."""
  while ended is None or not processes.agree(ended()):
    rows, slots = resolved.rows, resolved.slots
    while not images.work.fills(rows, slots) and images.undecided < resolved.most_images:
      if images.start() is None:
        break
    try:
      # A step that is not full is kept back as long as votes are on their way that may lead to more requests.
      if images.work and (images.work.fills(rows, slots) or not len(steps)):
        steps.dispatch(images.work.take(rows, slots))
        if len(steps) <= resolved.depth:
          continue
      elif not len(steps):
        yield from images.decided()
        return
      segments, counted = steps.read()
    except jax.errors.JaxRuntimeError as error:
      resolved = _fewer_rows(resolved, error)
      images.work.put_back(steps.restart(resolved))
      continue
    progress(sum(segment.count for segment in segments))
    for slot, segment in enumerate(segments):
      image, group = segment.request.owner
      images.add(image, group, steps.joined(image.groups[group], counted[slot]), segment.count)
    yield from images.decided()


class _Image:
  """One image in flight, and where its procedure stands."""

  def __init__(self, index: int, image: np.ndarray, procedure: Procedure, noise: Noise, place: int) -> None:
    self.index, self.image, self.place = index, image, place
    self.steps = procedure.steps(noise)
    self.asked = 0  # draws so far: the number of the next
    self.groups: list[Any] = []  # the votes so far of what was asked for last, int64[classes] each
    self.waiting = 0  # draws of it that have not arrived
    self.outcome: Outcome | None = None


class _Images:
  """The images from the first undecided one on, their requests in `work`, and how many are undecided."""

  def __init__(self, examples: Iterable[Example], procedure: Procedure, noise: Noise, inputs: Inputs) -> None:
    self._examples, self._procedure, self._noise = iter(examples), procedure, noise
    self._inputs, self._count = inputs, 0
    self.small = WORD  # requests of more draws are served in the images' order, after those that are not
    self._started: collections.deque[_Image] = collections.deque()
    self._kind: np.ndarray | None = None  # the first image; all others have its shape and dtype
    self.work = Work()
    self.undecided = 0

  def start(self) -> np.ndarray | None:
    """Takes the next image, or None where there is none."""
    example = next(self._examples, None)
    if example is None:
      return None
    index, array = checked(example, self._kind, self._inputs)
    check_image(self._noise, array)
    self._kind = array if self._kind is None else self._kind
    image = _Image(index, array, self._procedure, self._noise, self._count)
    self._count += 1
    self._started.append(image)
    self.undecided += 1
    self._advance(image, None)
    return array

  def add(self, image: _Image, group: int, found: Any, draws: int) -> None:
    """Brings an image what a group has found, with `draws` more of the draws that it asked for."""
    image.groups[group] = found
    image.waiting -= draws
    if not image.waiting:
      self._advance(image, tuple(image.groups))

  def decided(self) -> Iterator[tuple[int, Outcome]]:
    """The outcomes that are next in the images' order."""
    while self._started and (outcome := self._started[0].outcome) is not None:
      yield self._started.popleft().index, outcome

  def end(self) -> Iterator[tuple[int, Outcome]]:
    """The outcomes of the last looks, up to the first image that has passed none."""
    while self._started:
      image = self._started.popleft()
      outcome = end_now(image.steps) if image.outcome is None else image.outcome
      if outcome is None:
        return
      yield image.index, outcome

  def _advance(self, image: _Image, groups: tuple[NDArray[np.int64], ...] | None) -> None:
    """Lets the image's procedure ask for more, or end."""
    try:
      asked = next(image.steps) if groups is None else image.steps.send(groups)
    except StopIteration as end:
      image.outcome = end.value
      self.undecided -= 1
      return
    if not asked or min(asked) < 1 or image.asked + sum(asked) > WORD:
      raise ValueError(f"a procedure must ask for at least 1 draw, and 2**32 in all at most, got {asked}")
    image.groups = [0] * len(asked)
    image.waiting = sum(asked)
    order = 0 if sum(asked) <= self.small else 1 + image.place
    for group, count in enumerate(asked):
      self.work.add(Request(image.image, image.index, image.asked, count, (image, group), order))
      image.asked += count


def _fewer_rows(execution: Resolved, error: jax.errors.JaxRuntimeError) -> Resolved:
  """Half the rows after a lack of memory; raises what else went wrong."""
  if not votes.out_of_memory(error):
    raise error
  rows, mesh = execution.rows, execution.mesh
  fewer = rows // 2 // mesh.size * mesh.size
  if fewer == 0 or jax.process_count() > 1:  # one process alone cannot change the program of all
    raise InputError(
      f"a device's memory is too small for {rows} noisy images per step: give fewer `rows`"
    ) from error
  logger.warning("memory is too small for %d noisy images per step: going on with %d", rows, fewer)
  return Resolved(fewer, mesh, execution.depth, execution.images)

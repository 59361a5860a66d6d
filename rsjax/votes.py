"""Noisy rows to votes: the one hot program of certification.

A device step has a fixed number of rows. A row is one noisy draw of one image: (slot, draw number).
The step gathers the rows' images, adds their noise, classifies, and returns votes[slot, class]. Rows
of different images share a step, so that a hundred selection draws, a hundred thousand estimation
draws and the last rows of a run all go through one compiled program, full.

  >>> requests = [Request(image, index=0, first=0, count=1000)]
  >>> [votes] = count_votes(apply, variables, requests, seed=0, sigma=0.25)
  >>> int(votes.sum())
  1000

Who asks for which draws is not this module's concern: see `smoothing`. Nothing in `Execution` can
change what is certified; it decides how fast votes come.
"""

import collections
import dataclasses
import functools
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from rsjax import devices, noise, packing
from rsjax.errors import InputError
from rsjax.packing import Request

_MOST_ROWS = 2**24

logger = logging.getLogger("rsjax")


@dataclasses.dataclass(frozen=True)
class Execution:
  """What decides speed and memory, and never a result.

  Attributes:
    rows: noisy images per device step, over all devices; rounded up to a multiple of their number.
      None: chosen from the image's size (`default_rows`); `tuning.best_rows` finds better ones.
    mesh: one-axis mesh over which rows are sharded. None: all devices.
    depth: steps dispatched ahead of the one whose votes are being read.
  """

  rows: int | None = None
  mesh: Mesh | None = None
  depth: int = 4

  def __post_init__(self):
    if self.rows is not None and not 1 <= self.rows <= _MOST_ROWS:
      raise InputError(f"rows per step must be from 1 to {_MOST_ROWS}, got {self.rows}")

  def resolve(self, image_shape):
    """The same with every choice made, for images of (h, w, c)."""
    mesh = self.mesh or devices.draws_mesh()
    rows = self.rows or default_rows(image_shape, mesh)
    return Execution(-(-rows // mesh.size) * mesh.size, mesh, self.depth)


def count_votes(
  apply: Callable,
  variables,
  requests: Iterable[Request],
  *,
  seed: int,
  sigma: float,
  execution: Execution = Execution(),
  smallest_count: int = 1,
  progress: Callable[[int], None] = lambda draws: None,
) -> Iterator[np.ndarray]:
  """Yields the votes of each request, in order; takes requests only as rows become free.

  Args:
    apply: pure function (variables, float32[b, h, w, c]) -> logits[b, classes], each row's logits
      independent of the other rows.
    variables: its pytree of arrays.
    requests: all of one image shape and dtype.
    seed, sigma: of the noise; sigma in units of [0, 1] pixels.
    execution: rows, mesh and depth.
    smallest_count: what most requests ask for at least; sizes the table of images in a step.
    progress: called with the number of draws whose votes have arrived, each time some have.

  Yields:
    int64[classes] per request. A draw whose logits are not all finite votes for nobody: how many
    did is the request's count less the sum.
  """
  requests = iter(requests)
  first = next(requests, None)
  if first is None:
    return
  work = packing.Work(itertools.chain([first], packing.of_one_kind(first, requests)))
  execution = execution.resolve(first.image.shape)
  mesh, rows = execution.mesh, execution.rows
  num_classes = class_count(apply, variables, first.image.shape)
  everywhere, over_draws = NamedSharding(mesh, P()), NamedSharding(mesh, P(devices.AXIS))
  variables, seed, sigma = devices.put((variables, np.uint32(seed), np.float32(sigma)), everywhere)
  apply = _hashable(apply)

  held_of, held = [], ()  # the images on the devices, and of what
  in_flight = collections.deque()  # (segments, their votes on the device), the oldest first
  total = np.zeros(num_classes, np.int64)  # of the request that is being read
  while in_flight or work:
    slots = rows // smallest_count + 2
    try:
      segments = work.take(rows, slots)
      if segments:
        in_flight.append((segments, None))  # so that they are not lost where the dispatch fails
        of = [segment.request for segment in segments]
        if not _same(of, held_of):  # most steps are of the same image as the one before
          held_of, held = of, devices.put(packing.step_images(segments, slots), everywhere)
        draws = devices.put(packing.step_draws(segments, rows, slots), over_draws)
        step = _make_step(apply, mesh, rows, slots, num_classes)
        in_flight[-1] = segments, step(variables, seed, sigma, *held, *draws)
        if len(in_flight) <= execution.depth:
          continue
      segments, votes = in_flight[0]
      votes = jax.device_get(votes)  # waits for the step
      in_flight.popleft()
    except jax.errors.JaxRuntimeError as error:
      rows = _fewer_rows(rows, mesh, error)
      work.put_back(segment for segments, _ in in_flight for segment in segments)
      in_flight.clear()
      held_of = []  # of another number of slots
      continue
    progress(sum(segment.count for segment in segments))
    for slot, segment in enumerate(segments):
      total = total + votes[slot]
      if segment.last:
        yield total
        total = np.zeros(num_classes, np.int64)


def memory_needed(apply, variables, image_shape, execution, smallest_count=1):
  """Bytes that a step of `count_votes` on uint8 images needs on each device; compiles it."""
  mesh, rows = execution.mesh, execution.rows
  slots = rows // smallest_count + 2
  request = Request(np.zeros(image_shape, np.uint8), 0, 0, rows)
  segments = packing.Work([request]).take(rows, slots)
  everywhere, over_draws = NamedSharding(mesh, P()), NamedSharding(mesh, P(devices.AXIS))
  images = packing.step_images(segments, slots)
  arguments = devices.put((variables, np.uint32(0), np.float32(1), *images), everywhere)
  arguments += devices.put(packing.step_draws(segments, rows, slots), over_draws)
  step = _make_step(_hashable(apply), mesh, rows, slots, class_count(apply, variables, image_shape))
  analysis = step.lower(*arguments).compile().memory_analysis()
  sizes = ("temp_size_in_bytes", "argument_size_in_bytes", "output_size_in_bytes")
  return sum(getattr(analysis, size, 0) for size in sizes)


def out_of_memory(error):
  """Whether an error of the runtime is a lack of memory, which fewer rows can mend."""
  return isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)


def _fewer_rows(rows, mesh, error):
  """Half the rows after a lack of memory; raises what else went wrong."""
  if not out_of_memory(error):
    raise error
  fewer = rows // 2 // mesh.size * mesh.size
  if fewer == 0 or jax.process_count() > 1:  # one process alone cannot change the program of all
    raise InputError(
      f"a device's memory is too small for {rows} noisy images a step: give fewer (--batch)"
    ) from error
  logger.warning("memory is too small for %d noisy images a step: going on with %d", rows, fewer)
  return fewer


def class_count(apply, variables, image_shape):
  """The number of classes that `apply` answers with, found without compiling it.

  Raises:
    InputError: if `apply` does not take such images or does not return [rows, classes].
  """
  rows = jax.ShapeDtypeStruct((2, *image_shape), jnp.float32)
  try:
    logits = jax.eval_shape(apply, variables, rows)
  except Exception as error:
    raise InputError(f"the classifier does not take images of {image_shape}: {error}") from error
  if not hasattr(logits, "shape") or logits.ndim != 2 or logits.shape[0] != 2:
    raise InputError(f"apply(variables, float32[2, h, w, c]) must be logits[2, classes], got {logits}")
  if logits.shape[1] < 2:
    raise InputError("the classifier gives one logit, whose argmax is always class 0: give one for each class")
  return logits.shape[1]


def default_rows(image_shape, mesh):
  """Rows per step where none are asked for: a power of two, by the size of an image."""
  values = 2**17 if mesh.devices.flat[0].platform == "cpu" else 2**23
  rows = max(16, min(16384, values // int(np.prod(image_shape))))
  return 2 ** (rows.bit_length() - 1) * mesh.size


def _hashable(function):
  try:
    hash(function)
  except TypeError:  # a callable object that compares by value
    return lambda *args: function(*args)
  return function


@functools.lru_cache(maxsize=8)
def _make_step(apply, mesh, rows, slots, num_classes):
  """step(variables, seed, sigma, images, index, slot, draw) -> votes: int32[slots, classes]."""

  def local_votes(variables, seed, sigma, images, index, slot, draw):
    # images: uint8 or float32[slots, h, w, c]; index: uint32[slots]; slot, draw: [rows / devices].
    # Rows that nobody asked for have slot == slots: they are classified as any other and not counted.
    source = jnp.minimum(slot, slots - 1)
    if images.dtype == jnp.uint8:
      images = images.astype(jnp.float32) / 255
    z = noise.standard_normal(noise.base_key(seed), index[source], draw, images.shape[1:])
    logits = apply(variables, images[source] + sigma * z).astype(jnp.float32)
    valid = jnp.isfinite(logits).all(-1).astype(jnp.int32)
    votes = jnp.zeros((slots, num_classes), jnp.int32)
    return votes.at[slot, logits.argmax(-1)].add(valid, mode="drop")[None]

  sharded = jax.shard_map(
    local_votes,
    mesh=mesh,
    in_specs=(P(), P(), P(), P(), P(), P(devices.AXIS), P(devices.AXIS)),
    out_specs=P(devices.AXIS),
    check_vma=False,  # it would refuse an `apply` with loops that start from zeros
  )
  return devices.jit(
    lambda *args: sharded(*args).sum(0),
    mesh.devices.flat[0],
    out_shardings=NamedSharding(mesh, P()),
  )


def _same(some, others):
  """Whether two lists are of the same objects."""
  return len(some) == len(others) and all(a is b for a, b in zip(some, others))

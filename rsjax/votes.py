"""Noisy rows to votes: the one hot program of certification.

A device step has a fixed number of rows. A row is one noisy draw of one image: (slot, draw number).
The step gathers the rows' images, adds their noise, classifies, and returns votes[slot, class]. Rows
of different images share a step, so that a hundred selection draws, a hundred thousand estimation
draws and the last rows of a run all go through one compiled program, full.

  >>> requests = [Request(image, index=0, first=0, count=100_000)]
  >>> [votes] = count_votes(apply, variables, requests, seed=0, sigma=0.25)

Who asks for which draws is not this module's concern: see `smoothing`. Nothing in `Execution` can
change what is certified; it decides how fast votes come.
"""

import collections
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from rsjax import devices, noise
from rsjax.errors import InputError

_MOST_ROWS = 2**24


@dataclasses.dataclass(frozen=True)
class Execution:
  """What decides speed and memory, and never a result.

  Attributes:
    rows: noisy images per device step, over all devices; rounded up to a multiple of their number.
      None: chosen from the image's size (`default_rows`).
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


@dataclasses.dataclass(frozen=True)
class Request:
  """Draws wanted of one image: numbers first, first + 1, ..., first + count - 1; count >= 1.

  `image` is uint8[h, w, c] in 0..255 or float32[h, w, c] in [0, 1], and must not be changed afterwards;
  `index` names it to the noise.
  """

  image: np.ndarray
  index: int
  first: int
  count: int


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
  requests = _of_one_kind(first, requests)
  execution = execution.resolve(first.image.shape)
  slots = execution.rows // smallest_count + 2
  num_classes = class_count(apply, variables, first.image.shape)
  step = _make_step(_hashable(apply), execution.mesh, execution.rows, slots, num_classes)
  variables = jax.device_put(variables, NamedSharding(execution.mesh, P()))
  seed, sigma = np.uint32(seed), np.float32(sigma)

  in_flight = collections.deque()
  total = np.zeros(num_classes, np.int64)  # of the request that is being read

  def read_oldest():
    nonlocal total
    segments, votes = in_flight.popleft()
    votes = np.asarray(votes)  # waits for the step
    progress(sum(segment.count for segment in segments))
    for slot, segment in enumerate(segments):
      total = total + votes[slot]
      if segment.last:
        yield total
        total = np.zeros(num_classes, np.int64)

  for segments in _pack(requests, execution.rows, slots):
    arrays = _step_arrays(segments, execution.rows, slots)
    in_flight.append((segments, step(variables, seed, sigma, *arrays)))
    if len(in_flight) > execution.depth:
      yield from read_oldest()
  while in_flight:
    yield from read_oldest()


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


class _Segment(NamedTuple):
  """The part of a request that is done in one step, in the slot that is its place in the step."""

  request: Request
  first: int
  count: int
  last: bool  # whether the request ends with it


def _pack(requests, rows, slots):
  """Cuts requests into steps, lists of at most `slots` segments that fill `rows` rows."""
  segments, room = [], rows
  for request in requests:
    done = 0
    while done < request.count:
      count = min(request.count - done, room)
      done, room = done + count, room - count
      segments.append(_Segment(request, request.first + done - count, count, done == request.count))
      if room == 0 or len(segments) == slots:
        yield segments
        segments, room = [], rows
  if segments:
    yield segments


def _step_arrays(segments, rows, slots):
  """A step's arguments: images[slots, h, w, c], index[slots], slot[rows], draw[rows]."""
  image = segments[0][0].image
  images = np.zeros((slots, *image.shape), image.dtype)
  index = np.zeros(slots, np.uint32)
  slot = np.full(rows, slots, np.int32)
  draw = np.zeros(rows, np.uint32)
  row = 0
  for s, (request, first, count, _) in enumerate(segments):
    images[s], index[s] = request.image, request.index
    slot[row : row + count] = s
    draw[row : row + count] = np.arange(first, first + count)
    row += count
  return images, index, slot, draw


def _of_one_kind(first, requests):
  yield first
  for request in requests:
    if request.image.shape != first.image.shape or request.image.dtype != first.image.dtype:
      raise InputError(
        f"images must be of one shape and dtype: image {first.index} is {first.image.dtype}"
        f"{list(first.image.shape)}, image {request.index} {request.image.dtype}{list(request.image.shape)}"
      )
    yield request

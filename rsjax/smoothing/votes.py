"""Turns noisy rows into votes: the one compiled program of certification.

A device step has a fixed number of rows. A row is one noisy draw of one image: (slot, draw number). The
step gathers the rows' images, adds their noise, classifies, and returns votes[slot, class]. Rows of
different images share a step, so that a hundred selection draws, a hundred thousand estimation draws and
the last rows of a run all go through one compiled program, full.

Which draws are made is not this module's concern: see `scheduling`.
"""

import collections
import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from rsjax import devices
from rsjax.errors import InputError
from rsjax.noise import Gaussian, Noise, images_and_valid, threefry
from rsjax.smoothing import packing
from rsjax.smoothing.execution import Resolved
from rsjax.smoothing.packing import Request, Segment

# The base classifier: (variables, float32[b, h, w, c] in [0, 1] plus noise) -> logits[b, classes], or of other
# arrays, see `inputs`. Pure, and
# each row's logits independent of the other rows.
Apply: TypeAlias = Callable[[Any, jax.Array], jax.Array]

_ONLY = "return only the logits, an array"
_REAL = "return one per class, or give a function of real numbers to certify_value"


class Steps:
  """Device steps of one program, dispatched ahead and read in order.

  Args:
    apply, variables: the base classifier.
    noise: how rows are perturbed.
    seed: of the noise.
    execution: rows and mesh.
    image_shape: (h, w, c), or the shape of other arrays.
  """

  def __init__(
    self,
    apply: Apply,
    variables: Any,
    noise: Noise,
    seed: int,
    execution: Resolved,
    image_shape: tuple[int, ...],
  ) -> None:
    self._size = self._columns(apply, variables, image_shape)
    self._apply, self._perturb, self._execution = _hashable(apply), noise.perturb, execution
    self._everywhere = NamedSharding(execution.mesh, P())
    self._over_draws = NamedSharding(execution.mesh, P(devices.AXIS))
    weights = devices.put_weights(variables, self._everywhere)
    self._constants = (weights, *devices.put((np.uint32(seed), noise.parameters()), self._everywhere))
    self._held_of: list[Request] = []  # the requests whose images are on the devices
    self._held: Any = ()
    self._in_flight: collections.deque[tuple[list[Segment], Any]] = collections.deque()  # the oldest first

  def __len__(self) -> int:
    """How many steps were dispatched but not read."""
    return len(self._in_flight)

  def dispatch(self, segments: list[Segment]) -> None:
    """Starts a step; does not wait."""
    rows, slots = self._execution.rows, self._execution.slots
    self._in_flight.append((segments, None))  # so that they are not lost where the dispatch fails
    wanted = [segment.request for segment in segments]
    if not _same_images(wanted, self._held_of):  # most steps are of the same image as the one before
      images = packing.step_images(segments, slots)
      self._held_of, self._held = wanted, devices.put(images, self._everywhere)
    draws = devices.put(packing.step_draws(segments, rows, slots), self._over_draws)
    step = self._make(self._apply, self._perturb, self._execution.mesh, rows, slots, self._size)
    self._in_flight[-1] = segments, step(*self._constants, *self._held, *draws)

  def read(self) -> tuple[list[Segment], Sequence[np.ndarray]]:
    """(segments, int32[slots, classes] votes) of the oldest step; waits for it."""
    segments, votes = self._in_flight[0]
    votes = jax.device_get(votes)
    self._in_flight.popleft()
    return segments, votes

  def restart(self, execution: Resolved) -> list[Segment]:
    """Drops all steps in flight, for a program of another size; returns the segments to do again."""
    lost = [segment for segments, _ in self._in_flight for segment in segments]
    self._in_flight.clear()
    self._held_of, self._execution = [], execution
    return lost

  @staticmethod
  def joined(before: Any, found: np.ndarray) -> Any:
    """What a group of draws has found so far, 0 at first, and what a step has found for it: int64[classes]."""
    return before + found.astype(np.int64)

  @staticmethod
  def _columns(apply: Apply, variables: Any, image_shape: tuple[int, ...]) -> int:
    """How many numbers there are for each slot."""
    return class_count(apply, variables, image_shape)

  @staticmethod
  def _make(*sizes: Any) -> Any:
    """The compiled step."""
    return _make_step(*sizes)


def memory_needed(
  apply: Apply,
  variables: Any,
  image_shape: tuple[int, ...],
  execution: Resolved,
  noise: Noise = Gaussian(1.0),
) -> int:
  """Bytes that a step on uint8 images needs on each device; compiles it."""
  mesh, rows, slots = execution.mesh, execution.rows, execution.slots
  segments = [Segment(Request(np.zeros(image_shape, np.uint8), 0, 0, rows), 0, rows)]
  everywhere, over_draws = NamedSharding(mesh, P()), NamedSharding(mesh, P(devices.AXIS))
  images = packing.step_images(segments, slots)
  arguments = (devices.put_weights(variables, everywhere),)
  arguments += devices.put((np.uint32(0), noise.parameters(), *images), everywhere)
  arguments += devices.put(packing.step_draws(segments, rows, slots), over_draws)
  num_classes = class_count(apply, variables, image_shape)
  step = _make_step(_hashable(apply), noise.perturb, mesh, rows, slots, num_classes)
  analysis = step.lower(*arguments).compile().memory_analysis()
  sizes = ("temp_size_in_bytes", "argument_size_in_bytes", "output_size_in_bytes")
  return sum(getattr(analysis, size, 0) for size in sizes)


def out_of_memory(error: Exception) -> bool:
  """Whether a runtime error is a lack of memory, which fewer rows can cure."""
  return isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)


def class_count(apply: Apply, variables: Any, image_shape: tuple[int, ...]) -> int:
  """The number of classes that `apply` answers with, found without compiling it.

  Raises:
    InputError: if `apply` does not return [rows, classes]. Exceptions of `apply` itself are passed on, with a
      note of how it was called.
  """
  logits = traced(apply, variables, image_shape)
  if not hasattr(logits, "shape") or logits.ndim != 2 or logits.shape[0] != 2:
    given = f"float32{[2, *image_shape]}"
    dtype, shape = getattr(logits, "dtype", None), getattr(logits, "shape", None)
    hint = f": {_ONLY}" if shape is None else ""
    if shape == (2,):
      real = dtype is not None and jnp.issubdtype(dtype, jnp.floating)
      hint = f": {_REAL}" if real else ": return the logits, not their argmax"
    raise InputError(f"apply(variables, {given}) must return logits[2, classes], got {returned(logits)}{hint}")
  if logits.shape[1] < 2:
    raise InputError(f"the classifier returns one logit, whose argmax is always class 0: {_REAL}")
  return logits.shape[1]


def returned(found: Any) -> str:
  """What `apply` returned, in words, of what `traced` gives: dtype and shape, or what else it is."""
  if hasattr(found, "shape"):
    return f"{found.dtype}{list(found.shape)}"
  if isinstance(found, dict):
    return f"a {type(found).__name__} of {', '.join(map(str, found))}"
  return f"a {type(found).__name__}" + (f" of {len(found)}" if isinstance(found, tuple | list) else "")


def traced(apply: Apply, variables: Any, image_shape: tuple[int, ...]) -> Any:
  """The shape and dtype of what `apply` returns for two images, found without compiling it.

  Exceptions of `apply` are passed on, with a note of how it was called.
  """
  rows = jax.ShapeDtypeStruct((2, *image_shape), jnp.float32)
  try:
    return jax.eval_shape(apply, variables, rows)
  except InputError:  # of rsjax's own classifiers: it says what is wrong
    raise
  except Exception as error:
    asked = (
      "is it for images of this shape, and written with jax.numpy, not with NumPy, scikit-learn or PyTorch?"
    )
    if isinstance(error, jax.errors.TracerArrayConversionError):
      asked = (
        "NumPy and what uses it, such as scikit-learn, cannot compute with JAX's arrays: write apply with "
        "jax.numpy (docs/frameworks.md has the lines for linear models and others)"
      )
    called = f"apply(variables, float32{list(rows.shape)})"
    error.add_note(f"raised by the classifier, called as {called} while JAX compiles it: {asked}")
    raise


def _hashable(function: Apply) -> Apply:
  try:
    hash(function)
  except TypeError:  # a callable object that compares by value
    return lambda *args: function(*args)
  return function


@functools.lru_cache(maxsize=8)
def _make_step(apply: Apply, perturb: Callable, mesh: Mesh, rows: int, slots: int, num_classes: int) -> Any:
  """step(variables, seed, parameters, images, index, slot, draw) -> votes: int32[slots, classes]."""
  apply = devices.keep_nan(apply, mesh.devices.flat[0].platform)

  def local_votes(variables, noisy, drawn, slot):
    logits = apply(variables, noisy).astype(jnp.float32)
    valid = (jnp.isfinite(logits).all(-1) & drawn).astype(jnp.int32)
    votes = jnp.zeros((slots, num_classes), jnp.int32)
    return votes.at[slot, logits.argmax(-1)].add(valid, mode="drop")[None]

  return program(local_votes, lambda votes: votes.sum(0), perturb, mesh, slots)


def program(answer: Callable, joined: Callable, perturb: Callable, mesh: Mesh, slots: int) -> Any:
  """The compiled step(variables, seed, parameters, images, index, slot, draw), its rows sharded over the mesh.

  Args:
    answer: (variables, float32[rows, h, w, c], whether each draw is valid, slot) -> an array, for the rows of
      one device. Rows that nobody asked for have slot == slots: they are classified as any other and not
      counted. A draw that is not valid is classified, but not counted.
    joined: from the arrays of all devices, one after the other, to what the step returns.
    perturb: of the noise.
    mesh, slots: as for `_make_step`.
  """

  def local(variables, seed, parameters, images, index, slot, draw):
    # images: uint8 or float32[slots, h, w, c]; index: uint32[slots]; slot, draw: [rows / devices].
    source = jnp.minimum(slot, slots - 1)
    if images.dtype == jnp.uint8:
      images = images.astype(jnp.float32) / 255
    perturbed = perturb(parameters, threefry.base_key(seed), index[source], draw, images[source])
    noisy, drawn = images_and_valid(perturbed)
    return answer(variables, noisy, drawn, slot)

  sharded = jax.shard_map(
    local,
    mesh=mesh,
    in_specs=(P(), P(), P(), P(), P(), P(devices.AXIS), P(devices.AXIS)),
    out_specs=P(devices.AXIS),
    check_vma=False,  # it would refuse an `apply` with loops that start from zeros
  )
  return devices.jit(
    lambda *args: joined(sharded(*args)),
    mesh.devices.flat[0],
    out_shardings=NamedSharding(mesh, P()),
  )


def _same_images(some: list[Request], others: list[Request]) -> bool:
  """Whether two lists of requests are of the same images, one by one."""
  return len(some) == len(others) and all(a.image is b.image for a, b in zip(some, others))

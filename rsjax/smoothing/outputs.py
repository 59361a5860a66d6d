"""The outputs of a real function for noisy images, as they are: what medians are bounded by.

The rows, images and noise of a step are those of `votes`. Its program returns each row's outputs, and the host
keeps those of an image until all are there: float32[n, outputs].
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from rsjax import devices
from rsjax.errors import InputError
from rsjax.smoothing import votes
from rsjax.smoothing.packing import Segment


class OutputSteps(votes.Steps):
  """Device steps whose answer is each row's outputs; a void draw's are NaN."""

  def read(self) -> tuple[list[Segment], Sequence[np.ndarray]]:
    """(segments, float32[count, outputs] of each) of the oldest step; waits for it."""
    segments, found = super().read()
    ends = np.cumsum([segment.count for segment in segments])
    return segments, np.split(np.asarray(found)[: ends[-1]], ends[:-1])

  @staticmethod
  def joined(before: Any, found: np.ndarray) -> Any:
    """The arrays of outputs that a group of draws has so far, 0 at first, and one more."""
    return [*(before or ()), found]

  @staticmethod
  def _columns(apply: votes.Apply, variables: Any, image_shape: tuple[int, ...]) -> int:
    return size(output_shape(apply, variables, image_shape))

  @staticmethod
  def _make(*sizes: Any) -> Any:
    return _make_step(*sizes)


def output_shape(apply: votes.Apply, variables: Any, image_shape: tuple[int, ...]) -> tuple[int, ...]:
  """The shape of what `apply` returns for an image, () or (outputs,), found without compiling it.

  Raises:
    InputError: if `apply` does not return [rows] or [rows, outputs] of real numbers.
  """
  found = votes.traced(apply, variables, image_shape)
  shape: tuple[int, ...] = getattr(found, "shape", ())
  if len(shape) not in (1, 2) or shape[0] != 2 or 0 in shape or jnp.iscomplexobj(found):
    mend = "" if hasattr(found, "shape") else ": return only these numbers, an array"
    raise InputError(
      f"apply(variables, float32{[2, *image_shape]}) must return real numbers, [2] or [2, outputs], got "
      f"{votes.returned(found)}{mend}"
    )
  if not jnp.issubdtype(found.dtype, jnp.floating):
    raise InputError(
      f"apply must return real numbers to certify_value, got {found.dtype}{list(shape)}: for the number of a "
      "class, return the logits and use certify; for other numbers, return them as .astype(jnp.float32)"
    )
  return shape[1:]


def size(shape: tuple[int, ...]) -> int:
  """How many outputs there are for an image."""
  return math.prod(shape)


def as_columns(apply: votes.Apply, copies: int = 1) -> votes.Apply:
  """The function whose outputs are float[rows, outputs], also where those of `apply` are [rows].

  copies: 2: all outputs twice, for what takes two logits at least.
  """

  def outputs(variables: Any, images: jax.Array) -> jax.Array:
    found = apply(variables, images)
    found = found.reshape(len(images), -1)
    return jnp.tile(found.astype(jnp.promote_types(found.dtype, jnp.float32)), (1, copies))

  return outputs


@functools.lru_cache(maxsize=8)
def _make_step(apply: votes.Apply, perturb: Callable, mesh: Mesh, rows: int, slots: int, size: int) -> Any:
  """step(variables, seed, parameters, images, index, slot, draw) -> float[rows, size]."""
  del rows, size  # of the arguments' shapes
  outputs = devices.keep_nan(as_columns(apply), mesh.devices.flat[0].platform)

  def local_outputs(variables, noisy, drawn, slot):
    del slot
    return jnp.where(jnp.reshape(drawn, (-1, 1)), outputs(variables, noisy), jnp.nan)

  return votes.program(local_outputs, lambda found: found, perturb, mesh, slots)

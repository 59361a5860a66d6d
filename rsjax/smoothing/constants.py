"""A digest of the arrays that a function holds itself: weights in a closure, which its variables do not show.

>>> from rsjax import devices
>>> weights = np.eye(3, dtype=np.float32)
>>> digest(devices.jit(lambda x: x @ weights), np.zeros((2, 3), np.float32))[:8]
'8ed323bc'
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np


def digest(jitted: Any, *arguments: Any) -> str:
  """SHA-256 of the arrays that a jitted function holds; numbers that stand in its code are none.

  Each array counts once, in whatever order JAX finds them. The trace is that of a call with such arguments.

  Args:
    jitted: what `jax.jit` returned.
    arguments: arrays, or `jax.ShapeDtypeStruct`, as for a call.
  """
  found = {_of(array) for array in _arrays(jitted.trace(*arguments).jaxpr)}
  return hashlib.sha256("".join(sorted(found)).encode()).hexdigest()


def _of(array: np.ndarray) -> str:
  content = f"{array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes()
  return hashlib.sha256(content).hexdigest()


def _arrays(program: Any) -> Iterator[np.ndarray]:
  """The arrays in a jaxpr, and in those within it."""
  for constant in getattr(program, "consts", ()):
    if np.ndim(constant):
      yield _array(constant)
  for equation in getattr(program, "jaxpr", program).eqns:
    for operand in equation.invars:
      if np.ndim(getattr(operand, "val", 0)):  # a literal's
        yield _array(operand.val)
    for inner in jax.tree_util.tree_leaves([*equation.params.values()], is_leaf=_is_program):
      if _is_program(inner):
        yield from _arrays(inner)


def _is_program(value: Any) -> bool:
  return hasattr(value, "eqns") or hasattr(getattr(value, "jaxpr", None), "eqns")


def _array(constant: Any) -> np.ndarray:
  if isinstance(constant, jax.Array) and jax.dtypes.issubdtype(constant.dtype, jax.dtypes.prng_key):
    constant = jax.random.key_data(constant)
  return np.asarray(constant)

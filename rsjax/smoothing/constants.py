"""Digests of a function as JAX traces it: of the numbers that it holds itself, and of its whole program.

Weights in a closure are numbers that its variables do not show. A pure function has one program, however often
it is traced.

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
  """SHA-256 of the arrays, and of the floating-point numbers, that a jitted function holds or that stand in it.

  Each counts once, in whatever order JAX finds them. The numbers 0 and 1 do not count: the same function may be
  written with and without them. The function is traced as for a call with such arguments.

  Args:
    jitted: what `jax.jit` returned.
    arguments: arrays, or `jax.ShapeDtypeStruct`, as for a call.
  """
  found = {_of(array) for array in _arrays(jitted.trace(*arguments).jaxpr)}
  return hashlib.sha256("".join(sorted(found)).encode()).hexdigest()


def program(function: Any, *arguments: Any) -> str:
  """SHA-256 of what the function is traced to, with its numbers: another each time if Python draws some.

  It is traced anew each time. A function within it that is compiled by itself is not, if it was before: JAX
  keeps its trace (for each default device).

  Args:
    function: a function of arrays.
    arguments: as for `digest`.
  """
  found = hashlib.sha256()
  for part in _parts(jax.make_jaxpr(lambda *given: function(*given))(*arguments)):
    found.update(part.encode())
  return found.hexdigest()


def _parts(program: Any) -> Iterator[str]:
  """What a jaxpr computes, and of which numbers; variables are numbered as they come."""
  yield from map(_of, map(_array, getattr(program, "consts", ())))
  program = getattr(program, "jaxpr", program)
  known: dict[Any, int] = {}
  of = lambda v: _of(_array(v.val)) if hasattr(v, "val") else f" {known.setdefault(v, len(known))}"
  yield from map(of, [*program.constvars, *program.invars])
  for equation in program.eqns:
    yield equation.primitive.name
    yield from map(of, equation.invars)
    for inner in jax.tree_util.tree_leaves([*equation.params.values()], is_leaf=_is_program):
      if _is_program(inner):
        yield from _parts(inner)
      elif isinstance(inner, bool | int | float | np.ndarray | np.generic | jax.Array):
        yield _of(_array(inner))
    yield from map(of, equation.outvars)
  yield from map(of, program.outvars)


def _of(array: np.ndarray) -> str:
  content = f"{array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes()
  return hashlib.sha256(content).hexdigest()


def _arrays(program: Any) -> Iterator[np.ndarray]:
  """The arrays in a jaxpr, and in those within it."""
  yield from map(_array, getattr(program, "consts", ()))
  for equation in getattr(program, "jaxpr", program).eqns:
    for operand in equation.invars:
      literal = _array(getattr(operand, "val", 0))
      if literal.ndim or (jax.dtypes.issubdtype(literal.dtype, np.floating) and float(literal) not in (0, 1)):
        yield literal
    for inner in jax.tree_util.tree_leaves([*equation.params.values()], is_leaf=_is_program):
      if _is_program(inner):
        yield from _arrays(inner)


def _is_program(value: Any) -> bool:
  return hasattr(value, "eqns") or hasattr(getattr(value, "jaxpr", None), "eqns")


def _array(constant: Any) -> np.ndarray:
  if isinstance(constant, jax.Array) and jax.dtypes.issubdtype(constant.dtype, jax.dtypes.prng_key):
    constant = jax.random.key_data(constant)
  return np.asarray(constant)

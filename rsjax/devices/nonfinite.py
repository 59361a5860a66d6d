"""Keeps NaN a NaN, also in programs whose convolutions are oneDNN's.

XLA hands a ReLU (and ReLU6) after a convolution to oneDNN, whose ReLU of NaN is 0: a broken network would then
give finite logits, and vote. A maximum that is written as a comparison is not handed over, and is equivalent.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import ClosedJaxpr, Literal

from rsjax.devices.compiling import onednn

# What calls a function and does no more; JAX's versions differ in the names.
_CALLS = {"jit", "pjit", "closed_call", "core_call", "remat2", "checkpoint"}
_CALLS |= {"custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"}


def keep_nan(function: Callable, platform: str) -> Callable:
  """`function` itself, or, if oneDNN may compute it, the same function without maxima.

  Args:
    function: from trees of arrays to a tree of arrays; the returned function must not be differentiated.
    platform: the platform of the device that it is compiled for.
  """
  if platform != "cpu" or not onednn():
    return function

  def kept(*args: Any) -> Any:
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(*args)
    return jax.tree.unflatten(jax.tree.structure(shapes), _evaluate(closed, jax.tree.leaves(args)))

  return kept


def _evaluate(closed: ClosedJaxpr, values: Any) -> list[Any]:
  jaxpr = closed.jaxpr
  known = dict(zip(jaxpr.constvars, closed.consts)) | dict(zip(jaxpr.invars, values))
  read = lambda variable: variable.val if isinstance(variable, Literal) else known[variable]
  for equation in jaxpr.eqns:
    name, inputs = equation.primitive.name, [read(variable) for variable in equation.invars]
    if name == "max":
      found = [_maximum(*inputs)]
    elif name == "clamp":
      least, x, most = inputs
      x = _maximum(x, least)
      found = [jnp.where(most < x, most, x)]
    elif name in _CALLS:
      inner = next(equation.params[key] for key in ("jaxpr", "call_jaxpr") if key in equation.params)
      found = _evaluate(inner if hasattr(inner, "consts") else ClosedJaxpr(inner, ()), inputs)
    else:
      params = {key: _rewritten(value) for key, value in equation.params.items()}
      found = equation.primitive.bind(*inputs, **params)
      found = found if equation.primitive.multiple_results else [found]
    known.update(zip(equation.outvars, found))
  return [read(variable) for variable in jaxpr.outvars]


def _rewritten(value: Any) -> Any:
  """A parameter of a loop or a condition: the functions in it without maxima."""
  if isinstance(value, tuple):
    return tuple(map(_rewritten, value)) if any(isinstance(v, ClosedJaxpr) for v in value) else value
  if not isinstance(value, ClosedJaxpr):
    return value
  return jax.make_jaxpr(lambda *args: _evaluate(value, args))(*value.in_avals)


def _maximum(x: Any, y: Any) -> jax.Array:
  if not jnp.issubdtype(jnp.result_type(x, y), jnp.floating):
    return lax.max(*jnp.broadcast_arrays(x, y))
  return jnp.where(y > x, y, jnp.where(y != y, y, x))

"""Batch norm folded into the convolutions before it, for evaluation.

  >>> variables = models.init(model, jax.random.key(0), (8, 8, 1))
  >>> sorted(fold(variables, model.CONVOLUTIONS))  # of the same model with folded=True
  ['params']

In evaluation batch norm is y * k + (bias - mean * k), with k = scale / sqrt(var + epsilon) per channel:
the convolution's kernel takes k, and a bias the rest. The function is the same up to rounding. What remains,
convolution, bias, residual and ReLU, can be fused by compilers.

A model declares what may be folded, in its class attribute CONVOLUTIONS: the names of its convolutions that
compute in the model's dtype, each with the name of the norm beside it that is applied to its output directly,
or None: its weights are only cast. A model that declares a norm has a field `folded: bool = False`; if it is
true, the convolution has a bias and the norm is left out. Names alone do not tell which norm belongs to a
convolution: in a pre-activation block the one beside it comes before it. What is not declared is left as it is.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import jax
import numpy as np

from rsjax.models.layers import EPSILON

Convolutions: TypeAlias = Mapping[str, str | None]


def fold(variables: Any, convolutions: Convolutions, epsilon: float = EPSILON) -> dict[str, Any]:
  """The variables of the folded model, from the float32 variables of the unfolded one.

  They are computed in float64 and rounded once. Norms that are not declared keep their parameters and
  statistics.

  Args:
    variables: {"params": ..., "batch_stats": ...}, the latter if there are norms.
    convolutions: the model's CONVOLUTIONS.
    epsilon: of its batch norms.
  """
  params, statistics = _fold(variables["params"], variables.get("batch_stats", {}), convolutions, epsilon)
  return {"params": params, **({"batch_stats": statistics} if statistics else {})}


def cast_convolutions(variables: Any, convolutions: Convolutions, dtype: Any) -> Any:
  """The variables, with the declared convolutions' weights in `dtype`; rounds as the network would."""

  def cast(path, leaf):
    return np.asarray(leaf).astype(dtype) if path[-2].key in convolutions else leaf

  return {**variables, "params": jax.tree_util.tree_map_with_path(cast, variables["params"])}


def _fold(params: Any, statistics: Any, convolutions: Convolutions, epsilon: float) -> tuple[dict, dict]:
  """(params, statistics) of a module with what it declares folded, and that of the modules within."""
  norm_of = {name: norm for name in params if (norm := convolutions.get(name)) is not None and norm in params}
  gone = set(norm_of.values())
  left, kept = {}, {name: value for name, value in statistics.items() if name not in gone}
  for name, value in params.items():
    if name in norm_of:
      left[name] = _fold_norm(value, params[norm_of[name]], statistics[norm_of[name]], epsilon)
    elif isinstance(value, Mapping) and name not in gone:
      left[name], within = _fold(value, statistics.get(name, {}), convolutions, epsilon)
      kept = {key: within if key == name else other for key, other in kept.items()}
    elif name not in gone:
      left[name] = value
  return left, {name: value for name, value in kept.items() if not isinstance(value, Mapping) or value}


def _fold_norm(conv: Any, norm: Any, statistics: Any, epsilon: float) -> dict[str, np.ndarray]:
  mean, var, scale, bias = (
    np.asarray(a, np.float64) for a in (statistics["mean"], statistics["var"], norm["scale"], norm["bias"])
  )
  k = scale / np.sqrt(var + epsilon)
  kernel = np.asarray(conv["kernel"], np.float64) * k  # [h, w, in, out] * [out]
  before = np.asarray(conv.get("bias", 0.0), np.float64)
  return {"kernel": kernel.astype(np.float32), "bias": (bias + (before - mean) * k).astype(np.float32)}

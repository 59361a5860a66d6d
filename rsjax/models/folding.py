"""Batch norm folded into the convolutions before it, for evaluation.

  >>> variables = models.init(model, jax.random.key(0), (8, 8, 1))
  >>> sorted(fold(variables))  # of the same model with folded=True
  ['params']

In evaluation batch norm is y * k + (bias - mean * k), with k = scale / sqrt(var + epsilon) per channel:
the convolution's kernel takes k, and a bias the rest. The function is the same up to rounding, and
what is left, convolution, bias, residual and ReLU, is what compilers fuse.

Convolution convX goes with the norm bnX beside it, as the networks of this package name them.
"""

import jax
import numpy as np

from rsjax.models.layers import EPSILON


def fold(variables):
  """{"params": ...} of the folded model, from the float32 variables of the unfolded one.

  Computed in float64 and rounded once.
  """
  return {"params": _fold(variables["params"], variables.get("batch_stats", {}))}


def cast_convolutions(variables, dtype):
  """The variables with the convolutions' in the dtype they compute in; rounds as the network itself would."""

  def cast(path, leaf):
    return np.asarray(leaf).astype(dtype) if path[-2].key.startswith("conv") else leaf

  return jax.tree_util.tree_map_with_path(cast, variables)


def _fold(params, statistics):
  folded = {}
  for name, value in params.items():
    norm = params.get(name.replace("conv", "bn")) if name.startswith("conv") else None
    if name.startswith("bn"):
      continue
    if norm is not None:
      folded[name] = _fold_norm(value["kernel"], norm, statistics[name.replace("conv", "bn")])
    elif "kernel" in value:
      folded[name] = value
    else:
      folded[name] = _fold(value, statistics.get(name, {}))
  return folded


def _fold_norm(kernel, norm, statistics):
  mean, var, scale, bias = (
    np.asarray(a, np.float64) for a in (statistics["mean"], statistics["var"], norm["scale"], norm["bias"])
  )
  k = scale / np.sqrt(var + EPSILON)
  kernel = np.asarray(kernel, np.float64) * k  # [h, w, in, out] * [out]
  return {"kernel": kernel.astype(np.float32), "bias": (bias - mean * k).astype(np.float32)}

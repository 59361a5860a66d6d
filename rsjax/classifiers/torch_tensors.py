"""How the tensors of PyTorch's networks correspond to the variables here: their names, shapes and axes."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_AXES = {4: (3, 2, 0, 1), 2: (1, 0)}  # of a kernel here: PyTorch's are [out, in, h, w] and [out, in]
_LEAVES = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}


def name_of(path: Sequence[Any]) -> str:
  """PyTorch's name of a leaf of the variables: params/layer1/0/downsample/conv/kernel, and so on."""
  _, *parts, leaf = (key.key for key in path)
  if "downsample" in parts:
    parts[-1] = {"conv": "0", "bn": "1"}[parts[-1]]
  if re.fullmatch(r"block\d", parts[0] if parts else ""):
    parts.insert(1, "layer")
  return ".".join([*parts, _LEAVES.get(leaf, leaf)])


def shape_of(shape: Sequence[int]) -> tuple[int, ...]:
  """PyTorch's shape of a leaf of the variables."""
  return tuple(shape[i] for i in _AXES.get(len(shape), range(len(shape))))


def from_torch(array: np.ndarray) -> np.ndarray:
  """The leaf, float32, of PyTorch's array."""
  back = {4: (2, 3, 1, 0), 2: (1, 0)}.get(array.ndim)
  return np.ascontiguousarray(array.transpose(back) if back else array, np.float32)


def to_torch(array: np.ndarray) -> np.ndarray:
  """PyTorch's array of a leaf."""
  return array.transpose(_AXES[array.ndim]) if array.ndim in _AXES else array


def differences(has: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]]) -> list[str]:
  """What is missing, left over, or of another shape, among {name: shape}."""
  found = [f"missing {name}" for name in wanted if name not in has]
  found += [f"left over {name}" for name in has if name not in wanted]
  return found + [
    f"{name} is {list(has[name])}, not {list(shape)}"
    for name, shape in wanted.items()
    if name in has and has[name] != shape
  ]

"""Reads the published U-Nets that denoise from their PyTorch files, and accounts for every tensor.

layout = IMAGENET
params = from_published(layout, {name: array})     # names and shapes as in the file
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from rsjax.models import unet
from rsjax.models.unet import Layout


def published_names(layout: Layout) -> dict[str, tuple[int, ...]]:
  """{name in PyTorch's file: shape there} of all weights."""
  leaves = jax.tree_util.tree_flatten_with_path(_shapes(layout))[0]
  return {(name := _name(path)): _shape(name, leaf.shape) for path, leaf in leaves}


def from_published(layout: Layout, arrays: Mapping[str, np.ndarray]) -> Any:
  """{"params": ...}, float32, of {name: array}; names and shapes are those of `published_names`."""

  def taken(path: Any, leaf: Any) -> np.ndarray:
    array = arrays[_name(path)]
    axes = {4: (2, 3, 1, 0), 3: (2, 1, 0), 2: (1, 0)}.get(array.ndim, (0,))
    return np.ascontiguousarray(array.transpose(axes).reshape(leaf.shape), np.float32)

  return jax.tree_util.tree_map_with_path(taken, _shapes(layout))


def _shapes(layout: Layout) -> Any:
  return jax.eval_shape(lambda: unet.init(layout, jax.random.key(0)))


def _name(path: Sequence[Any]) -> str:
  """PyTorch's name of a leaf of the variables: params/input_blocks/1/0/op/kernel, and so on."""
  _, *parts, leaf = (key.key for key in path)
  numbered = re.compile(r"^(in_layers|emb_layers|out_layers|time_embed|out)_(\d)$")
  layers = [numbered.sub(r"\1.\2", part) for part in parts]
  return ".".join([*layers, {"kernel": "weight", "scale": "weight"}.get(leaf, leaf)])


def _shape(name: str, shape: Sequence[int]) -> tuple[int, ...]:
  """PyTorch's shape of a weight: [out, in, h, w], [out, in], and [out, in, 1] within attention."""
  if len(shape) == 4:
    return shape[3], shape[2], shape[0], shape[1]
  if len(shape) == 2:
    attention = re.search(r"\.(qkv|proj_out)\.weight$", name)
    return (shape[1], shape[0], *((1,) if attention else ()))
  return tuple(shape)

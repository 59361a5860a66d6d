"""Reads published denoisers, U-Nets and DnCNNs, from their PyTorch files, and accounts for every tensor.

    file = read("cifar10_uncond_50M_500K.pt")     # None if it is of another network
    checkpoint.save("out/denoiser", file.variables, file.metadata)

Files are read without executing anything in them. Those of U-Nets hold only weights: neither the number of
heads nor the schedule of the noise. So only files with exactly the tensors of a published one are known.
"""

import dataclasses
import hashlib
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from rsjax import files
from rsjax.classifiers import denoiser, torch_dncnn, torch_states, torch_tensors
from rsjax.classifiers.classifier import some
from rsjax.errors import InputError
from rsjax.models import unet
from rsjax.models.diffusion import Diffusion
from rsjax.models.unet import Layout

# {published file: (the process, (h, w, c) of the images that it was trained with)}
PUBLISHED = {
  "cifar10_uncond_50M_500K.pt": (Diffusion(unet.CIFAR10, "cosine", 4000, rescaled=True), (32, 32, 3)),
  "256x256_diffusion_uncond.pt": (Diffusion(unet.IMAGENET, "linear", 1000), (256, 256, 3)),
}
_FIRST, _WIDTH = "input_blocks.0.0.weight", "time_embed.0.weight"


@dataclasses.dataclass(frozen=True)
class File:
  """A denoiser's file as read.

  Attributes:
    name: of the published file that has these tensors, or the arch that a DnCNN's file records.
    variables: the tree of NumPy arrays, float32.
    metadata: of its checkpoint.
    assumed: what it is taken to have, because its tensors do not show it.
  """

  name: str
  variables: Any
  metadata: dict[str, Any]
  assumed: str


def read(path: str | pathlib.Path) -> File | None:
  """The denoiser in a PyTorch (or safetensors) file; None if the file holds none.

  Raises:
    InputError: if the file cannot be read or would run code, or if the U-Net is not a published one; tensors
      that are left over, missing or of other shapes are listed.
  """
  path = files.local(path)
  state = torch_states.load(path)
  if (dncnn := torch_dncnn.of(path, state)) is not None:
    return _file(path, *dncnn, "ReLU, batch norms with eps 1e-4")
  if not torch_states.is_state(state) or not {_FIRST, _WIDTH} <= state.keys():
    return None
  has = {name: tuple(tensor.shape) for name, tensor in state.items()}
  known = [name for name, (process, _) in PUBLISHED.items() if process.layout.width == has[_WIDTH][-1]]
  wrong = {name: torch_tensors.differences(has, published_names(PUBLISHED[name][0].layout)) for name in known}
  name = min(known, key=lambda one: len(wrong[one]), default="")
  if not name or wrong[name]:
    differs = (
      f"; it differs from {name}: {some(wrong[name], 8)}" if name else f"; its width is {has[_WIDTH][-1]}"
    )
    raise InputError(f"{path} holds a U-Net, but none that is known ({', '.join(PUBLISHED)}){differs}")
  process, image_shape = PUBLISHED[name]
  arrays = {key: tensor.detach().float().numpy() for key, tensor in state.items()}
  variables = from_published(process.layout, arrays)
  metadata = denoiser.metadata_of(process, image_shape)
  denoiser.make(variables, metadata)  # refuses weights that are not finite
  noise = f"{process.schedule} in {process.steps} steps"
  told = f"SiLU, group norms with eps 1e-5, and the heads and the noise ({noise}) of {name}"
  return _file(path, name, variables, metadata, told)


def _file(path: pathlib.Path, name: str, variables: Any, metadata: dict[str, Any], assumed: str) -> File:
  digest = hashlib.sha256(path.read_bytes()).hexdigest()
  return File(name, variables, metadata | {"origin": {"file": path.name, "sha256": digest}}, assumed)


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

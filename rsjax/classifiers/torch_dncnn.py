"""Reads a DnCNN from a PyTorch file of Salman et al. 2020, and accounts for every tensor.

    found = of(path, torch_states.load(path))     # (arch there, variables, metadata); None: another network

Such a file holds {"arch", "epoch", "state_dict", "optimizer"}. DataParallel puts "module." before the names.
"""

import pathlib
import re
from typing import Any

import jax

from rsjax.classifiers import denoiser, torch_states, torch_tensors
from rsjax.classifiers.classifier import some
from rsjax.errors import InputError
from rsjax.models import dncnn

# {arch there: (h, w, c) of the images that it was trained with}
PUBLISHED = {
  "cifar_dncnn": (32, 32, 3),
  "cifar_dncnn_wide": (32, 32, 3),
  "imagenet_dncnn": (224, 224, 3),
}
_PREFIX = re.compile(r"^(module\.)?dncnn\.")


def of(path: pathlib.Path, content: Any) -> tuple[str, Any, dict[str, Any]] | None:
  """(arch there, variables, metadata) of the DnCNN in what was read; None if it holds another network.

  Raises:
    InputError: if it does not say which DnCNN it is, or if tensors are left over, missing, of other shapes or
      not finite.
  """
  state = content.get("state_dict", content) if isinstance(content, dict) else {}
  if not torch_states.is_state(state) or not any(_PREFIX.match(name) for name in state):
    return None
  arch = content.get("arch")
  if arch not in PUBLISHED:
    raise InputError(
      f"{path} holds a DnCNN, but does not say by its arch, one of {', '.join(PUBLISHED)}, which images it was "
      "trained with: save a dictionary of arch and state_dict"
    )
  own = {_PREFIX.sub("", name): tensor for name, tensor in state.items() if "num_batches_tracked" not in name}
  layout = _layout(own)
  shapes = layout.variables_shapes(PUBLISHED[arch][2])
  leaves = jax.tree_util.tree_flatten_with_path(shapes)[0]
  wrong = torch_tensors.differences(
    {name: tuple(tensor.shape) for name, tensor in own.items()},
    {torch_tensors.name_of(place): torch_tensors.shape_of(leaf.shape) for place, leaf in leaves},
  )
  if wrong:
    raise InputError(f"{path} does not fit a DnCNN of {layout.depth} convolutions: {some(wrong, 8)}")
  arrays = {name: tensor.detach().float().numpy() for name, tensor in own.items()}
  taken = lambda place, leaf: torch_tensors.from_torch(arrays[torch_tensors.name_of(place)])
  variables = jax.tree_util.tree_map_with_path(taken, shapes)
  metadata = denoiser.Spec(layout.name, PUBLISHED[arch]).metadata()
  denoiser.make(variables, metadata)  # refuses weights that are not finite
  return arch, variables, metadata


def _layout(own: dict[str, Any]) -> dncnn.Layout:
  """By the number of the last convolution and the channels of the first one."""
  numbers = [int(name.split(".")[0]) for name in own if re.fullmatch(r"\d+\.weight", name)]
  first = own.get("0.weight")
  return dncnn.Layout(max(3, max(numbers, default=0) // 3 + 2), 64 if first is None else len(first))

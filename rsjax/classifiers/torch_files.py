"""Converts published networks between PyTorch files and `rsjax.models`, and accounts for every tensor.

    file = read("checkpoint.pth.tar")
    variables = to_variables(file)
    write("again.pth.tar", variables, {"arch": file.arch, ...})

The paper's cifar_resnetD (D = 6n + 2) and torchvision's resnet50 are known, as saved by the code of the paper,
SmoothAdv, MACER, Consistency, SmoothMix and CAT-RS, wide residual networks as RobustBench publishes them, and
timm's vision transformers, with or without the prefixes of DataParallel and of a leading normalisation layer.
Files are read without executing anything in them. Hardly any file records the
normalisation that its weights were trained with.
"""

import dataclasses
import hashlib
import math
import pathlib
import re
from typing import Any

import jax
import numpy as np

from rsjax import files
from rsjax.classifiers import normalization, torch_states, torch_tensors
from rsjax.classifiers.classifier import Spec, some
from rsjax.errors import InputError
from rsjax.models import vit

_COUNTER = "num_batches_tracked"
_ASSUMED = {
  "cifar_resnet": "ReLU, batch norms with eps 1e-5, strides in the first convolution of a block",
  "resnet50": "ReLU, batch norms with eps 1e-5, strides in the 3x3 convolutions (v1.5)",
  "wide_resnet": "ReLU, batch norms with eps 1e-5 before the convolutions, strides in the first of a block",
  "vit": "exact GELU, layer norms with eps 1e-6 before attention and MLP",
}  # of networks, what their tensors do not show
_OTHER_NETWORK = "; a network of another layout goes into rsjax.from_torch, as its module with these weights"
_NO_STATISTICS = (
  "; an average of the parameters alone has no statistics of batch norms: load it into the network, "
  "recompute them (torch.optim.swa_utils.update_bn) or take the network's own, and save that state_dict"
)


@dataclasses.dataclass(frozen=True)
class File:
  """A file as read.

  Attributes:
    path, digest: its path, and the SHA-256 of its bytes.
    arch, num_classes, image_shape: the network, recognised by its tensors.
    tensors: name without prefix to torch tensor: those of the network.
    normalization: (mean, std) if the file holds it, else None.
    about: what else the file records: epoch, arch; the key of the network if the file holds several.
    noise_sd: that of the training, if the file says it, else None.
    unread: sentences about what may be a normalisation and is not read, or is there several times.
    unused: {place in the file: number} of tensors that are part of no network, and of no optimiser.
  """

  path: str
  digest: str
  arch: str
  num_classes: int
  image_shape: tuple[int, int, int]
  tensors: dict
  normalization: tuple | None
  about: dict
  noise_sd: float | None
  unread: list[str]
  unused: dict[str, int]


def read(path: str | pathlib.Path, key: str | None = None) -> File:
  """The network in a PyTorch (or safetensors) file.

  Args:
    path: the file.
    key: which network, if the file holds several that differ (see `torch_states`).

  Raises:
    InputError: if the file cannot be read, would run code, or holds no such network or several, or if tensors
      are left over, missing or of other shapes (all are listed).
  """
  path = files.local(path)
  content = torch_states.load(path)
  about = _about(content)
  copies = _copies(path, content)
  copy = torch_states.choose(path, copies, key)
  own, rest = copy.tensors, copy.rest
  if len(copies) > 1:
    about["key"] = copy.key
  arch, num_classes, image_shape = _recognise(path, own)
  if num_classes == 1:
    raise InputError(
      f"{path} holds a network with one output, which is no classifier: it must have two or more"
    )
  _check_shapes(path, own, rest, arch, num_classes, image_shape)
  facts = [*torch_states.facts(content)]
  return File(
    str(path),
    hashlib.sha256(path.read_bytes()).hexdigest(),
    arch,
    num_classes,
    image_shape,
    own,
    normalization.of_file(path, rest, facts),
    about,
    _noise_sd(facts),
    normalization.unread(path, facts) + normalization.repeated(path, rest),
    torch_states.elsewhere(content),
  )


def assumed(arch: str) -> str:
  """What the network of a file is taken to have, because its tensors do not show it."""
  told = next(text for kind, text in _ASSUMED.items() if arch.startswith(kind))
  size = vit.SIZES.get(arch.split("_")[1]) if arch.startswith("vit_") else None
  return f"{told}, {size.heads} heads" if size else told


def to_variables(file: File) -> Any:
  """{"params": ..., "batch_stats": ...}, float32 NumPy arrays, of `models.create(file.arch, ...)`.

  Raises:
    InputError: for weights that are not finite floating-point numbers, or variances below 0.
  """
  shapes = _variables_shapes(file.arch, file.num_classes, file.image_shape)
  odd = [name for name, t in file.tensors.items() if not t.dtype.is_floating_point]
  if odd:
    raise InputError(f"{file.path}: weights are not floating-point numbers: {some(odd)}")
  arrays = {name: t.detach().float().numpy() for name, t in file.tensors.items()}
  bad = [name for name, array in arrays.items() if not np.isfinite(array).all()]
  if bad:
    raise InputError(f"{file.path}: weights are not finite: {some(bad)}")
  negative = [name for name, array in arrays.items() if name.endswith("running_var") and array.min() < 0]
  if negative:
    raise InputError(f"{file.path}: variances must be at least 0, these are not: {some(negative)}")
  return jax.tree_util.tree_map_with_path(
    lambda path, leaf: torch_tensors.from_torch(arrays[torch_tensors.name_of(path)]), shapes
  )


def untouched(file: File) -> bool:
  """Whether all its batch norms still have their initial statistics: means 0 and variances 1."""
  start = {"running_mean": 0, "running_var": 1}
  values = [(t, start[n.rpartition(".")[2]]) for n, t in file.tensors.items() if n.rpartition(".")[2] in start]
  return all(bool((tensor == value).all()) for tensor, value in values)


def write(path: str | pathlib.Path, variables: Any, metadata: dict[str, Any]) -> None:
  """Writes a classifier as the paper's code does: {"arch", "epoch", "state_dict"}, for `load_state_dict` there.

  Adds "normalization", which that code does not record. The file is written whole or not at all.
  """
  path, torch = files.local(path), torch_states.import_torch()
  if not re.fullmatch(r"cifar_resnet\d+|resnet50", metadata["arch"]):
    raise InputError(
      f"the paper's code has no {metadata['arch']}: only cifar_resnetD and resnet50 can be written"
    )
  prefix = "1.module." if metadata["arch"] == "resnet50" else "1."
  state = {}
  for path_in_tree, leaf in jax.tree_util.tree_flatten_with_path(variables)[0]:
    name = prefix + torch_tensors.name_of(path_in_tree)
    state[name] = torch.from_numpy(np.ascontiguousarray(torch_tensors.to_torch(np.asarray(leaf))))
    if name.endswith("running_var"):
      state[name.replace("running_var", _COUNTER)] = torch.tensor(0)
  content = {
    "arch": metadata["arch"],
    "epoch": metadata.get("epoch", 0),
    "state_dict": state,
    "normalization": {"mean": list(metadata["mean"]), "std": list(metadata["std"])},
  }
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.whole(path, "wb") as file:
      torch.save(content, file)
  except (OSError, RuntimeError) as error:
    raise InputError(f"{path} cannot be written: {error}") from error


def _about(content):
  """What the file tells beside its weights: epoch and arch."""
  if torch_states.is_state(content) or not isinstance(content, dict):
    return {}
  return {key: content[key] for key in ("arch", "epoch") if isinstance(content.get(key), str | int)}


def _noise_sd(facts):
  """The noise_sd that dictionaries of the file say; None if they say none, or several."""
  said = {values["noise_sd"] for _, values in facts if isinstance(values.get("noise_sd"), int | float)}
  found = {float(value) for value in said if 0 <= value < math.inf}
  return found.pop() if len(found) == 1 else None


def _copies(path, content):
  """The networks in what was read; refused where there is none."""
  copies = torch_states.find(content)
  if copies:
    return copies
  if torch_states.is_state(content):
    names = list(content)
  elif isinstance(content, dict):
    names = [n for value in content.values() if torch_states.is_state(value) for n in value]
  else:
    names = []
  if names:
    raise InputError(
      f"{path} does not hold a known network: expected conv1, layer1, ..., fc, as in the paper's cifar_resnet "
      "and torchvision's resnet50, block1 in layer1's place, as in wide residual networks, or patch_embed, "
      f"blocks, ..., head, as in timm's vision transformers, got {some(names)}{_OTHER_NETWORK}"
    )
  keys = (
    f"it has {some([str(key) for key in content])}"
    if content and isinstance(content, dict)
    else (f"it is a {type(content).__name__}")
  )
  raise InputError(f"{path} holds no state_dict of tensors: {keys}")


def _recognise(path, own):
  """(arch, classes, image shape) by the tensors."""
  if "patch_embed.proj.weight" in own:
    return _recognise_vit(path, own)
  known = "the paper's cifar_resnet, torchvision's resnet50 nor a wide residual network"
  blocks = [_count(own, f"layer{i}.") for i in (1, 2, 3, 4)]
  wide = [_count(own, f"block{i}.layer.") for i in (1, 2, 3)]
  stem = tuple(own["conv1.weight"].shape)
  classes = _classes(own, "fc.weight")
  bottleneck = "layer1.0.conv3.weight" in own
  if stem == (16, 3, 3, 3) and not bottleneck and blocks[3] == 0 and blocks[0] == blocks[1] == blocks[2] > 0:
    return f"cifar_resnet{6 * blocks[0] + 2}", classes, (32, 32, 3)
  if stem == (64, 3, 7, 7) and bottleneck and blocks == [3, 4, 6, 3]:
    return "resnet50", classes, (224, 224, 3)
  first = own.get("block1.layer.0.conv1.weight")
  if stem == (16, 3, 3, 3) and wide[0] == wide[1] == wide[2] > 0 and first is not None and first.ndim == 4:
    return f"wide_resnet{6 * wide[0] + 4}_{max(1, first.shape[0] // 16)}", classes, (32, 32, 3)
  raise InputError(
    f"{path} does not hold a known network: a first convolution of {stem} and {blocks} "
    f"{'bottleneck ' if bottleneck else ''}blocks are neither {known}{_OTHER_NETWORK}"
  )


def _recognise_vit(path, own):
  proj, positions = own["patch_embed.proj.weight"], own.get("pos_embed")
  sizes = {size.width: name for name, size in vit.SIZES.items()}
  if proj.ndim == 4 and proj.shape[0] in sizes and positions is not None and positions.ndim == 3:
    side = math.isqrt(max(0, positions.shape[1] - 1)) * proj.shape[2]
    arch = f"vit_{sizes[proj.shape[0]]}_patch{proj.shape[2]}"
    return arch, _classes(own, "head.weight"), (side, side, 3)
  raise InputError(
    f"{path} does not hold a known network: a vision transformer must have pos_embed and a width of "
    f"{', '.join(map(str, sizes))}, got patch_embed.proj.weight of {list(proj.shape)}"
  )


def _count(own, prefix):
  """How many numbered blocks have this prefix."""
  return len({n.removeprefix(prefix).split(".")[0] for n in own if n.startswith(prefix)})


def _classes(own, last):
  return own[last].shape[0] if own[last].ndim == 2 else 0


def _check_shapes(path, own, rest, arch, num_classes, image_shape):
  leaves = jax.tree_util.tree_flatten_with_path(_variables_shapes(arch, num_classes, image_shape))[0]
  wanted = {torch_tensors.name_of(place): torch_tensors.shape_of(leaf.shape) for place, leaf in leaves}
  wrong = torch_tensors.differences({name: tuple(tensor.shape) for name, tensor in own.items()}, wanted)
  wrong += [f"left over {name}" for name in rest if not normalization.is_one(name)]
  if wrong:
    statistics = all(re.fullmatch(r"missing \S+\.running_(mean|var)", w) for w in wrong)
    raise InputError(
      f"{path} does not fit {arch} with {num_classes} classes: {some(wrong, 3 if statistics else 8)}"
      + (_NO_STATISTICS if statistics else _OTHER_NETWORK)
    )


def _variables_shapes(arch, num_classes, image_shape):
  return Spec(arch, num_classes, image_shape, mean=(0,) * 3, std=(1,) * 3).variables_shapes()

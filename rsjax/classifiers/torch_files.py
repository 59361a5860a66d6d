"""Networks of the field between PyTorch's files and `rsjax.models`, every tensor accounted for.

    file = read("checkpoint.pth.tar")
    variables = to_variables(file)
    write("again.pth.tar", variables, {"arch": file.arch, ...})

Known are the paper's cifar_resnetD (D = 6n + 2) and torchvision's resnet50, as files of the paper's code, of
SmoothAdv, MACER, Consistency, SmoothMix and CAT-RS have them, with and without the prefixes of DataParallel and
of a leading normalisation layer. Files are read without executing anything in them. Which normalisation the
weights were trained under is in hardly any of them.
"""

import dataclasses
import hashlib
import pathlib
import re
import warnings
from typing import Any

import jax
import numpy as np

from rsjax import files
from rsjax.classifiers import normalization
from rsjax.classifiers.classifier import Spec, some
from rsjax.errors import InputError

_CONTAINERS = ("state_dict", "net", "model_state_dict", "model")  # where files keep their weights
_EXTRA = "pip install torch safetensors"
_IGNORED = "num_batches_tracked"
_LAYERS = re.compile(r"(conv1|bn1|layer\d|fc)\.")


@dataclasses.dataclass(frozen=True)
class File:
  """A file as read.

  Attributes:
    path, digest: its path, and the SHA-256 of its bytes.
    arch, num_classes, image_shape: the network, recognised by its tensors.
    tensors: name without prefix to torch tensor: those of the network.
    normalization: (mean, std) where the file holds it, else None.
    about: what else it tells: epoch, arch.
  """

  path: str
  digest: str
  arch: str
  num_classes: int
  image_shape: tuple[int, int, int]
  tensors: dict
  normalization: tuple | None
  about: dict


def read(path: str | pathlib.Path) -> File:
  """The network in a PyTorch (or safetensors) file.

  Raises:
    InputError: where the file cannot be read, would run code, holds no such network, or its tensors are left
      over, missing or of other shapes (all are listed). No weight is looked at before its shape is right.
  """
  path = pathlib.Path(path)
  content = _load(path)
  state, about = _state(path, content)
  prefix = _prefix(path, state)
  own, rest = {}, {}
  for name, tensor in state.items():
    short = name.removeprefix(prefix)
    if name.startswith(prefix) and _LAYERS.match(short):
      own[short] = tensor
    else:
      rest[name] = tensor
  own = {name: tensor for name, tensor in own.items() if not name.endswith(_IGNORED)}
  arch, num_classes, image_shape = _recognise(path, own)
  _check_shapes(path, own, rest, arch, num_classes, image_shape)
  pair = normalization.held(path, rest) or about.pop("normalization", None)
  digest = hashlib.sha256(path.read_bytes()).hexdigest()
  return File(str(path), digest, arch, num_classes, image_shape, own, pair, about)


def to_variables(file: File) -> Any:
  """{"params": ..., "batch_stats": ...}, float32 NumPy arrays, of `models.create(file.arch, ...)`.

  Raises:
    InputError: for weights that are not finite floating-point numbers.
  """
  shapes = _variables_shapes(file.arch, file.num_classes, file.image_shape)
  odd = [name for name, t in file.tensors.items() if not t.dtype.is_floating_point]
  if odd:
    raise InputError(f"{file.path}: weights are not floating-point numbers: {some(odd)}")
  arrays = {name: t.detach().float().numpy() for name, t in file.tensors.items()}
  bad = [name for name, array in arrays.items() if not np.isfinite(array).all()]
  if bad:
    raise InputError(f"{file.path}: weights are not finite: {some(bad)}")
  return jax.tree_util.tree_map_with_path(lambda path, leaf: _from_torch(arrays[_name(path)]), shapes)


def write(path: str | pathlib.Path, variables: Any, metadata: dict[str, Any]) -> None:
  """Writes a classifier as the paper's code does: {"arch", "epoch", "state_dict"}, for `load_state_dict` there.

  Adds "normalization", which that code leaves to the reader. Whole or not at all.
  """
  torch = _torch()
  if not re.fullmatch(r"cifar_resnet\d+|resnet50", metadata["arch"]):
    raise InputError(
      f"the paper's code has no {metadata['arch']}: only cifar_resnetD and resnet50 can be written"
    )
  prefix = "1.module." if metadata["arch"] == "resnet50" else "1."
  state = {}
  for path_in_tree, leaf in jax.tree_util.tree_flatten_with_path(variables)[0]:
    name = prefix + _name(path_in_tree)
    state[name] = torch.from_numpy(np.ascontiguousarray(_to_torch(np.asarray(leaf))))
    if name.endswith("running_var"):
      state[name.replace("running_var", _IGNORED)] = torch.tensor(0)
  content = {
    "arch": metadata["arch"],
    "epoch": metadata.get("epoch", 0),
    "state_dict": state,
    "normalization": {"mean": list(metadata["mean"]), "std": list(metadata["std"])},
  }
  path = pathlib.Path(path)
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.whole(path, "wb") as file:
      torch.save(content, file)
  except (OSError, RuntimeError) as error:
    raise InputError(f"{path} cannot be written: {error}") from error


def _torch():
  try:
    import torch
  except ImportError as error:
    raise InputError(f"PyTorch's files need PyTorch: {_EXTRA}") from error
  return torch


def _load(path):
  torch = _torch()
  if not path.is_file():
    raise InputError(f"{path} is no file: give a checkpoint that PyTorch wrote")
  try:
    if path.suffix == ".safetensors":
      from safetensors.torch import load_file

      return load_file(path)
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")  # of the unpickler; what it cannot read is an error
      return torch.load(path, map_location="cpu", weights_only=True)
  except ImportError as error:
    raise InputError(f"{path} needs safetensors: {_EXTRA}") from error
  except Exception as error:  # many kinds, by what is wrong; nothing was executed
    reason = " ".join(str(error).split()).partition("WeightsUnpickler error: ")[2] or type(error).__name__
    if code := re.match(r"Unsupported (?:global|class):? (?:GLOBAL )?(\S+)", reason):
      raise InputError(
        f"{path} holds more than weights ({code[1]}), which could run code, and was not read: save its "
        "state_dict alone, where you trust it"
      ) from error
    raise InputError(f"{path} cannot be read as PyTorch's weights: {reason[:100]}") from error


def _state(path, content):
  """(name to tensor, what else the file tells)."""
  is_state = lambda d: (
    isinstance(d, dict) and d and all(isinstance(k, str) and hasattr(t, "dtype") for k, t in d.items())
  )
  if is_state(content):
    return dict(content), {}
  held = content if isinstance(content, dict) else {}
  state = next((held[key] for key in _CONTAINERS if is_state(held.get(key))), None)
  if state is None:
    keys = f"it has {some([str(key) for key in held])}" if held else f"it is a {type(content).__name__}"
    raise InputError(f"{path} holds no state_dict of tensors: {keys}")
  about = {key: held[key] for key in ("arch", "epoch") if isinstance(held.get(key), str | int)}
  told = held.get("normalization")
  if isinstance(told, dict) and {"mean", "std"} <= told.keys():
    try:
      about["normalization"] = normalization.checked(
        path, *(tuple(map(float, told[key])) for key in ("mean", "std"))
      )
    except TypeError as error:
      raise InputError(
        f"{path}: its normalization must be mean and std, three numbers each, got {told}"
      ) from error
  return dict(state), about


def _prefix(path, state):
  """What stands before conv1.weight, of the network's names: "", "module.", "1.", "1.module.", ..."""
  found = [name.removesuffix("conv1.weight") for name in state if name.endswith("conv1.weight")]
  found = [p for p in found if f"{p}fc.weight" in state]
  if len(found) != 1:
    raise InputError(
      f"{path} is no network known here: of conv1, layer1, ..., fc, as in the paper's cifar_resnet and "
      f"torchvision's resnet50, it has {some(list(state))}"
    )
  return found[0]


def _recognise(path, own):
  """(arch, classes, image shape) by the tensors."""
  blocks = [len({n.split(".")[1] for n in own if n.startswith(f"layer{i}.")}) for i in (1, 2, 3, 4)]
  stem = tuple(own["conv1.weight"].shape)
  classes = own["fc.weight"].shape[0] if own["fc.weight"].ndim == 2 else 0
  bottleneck = "layer1.0.conv3.weight" in own
  if stem == (16, 3, 3, 3) and not bottleneck and blocks[3] == 0 and blocks[0] == blocks[1] == blocks[2] > 0:
    return f"cifar_resnet{6 * blocks[0] + 2}", classes, (32, 32, 3)
  if stem == (64, 3, 7, 7) and bottleneck and blocks == [3, 4, 6, 3]:
    return "resnet50", classes, (224, 224, 3)
  raise InputError(
    f"{path} is no network known here: a first convolution of {stem} and {blocks} "
    f"{'bottleneck ' if bottleneck else ''}blocks are neither "
    "the paper's cifar_resnet nor torchvision's resnet50"
  )


def _check_shapes(path, own, rest, arch, num_classes, image_shape):
  leaves = jax.tree_util.tree_flatten_with_path(_variables_shapes(arch, num_classes, image_shape))[0]
  wanted = {_name(place): _torch_shape(leaf.shape) for place, leaf in leaves}
  wrong = [f"missing {name}" for name in wanted if name not in own]
  wrong += [f"left over {name}" for name in own if name not in wanted]
  wrong += [
    f"left over {name}" for name in rest if not normalization.is_one(name) and not name.endswith(_IGNORED)
  ]
  wrong += [
    f"{name} is {list(own[name].shape)}, not {list(shape)}"
    for name, shape in wanted.items()
    if name in own and tuple(own[name].shape) != shape
  ]
  if wrong:
    raise InputError(f"{path} does not fit {arch} with {num_classes} classes: {some(wrong, 8)}")


def _variables_shapes(arch, num_classes, image_shape):
  return Spec(arch, num_classes, image_shape, mean=(0,) * 3, std=(1,) * 3).variables_shapes()


def _name(path):
  """PyTorch's name of a leaf of the variables: params/layer1/0/downsample/conv/kernel, and so on."""
  _, *parts, leaf = (key.key for key in path)
  leaf = {"kernel": "weight", "scale": "weight", "mean": "running_mean", "var": "running_var"}.get(leaf, leaf)
  if "downsample" in parts:
    parts[-1] = {"conv": "0", "bn": "1"}[parts[-1]]
  return ".".join([*parts, leaf])


def _torch_shape(shape):
  return tuple(shape[i] for i in _AXES.get(len(shape), range(len(shape))))


_AXES = {4: (3, 2, 0, 1), 2: (1, 0)}  # of a kernel here: PyTorch's are [out, in, h, w] and [out, in]


def _from_torch(array):
  back = {4: (2, 3, 1, 0), 2: (1, 0)}.get(array.ndim)
  return np.ascontiguousarray(array.transpose(back) if back else array, np.float32)


def _to_torch(array):
  return array.transpose(_AXES[array.ndim]) if array.ndim in _AXES else array

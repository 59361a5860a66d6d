"""Finds the networks in a PyTorch file: every state_dict in it, and every copy within one, by its prefix.

    copies = find(load(path))
    copy = choose(path, copies, key=None)     # the only one, or the one that `key` names

A file holds several networks if training kept averaged weights beside the others (EMA, SWA), a teacher, or an
ensemble. It must be clear which of them a result is about, so a file of different networks needs a key.
"""

import dataclasses
import pathlib
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

from rsjax.classifiers.classifier import some
from rsjax.errors import InputError

_EXTRA = "pip install torch safetensors"
_CUT = re.compile(
  "(?i)unexpected EOF|corrupted|incomplete|truncated|ran out of (data|input)|header ?too ?large"
)
# Two tensors that each network has, and what its layers are called: residual networks, and vision transformers.
_FAMILIES = (
  (("conv1.weight", "fc.weight"), re.compile(r"(conv1|bn1|layer\d|block\d|fc)\.")),
  (
    ("patch_embed.proj.weight", "head.weight"),
    re.compile(r"(cls_token|pos_embed|(patch_embed|blocks|norm|head)\.)"),
  ),
)
_NEVER_USED = re.compile(
  r"(^|\.)sub_block1\."
)  # in published wide residual networks: a block that none applies
_COMPILED = re.compile(r"(^|\.)_orig_mod(?=\.)")  # what torch.compile puts into names
_TRAINING = re.compile(
  r"(?i)optim|^opt(_?states?)?$|sched|scaler|rng|random|history|(^|[_.])(loss(es)?|acc(s|uracy|uracies)?)(@?\d+)?$"
)  # keys of what training keeps beside
_DEPTH = 4  # of dictionaries within dictionaries that are searched


@dataclasses.dataclass(frozen=True)
class Copy:
  """One network of a file.

  Attributes:
    key: its name: the keys that lead to its state_dict, and its prefix if the state_dict has several.
    tensors: name without prefix to torch tensor: those of the network.
    rest: name to tensor: what else its state_dict holds, except counters and other copies.
  """

  key: str
  tensors: dict[str, Any]
  rest: dict[str, Any]


def import_torch() -> Any:
  """PyTorch, or an InputError that says how to get it."""
  try:
    import torch
  except ImportError as error:
    raise InputError(f"PyTorch's files need PyTorch: {_EXTRA}") from error
  return torch


def load(path: pathlib.Path) -> Any:
  """What a PyTorch (or safetensors) file holds, read without executing anything in it.

  Raises:
    InputError: if it cannot be read, would run code, or is damaged.
  """
  torch = import_torch()
  if not path.is_file():
    raise InputError(f"{path} is not a file: give a checkpoint that PyTorch wrote")
  if not path.stat().st_size:
    raise InputError(f"{path} is empty: copy or download it again")
  try:
    if damage := _damage(path):
      raise InputError(f"{path} is cut short or damaged ({damage}): copy or download it again")
    if path.suffix == ".safetensors":
      from safetensors.torch import load_file

      return load_file(path)
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")  # of the unpickler; what it cannot read is an error
      return torch.load(path, map_location="cpu", weights_only=True)
  except ImportError as error:
    raise InputError(f"{path} needs safetensors: {_EXTRA}") from error
  except InputError:
    raise
  except Exception as error:  # many kinds, by what is wrong; nothing was executed
    reason = " ".join(str(error).split()).partition("WeightsUnpickler error: ")[2]
    if code := re.match(r"Unsupported (?:global|class):? (?:GLOBAL )?(\S+)", reason):
      raise InputError(
        f"{path} holds more than weights ({code[1]}), which could run code, so it was not read. If you trust "
        f'it, run torch.save(torch.load({str(path)!r}, weights_only=False)["state_dict"], "weights.pth") '
        "in Python, with the key that its weights have (a whole module has .state_dict() instead)"
      ) from error
    if _CUT.search(str(error)) or isinstance(error, EOFError):
      raise InputError(f"{path} is cut short or damaged ({reason[:100]}): copy or download it again") from error
    with path.open("rb") as file:
      known = file.read(1) in (b"P", b"\x80")  # as a zip archive and a pickle begin
    if not known:
      reason = "it is not a file that PyTorch wrote"
    reason = reason or type(error).__name__
    raise InputError(f"{path} cannot be read as PyTorch's weights: {reason[:100]}") from error


def find(content: Any) -> list[Copy]:
  """The networks in what PyTorch read, those with a first and a last layer of a known name."""
  return [copy for keys, state in _states(content, ()) for copy in _copies(keys, state)]


def choose(path: Any, copies: list[Copy], key: str | None) -> Copy:
  """The copy that the key names; without a key the first one, if all are the same.

  Raises:
    InputError: if no copy has that key, or if copies differ and none was named.
  """
  keys = some([copy.key or repr("") for copy in copies])
  if key is not None:
    named = [copy for copy in copies if copy.key == key]
    if len(named) != 1:
      raise InputError(f"{path} holds no network under the key {key!r}: it holds {keys}")
    return named[0]
  first, *others = copies
  if not all(_same(first.tensors, copy.tensors) for copy in others):
    raise InputError(f"{path} holds several networks, {keys}: choose one by its `key`")
  return first


def elsewhere(content: Any) -> dict[str, int]:
  """{keys: number} of tensors outside the networks' state_dicts, except an optimiser's and the like."""
  found: dict[str, int] = {}
  for keys, count in _tensors(content, ()):
    if not any(_TRAINING.search(key) for key in keys):
      place = "/".join(key for key in keys if not key.isdecimal())
      found[place] = found.get(place, 0) + count
  return found


def facts(content: Any) -> Iterator[tuple[str, dict[str, Any]]]:
  """(keys that lead to it, dictionary) of every dictionary that holds no network, except those of training."""
  yield from _facts(content, ())


def _facts(content: Any, keys: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
  if not isinstance(content, dict) or len(keys) > _DEPTH or any(_TRAINING.search(key) for key in keys):
    return
  if is_state(content) and [*_copies(keys, content)]:
    return
  yield "/".join(keys), content
  for key, value in content.items():
    yield from _facts(value, (*keys, str(key)))


def is_state(value: Any) -> bool:
  """Whether something read is a state_dict: a dictionary from names to tensors."""
  if not isinstance(value, dict) or not value:
    return False
  return all(isinstance(k, str) and hasattr(t, "dtype") and hasattr(t, "shape") for k, t in value.items())


def _states(content: Any, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
  """(keys that lead to it, state_dict) of every state_dict within."""
  if is_state(content):
    yield keys, content
  elif len(keys) < _DEPTH and isinstance(content, dict | list | tuple):
    parts = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in parts:
      yield from _states(value, (*keys, str(key)))


def _tensors(content: Any, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int]]:
  """(keys that lead to them, how many) of tensors that are not within a network's state_dict."""
  if is_state(content):
    if not [*_copies(keys, content)]:
      yield keys, len(content)
  elif hasattr(content, "dtype") and hasattr(content, "shape"):
    yield keys, int(content.numel() > 1)
  elif isinstance(content, dict | list | tuple):
    parts = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in parts:
      yield from _tensors(value, (*keys, str(key)))


def _copies(keys: tuple[str, ...], state: dict[str, Any]) -> Iterator[Copy]:
  """The copies within one state_dict."""
  plain = {_COMPILED.sub("", name).removeprefix("."): tensor for name, tensor in state.items()}
  if len(plain) < len(state):  # both a network and its compiled form: both under their own names
    plain = state
  layers_of = {
    name.removesuffix(first): layers
    for (first, last), layers in _FAMILIES
    for name in plain
    if name.endswith(first) and name.removesuffix(first) + last in plain
  }
  own: dict[str, dict[str, Any]] = {prefix: {} for prefix in layers_of}
  rest = {}
  for name, tensor in plain.items():
    whose = [p for p, layers in layers_of.items() if name.startswith(p) and layers.match(name[len(p) :])]
    if _counts(name, tensor) or _NEVER_USED.search(name):
      continue
    if whose:
      own[whose[0]][name.removeprefix(whose[0])] = tensor
    else:
      rest[name] = tensor
  for prefix, tensors in own.items():
    yield Copy("/".join([*keys, *([prefix.rstrip(".")] if len(own) > 1 else [])]), tensors, rest)


def _counts(name: str, tensor: Any) -> bool:
  """Whether a tensor is a counter, such as num_batches_tracked or n_averaged: a whole number and no weight."""
  whole = not tensor.dtype.is_floating_point and tensor.numel() == 1
  return whole or name.endswith("num_batches_tracked")


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
  same_shape = lambda name: one[name].shape == other[name].shape and one[name].dtype == other[name].dtype
  return one.keys() == other.keys() and all(
    same_shape(name) and bool((one[name] == other[name]).all()) for name in one
  )


def _damage(path):
  """What is wrong with a zip archive, PyTorch's format; None for a sound one, and for other formats.

  PyTorch itself does not compare the checksums, and would read changed weights without a warning.
  """
  with path.open("rb") as file:
    if file.read(2) != b"PK":
      return None
  try:
    with zipfile.ZipFile(path) as archive:
      changed = archive.testzip()
  except (zipfile.BadZipFile, EOFError, OSError, zlib.error) as error:
    return " ".join(str(error).split())
  return changed and f"the checksum of {changed} does not match"

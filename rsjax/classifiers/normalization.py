"""The normalisation of a PyTorch file's network: read if it is clear, else refused with its tensors' names."""

import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from rsjax.classifiers.classifier import some
from rsjax.errors import InputError

_MEANS, _STDS = ("mean", "means", "mu", "new_mean"), ("std", "stds", "sd", "sds", "sigma", "new_std")


def is_one(name: str) -> bool:
  """Whether a tensor beside the network's has the name of a mean or a standard deviation."""
  return name.rpartition(".")[2] in (*_MEANS, *_STDS)


def are_both(names: Iterable[str]) -> bool:
  """Whether there are the name of a mean and that of a standard deviation among those of some tensors."""
  ends = {name.rpartition(".")[2] for name in names}
  return bool(ends & {*_MEANS}) and bool(ends & {*_STDS})


def check(mean: Any, std: Any, whose: str, channels: int = 3) -> None:
  """Refuses what cannot be the mean and standard deviation of the channels of pixels in [0, 1].

  Raises:
    InputError: with `whose` (a file, a flag) in its message.
  """
  if not (len(mean) == len(std) == channels and np.isfinite([*mean, *std]).all() and min(std) > 0):
    raise InputError(f"{whose}: its normalisation cannot be used: mean {list(mean)}, std {list(std)}")
  if np.abs(mean).max() > 1 or max(std) > 1:
    raise InputError(
      f"{whose}: its normalisation, mean {list(mean)} and std {list(std)}, is not for pixels in [0, 1]: if "
      "it is for grey levels in 0..255, divide it by 255"
    )


def checked(path: pathlib.Path, mean: Any, std: Any) -> tuple[Any, Any]:
  """(mean, std) of a file, refused as by `check`."""
  check(mean, std, str(path))
  return mean, std


def held(path: pathlib.Path, rest: dict[str, Any]) -> tuple[Any, Any] | None:
  """(mean, std) from tensors beside the network's, if both are there; `rest`: those tensors, by name."""
  pair = []
  for kind, words in (("means", _MEANS), ("standard deviations", _STDS)):
    found = {n: _channels(path, n, t) for n, t in rest.items() if n.rpartition(".")[2] in words}
    if len(set(found.values())) > 1:
      raise InputError(
        f"{path} holds several {kind}, {some(list(found))}: save it with only those that normalise the input"
      )
    pair += list(found.values())[:1]
  if len(pair) == 1:
    raise InputError(f"{path} holds a mean or a standard deviation, but not both: save it without that layer")
  return checked(path, *pair) if pair else None


def _channels(path, name, tensor):
  """The three numbers that a tensor is for: its one for all channels, or an image's, the same at each pixel."""
  array = tensor.detach().double().numpy()
  if array.size == 1:
    array = np.repeat(array.reshape(1), 3)
  elif array.ndim >= 3 and array[..., 0, 0].size == 3 and (array == array[..., :1, :1]).all():
    array = array[..., 0, 0]
  if array.size != 3:
    raise InputError(
      f"{path}: {name} is {list(tensor.shape)}, not one number for each of three channels: if it does not "
      "normalise the input, save the file without it"
    )
  return tuple(round(float(value), 6) for value in array.flatten())

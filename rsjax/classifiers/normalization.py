"""The normalisation of a PyTorch file's network: read if it is clear, else refused with its tensors' names."""

import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from rsjax.classifiers.classifier import some
from rsjax.data import named
from rsjax.errors import InputError

_MEANS, _STDS = ("mean", "means", "mu", "new_mean"), ("std", "stds", "sd", "sds", "sigma", "new_std")


# (mean, std) of the channels by name, as most code that trains on these sets has them; half: most transformers.
NAMED = {
  **{name: entry.statistics for name, entry in named.SETS.items() if entry.statistics},
  "cifar100": ((0.507075, 0.486549, 0.440918), (0.267334, 0.256438, 0.27615)),
  "svhn_cropped": ((0.437682, 0.44377, 0.472804), (0.19803, 0.201016, 0.197036)),
  "half": ((0.5,) * 3, (0.5,) * 3),
}


def usual(image_shape: tuple[int, ...]) -> dict[str, Any]:
  """{name: (mean, std)} of the usual normalisations for images of this shape."""
  small, one = image_shape[0] == 32, (1.0, 1.0, 1.0)
  names = ("cifar10", "imagenet", *(("cifar100", "svhn_cropped") if small else ()))
  mean, _ = NAMED["cifar10" if small else "imagenet"]
  found: dict[str, Any] = {name: NAMED[name] for name in names}
  return found | {"center": (mean, one), "half": NAMED["half"], "none": ((0.0,) * 3, one)}


def parsed(text: str, candidates: dict[str, Any]) -> Any:
  """(mean, std) of a name among `candidates`, or of six numbers, as text.

  Raises:
    InputError: if it is neither, or cannot be a normalisation of pixels in [0, 1].
  """
  if text in candidates:
    return candidates[text]
  try:
    numbers = [float(part) for part in text.split(",")]
    mean, std = tuple(numbers[:3]), tuple(numbers[3:])
    good = len(numbers) == 6 and min(std) > 0 and np.isfinite(numbers).all()
  except ValueError:
    good = False
  if not good:
    raise InputError(
      f"normalization must be {', '.join(candidates)}, or six numbers (three means, three "
      f"deviations > 0), got {text}"
    )
  check(mean, std, "normalization")
  return mean, std


def pair_of(given: Any, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
  """(mean, std) of two lists, arrays or tensors of any axes, or numbers; one number is for all channels.

  Raises:
    InputError: if it is nothing of the kind.
  """
  try:
    [mean, std] = [_numbers(part) for part in given]
  except (TypeError, ValueError) as error:
    told = " ".join(repr(given).split())[:80]
    raise InputError(f"normalization must be (mean, std), one number per channel each, got {told}") from error
  return mean * (channels if len(mean) == 1 else 1), std * (channels if len(std) == 1 else 1)


def _numbers(given: Any) -> tuple[float, ...]:
  """Those of a number, a list, an array or a tensor; of float32 as it prints: 0.2, not 0.20000000298."""
  array = given.detach().float().cpu().numpy() if hasattr(given, "detach") else np.asarray(given)
  return tuple(float(str(number)) for number in array.ravel())


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
  if len(mean) != channels or len(std) != channels:
    told = f"a mean of {len(mean)} and a std of {len(std)} numbers"
    raise InputError(f"{whose}: {told} do not fit: give one number per channel, and images have {channels}")
  if not (len(mean) == len(std) and np.isfinite([*mean, *std]).all() and min(std) > 0):
    raise InputError(f"{whose}: its normalisation cannot be used: mean {list(mean)}, std {list(std)}")
  if np.abs(mean).max() > 1 or max(std) > 1:
    raise InputError(
      f"{whose}: its normalisation, mean {list(mean)} and std {list(std)}, is not for pixels in [0, 1]: if "
      "it is for grey levels in 0..255, divide it by 255"
    )


def swapped(mean: Any, std: Any) -> str | None:
  """A sentence if a mean and a standard deviation may have been swapped; else None."""
  if not (all(s > m > 0 for m, s in zip(mean, std)) and max(std) < 1):
    return None
  return f"mean {list(mean)} is below std {list(std)} in every channel: are they swapped?"


def of_file(
  path: pathlib.Path, rest: dict[str, Any], facts: Iterable[tuple[str, dict[str, Any]]]
) -> tuple[Any, Any] | None:
  """(mean, std) of the input's channels that a file holds, each three floats; None if it holds none.

  Args:
    path: the file.
    rest: tensors beside the network's in its state_dict, by name.
    facts: other dictionaries of the file, and where they are.

  Raises:
    InputError: if it is not clear what they are, or if several places differ.
  """
  found = {} if (pair := _held(path, rest)) is None else {"the network's tensors": pair}
  for place, values in facts:
    if (told := _told(path, place, values)) is not None:
      found[place or "the file itself"] = told
  if len({np.round(pair, 5).tobytes() for pair in found.values()}) > 1:
    raise InputError(f"{path} holds different normalisations, in {' and in '.join(found)}: save it with one")
  for mean, std in found.values():
    check(mean, std, str(path))
    return mean, std
  return None


def unread(path: pathlib.Path, facts: Iterable[tuple[str, dict[str, Any]]]) -> list[str]:
  """A sentence for each dictionary of a file with a mean and a deviation that `of_file` does not read."""
  found = []
  for place, values in facts:
    pair = {key: value for key, value in values.items() if _word(key) in _MEANS + _STDS}
    if are_both(map(_word, pair)) and _told(path, place, values) is None:
      told = " and ".join(f"{key} = {str(value)[:40]}" for key, value in pair.items())
      found.append(f"{path}: {told} in {place or 'the file itself'} are not read: do they normalise images?")
  return found


def repeated(path: pathlib.Path, rest: dict[str, Any]) -> list[str]:
  """A sentence if several tensors beside the network's are the mean that `of_file` reads; else []."""
  means = [name for name in rest if name.rpartition(".")[2] in _MEANS]
  if len(means) < 2:
    return []
  return [
    f"{path} holds the same mean in {some(means)}: its network is taken to subtract it once. If it normalises "
    "twice, give the module to rsjax.from_torch instead"
  ]


def _word(key: Any) -> str:
  """A key without what it is the mean or the standard deviation of: image_mean, data_std."""
  first, _, last = str(key).lower().rpartition("_")
  return last if first in ("image", "img", "images", "data", "dataset", "pixel", "input") else str(key)


def _told(path: pathlib.Path, place: str, values: dict[str, Any]) -> tuple[Any, Any] | None:
  """(mean, std) of a dictionary such as {"mean": ..., "std": ...}; None if it is not of a normalisation.

  What is called a normalisation must be one; of other dictionaries only three numbers each are taken for one.
  """
  for key, value in values.items():
    if "norm" in str(key).lower() and isinstance(value, str) and value.lower() in NAMED:
      return NAMED[value.lower()]
  pair = [[value for key, value in values.items() if _word(key) in words] for words in (_MEANS, _STDS)]
  if [len(found) for found in pair] != [1, 1]:
    return None
  try:
    numbers = [found[0].tolist() if hasattr(found[0], "tolist") else found[0] for found in pair]
    arrays = [np.asarray(value, np.float64).reshape(-1) for value in numbers]
  except (TypeError, ValueError):
    arrays = []
  if [array.size for array in arrays] != [3, 3]:
    if "norm" not in place.lower():
      return None
    raise InputError(
      f"{path}: its {place} must be mean and std, three numbers each, got {str(values)[:80]}: correct it, or "
      "save the file without it"
    )
  mean, std = (tuple(array.round(6).tolist()) for array in arrays)
  return mean, std


def _held(path: pathlib.Path, rest: dict[str, Any]) -> tuple[Any, Any] | None:
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
  return (pair[0], pair[1]) if pair else None


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

"""The numbers that a PyTorch module holds, wherever they are, and the module with some of them changed.

A number may be a tensor, an array, a float or a list of them. It may be an attribute of a layer or of its
class, or within a dictionary, a list, a partial function or an object that is one. Nothing here imports
PyTorch.
"""

import contextlib
import copy
import dataclasses
import functools
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

_DEPTH, _WIDTH = 3, 20  # of what is searched within an attribute: objects within objects, and parts of each
_NUMBERS = (int, float, np.integer, np.floating)
_NOT_SEARCHED = (str, bytes, type, types.FunctionType, types.MethodType, types.ModuleType)

_OF_PARTIAL = ("func", "args", "keywords")
_NO_VALUES = ("__dict__", "__weakref__")  # slots

# Of PyTorch's own layers, those that have no numbers but what a user gives them.
_WITHOUT_NUMBERS = ("torch.nn.modules.module", "torch.nn.modules.container")

Change = Callable[[Any], Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Held:
  """Some numbers: one, one per channel or one per pixel.

  Attributes:
    name: where they are, such as "0.means" or "cfg.mean".
    layer: the layer that holds them, by the attribute `key`.
    path: how they are reached from the attribute: keys, indices and attributes.
    values: the numbers, float64.
  """

  name: str
  layer: Any
  key: str
  path: tuple[Any, ...]
  values: np.ndarray

  @contextlib.contextmanager
  def changed(self, change: Change) -> Iterator[None]:
    """The layer holds the numbers changed meanwhile."""
    places = (vars(self.layer), self.layer._buffers, self.layer._parameters)
    place = next((place for place in places if self.key in place), vars(self.layer))
    before = place.get(self.key, place)  # the place itself, if the class holds the numbers
    value = getattr(type(self.layer), self.key) if before is place else before
    place[self.key] = _replaced(value, self.path, change)
    try:
      yield
    finally:
      if before is place:
        del place[self.key]
      else:
        place[self.key] = before


def numbers(module: Any, sizes: set[int]) -> Iterator[Held]:
  """What a module holds outside of PyTorch's own layers, of as many numbers as one of `sizes`."""
  for place, layer in module.named_modules():
    kind = type(layer).__module__
    if kind.startswith("torch.nn.modules") and kind not in _WITHOUT_NUMBERS:
      continue
    for key, value in {**_of_class(type(layer)), **vars(layer), **layer._buffers, **layer._parameters}.items():
      if not (key.startswith("_") and isinstance(value, dict | set)) and key != "training":  # PyTorch's own
        for path, values in _leaves(value, sizes, _DEPTH):
          name = ".".join([*filter(None, [place]), key, *map(str, path)])
          yield Held(name, layer, key, path, values)


def _of_class(kind: type) -> dict[str, Any]:
  """The attributes of a layer's class, and of its bases before PyTorch's."""
  own = [base for base in kind.__mro__ if not base.__module__.startswith("torch.") and base is not object]
  found = {key: value for base in reversed(own) for key, value in vars(base).items()}
  methods = (*_NOT_SEARCHED, property, classmethod, staticmethod)
  return {k: value for k, value in found.items() if not k.startswith("__") and not isinstance(value, methods)}


def _leaves(value: Any, sizes: set[int], depth: int) -> Iterator[tuple[tuple[Any, ...], np.ndarray]]:
  """(path, numbers) of those within a value."""
  if _count(value) > 2 * max(sizes):
    return
  if (found := _array(value)) is not None:
    if found.size in sizes:
      yield (), found
    elif found.ndim > 1 and len(found) == 2 and found[0].size in sizes:  # means and deviations in one
      yield from (((place,), found[place]) for place in (0, 1))
  elif depth and not hasattr(value, "requires_grad"):
    for key, part in _parts(value)[:_WIDTH]:
      yield from (((key, *path), found) for path, found in _leaves(part, sizes, depth - 1))


def _count(value: Any) -> int:
  """How many numbers a tensor or an array has, which may be too many to be copied; of other values 0."""
  if hasattr(value, "requires_grad"):
    return value.numel()
  return value.size if isinstance(value, np.ndarray) else 0


def _array(value: Any) -> np.ndarray | None:
  """A value that is one number or several, float64; None for any other, and for true and false."""
  if isinstance(value, bool | np.bool_) or getattr(value, "is_complex", lambda: False)():
    return None
  if hasattr(value, "requires_grad"):
    return value.detach().double().cpu().numpy() if "bool" not in str(value.dtype) else None
  if isinstance(value, list | tuple):
    numeric = all(isinstance(part, _NUMBERS) and not isinstance(part, bool) for part in value)
    flat = bool(value) and numeric and _is_made_of_parts(value)
    return np.array(value, np.float64) if flat else None
  if isinstance(value, np.ndarray):
    return value.astype(np.float64) if value.dtype.kind in "iuf" else None
  return np.array(value, np.float64) if isinstance(value, _NUMBERS) else None


def _parts(value: Any) -> Sequence[tuple[Any, Any]]:
  """(key, part) of a dictionary, a list, a partial function, or an object with attributes."""
  if isinstance(value, dict):
    return [*value.items()]
  if isinstance(value, list | tuple):
    return [*enumerate(value)] if _is_made_of_parts(value) else []
  if isinstance(value, functools.partial):
    return [(name, getattr(value, name)) for name in _OF_PARTIAL]
  if isinstance(value, _NOT_SEARCHED):
    return []
  slots = [name for kind in type(value).__mro__ for name in _names(vars(kind).get("__slots__", ()))]
  held = {name: getattr(value, name) for name in slots if name not in _NO_VALUES and hasattr(value, name)}
  return [*(held | getattr(value, "__dict__", {})).items()]


def _names(slots: Any) -> Sequence[str]:
  return (slots,) if isinstance(slots, str) else tuple(slots)


def _is_made_of_parts(value: Any) -> bool:
  """Whether a list or tuple can be made again of other numbers, as those of a class of their own may not be."""
  try:
    return len(_like(value, [0.5 if isinstance(part, _NUMBERS) else part for part in value])) == len(value)
  except Exception:  # whatever such a class raises
    return False


def _like(value: Any, parts: Sequence[Any]) -> Any:
  """A list or tuple of the same kind, which may be a named tuple."""
  return value._make(parts) if hasattr(value, "_make") else type(value)(parts)


def _replaced(value: Any, path: tuple[Any, ...], change: Change) -> Any:
  """A value in which the numbers at `path` are changed; it is copied as far as this needs."""
  if path:
    first, *rest = path
    within = lambda part: _replaced(part, tuple(rest), change)
    if isinstance(value, list | tuple):
      return _like(value, [within(v) if i == first else v for i, v in enumerate(value)])
    if isinstance(value, functools.partial):
      func, args, keywords = (within(v) if name == first else v for name, v in _parts(value))
      return functools.partial(func, *args, **keywords)
    new: Any = value.detach().clone() if hasattr(value, "requires_grad") else copy.copy(value)
    if hasattr(value, "requires_grad") and not value.is_floating_point():
      new = new.float()
    if isinstance(new, dict | np.ndarray) or hasattr(value, "requires_grad"):
      new[first] = within(new[first])
    elif first in getattr(new, "__dict__", {}):
      vars(new)[first] = within(vars(new)[first])
    else:
      object.__setattr__(new, first, within(getattr(new, first)))  # a slot, which may be frozen
    return new
  if isinstance(value, list | tuple):
    return _like(value, [change(float(number)) for number in value])
  if hasattr(value, "requires_grad"):
    return change(value.detach().clone() if value.is_floating_point() else value.detach().float())
  return change(value)

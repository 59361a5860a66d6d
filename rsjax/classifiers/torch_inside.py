"""Whether a PyTorch module normalises its input itself: found by its logits, whatever it calls its numbers.

If a module begins with (x - mean) / std, its logits stay as they are when x and mean grow by the same number,
and when x, mean and std are doubled. `normalising` tries this with all numbers that the module holds, as
tensors or otherwise, if there is one of them, one per channel, or one per pixel.
"""

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

_STEP = np.float32(16 / 255)  # whole grey levels, in case the module rounds to them
_AS_BEFORE = {"float32": 0.02, "bfloat16": 0.2}  # of a change, what rounding leaves of it where it is undone
_IMAGES = 2
_RGB = 3  # channels that a module may make of one

_GREY = 2  # of a mean or standard deviation, above which it is not one of pixels in [0, 1]

Answer = Callable[[np.ndarray], np.ndarray | None]


@dataclasses.dataclass(frozen=True, eq=False)
class _Held:
  """Some numbers that a layer holds: a tensor, an array, a float, or a list or tuple of them."""

  name: str
  layer: Any
  key: str
  value: Any

  def largest(self) -> float:
    """The largest of the absolute values."""
    value = self.value.detach().float() if hasattr(self.value, "detach") else self.value
    return float(np.abs(np.asarray(value)).max())

  @contextlib.contextmanager
  def changed(self, change: Callable[[Any], Any]) -> Iterator[None]:
    """The layer holds `change(value)` meanwhile."""
    kind = type(self.value)
    if isinstance(self.value, list | tuple):
      new: Any = kind(change(float(number)) for number in self.value)
    elif hasattr(self.value, "requires_grad"):
      new = change(self.value.detach().clone())
    else:
      new = change(self.value)
    places = (vars(self.layer), self.layer._buffers, self.layer._parameters)
    for place in places:
      if self.key in place:
        place[self.key] = new
    try:
      yield
    finally:
      for place in places:
        if self.key in place:
          place[self.key] = self.value


_Change = tuple[_Held, Callable[[Any], Any]]


def normalising(module: Any, answer: Answer, shape: tuple[int, ...], dtype: str) -> tuple[list[str], list[str]]:
  """The names of the numbers by which a module normalises its input, before anything else.

  Args:
    module: in evaluation mode; it is as before afterwards.
    answer: its logits for some images of [0, 1] pixels; None where it fails.
    shape: (h, w, c) of an image.
    dtype: of its weights.

  Returns:
    (all of them, those that are for grey levels in 0..255 while the module gets pixels in [0, 1]).
  """
  levels = np.random.default_rng(0).integers(26, 103, (_IMAGES, *shape))
  plain = (levels / 255).astype(np.float32)
  before, doubled = answer(plain), answer(2 * plain)
  if before is None or doubled is None:
    return [], []
  by_scale = not _proportional(before, doubled)  # else each factor of the logits seems to be one of the input

  def gap(x: np.ndarray, *changes: _Change) -> float:
    """How much the logits change if the input is x, and the module's numbers are changed."""
    with contextlib.ExitStack() as stack:
      for one, change in changes:
        stack.enter_context(one.changed(change))
      found = answer(x)
    return np.inf if found is None or found.shape != before.shape else float(np.abs(found - before).max())

  def undo(x: np.ndarray, *changes: _Change) -> bool:
    """Whether these changes undo that of the input, although each of them alone changes the logits."""
    alone = min(gap(plain, change) for change in changes)
    return alone > 0 and gap(x, *changes) <= _AS_BEFORE[dtype] * alone

  held = [one for one in _held(module, shape) if gap(plain, (one, _more)) or gap(plain, (one, _double))]
  found: list[_Held] = []
  grey: list[_Held] = []
  for one in held:
    subtracted = undo(plain + _STEP, (one, _more))
    divisor = by_scale and undo(2 * plain, (one, _double))
    factor = by_scale and undo(2 * plain, (one, _half))
    if subtracted or divisor or factor or undo(plain + _STEP, (one, _more_grey)):
      found.append(one)
    if (subtracted or divisor) and one.largest() > _GREY:
      grey.append(one)
  for one, other in itertools.permutations(held if by_scale else [], 2):
    if one.layer is not other.layer or (one in found and other in found):
      continue
    if any(undo(2 * plain, (one, _double), (other, change)) for change in (_double, _half)):
      found += [one, other]
  return [one.name for one in held if one in found], [one.name for one in grey]


def _more(value: Any) -> Any:
  return value + float(_STEP)


def _more_grey(value: Any) -> Any:
  return value + 255 * float(_STEP)


def _double(value: Any) -> Any:
  return 2 * value


def _half(value: Any) -> Any:
  return value / 2


def _held(module: Any, shape: tuple[int, ...]) -> Iterator[_Held]:
  """The numbers of layers that are not PyTorch's own, of the sizes that a normalisation may have."""
  sizes = {1, _RGB, shape[-1], int(np.prod(shape))}
  for place, layer in module.named_modules():
    if type(layer).__module__.startswith("torch.nn.modules"):
      continue
    for key, value in {**vars(layer), **layer._buffers, **layer._parameters}.items():
      if _size(value) in sizes:
        yield _Held(f"{place}.{key}".removeprefix("."), layer, key, value)


def _size(value: Any) -> int:
  """How many real numbers a value holds; 0 if it holds anything else, or whole numbers only."""
  if hasattr(value, "requires_grad"):
    return value.numel() if value.is_floating_point() else 0
  if isinstance(value, float | np.floating):
    return 1
  if isinstance(value, np.ndarray):
    return value.size if np.issubdtype(value.dtype, np.floating) else 0
  if isinstance(value, list | tuple) and type(value) in (list, tuple):
    numbers = all(isinstance(number, float | int | np.number) for number in value)
    return len(value) if numbers and any(isinstance(number, float | np.floating) for number in value) else 0
  return 0


def _proportional(one: np.ndarray, other: np.ndarray) -> bool:
  """Whether some logits are nearly a multiple of others."""
  factor = (one * other).sum() / max((one * one).sum(), 1e-30)
  return bool(np.abs(other - factor * one).max() <= 0.01 * np.abs(other).max())

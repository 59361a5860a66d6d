"""Whether a PyTorch module normalises its input itself: found by its logits, whatever it calls its numbers.

If a module begins with (x - mean) / std, its logits stay as they are when x and mean grow by the same number,
and when x, mean and std are doubled. `normalising` tries this with all numbers that the module holds.
"""

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from rsjax.classifiers import normalization, torch_held
from rsjax.classifiers.torch_held import Change, Held

_STEP = np.float32(17 / 255)  # a whole number of levels, for modules that round to 256 levels, or to 16
_AS_BEFORE = {"float32": 0.02, "bfloat16": 0.2}  # of a change, what rounding leaves of it where it is undone
_IMAGES = 2
_RGB = 3  # channels that a module may make of one
_GREY = 2  # of a mean or standard deviation, above which it is not one of pixels in [0, 1]
_MOST = 12  # numbers of one layer that are tried in pairs

Answer = Callable[[np.ndarray], np.ndarray | None]
Unit = tuple[Held, ...]  # numbers that are changed together


@dataclasses.dataclass(frozen=True)
class Inside:
  """What was found of a module's numbers, by name.

  Attributes:
    normalising: those by which its input is normalised, before anything else; () if it is not.
    grey: those of them that are for grey levels in 0..255, while the module gets pixels in [0, 1].
    suspects: a mean and a standard deviation, by their names, on which its logits depend in another way.
    idle: a mean and a standard deviation, by their names, on which its logits do not depend.
  """

  normalising: tuple[str, ...] = ()
  grey: tuple[str, ...] = ()
  suspects: tuple[str, ...] = ()
  idle: tuple[str, ...] = ()


def normalising(module: Any, answer: Answer, shape: tuple[int, ...], dtype: str) -> Inside:
  """Whether a module normalises its input itself.

  Args:
    module: in evaluation mode; it is as before afterwards.
    answer: its logits for some images of [0, 1] pixels; None where it fails.
    shape: (h, w, c) of an image.
    dtype: of its weights.
  """
  plain = (17 * np.random.default_rng(0).integers(2, 7, (_IMAGES, *shape)) / 255).astype(np.float32)
  before, doubled = answer(plain), answer(2 * plain)
  if before is None or doubled is None:
    return Inside()
  by_scale = not _proportional(before, doubled)  # else each factor of the logits seems to be one of the input

  def gap(x: np.ndarray, *changes: tuple[Unit, Change]) -> float:
    """How much the logits change if the input is x, and some numbers are changed."""
    with contextlib.ExitStack() as stack:
      for unit, change in changes:
        for one in unit:
          stack.enter_context(one.changed(change))
      found = answer(x)
    return np.inf if found is None or found.shape != before.shape else float(np.abs(found - before).max())

  @functools.cache
  def alone(unit: Unit, change: Change) -> float:
    """The gap by one change, without any of the input."""
    return gap(plain, (unit, change))

  def undo(x: np.ndarray, *changes: tuple[Unit, Change]) -> bool:
    """Whether these changes undo that of the input, although each of them alone changes the logits."""
    least = min(alone(*change) for change in changes)
    return np.inf > least > 0 and gap(x, *changes) <= _AS_BEFORE[dtype] * least

  def subtracted(unit: Unit) -> bool:
    """Whether a unit is subtracted from the input, or from one channel of it."""
    return any(undo(x, (unit, _more)) for x in _brighter(plain, unit))

  held = [*torch_held.numbers(module, {1, _RGB, shape[-1], int(np.prod(shape))})]
  matters = lambda unit: any(0 < alone(unit, change) < np.inf for change in (_more, _double))
  groups = [group for group in _alike(held) if matters(group)]  # most numbers of a network are not used
  used = [one for group in groups for one in group if len(group) == 1 or matters((one,))]
  found: set[Held] = set()
  grey: set[Held] = set()
  units: list[Unit] = [*((one,) for one in used), *(group for group in _alike(used) if len(group) > 1)]
  for unit in units:
    if {*unit} <= found:
      continue
    values = np.concatenate([one.values.ravel() for one in unit])
    minus = bool(values.any()) and subtracted(unit)
    scales = by_scale and bool((values != 1).any())
    divisor, factor = (scales and undo(2 * plain, (unit, change)) for change in (_double, _half))
    if minus or divisor or factor or undo(plain + _STEP, (unit, _more_grey)):
      found.update(unit)
    if (minus or divisor) and np.abs(values).max() > _GREY:
      grey.update(unit)
  for one, other in itertools.permutations(units if by_scale else [], 2):
    if {*one, *other} <= found or not _may_be_pair(one, other, units):
      continue
    if any(undo(2 * plain, (one, _double), (other, change)) for change in (_double, _half)):
      found.update((*one, *other))
  names = lambda chosen: tuple(one.name for one in held if one in chosen)
  called = {one for one in held if normalization.is_one(one.name)}
  both = lambda chosen: names(chosen) if normalization.are_both(names(chosen)) else ()
  return Inside(
    names(found),
    names(grey),
    () if found else both(called & {*used}),
    () if found else both(called - {*used}),
  )


def _brighter(x: np.ndarray, unit: Unit) -> list[np.ndarray]:
  """Images that are brighter by a step: in all channels, and, for a unit of single numbers, in each alone."""
  channels = range(x.shape[-1]) if x.shape[-1] > 1 and all(one.values.size == 1 for one in unit) else ()
  return [x + _STEP, *(x + _STEP * (np.arange(x.shape[-1]) == channel).astype(x.dtype) for channel in channels)]


def _alike(held: list[Held]) -> list[Unit]:
  """The numbers, those of one name together: several layers may hold them, as the members of an ensemble do."""
  groups: dict[Any, list[Held]] = {}
  for one in held:
    groups.setdefault((one.key, one.path), []).append(one)
  return [tuple(group) for group in groups.values()]


def _may_be_pair(one: Unit, other: Unit, units: list[Unit]) -> bool:
  """Whether two units are of the same layers, which do not hold too many."""
  layers = [[id(member.layer) for member in unit] for unit in (one, other)]
  return layers[0] == layers[1] and sum(layers[0] == [id(m.layer) for m in unit] for unit in units) <= _MOST


def _more(value: Any) -> Any:
  return value + float(_STEP)


def _more_grey(value: Any) -> Any:
  return value + 255 * float(_STEP)


def _double(value: Any) -> Any:
  return 2 * value


def _half(value: Any) -> Any:
  return value / 2


def _proportional(one: np.ndarray, other: np.ndarray) -> bool:
  """Whether some logits are nearly a multiple of others; masks, which stay the same, tell nothing."""
  differ = (one != other).any(0)
  if differ.any():
    one, other = (logits[:, differ].astype(np.float64) for logits in (one, other))
  factor = (one * other).sum() / max((one * one).sum(), 1e-30)
  return bool(np.abs(other - factor * one).max() <= 0.01 * np.abs(other).max())

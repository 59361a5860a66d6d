"""Which images of a split are used: every SKIPth one, as in the paper, or listed ones; in shards, too.

>>> Selection(skip=20).of(100)
[0, 20, 40, 60, 80]
>>> Selection(skip=20, shard=(2, 3)).of(100)  # the second of three parts that share the work
[20, 80]
>>> Selection(indices=(7, 3)).of(100)
[7, 3]
>>> Selection.from_settings({"skip": 1, "max": None, "indices": "0-2,7"}).of(100)
[0, 1, 2, 7]
"""

import dataclasses
import itertools
import operator
import re
from collections.abc import Sequence
from typing import Any

from rsjax.errors import InputError
from rsjax.noise import make_plain

_LONGEST = 10**8  # range of images
_SHOWN = 30  # characters of a value that is refused


@dataclasses.dataclass(frozen=True)
class Selection:
  """Which images of a split, by their positions in its original order.

  Attributes:
    skip: one image is taken of every `skip`.
    max_images: how many images at most; None: all.
    start: position of the first image.
    indices: these positions, in this order, instead of start and skip.
    shard: (i, n): only the i-th of n parts, with i from 1, of the selected images: every n-th of them.

  Raises:
    InputError: for values out of range, or indices together with start or skip.
  """

  skip: int = 1
  max_images: int | None = None
  start: int = 0
  indices: tuple[int, ...] | None = None
  shard: tuple[int, int] | None = None

  def __post_init__(self) -> None:
    make_plain(self)
    for name, value, least in (("skip", self.skip, 1), ("max", self.max_images, 1), ("start", self.start, 0)):
      if value is not None and operator.index(value) < least:
        raise InputError(f"{name} must be at least {least}, got {value}")
    if self.shard is not None and not 1 <= self.shard[0] <= self.shard[1]:
      raise InputError(
        "a shard must be I/N, the I-th of N parts, with I from 1 to N, got {}/{}".format(*self.shard)
      )
    if self.indices is None:
      return
    if not self.indices:
      raise InputError("indices must hold at least one image, got none")
    if self.skip != 1 or self.start:
      raise InputError("indices cannot be combined with `skip` or `start`: leave those out")
    repeated = [i for i, others in itertools.groupby(sorted(self.indices)) if len(list(others)) > 1]
    if repeated:
      raise InputError(f"indices must be of different images, but {repeated[0]} occurs more than once")

  @property
  def flags(self) -> str:
    """The flags of the commands that ask for these images; indices are not listed."""
    parts = [] if self.indices is None else ["--indices"]
    if self.indices is None:
      parts += [f"--skip {self.skip}"] + ([f"--start {self.start}"] if self.start else [])
    parts += [f"--max {self.max_images}"] if self.max_images else []
    parts += ["--shard {}/{}".format(*self.shard)] if self.shard else []
    return " ".join(parts)

  def all_shards(self, size: int) -> list[int]:
    """The positions that all shards together take of a split of `size` images.

    Raises:
      InputError: if a position is not in the split, or none is left.
    """
    if self.indices is not None:
      outside = [i for i in self.indices if not 0 <= i < size]
      if outside:
        raise InputError(f"indices must be from 0 to {size - 1}, the images of the split, got {outside[0]}")
      return list(self.indices[: self.max_images])
    if self.start >= size:
      raise InputError(f"start must be below {size}, as the split has {size} images, got {self.start}")
    return list(range(self.start, size, self.skip)[: self.max_images])

  def of(self, size: int) -> list[int]:
    """The positions in a split of `size` images; fewer than asked for if the split ends before.

    Raises:
      InputError: as for `all_shards`, or if there are more shards than images.
    """
    chosen = self.all_shards(size)
    if self.shard is None:
      return chosen
    i, n = self.shard
    if i > len(chosen):
      raise InputError(f"shard {i}/{n} has no image: give at most {len(chosen)} shards, one per selected image")
    return chosen[i - 1 :: n]

  def settings(self) -> dict[str, Any]:
    """The JSON values that describe it in a manifest; unusual ones only if they were given."""
    usual = {"skip": self.skip, "max": self.max_images}
    start = {"start": self.start} if self.start else {}
    indices = {} if self.indices is None else {"indices": _as_ranges(self.indices)}
    shard = {} if self.shard is None else {"shard": "{}/{}".format(*self.shard)}
    return usual | start | indices | shard

  @classmethod
  def from_settings(cls, settings: dict[str, Any]) -> "Selection":
    """The selection that the `settings` of a manifest describe.

    Raises:
      InputError: for values that no selection can have.
    """
    numbers: dict[str, Any] = {"skip": 1, "max": None, "start": 0}
    for name in numbers:
      value = settings.get(name, numbers[name])
      if isinstance(value, bool) or not (isinstance(value, int) or (name == "max" and value is None)):
        raise InputError(f"{name} must be an integer, got {_start(value)}")
      numbers[name] = value
    texts = {name: settings.get(name) for name in ("indices", "shard")}
    for name, value in texts.items():
      if not (value is None or isinstance(value, str)):
        raise InputError(f"{name} must be text, such as 0,20,40-49 or 2/8, got {_start(value)}")
    return cls(
      numbers["skip"],
      numbers["max"],
      numbers["start"],
      None if texts["indices"] is None else parse_indices(texts["indices"]),
      None if texts["shard"] is None else parse_shard(texts["shard"]),
    )


def _start(value: Any) -> str:
  """How a value begins, which may be a long list."""
  text = repr(value)
  return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def parse_indices(text: str, given: str = "indices") -> tuple[int, ...]:
  """The numbers of a list such as 0,20,40-49, in its order.

  Args:
    text: numbers and ranges, with commas, spaces or line ends between them.
    given: what errors call the list.

  Raises:
    InputError: if the text is not such a list.
  """
  found: list[int] = []
  for part in re.split(r"[\s,]+", text.strip(" \n\t,")):
    if not (match := re.fullmatch(r"(\d+)(?:-(\d+))?", part)):
      raise InputError(f"{given} must be numbers such as 0,20,40-49, or a file of them, got {part[:40]!r}")
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first or last - first > _LONGEST:
      raise InputError(f"{given}: {part} is not a range of images: give the smaller number first")
    found.extend(range(first, last + 1))
  return tuple(found)


def parse_shard(text: str, given: str = "shard") -> tuple[int, int]:
  """(I, N) of I/N, such as 2/8 for the second of eight parts; errors call it `given`.

  Raises:
    InputError: if the text is not such a pair.
  """
  if not (found := re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)):
    raise InputError(f"{given} must be I/N, such as 2/8 for the second of eight parts, got {text}")
  return int(found[1]), int(found[2])


def _as_ranges(numbers: Sequence[int]) -> str:
  """ "0-2,7" of 0, 1, 2, 7."""
  parts, begin = [], 0
  for end in range(1, len(numbers) + 1):
    if end == len(numbers) or numbers[end] != numbers[end - 1] + 1:
      first, last = numbers[begin], numbers[end - 1]
      parts.append(str(first) if first == last else f"{first}-{last}")
      begin = end
  return ",".join(parts)

"""Which images of a split: the paper's every SKIPth one, and what referees and clusters ask for.

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


@dataclasses.dataclass(frozen=True)
class Selection:
  """Which images of a split, by their positions in its original order.

  Attributes:
    skip: every so many images one is taken.
    max_images: how many at most; None: all.
    start: position of the first.
    indices: these positions, in this order, instead of start and skip.
    shard: (i, n): of the images that all this selects, the i-th of n parts, from 1: every n-th image.

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
      raise InputError("indices must be at least one, got none")
    if self.skip != 1 or self.start:
      raise InputError("indices say which images: give neither `skip` nor `start` with them")
    repeated = [i for i, others in itertools.groupby(sorted(self.indices)) if len(list(others)) > 1]
    if repeated:
      raise InputError(f"indices must be of different images, {repeated[0]} is there more than once")

  def all_shards(self, size: int) -> list[int]:
    """The positions, of a split of so many images, that all shards take together.

    Raises:
      InputError: where one is not in the split, or there is none.
    """
    if self.indices is not None:
      outside = [i for i in self.indices if not 0 <= i < size]
      if outside:
        raise InputError(f"indices must be below the split's {size} images, from 0 on, got {outside[0]}")
      return list(self.indices[: self.max_images])
    if self.start >= size:
      raise InputError(f"start must be below {size}, as the split has {size} images, got {self.start}")
    return list(range(self.start, size, self.skip)[: self.max_images])

  def of(self, size: int) -> list[int]:
    """The positions, of a split of so many images; fewer than asked for where it ends.

    Raises:
      InputError: as `all_shards`, or where more shards were asked for than there are images.
    """
    chosen = self.all_shards(size)
    if self.shard is None:
      return chosen
    i, n = self.shard
    if i > len(chosen):
      raise InputError(f"shard {i}/{n} has no image: there are only {len(chosen)}")
    return chosen[i - 1 :: n]

  def settings(self) -> dict[str, Any]:
    """What a manifest says of it: JSON values, of what is not usual only where it was given."""
    usual = {"skip": self.skip, "max": self.max_images}
    start = {"start": self.start} if self.start else {}
    indices = {} if self.indices is None else {"indices": _as_ranges(self.indices)}
    shard = {} if self.shard is None else {"shard": "{}/{}".format(*self.shard)}
    return usual | start | indices | shard

  @classmethod
  def from_settings(cls, settings: dict[str, Any]) -> "Selection":
    """The selection that `settings` of a manifest describe, among other things.

    Raises:
      InputError: for values that no selection has.
    """
    numbers: dict[str, Any] = {"skip": 1, "max": None, "start": 0}
    for name in numbers:
      value = settings.get(name, numbers[name])
      if isinstance(value, bool) or not (isinstance(value, int) or (name == "max" and value is None)):
        raise InputError(f"{name} must be an integer, got {value!r}")
      numbers[name] = value
    texts = {name: settings.get(name) for name in ("indices", "shard")}
    for name, value in texts.items():
      if not (value is None or isinstance(value, str)):
        raise InputError(f"{name} must be text, got {value!r}")
    return cls(
      numbers["skip"],
      numbers["max"],
      numbers["start"],
      None if texts["indices"] is None else parse_indices(texts["indices"]),
      None if texts["shard"] is None else parse_shard(texts["shard"]),
    )


def parse_indices(text: str, given: str = "indices") -> tuple[int, ...]:
  """The numbers of a list such as 0,20,40-49, in its order.

  Args:
    text: numbers and ranges, with commas, spaces or line ends between them.
    given: what errors call the list.

  Raises:
    InputError: for what is none.
  """
  found: list[int] = []
  for part in re.split(r"[\s,]+", text.strip(" \n\t,")):
    if not (match := re.fullmatch(r"(\d+)(?:-(\d+))?", part)):
      raise InputError(f"{given} must be numbers such as 0,20,40-49, or a file of them, got {part[:40]!r}")
    first, last = int(match[1]), int(match[2] or match[1])
    if last < first or last - first > _LONGEST:
      raise InputError(f"{given}: {part} is no range of images: give the smaller number first")
    found.extend(range(first, last + 1))
  return tuple(found)


def parse_shard(text: str, given: str = "shard") -> tuple[int, int]:
  """(I, N) of I/N, such as 2/8 for the second of eight parts; errors call it `given`.

  Raises:
    InputError: for what is none.
  """
  if not (found := re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)):
    raise InputError(f"{given} must be I/N, as 2/8 for the second of eight parts, got {text}")
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

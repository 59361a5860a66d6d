"""Cuts requests for draws into full steps of a fixed number of rows; NumPy only.

  >>> work = Work()
  >>> work.add(Request(image, index=0, first=0, count=1000))
  >>> segments = work.take(rows=512, slots=8)
  >>> images, index = step_images(segments, slots=8)
  >>> slot, draw = step_draws(segments, rows=512, slots=8)
  >>> slot.shape, draw[:4].tolist()
  ((512,), [0, 1, 2, 3])

A step's rows are draws of several images: each image has a slot, and a row is (slot, draw number).
"""

import bisect
import dataclasses
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Request:
  """A request for draws of one image, numbers first, first + 1, ..., first + count - 1; count >= 1.

  `image` is uint8[h, w, c] in 0..255 or float32[h, w, c] in [0, 1], and must not be changed afterwards;
  `index` is the image's index in the noise; `owner` is whatever receives the votes. Requests of a lower `order`
  are done first, and those of one order as they came.
  """

  image: np.ndarray
  index: int
  first: int
  count: int
  owner: Any = None
  order: int = 0


class Segment(NamedTuple):
  """The part of a request that is done in one step, in the slot that is its place in the step."""

  request: Request
  first: int
  count: int  # type: ignore[assignment]  # tuples have a method of this name


class Work:
  """A queue of requests that wait to be cut into steps; `rows` is how many draws they ask for."""

  def __init__(self) -> None:
    self._waiting: list[Segment] = []
    self.rows = 0

  def __len__(self) -> int:
    """How many segments wait."""
    return len(self._waiting)

  def add(self, request: Request) -> None:
    """Adds a request behind those of its order."""
    bisect.insort_right(self._waiting, Segment(request, request.first, request.count), key=_order)
    self.rows += request.count

  def fills(self, rows: int, slots: int) -> bool:
    """Whether a step would be full: of rows, or of images."""
    return self.rows >= rows or len(self) >= slots

  def take(self, rows: int, slots: int) -> list[Segment]:
    """At most `slots` segments that fill `rows` rows, or what is left."""
    segments: list[Segment] = []
    while rows and len(segments) < slots and self._waiting:
      whole = self._waiting.pop(0)
      count = min(whole.count, rows)
      segments.append(whole._replace(count=count))
      if count < whole.count:
        self._waiting.insert(0, whole._replace(first=whole.first + count, count=whole.count - count))
      rows -= count
      self.rows -= count
    return segments

  def put_back(self, segments: Iterable[Segment]) -> None:
    """Puts back segments that were taken but not done before those of their order."""
    segments = list(segments)
    for segment in reversed(segments):
      bisect.insort_left(self._waiting, segment, key=_order)
    self.rows += sum(segment.count for segment in segments)


def _order(segment: Segment) -> int:
  return segment.request.order


def step_images(segments: list[Segment], slots: int) -> tuple[np.ndarray, np.ndarray]:
  """A step's images[slots, h, w, c] and their index uint32[slots]."""
  image = segments[0].request.image
  images, index = np.zeros((slots, *image.shape), image.dtype), np.zeros(slots, np.uint32)
  for s, segment in enumerate(segments):
    images[s], index[s] = segment.request.image, segment.request.index
  return images, index


def step_draws(segments: list[Segment], rows: int, slots: int) -> tuple[np.ndarray, np.ndarray]:
  """A step's slot int32[rows] and draw uint32[rows]; slot is `slots` for a row that nobody asked for."""
  slot, draw, row = np.full(rows, slots, np.int32), np.zeros(rows, np.uint32), 0
  for s, (_, first, count) in enumerate(segments):
    slot[row : row + count] = s
    draw[row : row + count] = np.arange(first, first + count)
    row += count
  return slot, draw

"""Requests for draws cut into steps of a fixed number of rows, full; NumPy only.

  >>> work = Work([Request(image, index=0, first=0, count=1000)])
  >>> segments = work.take(rows=512, slots=7)
  >>> images, index = step_images(segments, slots=7)
  >>> slot, draw = step_draws(segments, rows=512, slots=7)
  >>> slot.shape, draw[:4].tolist()
  ((512,), [0, 1, 2, 3])

A step's rows are draws of several images: each image has a slot, and a row is (slot, draw number).
"""

import collections
import dataclasses
import itertools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from rsjax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Request:
  """Draws wanted of one image: numbers first, first + 1, ..., first + count - 1; count >= 1.

  `image` is uint8[h, w, c] in 0..255 or float32[h, w, c] in [0, 1], and must not be changed afterwards;
  `index` names it to the noise.
  """

  image: np.ndarray
  index: int
  first: int
  count: int


class Segment(NamedTuple):
  """The part of a request that is done in one step, in the slot that is its place in the step."""

  request: Request
  first: int
  count: int
  last: bool  # whether the request ends with it


class Work:
  """Requests, to be cut into steps; takes them from an iterator only as there is room."""

  def __init__(self, requests: Iterable[Request]):
    self._requests, self._waiting = iter(requests), collections.deque()

  def __bool__(self):
    """Whether any is left; looks one request ahead."""
    if not self._waiting:
      self._waiting.extend(Segment(r, r.first, r.count, True) for r in itertools.islice(self._requests, 1))
    return bool(self._waiting)

  def take(self, rows, slots):
    """At most `slots` segments that fill `rows` rows, or what is left."""
    segments = []
    while rows and len(segments) < slots and self:
      whole = self._waiting.popleft()
      count = min(whole.count, rows)
      segments.append(whole._replace(count=count, last=whole.last and count == whole.count))
      if count < whole.count:
        self._waiting.appendleft(whole._replace(first=whole.first + count, count=whole.count - count))
      rows -= count
    return segments

  def put_back(self, segments):
    """Gives back what was taken and not done, in the order in which it was taken."""
    self._waiting.extendleft(reversed(list(segments)))


def step_images(segments, slots):
  """A step's images[slots, h, w, c] and their index[slots]."""
  image = segments[0].request.image
  images, index = np.zeros((slots, *image.shape), image.dtype), np.zeros(slots, np.uint32)
  for s, segment in enumerate(segments):
    images[s], index[s] = segment.request.image, segment.request.index
  return images, index


def step_draws(segments, rows, slots):
  """A step's slot[rows] and draw[rows]; slot is `slots` where nobody asked for a draw."""
  slot, draw, row = np.full(rows, slots, np.int32), np.zeros(rows, np.uint32), 0
  for s, (_, first, count, _) in enumerate(segments):
    slot[row : row + count] = s
    draw[row : row + count] = np.arange(first, first + count)
    row += count
  return slot, draw


def of_one_kind(first, requests):
  """The requests after the first; refused with InputError where an image has another shape or dtype."""
  for request in requests:
    if request.image.shape != first.image.shape or request.image.dtype != first.image.dtype:
      raise InputError(
        f"images must be of one shape and dtype: image {first.index} is {first.image.dtype}"
        f"{list(first.image.shape)}, image {request.index} {request.image.dtype}{list(request.image.shape)}"
      )
    yield request

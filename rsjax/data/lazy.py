"""Images that are read when they are asked for, by position, slice or list of positions, as of an array."""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np


class LazyImages(Sequence):
  """images[i] is uint8[h, w, c]; images[a:b] and images[[i, j]] are such images, too, and read nothing."""

  def __getitem__(self, i: Any) -> Any:
    positions = range(len(self))
    if isinstance(i, slice):
      return _Part(self, positions[i])
    if isinstance(i, list | np.ndarray) and np.ndim(i):
      return _Part(self, np.arange(len(self))[i])
    return self._read(positions[operator.index(i)])

  def _read(self, i: int) -> np.ndarray:
    """Image i, of 0..len - 1."""
    raise NotImplementedError


class _Part(LazyImages):
  """Some of the images of another one."""

  def __init__(self, whole, positions):
    self._whole, self._positions = whole, positions

  def __len__(self):
    return len(self._positions)

  def _read(self, i):
    return self._whole[int(self._positions[i])]

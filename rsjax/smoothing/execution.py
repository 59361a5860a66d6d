"""Settings that decide the speed and memory of the engine, and never a result."""

import dataclasses

import numpy as np
from jax.sharding import Mesh

from rsjax import devices
from rsjax.errors import InputError
from rsjax.noise import make_plain

_MOST_ROWS = 2**24


@dataclasses.dataclass(frozen=True)
class Execution:
  """Settings that decide speed and memory, and never a result.

  Attributes:
    rows: noisy images per device step, over all devices; rounded up to a multiple of their number.
      None: chosen from the image's size (`default_rows`); `tuning.best_rows` finds better ones.
    mesh: one-axis mesh over which rows are sharded. None: all devices.
    depth: steps dispatched ahead of the one whose votes are being read.
    images: how many undecided images may share the steps. None: 64, or rows / 16 if that is more.

  Raises:
    InputError: for rows, depth or images out of range.
  """

  rows: int | None = None
  mesh: Mesh | None = None
  depth: int = 4
  images: int | None = None

  def __post_init__(self) -> None:
    make_plain(self)
    if self.rows is not None and not 1 <= self.rows <= _MOST_ROWS:
      raise InputError(f"`rows` (noisy images per step) must be from 1 to {_MOST_ROWS}, got {self.rows}")
    for name, least in (("depth", 0), ("images", 1)):
      value = getattr(self, name)
      if value is not None and value < least:
        raise InputError(f"{name} must be at least {least}, got {value}")

  def resolve(self, image_shape: tuple[int, ...]) -> "Resolved":
    """The same with every choice made, for images of (h, w, c)."""
    mesh = self.mesh or devices.draws_mesh()
    rows = self.rows or default_rows(image_shape, mesh)
    return Resolved(-(-rows // mesh.size) * mesh.size, mesh, self.depth, self.images)


@dataclasses.dataclass(frozen=True)
class Resolved:
  """An `Execution` with every choice made."""

  rows: int
  mesh: Mesh
  depth: int
  images: int | None

  @property
  def slots(self) -> int:
    """Images that a step has room for: few for long requests, and enough that short ones fill it."""
    return min(self.rows, max(8, self.rows // 16))

  @property
  def most_images(self) -> int:
    """Undecided images at a time, at most."""
    return self.images or max(64, self.rows // 16)


def default_rows(image_shape: tuple[int, ...], mesh: Mesh) -> int:
  """The default rows per step: a power of two, by the size of an image."""
  values = 2**17 if mesh.devices.flat[0].platform == "cpu" else 2**23
  rows = max(16, min(16384, values // int(np.prod(image_shape))))
  return 2 ** (rows.bit_length() - 1) * mesh.size

"""What a split of a data set is, wherever it is read from."""

import dataclasses
import functools
from collections.abc import Iterable, Sequence

import numpy as np

_NAMED = 10  # classes that are told by name


@dataclasses.dataclass(frozen=True)
class Dataset:
  """One split of a data set.

  Attributes:
    name: as given by the user.
    split: "train" or "test".
    images: images[i] is uint8[h, w, c]; an array if the data set is held in memory, else read on access, also
      in slices. Of a folder, images.paths[i] is the file of image i.
    labels: int64[len].
    num_classes: labels are in 0..num_classes - 1.
    classes: class names in the order of the labels, or None if the data set does not name them.
    digest: SHA-256 of the images and labels (of files: of their bytes), for result files.
    encoded: encoded[i] is image i as the bytes of its file, of any size, if the set is too large to be held
      decoded (ImageNet): training streams it, and images[i] is what evaluation sees. Otherwise None.
    augment: the usual augmentation for training on it, see `training.augment`; None: chosen by its channels.
    published_statistics: the published (mean, std) per channel that it is usually normalised with, or None.
    notes: what a reader of results on it must know.
  """

  name: str
  split: str
  images: Sequence[np.ndarray]
  labels: np.ndarray
  num_classes: int
  classes: tuple[str, ...] | None
  digest: str
  encoded: Sequence[bytes] | None = None
  augment: str | None = None
  published_statistics: tuple[tuple[float, ...], tuple[float, ...]] | None = None
  notes: tuple[str, ...] = ()

  def __post_init__(self) -> None:
    """Refuses mistakes in a new data set that would go unnoticed: in labels, and in images that are arrays."""
    if len(self.images) != len(self.labels):
      raise ValueError(f"{self.name} has {len(self.images)} images and {len(self.labels)} labels")
    if len(self.labels) and not 0 <= np.min(self.labels) <= np.max(self.labels) < self.num_classes:
      raise ValueError(f"labels of {self.name} must be from 0 to {self.num_classes - 1}")
    if isinstance(self.images, np.ndarray) and (self.images.dtype != np.uint8 or self.images.ndim != 4):
      raise ValueError(
        f"images of {self.name} must be uint8[len, h, w, c], got {self.images.dtype}{self.images.shape}"
      )

  def __len__(self) -> int:
    return len(self.labels)

  @functools.cached_property
  def image_shape(self) -> tuple[int, int, int]:
    """(h, w, c)."""
    height, width, channels = self.images[0].shape
    return height, width, channels

  def numbered_classes(self) -> str | None:
    """The classes by number, such as "0 = ant, 1 = bee"; None if names are not known, or are the numbers."""
    names = self.classes or ()
    if all(name == str(number) for number, name in enumerate(names)):
      return None
    told = [f"{number} = {name}" for number, name in enumerate(names[:_NAMED])]
    return ", ".join(told) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")

  def array(self) -> np.ndarray:
    """All images: uint8[len, h, w, c]; decoded once."""
    return self._array

  @functools.cached_property
  def _array(self):
    return self.images if isinstance(self.images, np.ndarray) else np.stack(list(self.images))

  def check(self, indices: Iterable[int]) -> None:
    """Decodes the images if that can fail, so that a damaged file is found now and not hours later."""
    if hasattr(self.images, "check"):
      for i in indices:
        self.images.check(i)

  def channel_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, in units of [0, 1] pixels: two tuples of floats.

    They are the published ones if there are any, else those of this split.
    """
    if self.published_statistics:
      return self.published_statistics
    counts = np.stack(
      [np.bincount(channel.ravel(), minlength=256) for channel in np.moveaxis(self.array(), -1, 0)]
    )
    values = np.arange(256) / 255
    weights = counts / counts.sum(1, keepdims=True)
    mean = weights @ values
    std = np.sqrt(weights @ values**2 - mean**2)
    return tuple(mean.round(6).tolist()), tuple(std.round(6).tolist())

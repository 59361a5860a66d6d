"""Data sets too large for memory: Grain's worker processes decode, crop and batch the files. No JAX.

for images, labels in stream(dataset, order, batch=400, crops=(0, 7), workers=8): ...
"""

import math
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Generator
from typing import Any

import numpy as np

from rsjax.data import views
from rsjax.data.dataset import Dataset
from rsjax.errors import InputError

AREA, RATIO, TRIES = (0.08, 1.0), (3 / 4, 4 / 3), 10


def stream(
  dataset: Dataset,
  order: np.ndarray,
  batch: int,
  *,
  workers: int,
  first: int = 0,
  crops: tuple[int, int] | None = None,
) -> Generator[tuple[np.ndarray, np.ndarray], None, None]:
  """Batches of a data set's images in the given order.

  Args:
    dataset: a `data.Dataset` with `encoded`.
    order: int[k * batch], indices of images.
    batch: images per batch.
    first: the batch to begin with.
    workers: processes that decode; 0: threads of this process.
    crops: None: the evaluation view; (seed, epoch): random resized crops and flips, drawn from these two and
      the image's place in the order.

  Yields:
    (uint8[batch, 224, 224, 3], int64[batch]).
  """
  grain = _grain()
  examples = _Examples(dataset.encoded, dataset.labels, np.asarray(order), first * batch, crops)
  # Threads decode in this process only: each worker takes whole batches.
  read = grain.ReadOptions(num_threads=1 if workers else 4, prefetch_buffer_size=2)
  batches = grain.MapDataset.source(examples).batch(batch).to_iter_dataset(read)
  if workers:
    options = grain.multiprocessing.MultiprocessingOptions(num_workers=workers)
    batches = batches.mp_prefetch(options, worker_init_fn=_follow_parent)
  iterator = iter(batches)
  try:
    for images, labels in iterator:
      yield images.copy(), labels.copy()  # the workers' own lie in shared memory, which is theirs to free
      del images, labels
  finally:
    iterator.close()  # ends the workers


def _follow_parent(index, count):
  """Workers end when the process that reads the batches ends, and only then.

  Ctrl-C reaches all processes of a terminal: it is for the reader. A reader that is killed stops nobody.
  """
  del index, count
  signal.signal(signal.SIGINT, signal.SIG_IGN)

  def follow():
    multiprocessing.connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)

  threading.Thread(target=follow, daemon=True).start()


def check_extra() -> None:
  """Raises InputError if Grain is missing."""
  _grain()


def _grain():
  try:
    import grain
  except ImportError as error:
    raise InputError("training on imagenet needs Grain: pip install grain") from error
  from absl import flags

  if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()  # Grain reads its flags, which nothing here parses
  return grain


class _Examples:
  """Position in the order -> (image, label). Travels to the workers."""

  def __init__(self, encoded, labels, order, start, crops):
    self._encoded, self._labels, self._order, self._crops = encoded, labels, order, crops
    self._start = start

  def __len__(self):
    return len(self._order) - self._start

  def __getitem__(self, position):
    position += self._start
    i = int(self._order[position])
    image = views.decode(self._encoded[i])
    if self._crops is None:
      return views.resize_and_center_crop(image), self._labels[i]
    # 1 + position: NumPy takes [seed, epoch, 0] for [seed, epoch], which drew the order
    return random_resized_crop(image, np.random.default_rng([*self._crops, 1 + position])), self._labels[i]


def random_resized_crop(image: Any, rng: np.random.Generator) -> np.ndarray:
  """A random part of a PIL image at 224x224, flipped with probability 1/2: uint8[224, 224, 3].

  The part has 8 % to 100 % of the area and an aspect of 3:4 to 4:3, in logarithmic measure. After ten attempts
  that do not fit, it is the largest middle part of allowed aspect. It is resized bilinearly with antialiasing.

  Source: torchvision's RandomResizedCrop(224) and RandomHorizontalFlip (the paper's code, datasets.py).
  """
  from PIL import Image

  left, top, width, height = _part(image.size[0], image.size[1], rng)
  box = (left, top, left + width, top + height)
  # crop, then resize: antialiasing must not see beyond the part
  part = image.crop(box).resize((views.CROP, views.CROP), Image.Resampling.BILINEAR)
  pixels = np.asarray(part)
  return np.ascontiguousarray(pixels[:, ::-1]) if rng.random() < 0.5 else pixels


def _part(width, height, rng):
  """(left, top, width, height) of the part."""
  for _ in range(TRIES):
    area = width * height * rng.uniform(*AREA)
    ratio = math.exp(rng.uniform(*np.log(RATIO)))
    w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
    if 0 < w <= width and 0 < h <= height:
      return int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1)), w, h
  w, h = width, height
  if width / height < RATIO[0]:
    h = round(w / RATIO[0])
  elif width / height > RATIO[1]:
    w = round(h * RATIO[1])
  return (width - w) // 2, (height - h) // 2, w, h

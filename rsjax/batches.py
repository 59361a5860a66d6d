"""Where the training step's images come from: a set held on the devices, or a stream from the host."""

import contextlib
import time

import jax
import numpy as np

from rsjax import streaming


class Held:
  """A training set on every device as uint8; a batch is the numbers of its images."""

  def __init__(self, dataset, place):
    self._place = place
    images, labels = dataset.array(), dataset.labels.astype(np.int32)
    self.arrays = place.everywhere((images, labels))

  def epoch(self, order, number, first, size):
    """The batches of an epoch from the `first` on, and the seconds that each was waited for."""
    del number
    for rows in order.reshape(-1, size)[first:]:
      yield self._place.shared(rows.astype(np.int32)), 0.0

  @staticmethod
  def select(arrays, batch):
    """Within the step: (uint8 images, int32 labels) of a batch."""
    images, labels = arrays
    return images[batch], labels[batch]


class Streamed:
  """A training set that is read and cropped by worker processes; a batch is its images and labels."""

  arrays = ()

  def __init__(self, dataset, recipe, place, workers):
    streaming.check_extra()
    self._dataset, self._recipe, self._place, self._workers = dataset, recipe, place, workers

  def epoch(self, order, number, first, size):
    crops = (self._recipe.seed, number) if self._recipe.augment == "resized-crop-flip" else None
    batches = streaming.stream(self._dataset, order, size, first=first, workers=self._workers, crops=crops)
    with contextlib.closing(batches):
      while True:
        before = time.perf_counter()
        batch = next(batches, None)
        if batch is None:
          return
        images, labels = batch
        yield self._place.shared((images, labels.astype(np.int32))), time.perf_counter() - before

  @staticmethod
  def select(arrays, batch):
    del arrays
    return batch


def evaluation(dataset, size, place, workers):
  """A data set in order: (images, labels) in batches of `size`, the last filled up with label -1."""
  count = len(dataset)
  rows = np.minimum(np.arange(-(-count // size) * size), count - 1)
  labels = np.where(np.arange(len(rows)) < count, dataset.labels[rows], -1).astype(np.int32).reshape(-1, size)
  if dataset.encoded is None:
    images = (dataset.array()[part] for part in rows.reshape(-1, size))
  else:
    images = (images for images, _ in streaming.stream(dataset, rows, size, workers=workers))
  for batch in zip(images, labels):
    yield place.shared(batch)


class Place:
  """How arrays lie on the devices of a mesh."""

  def __init__(self, mesh):
    self.mesh = mesh
    axis = mesh.axis_names[0]
    self.replicated = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    self.by_rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(axis))

  def everywhere(self, tree):
    """The whole on each device."""
    return jax.device_put(tree, self.replicated)

  def shared(self, tree):
    """Its first axis in equal parts, one a device."""
    return jax.device_put(tree, self.by_rows)

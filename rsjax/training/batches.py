"""The sources of the training step's images: a set held on the devices, or a stream from the host."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray

from rsjax.data import Dataset, streaming
from rsjax.training.recipe import Recipe


class Held:
  """A training set held on every device as uint8; a batch holds the numbers of its images."""

  def __init__(
    self,
    dataset: Dataset,
    place: "Place",
    votes: NDArray[np.float32] | None = None,
    classifier: Any = None,
  ) -> None:
    """votes: float32[images, classes]; classifier: a `jax.tree_util.Partial`; for objectives that need them."""
    self._place = place
    images, labels = dataset.array(), dataset.labels.astype(np.int32)
    self.arrays = place.everywhere((images, labels, votes, classifier))

  def epoch(self, order: np.ndarray, number: int, first: int, size: int) -> Iterator[tuple[Any, float]]:
    """The batches of an epoch from the `first` on, and the seconds spent waiting for each."""
    del number
    for rows in order.reshape(-1, size)[first:]:
      yield self._place.shared(rows.astype(np.int32)), 0.0

  @staticmethod
  def select(arrays: Any, batch: Any) -> Any:
    """Within the step: (uint8 images, int32 labels, int32 indices, votes, classifier) of a batch."""
    images, labels, votes, classifier = arrays
    return images[batch], labels[batch], batch, None if votes is None else votes[batch], classifier


class Streamed:
  """A training set that worker processes read and crop; a batch holds its images, labels and indices."""

  def __init__(
    self,
    dataset: Dataset,
    recipe: Recipe,
    place: "Place",
    workers: int,
    votes: NDArray[np.float32] | None = None,
    classifier: Any = None,
  ) -> None:
    """votes, classifier: as for `Held`."""
    streaming.check_extra()
    self.arrays = place.everywhere((votes, classifier))
    self._dataset, self._recipe, self._place, self._workers = dataset, recipe, place, workers

  def epoch(self, order: np.ndarray, number: int, first: int, size: int) -> Iterator[tuple[Any, float]]:
    """As for `Held.epoch`."""
    crops = (self._recipe.seed, number) if self._recipe.augment == "resized-crop-flip" else None
    batches = streaming.stream(self._dataset, order, size, first=first, workers=self._workers, crops=crops)
    with contextlib.closing(batches):
      for indices in order.reshape(-1, size)[first:].astype(np.int32):
        before = time.perf_counter()
        images, labels = next(batches)
        batch = self._place.shared((images, labels.astype(np.int32), indices))
        yield batch, time.perf_counter() - before

  @staticmethod
  def select(arrays: Any, batch: Any) -> Any:
    """As for `Held.select`."""
    (images, labels, indices), (votes, classifier) = batch, arrays
    return images, labels, indices, None if votes is None else votes[indices], classifier


def evaluation(dataset: Dataset, size: int, place: "Place", workers: int) -> Iterator[Any]:
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
  """Places arrays on the devices of a mesh."""

  def __init__(self, mesh: Mesh) -> None:
    self.mesh = mesh
    axis = mesh.axis_names[0]
    self.replicated = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    self.by_rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(axis))

  def everywhere(self, tree: Any) -> Any:
    """The tree, whole on each device."""
    return jax.device_put(tree, self.replicated)

  def shared(self, tree: Any) -> Any:
    """The tree, with its first axis in equal parts, one per device."""
    return jax.device_put(tree, self.by_rows)

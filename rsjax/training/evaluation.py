"""Loss and accuracy of the network in training, on the test set and under the training noise."""

import collections
import functools
from collections.abc import Hashable
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpy.typing import NDArray

from rsjax import devices
from rsjax.data import Dataset
from rsjax.noise import Noise, perturb_for_training, threefry
from rsjax.training import batches
from rsjax.training.recipe import Recipe
from rsjax.training.step import COUNT, EVALUATE

_AHEAD = 8  # batches that are dispatched before an earlier one is waited for


def evaluate(
  model: nn.Module,
  noise: Noise,
  recipe: Recipe,
  variables: Any,
  dataset: Dataset,
  epoch: int,
  place: batches.Place,
  workers: int,
) -> tuple[float, float]:
  """(mean cross-entropy, accuracy) on a data set, under one draw of noise per image."""
  sums = _make_sums(model, cast(Hashable, noise))
  key = jax.random.fold_in(jax.random.fold_in(threefry.base_key(recipe.seed), EVALUATE), epoch)
  batch = _batch(recipe, dataset, place)
  totals: collections.deque = collections.deque()
  for k, (images, labels) in enumerate(batches.evaluation(dataset, batch, place, workers)):
    totals.append(sums(variables, images, labels, jax.random.fold_in(key, k)))
    if len(totals) > _AHEAD:
      totals[-_AHEAD].block_until_ready()  # else a set that is streamed would pile up on the device
  loss, hits = np.asarray(jax.device_get(list(totals)), np.float64).sum(0) / len(dataset)
  return float(loss), float(hits)


def _batch(recipe: Recipe, dataset: Dataset, place: batches.Place) -> int:
  """Images of a pass."""
  batch = min(recipe.batch // recipe.accumulate, len(dataset))
  return -(-batch // place.mesh.size) * place.mesh.size


def count_right(
  model: nn.Module,
  noise: Noise,
  recipe: Recipe,
  variables: Any,
  dataset: Dataset,
  epoch: int,
  place: batches.Place,
  workers: int,
  copies: int,
) -> NDArray[np.int32]:
  """int32[images], how many of `copies` noisy copies of each image are classified right.

  The noise is a function of seed, epoch and `copies`.
  """
  hits = _make_hits(model, cast(Hashable, noise), place.replicated)
  key = jax.random.fold_in(jax.random.fold_in(threefry.base_key(recipe.seed), COUNT), epoch)
  key = jax.random.fold_in(key, copies)
  found: list[Any] = []
  parts = batches.evaluation(dataset, _batch(recipe, dataset, place), place, workers)
  for k, (images, labels) in enumerate(parts):
    found.append(hits(variables, images, labels, jax.random.fold_in(key, k), copies))
    if len(found) > _AHEAD:
      found[-_AHEAD].block_until_ready()
  return np.concatenate(jax.device_get(found))[: len(dataset)]


@functools.lru_cache(maxsize=8)
def _make_hits(model: nn.Module, noise: Any, replicated: Any) -> Any:
  """hits(variables, images, labels, key, copies) -> int32[batch], right answers of each image."""

  def hits(variables, images, labels, key, copies):
    x = images.astype(jnp.float32) / 255

    def one_more(copy, total):
      noisy = perturb_for_training(noise, jax.random.fold_in(key, copy), x)
      right = model.apply(variables, noisy, train=False).argmax(-1) == labels
      return total + right.astype(jnp.int32)

    return jax.lax.fori_loop(0, copies, one_more, jnp.zeros(labels.shape, jnp.int32))

  return devices.jit(hits, out_shardings=replicated)


@functools.lru_cache(maxsize=8)
def _make_sums(model: nn.Module, noise: Any) -> Any:
  """sums(variables, images, labels, key) -> float32[2]: summed loss and hits of a batch."""

  def sums(variables, images, labels, key):
    # labels: int32[batch], -1 for rows that only fill up the batch
    x = images.astype(jnp.float32) / 255
    x = perturb_for_training(noise, key, x)
    logits = model.apply(variables, x, train=False)
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.maximum(labels, 0))
    hits = logits.argmax(-1) == labels
    return jnp.stack([jnp.where(labels >= 0, loss, 0.0).sum(), hits.sum(dtype=jnp.float32)])

  return devices.jit(sums)

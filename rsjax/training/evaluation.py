"""Loss and accuracy of the network in training, on the test set and under the training noise."""

import collections
import functools
from collections.abc import Callable, Hashable
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from rsjax import devices
from rsjax.data import Dataset
from rsjax.noise import Noise, perturb_for_training, threefry
from rsjax.training import batches
from rsjax.training.objectives import Objective, classifies, noise_of, score_of
from rsjax.training.recipe import Recipe
from rsjax.training.step import COUNT, EVALUATE

_AHEAD = 8  # batches that are dispatched before an earlier one is waited for


def evaluate(
  model: nn.Module,
  objective: Objective,
  recipe: Recipe,
  variables: Any,
  dataset: Dataset,
  epoch: int,
  place: batches.Place,
  workers: int,
  classifier: Any = None,
) -> tuple[float, float]:
  """(mean loss, accuracy) on a data set, under one draw of noise per image.

  The loss is the cross-entropy, or what the objective scores a denoiser by. Without logits the accuracy is NaN.
  """
  sums = _make_sums(model, cast(Hashable, noise_of(objective)), score_of(objective))
  key = jax.random.fold_in(jax.random.fold_in(threefry.base_key(recipe.seed), EVALUATE), epoch)
  batch = _batch(recipe, dataset, place)
  totals: collections.deque = collections.deque()
  for k, (images, labels) in enumerate(batches.evaluation(dataset, batch, place, workers)):
    totals.append(sums(variables, images, labels, jax.random.fold_in(key, k), classifier))
    if len(totals) > _AHEAD:
      totals[-_AHEAD].block_until_ready()  # else a set that is streamed would pile up on the device
  loss, hits = np.asarray(jax.device_get(list(totals)), np.float64).sum(0) / len(dataset)
  return float(loss), float(hits) if classifies(objective) else float("nan")


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
def _make_sums(model: nn.Module, noise: Any, score: Callable) -> Any:
  """sums(variables, images, labels, key, classifier) -> float32[2]: summed loss and hits of a batch."""

  def sums(variables, images, labels, key, classifier):
    # labels: int32[batch], -1 for rows that only fill up the batch
    x = images.astype(jnp.float32) / 255
    outputs = model.apply(variables, perturb_for_training(noise, key, x), train=False)
    loss, hits = score(outputs, x, labels, classifier)
    return jnp.stack([jnp.where(labels >= 0, loss, 0.0).sum(), hits.sum(dtype=jnp.float32)])

  return devices.jit(sums)

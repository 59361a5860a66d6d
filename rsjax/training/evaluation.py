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

from rsjax import devices
from rsjax.data import Dataset
from rsjax.noise import Noise, perturb_for_training, threefry
from rsjax.training import batches
from rsjax.training.recipe import Recipe
from rsjax.training.step import EVALUATE

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
  batch = min(recipe.batch // recipe.accumulate, len(dataset))
  batch = -(-batch // place.mesh.size) * place.mesh.size
  totals: collections.deque = collections.deque()
  for k, (images, labels) in enumerate(batches.evaluation(dataset, batch, place, workers)):
    totals.append(sums(variables, images, labels, jax.random.fold_in(key, k)))
    if len(totals) > _AHEAD:
      totals[-_AHEAD].block_until_ready()  # else a set that is streamed would pile up on the device
  loss, hits = np.asarray(jax.device_get(list(totals)), np.float64).sum(0) / len(dataset)
  return float(loss), float(hits)


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

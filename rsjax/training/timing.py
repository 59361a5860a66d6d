"""Measures how fast training runs on this device, from a few of its steps."""

import time
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from numpy.typing import NDArray

from rsjax import devices
from rsjax.data import Dataset
from rsjax.training import batches
from rsjax.training import step as steps_of
from rsjax.training.division import divide
from rsjax.training.objectives import Objective
from rsjax.training.recipe import Recipe

_SECONDS, _STEPS = 3.0, 20  # of the measurement, at most, after the first step and one that warms up


def images_a_second(
  model: nn.Module,
  train_set: Dataset,
  objective: Objective,
  recipe: Recipe,
  workers: int = 4,
  votes: NDArray[np.float32] | None = None,
  classifier: Any = None,
) -> float:
  """Images per second of the compiled training step; the weights are thrown away.

  Args:
    model, train_set, objective, recipe, workers, votes, classifier: as for `training.train`.

  Raises:
    InputError: if the devices cannot share a batch equally.
  """
  recipe = recipe.for_dataset(train_set)
  place = batches.Place(devices.batch_mesh())
  size = len(train_set)
  division = divide(recipe, objective, size, place.mesh.size)
  part = division.part
  held = train_set.encoded is None
  source: Any = (
    batches.Held(train_set, place, votes, classifier)
    if held
    else batches.Streamed(train_set, recipe, place, workers, votes, classifier)
  )
  state = place.everywhere(steps_of.initial_state(model, train_set.image_shape, objective, recipe))
  step = steps_of.make_step(model, objective, recipe, division.steps, source.select, place.replicated)
  order = np.resize(np.random.default_rng(recipe.seed).permutation(size), (_STEPS + 2) * part)
  taken, begun = 0, 0.0
  for number, (batch, _) in enumerate(source.epoch(order, 0, 0, part)):
    state, loss = step(state, source.arrays, batch)
    jax.block_until_ready(loss)
    if number < 2:
      begun = time.perf_counter()
      continue
    taken += 1
    if time.perf_counter() - begun > _SECONDS:
      break
  return taken * part / (time.perf_counter() - begun)

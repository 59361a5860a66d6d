"""Epochs of training, as a stream.

Everything random is a function of (seed, epoch or step): the same recipe on the same machine gives the same
weights, even if training was stopped and continued.

The images of a step are sharded over all devices; batch statistics are those of the whole batch, so that
the number of devices changes the weights only by rounding.
"""

import collections
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import flax.linen as nn
import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray

from rsjax import devices
from rsjax.data import Dataset
from rsjax.errors import DivergedError, InputError
from rsjax.training import batches
from rsjax.training import step as steps_of
from rsjax.training.division import divide
from rsjax.training.evaluation import count_right, evaluate
from rsjax.training.objectives import (
  Objective,
  chooses_images,
  classifies,
  needs_classifier,
  needs_votes,
  noise_of,
)
from rsjax.training.recipe import Recipe, make_schedule
from rsjax.training.step import State, all_finite, initial_state

_AHEAD = 8  # steps that are dispatched before the loss of an earlier one is looked at


@dataclasses.dataclass(frozen=True)
class Epoch:
  """The result of one epoch. `state` is on the device and valid until the next epoch is asked for.

  The training loss is the objective's, the test loss a mean cross-entropy; accuracies are fractions, and the
  test accuracy is under one draw of noise per image. For the objective denoise the test loss is a mean squared
  error, and accuracies are NaN. `statistics` are the objective's own, averaged over the epoch. `seconds`
  include the evaluation; `rate` is that of training alone, in images per second; `waited` are the seconds that
  training waited for images.
  """

  number: int
  seconds: float
  rate: float
  waited: float
  lr: float
  train_loss: float
  train_accuracy: float
  test_loss: float
  test_accuracy: float
  statistics: dict[str, float]
  state: State


def train(
  model: nn.Module,
  train_set: Dataset,
  test_set: Dataset,
  objective: Objective,
  recipe: Recipe,
  state: State | None = None,
  *,
  votes: NDArray[np.float32] | None = None,
  classifier: Any = None,
  mesh: Mesh | None = None,
  workers: int = 4,
  progress: Callable[[int], None] = lambda images: None,
  save: Callable[[State], Any] = lambda state: None,
  save_seconds: float = float("inf"),
) -> Iterator[Epoch]:
  """Trains, and yields after each epoch.

  Args:
    model: from `models.create`.
    train_set, test_set: a training set that is not `encoded` is held on the devices as uint8.
    objective: what is minimised.
    recipe: how to train.
    state: to continue from, after any step; None: `initial_state`.
    votes: float32[images of the training set, classes], for an objective that needs them (`Batch.votes`).
    classifier: `jax.tree_util.Partial(apply, variables)`, for an objective that needs it (`Batch.classifier`).
    mesh: the devices, from `devices.batch_mesh`; None: all.
    workers: processes that decode an `encoded` data set.
    progress: called with the number of images of each step. If it raises a KeyboardInterrupt, the steps so far
      are saved, or the epoch is finished, before the interrupt is passed on.
    save, save_seconds: within an epoch, save(state) is called about every `save_seconds` seconds.

  Yields:
    An `Epoch` for each one left to do.

  Raises:
    InputError: if the devices cannot share a batch equally, or the objective needs votes or a classifier and
      has none.
    DivergedError: if a loss or a weight is not finite; the message names epoch and step.
  """
  recipe = recipe.for_dataset(train_set)
  place = batches.Place(devices.batch_mesh() if mesh is None else mesh)
  size = len(train_set)
  if needs_votes(objective) and votes is None:
    raise InputError(f"the objective {objective.name} needs `votes`")
  if needs_classifier(objective) and classifier is None:
    raise InputError(f"the objective {objective.name} needs a `classifier`")
  division = divide(recipe, objective, size, place.mesh.size)
  part, steps = division.part, division.steps
  schedule = make_schedule(recipe, division.updates)
  classifier = place.everywhere(classifier)
  held = train_set.encoded is None
  source = (
    batches.Held(train_set, place, votes, classifier)
    if held
    else batches.Streamed(train_set, recipe, place, workers, votes, classifier)
  )
  state = place.everywhere(
    initial_state(model, train_set.image_shape, objective, recipe, images=size) if state is None else state
  )
  step = steps_of.make_step(model, objective, recipe, steps, source.select, place.replicated)

  first, interrupted = int(state.step), None
  for number in range(first // steps, recipe.epochs):
    start, saved, waited = time.perf_counter(), time.perf_counter(), 0.0
    done = first - number * steps
    if chooses_images(objective) and not done:
      count = functools.partial(
        count_right, model, noise_of(objective), recipe, state.variables, train_set, number, place, workers
      )
      weights = objective.sampling(number, np.array(state.sampling), count)  # type: ignore[attr-defined]
      state = state._replace(sampling=place.everywhere(weights))
    weights = None if state.sampling is None else np.array(state.sampling)
    order = division.order(recipe.seed, number, size, weights)
    lr = float(schedule(number * steps // recipe.accumulate))
    losses: collections.deque = collections.deque()
    for k, (batch, wait) in enumerate(source.epoch(order, number, done, part), done):
      state, loss = step(state, source.arrays, batch)
      losses.append((k, loss))
      if len(losses) > _AHEAD:
        _check_loss(number, *losses.popleft())
      waited += wait
      try:
        progress(part)
      except KeyboardInterrupt as error:
        interrupted = error
        if k + 1 < steps:
          _check_all(number, losses, state)
          save(state)
          raise
      if time.perf_counter() - saved > save_seconds and k + 1 < steps:
        _check_all(number, losses, state)
        save(state)
        saved = time.perf_counter()
    _check_all(number, losses, state)
    rate = (steps - done) * part / (time.perf_counter() - start)
    train_loss, train_accuracy, *told = (np.asarray(state.sums, np.float64) / steps).tolist()
    if not classifies(objective):
      train_accuracy = float("nan")
    tested = evaluate(model, objective, recipe, state.variables, test_set, number, place, workers, classifier)
    seconds, first = time.perf_counter() - start, (number + 1) * steps
    statistics = dict(zip(objective.statistics, told))
    yield Epoch(number, seconds, rate, waited, lr, train_loss, train_accuracy, *tested, statistics, state)
    if interrupted:
      raise interrupted


def _check_loss(number: int, k: int, loss: Any) -> None:
  if not np.isfinite(loss):
    raise DivergedError(f"epoch {number}, step {k}: the training loss is {float(loss)}; try a smaller lr")


def _check_all(number: int, losses: collections.deque, state: State) -> None:
  """Whether everything up to this step is finite, what was computed last included."""
  last = losses[-1][0] if losses else 0
  while losses:
    _check_loss(number, *losses.popleft())
  if not all_finite(state.variables):
    raise DivergedError(f"epoch {number}, step {last}: a weight is not finite; try a smaller lr")

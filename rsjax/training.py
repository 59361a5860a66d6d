"""Training a base classifier under Gaussian noise: one jitted step, epochs as a stream.

  >>> for epoch in train(model, train_set, test_set, Recipe(noise_sd=0.25, epochs=2)):
  ...   print(epoch.number, epoch.test_accuracy)
  0 0...
  1 0...

The recipe's defaults are the paper's. Everything random is a function of (seed, epoch or step): the
same recipe on the same machine gives the same weights, also when it was stopped and continued.

The images of a step are sharded over all devices; batch statistics are those of the whole batch, so that
the number of devices changes the weights by rounding only.

An objective is one function (forward, images, labels, key, recipe) -> (loss, logits, batch_stats);
`gaussian` is the paper's. Saving and logging are the caller's.
"""

import collections
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rsjax import batches, devices, models
from rsjax.augment import augment
from rsjax.errors import DivergedError, InputError
from rsjax.noise import base_key
from rsjax.recipe import Recipe, make_optimizer, make_schedule

# Folded into the seed's key, so that training, its evaluation and certification never share noise.
_INIT, _TRAIN, _EVALUATE = 2**32 - 3, 2**32 - 2, 2**32 - 1

_AHEAD = 8  # steps that are dispatched before the loss of an earlier one is looked at


class State(NamedTuple):
  """All that training carries from step to step."""

  step: Any  # int32[], of gradient computations; `accumulate` of them make an update
  params: Any
  batch_stats: Any
  opt_state: Any
  sums: Any  # float32[2], of loss and accuracy over the steps of the epoch so far

  @property
  def variables(self):
    """What the model is applied with."""
    return {"params": self.params, **({"batch_stats": self.batch_stats} if self.batch_stats else {})}


@dataclasses.dataclass(frozen=True)
class Epoch:
  """What one epoch gave. `state` is on the device and valid until the next epoch is asked for.

  Losses are mean cross-entropies (the training loss: of smoothed labels), accuracies fractions, all under
  one draw of noise an image. `seconds` include the evaluation; `rate` is of training alone, in images a second;
  `waited` are the seconds for which training stood still for want of images.
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
  state: State


def gaussian(forward, images, labels, key, recipe):
  """Cross-entropy under one Gaussian draw per image (Cohen et al. 2019, section 3.3)."""
  noisy = images + recipe.noise_sd * jax.random.normal(key, images.shape, jnp.float32)
  logits, batch_stats = forward(noisy)
  targets = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1]), recipe.label_smoothing)
  return optax.softmax_cross_entropy(logits, targets).mean(), logits, batch_stats


def initial_state(model, image_shape, recipe, variables=None):
  """The weights to begin with and the optimiser's first state, for images of (h, w, c).

  The weights are random, or `variables`.
  """
  if variables is None:
    key = jax.random.fold_in(base_key(recipe.seed), _INIT)
    variables = _make_init(model, tuple(image_shape))(key)
  params = variables["params"]
  opt_state = make_optimizer(recipe, 1).init(params)
  return State(jnp.int32(0), params, variables.get("batch_stats", {}), opt_state, jnp.zeros(2, jnp.float32))


def steps_per_epoch(recipe, size):
  """Gradient computations an epoch, on `size` images."""
  return -(-size // min(recipe.batch, size)) * recipe.accumulate


def train(
  model,
  train_set,
  test_set,
  recipe: Recipe,
  state: State | None = None,
  *,
  objective: Callable = gaussian,
  mesh=None,
  workers: int = 4,
  progress: Callable[[int], None] = lambda images: None,
  save: Callable[[State], None] = lambda state: None,
  save_seconds: float = float("inf"),
) -> Iterator[Epoch]:
  """Trains, yielding after each epoch.

  Args:
    model: from `models.create`.
    train_set, test_set: `data.Dataset`s; a training set that is not `encoded` is held on the devices as uint8.
    recipe: how to train.
    state: to continue from, after any step; None: `initial_state`.
    objective: the loss, see the module's docstring.
    mesh: the devices, from `devices.batch_mesh`; None: all.
    workers: processes that decode an `encoded` data set.
    progress: called with the number of images of each step; what it was called for is saved, or the epoch
      finished, before a KeyboardInterrupt of its own goes on.
    save, save_seconds: within an epoch, save(state) is called about every save_seconds.

  Yields:
    An `Epoch` for each one left to do.

  Raises:
    InputError: where the devices cannot share a batch equally.
    DivergedError: when a loss or a weight is not finite, with epoch and step.
  """
  recipe = recipe.for_dataset(train_set)
  place = batches.Place(devices.batch_mesh() if mesh is None else mesh)
  size = len(train_set)
  part = check_batch(recipe, size, place.mesh.size)
  steps = steps_per_epoch(recipe, size)
  schedule = make_schedule(recipe, steps // recipe.accumulate)
  held = train_set.encoded is None
  source = batches.Held(train_set, place) if held else batches.Streamed(train_set, recipe, place, workers)
  state = place.everywhere(initial_state(model, train_set.image_shape, recipe) if state is None else state)
  step = _make_step(model, objective, recipe, steps, source.select, place.replicated)

  first, interrupted = int(state.step), None
  for number in range(first // steps, recipe.epochs):
    start, saved, waited = time.perf_counter(), time.perf_counter(), 0.0
    order = np.random.default_rng([recipe.seed, number]).permutation(size)
    order = np.resize(order, steps * part)  # a last part-filled batch is filled up from the first
    done = first - number * steps
    lr = float(schedule(number * steps // recipe.accumulate))
    losses = collections.deque()
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
    train_loss, train_accuracy = np.asarray(state.sums, np.float64) / steps
    test_loss, test_accuracy = _evaluate(model, recipe, state.variables, test_set, number, place, workers)
    seconds, first = time.perf_counter() - start, (number + 1) * steps
    accuracies = float(train_loss), float(train_accuracy), test_loss, test_accuracy
    yield Epoch(number, seconds, rate, waited, lr, *accuracies, state)
    if interrupted:
      raise interrupted


def check_batch(recipe, size, devices_count):
  """The images of a step, on `size` images; refused where the devices cannot share them equally."""
  update = min(recipe.batch, size)
  if update % (recipe.accumulate * devices_count):
    raise InputError(
      f"batch {update} cannot be shared equally by {devices_count} devices"
      + (f" in {recipe.accumulate} parts" if recipe.accumulate > 1 else "")
      + f": give a multiple of {recipe.accumulate * devices_count}"
    )
  return update // recipe.accumulate


def _check_loss(number, k, loss):
  if not np.isfinite(loss):
    raise DivergedError(f"epoch {number}, step {k}: the training loss is {float(loss)}; try a smaller lr")


def _check_all(number, losses, state):
  """Whether everything up to this step is finite, what was computed last included."""
  last = losses[-1][0] if losses else 0
  while losses:
    _check_loss(number, *losses.popleft())
  if not _all_finite(state.variables):
    raise DivergedError(f"epoch {number}, step {last}: a weight is not finite; try a smaller lr")


# The functions below are cached, so that training again with the same settings compiles nothing.


@functools.lru_cache(maxsize=8)
def _make_init(model, image_shape):
  return devices.jit(lambda key: models.init(model, key, image_shape), once=True)


@functools.lru_cache(maxsize=8)
def _make_step(model, objective, recipe, steps, select, replicated):
  """step(state, arrays, batch) -> (state, float32[] loss); one jit, no sync."""
  optimizer = make_optimizer(recipe, steps // recipe.accumulate)

  def step(state, arrays, batch):
    key = jax.random.fold_in(base_key(recipe.seed), _TRAIN)
    augment_key, noise_key = jax.random.split(jax.random.fold_in(key, state.step))
    images, labels = select(arrays, batch)
    images = augment(recipe.augment, augment_key, images.astype(jnp.float32) / 255)

    def loss_of(params):
      def forward(x):
        variables = state._replace(params=params).variables
        logits, updates = model.apply(variables, x, train=True, mutable=["batch_stats"])
        return logits, updates.get("batch_stats", {})

      loss, logits, batch_stats = objective(forward, images, labels, noise_key, recipe)
      return loss, (logits, batch_stats)

    (loss, (logits, batch_stats)), gradients = jax.value_and_grad(loss_of, has_aux=True)(state.params)
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    accuracy = (logits.argmax(-1) == labels).mean(dtype=jnp.float32)
    sums = jnp.where(state.step % steps == 0, 0.0, state.sums) + jnp.stack([loss, accuracy])
    return State(state.step + 1, params, batch_stats, opt_state, sums), loss

  return devices.jit(step, donate_argnums=0, out_shardings=replicated)


@functools.cache
def _make_all_finite():
  return devices.jit(lambda leaves: jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves]).all())


def _all_finite(tree):
  return bool(_make_all_finite()(jax.tree.leaves(tree)))


@functools.lru_cache(maxsize=8)
def _make_sums(model, noise_sd):
  """sums(variables, images, labels, key) -> float32[2]: summed loss and hits of a batch."""

  def sums(variables, images, labels, key):
    # labels: int32[batch], -1 for rows that only fill up the batch
    x = images.astype(jnp.float32) / 255
    x = x + noise_sd * jax.random.normal(key, x.shape, jnp.float32)
    logits = model.apply(variables, x, train=False)
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.maximum(labels, 0))
    hits = logits.argmax(-1) == labels
    return jnp.stack([jnp.where(labels >= 0, loss, 0.0).sum(), hits.sum(dtype=jnp.float32)])

  return devices.jit(sums)


def _evaluate(model, recipe, variables, dataset, epoch, place, workers):
  """(loss, accuracy) on a data set, under one draw of noise an image."""
  sums = _make_sums(model, recipe.noise_sd)
  key = jax.random.fold_in(jax.random.fold_in(base_key(recipe.seed), _EVALUATE), epoch)
  batch = min(recipe.batch // recipe.accumulate, len(dataset))
  batch = -(-batch // place.mesh.size) * place.mesh.size
  totals = collections.deque()
  for k, (images, labels) in enumerate(batches.evaluation(dataset, batch, place, workers)):
    totals.append(sums(variables, images, labels, jax.random.fold_in(key, k)))
    if len(totals) > _AHEAD:
      totals[-_AHEAD].block_until_ready()  # else a set that is streamed would pile up on the device
  loss, hits = np.sum(jax.device_get(list(totals)), 0, dtype=np.float64) / len(dataset)
  return float(loss), float(hits)

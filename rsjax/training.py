"""Training a base classifier under Gaussian noise: one jitted step, epochs as a stream.

  >>> for epoch in train(model, train_set, test_set, Recipe(noise_sd=0.25)):
  ...   print(epoch.number, epoch.test_accuracy)

The recipe's defaults are the paper's. Everything random is a function of (seed, epoch or step): the
same recipe on the same machine gives the same weights, also when it was stopped and continued.

An objective is one function (forward, images, labels, key, noise_sd) -> (loss, logits, batch_stats);
`gaussian` is the paper's. Saving and logging are the caller's.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rsjax import devices, models
from rsjax.augment import AUGMENTATIONS, augment
from rsjax.errors import DivergedError, InputError
from rsjax.noise import base_key, check_seed

# Folded into the seed's key, so that training, its evaluation and certification never share noise.
_INIT, _TRAIN, _EVALUATE = 2**32 - 3, 2**32 - 2, 2**32 - 1


@dataclasses.dataclass(frozen=True)
class Recipe:
  """How to train. Defaults: Cohen et al. 2019 (their code's train.py, for CIFAR-10 and ImageNet).

  Attributes:
    noise_sd: standard deviation of the training noise, in units of [0, 1] pixels.
    epochs, batch: passes over the training set, and images a step.
    lr, lr_step_size, gamma: the learning rate is multiplied by gamma every lr_step_size epochs.
    momentum, weight_decay: of SGD; weight decay applies to every parameter.
    augment: "none", "crop" or "crop-flip".
    seed: of initialisation, order, augmentation and noise.
  """

  noise_sd: float = 0.0
  epochs: int = 90
  batch: int = 400
  lr: float = 0.1
  lr_step_size: int = 30
  gamma: float = 0.1
  momentum: float = 0.9
  weight_decay: float = 1e-4
  augment: str = "none"
  seed: int = 0

  def __post_init__(self):
    for name, smallest in (("epochs", 1), ("batch", 1), ("lr_step_size", 1)):
      if getattr(self, name) < smallest:
        raise InputError(f"{name} must be at least {smallest}, got {getattr(self, name)}")
    for name in ("noise_sd", "lr", "gamma", "momentum", "weight_decay"):
      if not (np.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
        raise InputError(f"{name} must be a number >= 0, got {getattr(self, name)}")
    if self.augment not in AUGMENTATIONS:
      raise InputError(f"augment must be one of {', '.join(AUGMENTATIONS)}, got {self.augment!r}")
    check_seed(self.seed)


class State(NamedTuple):
  """All that training carries from step to step."""

  step: Any  # int32[]
  params: Any
  batch_stats: Any
  opt_state: Any

  @property
  def variables(self):
    """What the model is applied with."""
    return {"params": self.params, **({"batch_stats": self.batch_stats} if self.batch_stats else {})}


@dataclasses.dataclass(frozen=True)
class Epoch:
  """What one epoch gave. `state` is on the device and valid until the next epoch is asked for.

  Losses are mean cross-entropies, accuracies fractions, all under one draw of noise an image.
  """

  number: int
  seconds: float
  lr: float
  train_loss: float
  train_accuracy: float
  test_loss: float
  test_accuracy: float
  state: State


def gaussian(forward, images, labels, key, noise_sd):
  """Cross-entropy under one Gaussian draw per image (Cohen et al. 2019, section 3.3)."""
  noisy = images + noise_sd * jax.random.normal(key, images.shape, jnp.float32)
  logits, batch_stats = forward(noisy)
  loss = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
  return loss, logits, batch_stats


def initial_state(model, image_shape, recipe):
  """Random parameters and the optimiser's first state, for images of (h, w, c)."""
  key = jax.random.fold_in(base_key(recipe.seed), _INIT)
  variables = _make_init(model, tuple(image_shape))(key)
  params = variables["params"]
  opt_state = _optimizer(recipe, 1).init(params)
  return State(jnp.int32(0), params, variables.get("batch_stats", {}), opt_state)


def train(
  model,
  train_set,
  test_set,
  recipe: Recipe,
  state: State | None = None,
  objective: Callable = gaussian,
  progress: Callable[[int], None] = lambda images: None,
) -> Iterator[Epoch]:
  """Trains, yielding after each epoch.

  Args:
    model: from `models.create`.
    train_set, test_set: `data.Dataset`s; the training set is held on the device as uint8.
    recipe: how to train.
    state: to continue from, at the end of an epoch; None: `initial_state`.
    objective: the loss, see the module's docstring.
    progress: called with the number of images of each step.

  Yields:
    An `Epoch` for each one left to do.

  Raises:
    DivergedError: when the training loss of an epoch is not finite.
  """
  size = len(train_set)
  batch = min(recipe.batch, size)
  steps = -(-size // batch)
  if state is None:
    state = initial_state(model, train_set.image_shape, recipe)
  step = _make_step(model, objective, recipe, steps)
  schedule = _schedule(recipe, steps)
  images, labels = jnp.asarray(train_set.array()), jnp.asarray(train_set.labels, jnp.int32)

  for number in range(int(state.step) // steps, recipe.epochs):
    start, metrics = time.perf_counter(), []
    order = np.random.default_rng([recipe.seed, number]).permutation(size)
    order = np.resize(order, (steps, batch))  # a last part-filled batch is filled up from the first
    lr = float(schedule(int(state.step)))
    for rows in order.astype(np.int32):
      state, values = step(state, images, labels, rows)
      metrics.append(values)
      progress(batch)
    train_loss, train_accuracy = np.mean(jax.device_get(metrics), 0)
    if not np.isfinite(train_loss):
      raise DivergedError(f"epoch {number}: the training loss is {train_loss}; try a smaller lr")
    test_loss, test_accuracy = _evaluate(model, recipe, state.variables, test_set, number)
    seconds = time.perf_counter() - start
    yield Epoch(number, seconds, lr, float(train_loss), float(train_accuracy), test_loss, test_accuracy, state)


def _schedule(recipe, steps):
  return optax.exponential_decay(recipe.lr, recipe.lr_step_size * steps, recipe.gamma, staircase=True)


def _optimizer(recipe, steps):
  return optax.chain(
    optax.add_decayed_weights(recipe.weight_decay),
    optax.sgd(_schedule(recipe, steps), momentum=recipe.momentum),
  )


# The functions below are cached, so that training again with the same settings compiles nothing.


@functools.lru_cache(maxsize=8)
def _make_init(model, image_shape):
  return devices.jit(lambda key: models.init(model, key, image_shape))


@functools.lru_cache(maxsize=8)
def _make_step(model, objective, recipe, steps):
  """step(state, images, labels, rows) -> (state, float32[2]: loss and accuracy); one jit, no sync."""
  optimizer = _optimizer(recipe, steps)

  def step(state, images, labels, rows):
    key = jax.random.fold_in(base_key(recipe.seed), _TRAIN)
    augment_key, noise_key = jax.random.split(jax.random.fold_in(key, state.step))
    batch = augment(recipe.augment, augment_key, images[rows].astype(jnp.float32) / 255)
    targets = labels[rows]

    def loss_of(params):
      def forward(x):
        variables = state._replace(params=params).variables
        logits, updates = model.apply(variables, x, train=True, mutable=["batch_stats"])
        return logits, updates.get("batch_stats", {})

      loss, logits, batch_stats = objective(forward, batch, targets, noise_key, recipe.noise_sd)
      return loss, (logits, batch_stats)

    (loss, (logits, batch_stats)), gradients = jax.value_and_grad(loss_of, has_aux=True)(state.params)
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    accuracy = (logits.argmax(-1) == targets).mean(dtype=jnp.float32)
    return State(state.step + 1, params, batch_stats, opt_state), jnp.stack([loss, accuracy])

  return devices.jit(step, donate_argnums=0)


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


def _evaluate(model, recipe, variables, dataset, epoch):
  """(loss, accuracy) on a data set, under one draw of noise an image."""
  sums = _make_sums(model, recipe.noise_sd)
  key = jax.random.fold_in(jax.random.fold_in(base_key(recipe.seed), _EVALUATE), epoch)
  size, batch = len(dataset), min(recipe.batch, len(dataset))
  totals = []
  for start in range(0, size, batch):
    rows = np.arange(start, start + batch)
    labels = np.where(rows < size, dataset.labels[np.minimum(rows, size - 1)], -1).astype(np.int32)
    images = np.stack([dataset.images[min(i, size - 1)] for i in rows])
    totals.append(sums(variables, images, labels, jax.random.fold_in(key, start)))
  loss, hits = np.sum(jax.device_get(totals), 0, dtype=np.float64) / size
  return float(loss), float(hits)

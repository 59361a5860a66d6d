"""How to train, whatever the objective: every setting that all share, the schedule and the optimiser."""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np
import optax

from rsjax.data import Dataset
from rsjax.errors import InputError
from rsjax.noise import check_seed, make_plain
from rsjax.training.augment import AUGMENTATIONS

SCHEDULES = ("step", "cosine", "onecycle")
OPTIMIZERS = ("sgd", "adam")


@dataclasses.dataclass(frozen=True)
class Recipe:
  """How to train. Defaults: Cohen et al. 2019 (their code's train.py, for CIFAR-10 and ImageNet).

  Attributes:
    epochs, batch: passes over the training set, and images per update.
    lr: the highest learning rate of the schedule.
    schedule: "step": multiplied by gamma every lr_step_size epochs; "cosine": down to 0; "onecycle": up
      for three tenths of the updates and down (Optax's cosine_onecycle_schedule).
    lr_step_size, gamma: of the schedule "step".
    lr_drops: of the schedule "step", if its drops are not every lr_step_size epochs: the epochs, counted from
      0, that begin with a drop.
    lr_dips: with lr_drops: epochs, counted from 0, each of which alone has gamma times the rate.
    optimizer: "sgd", or "adam" (Kingma and Ba 2015) with the second moment's decay 0.999 and epsilon 1e-8.
    momentum: of SGD; for Adam the decay of the first moment.
    nesterov: whether SGD looks ahead.
    weight_decay: applies to every parameter; added to the gradient, for Adam, too, as PyTorch's optimisers do.
    accumulate: an update's batch is computed in this many parts, one after another, to save memory; batch
      statistics are then those of the parts.
    remat: gradients compute each residual block again, from what went into it, to save memory. Rounding may
      differ.
    augment: one of `augment.AUGMENTATIONS`; None: the usual one for the data set.
    seed: the seed of initialisation, order, augmentation and noise.
  """

  epochs: int = 90
  batch: int = 400
  lr: float = 0.1
  schedule: str = "step"
  lr_step_size: int = 30
  gamma: float = 0.1
  lr_drops: tuple[int, ...] | None = None
  lr_dips: tuple[int, ...] | None = None
  optimizer: str = "sgd"
  momentum: float = 0.9
  nesterov: bool = False
  weight_decay: float = 1e-4
  accumulate: int = 1
  remat: bool = False
  augment: str | None = None
  seed: int = 0

  def __post_init__(self) -> None:
    for name in ("lr_drops", "lr_dips"):
      if getattr(self, name) is not None:
        object.__setattr__(self, name, tuple(getattr(self, name)))
    make_plain(self)
    for name in ("epochs", "batch", "lr_step_size", "accumulate"):
      if getattr(self, name) < 1:
        raise InputError(f"{name} must be at least 1, got {getattr(self, name)}")
    for name in ("lr", "gamma", "momentum", "weight_decay"):
      if not (np.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
        raise InputError(f"{name} must be a number >= 0, got {getattr(self, name)}")
    if self.gamma == 0:  # Optax takes it for no decay
      raise InputError("gamma must be above 0, got 0")
    if self.augment not in (None, *AUGMENTATIONS):
      raise InputError(f"augment must be one of {', '.join(AUGMENTATIONS)}, got {self.augment!r}")
    for name, choices in (("schedule", SCHEDULES), ("optimizer", OPTIMIZERS)):
      if getattr(self, name) not in choices:
        raise InputError(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}")
    if self.optimizer == "adam" and self.nesterov:
      raise InputError("nesterov is for optimizer sgd, not adam")
    if self.optimizer == "adam" and self.momentum >= 1:
      raise InputError(f"momentum must be below 1 for optimizer adam, got {self.momentum}")
    if self.lr_dips is not None and self.lr_drops is None:
      raise InputError("lr_dips need lr_drops: give both")
    for name in ("lr_drops", "lr_dips"):
      if getattr(self, name) is not None:
        _check_drops(name, getattr(self, name), self.schedule)
    check_seed(self.seed)

  def for_dataset(self, dataset: Dataset) -> "Recipe":
    """The recipe with nothing left open for training on `dataset`."""
    by_channels = "crop-flip" if dataset.image_shape[-1] == 3 else "none"
    augment = self.augment or dataset.augment or by_channels
    if augment == "resized-crop-flip" and dataset.encoded is None:
      raise InputError(
        f"augment resized-crop-flip is for photographs of any size (imagenet), not {dataset.name}"
      )
    return dataclasses.replace(self, augment=augment)


def _check_drops(name: str, drops: tuple[int, ...], schedule: str) -> None:
  if not all(isinstance(epoch, int) and epoch > 0 for epoch in drops) or list(drops) != sorted(set(drops)):
    raise InputError(f"{name} must be ascending numbers of epochs above 0, got {drops}")
  if schedule != "step":
    raise InputError(f"{name} are for schedule step, not {schedule}")


def make_schedule(recipe: Recipe, updates: int) -> optax.Schedule:
  """The learning rate at each update, for `updates` per epoch."""
  total = recipe.epochs * updates
  if recipe.schedule == "cosine":
    return optax.cosine_decay_schedule(recipe.lr, total)
  if recipe.schedule == "onecycle":
    return _promoting(optax.cosine_onecycle_schedule(total, recipe.lr))
  if recipe.lr_drops is not None:
    factors = [(epoch, recipe.gamma) for epoch in recipe.lr_drops]
    for epoch in recipe.lr_dips or ():
      factors += [(epoch, recipe.gamma), (epoch + 1, 1 / recipe.gamma)]
    scales: dict[int, float] = {}
    for epoch, factor in factors:
      scales[epoch * updates] = scales.get(epoch * updates, 1.0) * factor
    return _promoting(optax.piecewise_constant_schedule(recipe.lr, scales))
  drop = min(recipe.lr_step_size, recipe.epochs) * updates
  return optax.exponential_decay(recipe.lr, drop, recipe.gamma, staircase=True)


def make_optimizer(recipe: Recipe, updates: int) -> optax.GradientTransformation:
  """The recipe's optimiser on its schedule; it takes the gradients of an update's parts."""
  schedule = make_schedule(recipe, updates)
  if recipe.optimizer == "adam":
    adam = optax.adam(schedule, b1=recipe.momentum)
    rule = optax.GradientTransformation(adam.init, _promoting(adam.update))
  else:
    rule = optax.sgd(schedule, momentum=recipe.momentum, nesterov=recipe.nesterov)
  whole = optax.chain(optax.add_decayed_weights(recipe.weight_decay), rule)
  if recipe.accumulate == 1:
    return whole
  parts = optax.MultiSteps(whole, recipe.accumulate).gradient_transformation()
  return optax.GradientTransformation(parts.init, _promoting(parts.update))


def _promoting(function: Callable) -> Callable:
  """For those parts of Optax that mix dtypes, under whatever rule for promotion the user has set."""

  def wrapped(*args):
    with jax.numpy_dtype_promotion("standard"):
      return function(*args)

  return wrapped

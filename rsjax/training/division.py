"""How an epoch is divided into the recipe's batches, the objective's updates of each, and steps."""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from rsjax.errors import InputError
from rsjax.training.objectives import Objective, chunks_of
from rsjax.training.recipe import Recipe


@dataclasses.dataclass(frozen=True)
class Division:
  """An epoch in numbers.

  Attributes:
    batches: of the recipe; the last is filled up from the first images of the epoch.
    batch: images in each.
    chunks: updates made of each batch, from equal parts of it; what is left over is dropped.
    accumulate: steps (gradient computations) of each update.
    part: images of a step.
  """

  batches: int
  batch: int
  chunks: int
  accumulate: int
  part: int

  @property
  def updates(self) -> int:
    """Updates per epoch."""
    return self.batches * self.chunks

  @property
  def steps(self) -> int:
    """Steps per epoch."""
    return self.updates * self.accumulate

  def order(
    self, seed: int, number: int, size: int, weights: NDArray[np.float32] | None = None
  ) -> NDArray[np.int64]:
    """int64[steps * part], the images of epoch `number`, of `size` images, in the order of its steps.

    With weights, float32[size], they are drawn with replacement; without, or if all are 0, each comes once.
    """
    rng = np.random.default_rng([seed, number])
    if weights is None or not weights.any():
      order = rng.permutation(size)
    else:
      order = rng.choice(size, size, p=weights.astype(np.float64) / weights.sum(dtype=np.float64))
    order = np.resize(order, (self.batches, self.batch))
    return order[:, : self.chunks * self.accumulate * self.part].reshape(-1)


def divide(recipe: Recipe, objective: Objective, size: int, devices: int) -> Division:
  """The division of an epoch of `size` images.

  Raises:
    InputError: if the devices cannot share a step equally.
  """
  batch, chunks, accumulate = min(recipe.batch, size), chunks_of(objective), recipe.accumulate
  chunk, multiple = batch // chunks, accumulate * devices
  if chunk % multiple or not chunk:
    each = f", cut into {chunks} updates of {chunk} images," if chunks > 1 else ""
    raise InputError(
      f"batch {batch}{each} cannot be shared equally by {devices} devices"
      + (f" in {accumulate} parts" if accumulate > 1 else "")
      + f": give a multiple of {multiple * chunks}"
    )
  return Division(-(-size // batch), batch, chunks, accumulate, chunk // accumulate)

"""Training a base classifier: one jitted step, epochs as a stream.

  >>> for epoch in train(model, train_set, test_set, Gaussian(noise_sd=0.25), Recipe(epochs=2)):
  ...   print(epoch.number, epoch.test_accuracy)
  0 0...
  1 0...

objectives: what is minimised, one file each. recipe: what all objectives share. augment, batches: the images
of a step. step, evaluation, loop: training itself. The caller saves and logs (`rsjax.runs.training`).

JAX is imported when something is trained: the settings of objectives, and presets, need none.
"""

import importlib
from typing import TYPE_CHECKING, Any

from rsjax.training.objectives import Gaussian, Objective

if TYPE_CHECKING:
  from rsjax.training.loop import Epoch, train
  from rsjax.training.recipe import Recipe
  from rsjax.training.step import State, initial_state

__all__ = ["Epoch", "Gaussian", "Objective", "Recipe", "State", "initial_state", "train"]

_HOMES = {
  "Epoch": "rsjax.training.loop",
  "Recipe": "rsjax.training.recipe",
  "State": "rsjax.training.step",
  "initial_state": "rsjax.training.step",
  "train": "rsjax.training.loop",
}


def __getattr__(name: str) -> Any:
  if name in _HOMES:
    return getattr(importlib.import_module(_HOMES[name]), name)
  raise AttributeError(f"module 'rsjax.training' has no attribute {name!r}")

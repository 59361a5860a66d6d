"""Training a base classifier: one jitted step, epochs as a stream.

  >>> for epoch in train(model, train_set, test_set, Gaussian(noise_sd=0.25), Recipe(epochs=2)):
  ...   print(epoch.number, epoch.test_accuracy)
  0 0...
  1 0...

objectives: what is minimised, one file each. recipe: what all objectives share. augment, batches: the images
of a step. step, evaluation, loop: training itself. The caller saves and logs (`rsjax.runs.training`).
"""

from rsjax.training.loop import Epoch, train
from rsjax.training.objectives import Gaussian, Objective
from rsjax.training.recipe import Recipe
from rsjax.training.step import State, initial_state

__all__ = ["Epoch", "Gaussian", "Objective", "Recipe", "State", "initial_state", "train"]

"""How epochs are cut into updates and steps."""

import numpy as np
import pytest

from rsjax.errors import InputError
from rsjax.training import Recipe
from rsjax.training.division import divide
from rsjax.training.objectives import Consistency, Gaussian, Macer, SmoothAdv, Stability


def test_each_batch_is_cut_into_as_many_updates_as_there_are_noisy_copies():
  """CIFAR-10 as published: 196 batches of 256 images, the last filled up; m updates of 256 / m of each."""
  recipe = Recipe(batch=256)
  found = lambda objective: divide(recipe, objective, 50_000, 8)
  for objective in (Gaussian(), Stability(), Macer(), SmoothAdv(noise_vectors=4, first_noise_only=True)):
    assert (found(objective).updates, found(objective).part) == (196, 256)
  assert (found(Consistency()).updates, found(Consistency()).part) == (2 * 196, 128)
  assert (found(SmoothAdv(noise_vectors=8)).updates, found(SmoothAdv(noise_vectors=8)).part) == (8 * 196, 32)


def test_updates_take_consecutive_images_of_the_batch_and_drop_the_rest():
  whole = divide(Recipe(batch=10), Gaussian(), 25, 1).order(3, 1, 25).reshape(3, 10)
  parts = divide(Recipe(batch=10), Consistency(noise_vectors=3), 25, 1)
  assert (parts.batches, parts.steps, parts.part) == (3, 9, 3)
  np.testing.assert_array_equal(parts.order(3, 1, 25).reshape(3, 9), whole[:, :9])
  np.testing.assert_array_equal(np.sort(whole.reshape(-1)[:25]), np.arange(25))
  halves = divide(Recipe(batch=12, accumulate=2), Consistency(noise_vectors=3), 25, 1)
  assert (halves.updates, halves.steps, halves.part) == (9, 18, 2)


def test_what_devices_cannot_share_is_refused():
  message = (
    "batch 24, cut into 4 updates of 6 images, cannot be shared equally by 8 devices: give a multiple of 32"
  )
  with pytest.raises(InputError, match=message):
    divide(Recipe(batch=24), Consistency(noise_vectors=4), 100, 8)
  with pytest.raises(InputError, match="cut into 4 updates of 0 images"):
    divide(Recipe(batch=3), Consistency(noise_vectors=4), 100, 1)

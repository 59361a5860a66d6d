"""The recipe that trains on easy images, by hand: its attack, its weights, and that training draws by them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsjax import data, devices
from rsjax.errors import InputError
from rsjax.noise import Gaussian
from rsjax.training import Recipe, batches
from rsjax.training.division import divide
from rsjax.training.evaluation import count_right
from rsjax.training.objectives import Batch, Network, Reweighted


def linear(seen):
  """A network whose logits are the two channels of images of one pixel."""

  def train(x, batch_stats):
    seen.append(np.asarray(x))
    return x[..., 0, 0, :], batch_stats

  return Network(train, lambda x, _: x[..., 0, 0, :], {})


def attacked(objective, noise, epoch=0):
  """The noise [2] that one image of grey pixels, of label 0, is trained on."""
  seen = []
  image = np.full((1, 1, 1, 2), 0.5, np.float32)
  batch = Batch(image, np.int32([0]), np.arange(1), None, jnp.int32(0), jnp.int32(epoch))
  loss = objective.loss(linear(seen), batch, np.float32(noise).reshape(1, 1, 1, 1, 2))
  logits = 0.5 + (found := seen[0][0, 0, 0, 0] - 0.5)
  assert float(loss.value) == pytest.approx(np.log(np.exp(logits).sum()) - logits[0], rel=1e-5)
  return found, float(loss.statistics["found"])


def turned(noise, alpha, steps):
  """By hand: the gradient of the cross-entropy is along (-1, 1); the length stays."""
  n = np.array(noise, float)
  for _ in range(steps):
    n = n + alpha * np.array([-1, 1]) / np.sqrt(2)
    n *= np.hypot(*noise) / np.hypot(*n)
  return n


def test_its_attack_takes_the_first_misclassified_noise_or_the_last():
  make = lambda **settings: Reweighted(0.5, noise_vectors=1, easy_from=5, **settings)
  few = make(steps=3, alpha=0.1)
  found, share = attacked(few, (1, 0.2), epoch=5)
  np.testing.assert_allclose(found, turned((1, 0.2), 0.1, 3), rtol=1e-5)  # still right: the last
  assert share == 0
  found, share = attacked(make(steps=6, alpha=0.3), (1, 0.2), epoch=5)
  np.testing.assert_allclose(found, turned((1, 0.2), 0.3, 3), rtol=1e-5)  # wrong after three of six steps
  assert share == 1
  found, share = attacked(few, (0, 1), epoch=5)
  np.testing.assert_allclose(found, (0, 1), atol=1e-6)  # wrong before the first
  assert share == 1
  found, _ = attacked(few, (1, 0.2), epoch=4)
  np.testing.assert_allclose(found, (1, 0.2), atol=1e-6)  # before its epoch there is no attack


def test_hard_images_are_dropped_and_the_others_weighted_by_their_radius():
  objective = Reweighted(0.5, easy_from=4, threshold=0.4, reweigh_every=3)
  zeros = np.zeros(4, np.float32)
  counts = {100: np.array([100, 40, 39, 60]), 16: np.array([16, 3, 16, 15])}
  assert not objective.sampling(3, zeros, None).any()
  weights = objective.sampling(4, zeros, counts.__getitem__)
  # Phi^-1 of 0.1**(1/16); of the bounds of 12 and of 15 of 16, as in tables of the beta distribution
  np.testing.assert_allclose(weights, [1.1075, 0.1537, 0, 0.7649], atol=1e-4)
  np.testing.assert_array_equal(objective.sampling(6, weights, None), weights)
  again = objective.sampling(7, weights, lambda n: np.array([12, 16, 16, 16]))
  np.testing.assert_allclose(again, [0.1537, 1.1075, 0, 1.1075], atol=1e-4)
  with pytest.raises(InputError, match="threshold"):
    objective.sampling(4, zeros, lambda n: np.zeros(4, int))


def test_an_epoch_has_images_by_their_weights():
  division = divide(Recipe(batch=50), Reweighted(0.5, noise_vectors=1), 5000, 1)
  weights = np.repeat(np.float32([0, 1, 3, 0, 0]), 1000)
  order = division.order(0, 7, 5000, weights)
  assert len(order) == 5000
  counts = np.bincount(order // 1000, minlength=5)
  assert list(counts[[0, 3, 4]]) == [0, 0, 0]
  assert counts[2] == pytest.approx(3750, abs=150)
  each_once = division.order(0, 7, 5000, np.zeros(5000, np.float32))
  np.testing.assert_array_equal(np.sort(each_once), np.arange(5000))


def test_right_answers_are_counted_alike_on_one_device_and_on_eight():
  """Of a network that answers by the sign of a pixel less 0.5: its answers are right as often as Phi says."""
  images = np.full((90, 2, 2, 1), 153, np.uint8)
  images[:45] = 102
  labels = np.repeat([0, 1], 45)
  dataset = data.Dataset("toy", "train", images, labels, 2, None, "")

  class Sign:
    def apply(self, variables, x, train):
      return jnp.stack([0.5 - x[:, 0, 0, 0], x[:, 0, 0, 0] - 0.5], -1) * variables

  found = [
    count_right(Sign(), Gaussian(0.2), Recipe(batch=32), 1.0, dataset, 0, place, 0, 400)
    for place in (batches.Place(devices.batch_mesh(jax.devices()[:count])) for count in (1, 8))
  ]
  np.testing.assert_array_equal(*found)
  assert found[0].mean() / 400 == pytest.approx(0.6915, abs=0.01)  # Phi(0.5)
  assert found[0].std() > 5  # each image has noise of its own

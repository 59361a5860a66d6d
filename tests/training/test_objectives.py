"""Objectives as values: what they are given, what they give, and that the log and the metadata say it."""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rsjax.data import Dataset
from rsjax.errors import InputError
from rsjax.models import create
from rsjax.noise import Gaussian as Noise
from rsjax.training import Gaussian, Recipe, objectives, train
from rsjax.training.objectives import Loss


def dataset(split, size=24):
  rng = np.random.default_rng(split == "test")
  labels = np.arange(size) % 3
  images = (rng.integers(0, 64, (size, 8, 8, 1)) + 60 * labels[:, None, None, None]).astype(np.uint8)
  return Dataset("toy", split, images, labels.astype(np.int64), 3, None, split)


RECIPE = Recipe(epochs=2, batch=8, lr=0.05)


class Normalised(nn.Module):
  """A batch norm and a linear layer: compiled in no time."""

  num_classes: int = 3

  @nn.compact
  def __call__(self, x, train=False):
    x = nn.BatchNorm(not train, momentum=0.9, name="bn1")(x)
    return nn.Dense(self.num_classes)(x.reshape(len(x), -1))


def run(objective, model=create("convnet", num_classes=3, mean=(0.3,), std=(0.3,)), recipe=RECIPE):
  mesh_of_one = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("batch",))
  epochs, statistics = [], []
  for epoch in train(model, dataset("train"), dataset("test"), objective, recipe, mesh=mesh_of_one):
    epochs.append(epoch)
    statistics.append(jax.device_get(epoch.state.batch_stats))
  return epochs, statistics


@dataclasses.dataclass(frozen=True)
class Telling:
  """Cross-entropy on clean images that tells the log what it was given."""

  noise_sd: float = 0.0
  evaluating: bool = False  # whether it passes the images through the network in evaluation mode, too

  name: ClassVar[str] = "telling"
  statistics: ClassVar[tuple[str, ...]] = ("step", "epoch", "index sum", "label hits", "difference")

  def __call__(self, network, batch):
    logits, batch_stats = network.train(batch.images, network.batch_stats)
    evaluated = network.evaluate(batch.images, network.batch_stats) if self.evaluating else logits
    difference = jnp.abs(evaluated - logits).max()
    told = {
      "step": batch.step.astype(jnp.float32),
      "epoch": batch.epoch.astype(jnp.float32),
      "index sum": batch.indices.sum().astype(jnp.float32),
      "label hits": (batch.indices % 3 == batch.labels).sum(dtype=jnp.float32),
      "difference": jax.lax.stop_gradient(difference),
    }
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()
    return Loss(loss, logits, batch_stats, told)


def test_it_sees_step_epoch_labels_and_indices_and_tells_the_log():
  epochs, _ = run(Telling())
  assert [e.statistics["step"] for e in epochs] == [1.0, 4.0]  # means of 0, 1, 2 and of 3, 4, 5
  assert [e.statistics["epoch"] for e in epochs] == [0.0, 1.0]
  assert [e.statistics["index sum"] for e in epochs] == [24 * 23 / 2 / 3] * 2  # each image once an epoch
  assert [e.statistics["label hits"] for e in epochs] == [8.0, 8.0]  # indices are those of the labels


def test_evaluation_mode_is_by_the_running_statistics():
  trained, _ = run(Telling(evaluating=True), Normalised(), dataclasses.replace(RECIPE, epochs=1))
  assert trained[0].statistics["difference"] > 1e-3
  without_norms, _ = run(Telling(evaluating=True), recipe=dataclasses.replace(RECIPE, epochs=1))
  assert without_norms[0].statistics["difference"] < 1e-4


@dataclasses.dataclass(frozen=True)
class Passes:
  """Hands the running statistics through several passes; the loss is that of the first."""

  passes: int
  noise_sd: float = 0.0

  name: ClassVar[str] = "passes"
  statistics: ClassVar[tuple[str, ...]] = ()

  def __call__(self, network, batch):
    logits, batch_stats = network.train(batch.images, network.batch_stats)
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()
    for _ in range(self.passes - 1):
      _, batch_stats = network.train(batch.images, batch_stats)
    return Loss(loss, logits, batch_stats)


def test_each_pass_in_training_mode_updates_the_running_statistics():
  """After k passes on one batch from mean m: batch - 0.9**k (batch - m)."""
  recipe = Recipe(epochs=1, batch=24, lr=0.0, augment="none")
  one, three = (run(Passes(k), Normalised(), recipe)[1][0]["bn1"]["mean"] for k in (1, 3))
  np.testing.assert_allclose(three, one * (1 - 0.9**3) / (1 - 0.9), rtol=1e-4)


def test_the_papers_objective_is_cross_entropy_under_one_draw():
  rng = np.random.default_rng(0)
  images, labels = rng.random((5, 4, 4, 1), np.float32), np.int32([0, 1, 2, 0, 1])
  seen = []

  def network_train(x, batch_stats):
    seen.append(x)
    return x.reshape(5, -1)[:, :3], batch_stats

  network = objectives.Network(network_train, None, {"kept": 1})
  batch = objectives.Batch(images, labels, np.arange(5), jax.random.key(7), jnp.int32(0), jnp.int32(0))
  loss = Gaussian(noise_sd=0.5, label_smoothing=0.3)(network, batch)
  noisy = images + np.float32(0.5) * np.asarray(jax.random.normal(jax.random.key(7), images.shape))
  np.testing.assert_allclose(seen[0], noisy, rtol=1e-6)
  logits = noisy.reshape(5, -1)[:, :3].astype(np.float64)
  log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
  targets = 0.7 * np.eye(3)[labels] + 0.1
  assert float(loss.value) == pytest.approx(-(targets * log_p).sum(1).mean(), rel=1e-5)
  assert loss.batch_stats == {"kept": 1}


def test_training_noise_is_drawn_through_the_noise_value():
  key = jax.random.key(3)
  np.testing.assert_array_equal(Noise(0.25).sample(key, (4, 3)), 0.25 * jax.random.normal(key, (4, 3)))
  assert not np.any(Noise(0.0).sample(key, (4, 3)))


def test_what_a_checkpoint_says_of_it():
  assert objectives.describe(Gaussian(0.5)) == {"name": "gaussian", "noise_sd": 0.5, "label_smoothing": 0.0}
  assert objectives.describe(Passes(3)) == {"name": "passes", "passes": 3, "noise_sd": 0.0}


@pytest.mark.parametrize("wrong", [dict(noise_sd=-1), dict(noise_sd=np.nan), dict(label_smoothing=1.0)])
def test_settings_out_of_range_are_refused(wrong):
  with pytest.raises(InputError, match=next(iter(wrong))):
    Gaussian(**wrong)

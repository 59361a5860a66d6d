"""Training a denoiser: the published losses, Adam's updates, and a classifier that stays as it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsjax import data, models
from rsjax.errors import InputError
from rsjax.models import dncnn
from rsjax.training import Gaussian, Recipe, batches, initial_state, step, train
from rsjax.training.evaluation import evaluate
from rsjax.training.objectives import Batch, Denoise, DenoiseStability, Network
from rsjax.training.recipe import make_optimizer

RECIPE = Recipe(epochs=2, batch=40, lr=0.01, optimizer="adam", augment="none")


def classify(weights, images):
  """Logits of a linear classifier."""
  return images.reshape(len(images), -1) @ weights


@pytest.fixture(scope="module")
def sets(small_npz):
  return data.load(small_npz, "train"), data.load(small_npz, "test")


@pytest.fixture(scope="module")
def weights():
  drawn = np.random.default_rng(0).normal(size=(64, 3))
  return (drawn - drawn.mean(0)).astype(np.float32)  # all pixels alike are no evidence for a class


def given(classifier=None):
  """(a batch of four images, noisy images, a network that estimates 0.9 of the noisy pixels)."""
  rng = np.random.default_rng(1)
  images, noisy = rng.random((2, 4, 8, 8, 1), np.float32)
  batch = Batch(images, np.int32([0, 1, 2, 0]), None, jax.random.key(0), None, None, None, classifier)
  network = Network(lambda x, batch_stats: (0.9 * x, {"kept": batch_stats}), None, 7)
  return batch, noisy, network


def test_the_loss_is_the_mean_squared_error_of_every_pixel():
  batch, noisy, network = given()
  loss = Denoise(0.25).loss(network, batch, noisy)
  wanted = np.mean((0.9 * noisy.astype(np.float64) - batch.images) ** 2)
  assert float(loss.value) == pytest.approx(wanted, rel=1e-5)
  assert loss.logits is None and loss.batch_stats == {"kept": 7}


def test_the_stability_loss_is_the_cross_entropy_against_the_answers_for_clean_images(weights):
  batch, noisy, network = given(jax.tree_util.Partial(classify, weights))
  loss = DenoiseStability(0.25).loss(network, batch, noisy)
  logits, clean = (classify(weights.astype(np.float64), x) for x in (0.9 * noisy, batch.images))
  log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
  assert (clean.argmax(1) != logits.argmax(1)).any()  # else the answers for noisy images would do
  wanted = -log_p[np.arange(4), clean.argmax(1)].mean()
  assert float(loss.value) == pytest.approx(wanted, rel=1e-4)
  np.testing.assert_allclose(loss.logits, logits, rtol=1e-4)
  assert float(loss.statistics["mse"]) == pytest.approx(np.mean((0.9 * noisy - batch.images) ** 2), rel=1e-4)


def identity():
  """(a small network, weights with which it returns what it is given)."""
  layout = dncnn.find("dncnn3_4")
  return layout.model("float32"), jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32),
                                               layout.variables_shapes(1))  # fmt: skip


def evaluated(objective, dataset, classifier=None):
  """(loss, accuracy) of the identity."""
  model, variables = identity()
  place = batches.Place(jax.sharding.Mesh(np.array(jax.devices()[:1]), ("batch",)))
  return evaluate(model, objective, RECIPE, variables, dataset, 0, place, 0, classifier)


def test_it_is_evaluated_by_its_mean_squared_error(sets):
  """Which is the noise's variance for a network that does nothing."""
  loss, accuracy = evaluated(Denoise(0.25), sets[1])
  assert loss == pytest.approx(0.25**2, rel=0.1)
  assert np.isnan(accuracy)


def test_with_a_classifier_it_is_evaluated_by_the_answers_behind_it(sets, weights):
  loss, accuracy = evaluated(DenoiseStability(1e-6), sets[1], jax.tree_util.Partial(classify, weights))
  logits = classify(weights, sets[1].images.astype(np.float64) / 255)
  log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
  assert loss == pytest.approx(-log_p[np.arange(40), sets[1].labels].mean(), rel=1e-3)
  assert accuracy == pytest.approx((logits.argmax(1) == sets[1].labels).mean())


def test_without_a_classifier_that_it_needs_nothing_is_trained(sets):
  with pytest.raises(InputError, match="needs a `classifier`"):
    next(train(identity()[0], *sets, DenoiseStability(0.25), RECIPE))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_adam_is_as_published_with_the_decay_in_the_gradient(accumulate):
  """m = b m + (1 - b) g; v = c v + (1 - c) g^2; p = p - lr m' / (sqrt(v') + e), with g + wd p for g."""
  recipe = Recipe(
    lr=0.02, optimizer="adam", momentum=0.8, weight_decay=0.1, lr_step_size=1, accumulate=accumulate
  )
  rng = np.random.default_rng(0)
  params, gradients = {"w": rng.normal(size=5).astype(np.float32)}, rng.normal(size=(6, 5)).astype(np.float32)
  optimizer = make_optimizer(recipe, 2)
  state, wanted, m, v = optimizer.init(params), params["w"].astype(np.float64), 0.0, 0.0
  for gradient in gradients:
    updates, state = optimizer.update({"w": gradient}, state, params)
    params = jax.tree.map(jnp.add, params, updates)
  for k, gradient in enumerate(gradients.reshape(-1, accumulate, 5).mean(1).astype(np.float64)):
    g = gradient + 0.1 * wanted
    m, v = 0.8 * m + 0.2 * g, 0.999 * v + 0.001 * g**2
    lr = 0.02 * 0.1 ** (k // 2)  # two updates per epoch
    wanted = wanted - lr * (m / (1 - 0.8 ** (k + 1))) / (np.sqrt(v / (1 - 0.999 ** (k + 1))) + 1e-8)
  np.testing.assert_allclose(params["w"], wanted, rtol=1e-4)


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    (dict(optimizer="rmsprop"), "optimizer must be one of sgd, adam"),
    (dict(optimizer="adam", nesterov=True), "nesterov is for optimizer sgd"),
    (dict(optimizer="adam", momentum=1.0), "momentum must be below 1"),
  ],
)
def test_settings_that_are_not_adams_are_refused(settings, message):
  with pytest.raises(InputError, match=message):
    Recipe(**settings)


def test_no_gradient_of_the_classifiers_weights_is_computed(sets):
  """A step has two passes and the gradient of the images; in training, one pass and both gradients."""
  shape, net = (8, 8, 1), models.create("convnet", num_classes=3, mean=(0.3,), std=(0.3,))
  variables = jax.tree.map(
    lambda leaf: np.zeros(leaf.shape, np.float32),
    jax.eval_shape(lambda: models.init(net, jax.random.key(0), shape)),
  )
  place = batches.Place(jax.sharding.Mesh(np.array(jax.devices()[:1]), ("batch",)))

  def flops(model, objective, classifier=None):
    source = batches.Held(sets[0], place, None, classifier)
    made = step.make_step(model, objective, RECIPE, 1, source.select, place.replicated)
    shapes = jax.eval_shape(lambda: models.init(model, jax.random.key(0), shape))
    state = jax.eval_shape(lambda own: initial_state(model, shape, objective, RECIPE, own), shapes)
    rows = place.shared(np.arange(40, dtype=np.int32))
    return made.lower(state, source.arrays, rows).cost_analysis()["flops"]

  alone = flops(identity()[0], Denoise(0.25))
  behind = flops(identity()[0], DenoiseStability(0.25), jax.tree_util.Partial(models.apply(net), variables))
  assert behind - alone == pytest.approx(flops(net, Gaussian(0.25)), rel=0.15)

"""Training: the paper's updates, the same whatever the devices, and the same when it is continued."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rsjax import data, devices, models
from rsjax.errors import DivergedError, InputError
from rsjax.training import Gaussian, Recipe, initial_state, step, train
from rsjax.training.augment import augment
from rsjax.training.objectives import Batch, Network
from rsjax.training.recipe import make_schedule

OBJECTIVE = Gaussian(noise_sd=0.1)
RECIPE = Recipe(epochs=3, batch=16, lr=0.05, lr_step_size=2, augment="crop-flip")


@pytest.fixture(scope="module")
def sets(small_npz):
  return data.load(small_npz, "train"), data.load(small_npz, "test")


def model(arch="convnet", dtype="float32"):
  return models.create(arch, num_classes=3, mean=(0.4,), std=(0.3,), dtype=dtype)


def run(sets, recipe=RECIPE, arch="convnet", objective=OBJECTIVE, **kwargs):
  return [
    (dataclasses.replace(epoch, state=jax.device_get(epoch.state)))
    for epoch in train(model(arch), *sets, objective, recipe, **kwargs)
  ]


@pytest.fixture(scope="module")
def whole(sets):
  """whole(arch): the epochs of RECIPE, uninterrupted."""
  return functools.cache(lambda arch="convnet": run(sets, arch=arch))


def assert_same(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def test_it_learns_and_tells(sets):
  epochs = run(sets, dataclasses.replace(RECIPE, epochs=20, lr_step_size=20))
  assert [e.number for e in epochs] == list(range(20))
  assert epochs[-1].train_loss < epochs[0].train_loss
  assert epochs[-1].test_accuracy > 0.9
  assert epochs[-1].state.step == 20 * 3


def test_the_paper_schedule(whole):
  assert [e.lr for e in whole()] == pytest.approx([0.05, 0.05, 0.005])


def test_same_recipe_same_weights_other_seed_others(sets, whole):
  a, b = whole(), run(sets)
  assert_same(a[-1].state, b[-1].state)
  c = run(sets, dataclasses.replace(RECIPE, seed=1))
  assert not np.array_equal(a[-1].state.params["fc"]["kernel"], c[-1].state.params["fc"]["kernel"])


@pytest.mark.parametrize("arch", ["convnet", "cifar_resnet8"])
def test_continued_is_uninterrupted_bit_for_bit(sets, whole, arch):
  wanted = whole(arch)
  continued = run(sets, arch=arch, state=jax.tree.map(jnp.asarray, wanted[0].state))
  assert [e.number for e in continued] == [1, 2]
  assert_same(continued[-1].state, wanted[-1].state)
  assert continued[-1].test_loss == wanted[-1].test_loss


def test_one_step_is_sgd_with_momentum_and_decay_as_the_paper_has_it(sets):
  """Against the update written out: v = m v + g + wd p; p = p - lr v."""
  objective, recipe = Gaussian(), Recipe(epochs=2, batch=40, lr=0.1, weight_decay=0.01)
  net, (train_set, _) = model(), sets
  start = jax.device_get(initial_state(net, (8, 8, 1), objective, recipe))
  x = train_set.images.astype(np.float32) / 255

  def loss(params):
    logits = net.apply({"params": params}, x)
    return optax.softmax_cross_entropy_with_integer_labels(logits, train_set.labels).mean()

  params, velocity = start.params, jax.tree.map(np.zeros_like, start.params)
  for _ in range(2):
    gradient = jax.grad(loss)(params)
    velocity = jax.tree.map(lambda v, g, p: 0.9 * v + g + 0.01 * p, velocity, gradient, params)
    params = jax.tree.map(lambda p, v: p - 0.1 * v, params, velocity)
  found = run(sets, recipe, objective=objective)[-1].state.params
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), found, params)


def test_nesterov_looks_ahead(sets):
  """p = p - lr (g + m v): after the first step, (1 + m) times as far as plain momentum."""
  recipe = Recipe(epochs=1, batch=40, weight_decay=0.0, augment="none")
  start = jax.device_get(initial_state(model(), (8, 8, 1), Gaussian(), recipe).params)
  plain, ahead = (
    run(sets, dataclasses.replace(recipe, nesterov=nesterov), objective=Gaussian())[-1].state.params
    for nesterov in (False, True)
  )
  moved = lambda params: params["fc"]["kernel"] - start["fc"]["kernel"]
  np.testing.assert_allclose(moved(ahead), 1.9 * moved(plain), rtol=1e-3, atol=1e-7)


def test_schedules():
  lr = lambda schedule: [float(make_schedule(Recipe(epochs=10, schedule=schedule), 5)(k)) for k in range(51)]
  cosine, onecycle = lr("cosine"), lr("onecycle")
  np.testing.assert_allclose(cosine, 0.05 * (1 + np.cos(np.pi * np.arange(51) / 50)), atol=1e-7)
  assert np.argmax(onecycle) == 15
  assert max(onecycle) == pytest.approx(0.1)
  assert onecycle[0] == pytest.approx(0.004)
  assert onecycle[-1] < 1e-4
  assert np.isfinite(
    [float(make_schedule(Recipe(epochs=1, schedule="onecycle"), 3)(k)) for k in range(4)]
  ).all()


@pytest.mark.parametrize("arch", ["convnet", "cifar_resnet8"])
def test_one_step_on_eight_devices_is_one_step_on_one(sets, arch):
  """Noise, crops, flips, gradients and the statistics of the whole batch, to rounding."""
  recipe = dataclasses.replace(RECIPE, epochs=1, batch=40)
  one, eight = (
    run(sets, recipe, arch, mesh=devices.batch_mesh(jax.devices()[:count]))[0].state for count in (1, 8)
  )
  assert one.step == eight.step == 1
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6), one, eight)


def test_devices_share_the_work(sets, compile_training_step, monkeypatch):
  """Each of eight devices computes about an eighth of what one does, and no images travel between them."""
  monkeypatch.setattr(devices.compiling, "_wanted", [False])  # the operations of oneDNN are not counted
  step.make_step.cache_clear()
  recipe = dataclasses.replace(RECIPE, batch=40)
  one, eight = (
    compile_training_step(model("cifar_resnet8"), sets[0], OBJECTIVE, recipe, count) for count in (1, 8)
  )
  assert eight.cost_analysis()["flops"] < one.cost_analysis()["flops"] / 5
  assert "all-gather" not in eight.as_text()


def test_statistics_of_a_part_of_the_batch_would_be_noticed(sets):
  """What the test above must see: the variance of a device's five images is not that of forty."""
  net, x = model("cifar_resnet8"), sets[0].images.astype(np.float32) / 255
  variables = models.init(net, jax.random.key(0), (8, 8, 1))
  evaluate = devices.jit(lambda x: net.apply(variables, x, train=True, mutable=["batch_stats"])[1], once=True)
  of_all, of_part = (evaluate(part)["batch_stats"]["bn1"]["var"] for part in (x, x[:5]))
  assert np.abs(of_all - of_part).max() > 1e-4


def test_a_batch_that_devices_cannot_share_is_refused(sets):
  with pytest.raises(InputError, match="batch 12 cannot be shared equally by 8 devices: give a multiple of 8"):
    run(sets, dataclasses.replace(RECIPE, batch=12))
  with pytest.raises(InputError, match="in 4 parts"):
    run(sets, dataclasses.replace(RECIPE, batch=16, accumulate=4))


def test_accumulated_parts_make_the_update_of_the_whole(sets):
  recipe = Recipe(epochs=2, batch=40, augment="none")
  whole, parts = (
    run(sets, r, objective=Gaussian()) for r in (recipe, dataclasses.replace(recipe, accumulate=5))
  )
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), whole[-1].state.params, parts[-1].state.params
  )
  assert [e.lr for e in whole] == [e.lr for e in parts]
  assert whole[-1].train_loss == pytest.approx(parts[-1].train_loss, abs=1e-5)


def test_what_augments_by_default():
  grey, colour = np.zeros((1, 8, 8, 1), np.uint8), np.zeros((1, 8, 8, 3), np.uint8)
  dataset = lambda images, **more: data.Dataset("d", "train", images, np.zeros(1, int), 1, None, "", **more)
  found = lambda *args, **more: Recipe().for_dataset(dataset(*args, **more)).augment
  assert (found(grey), found(colour), found(colour, augment="crop")) == ("none", "crop-flip", "crop")
  assert found(colour, encoded=[b""], augment="resized-crop-flip") == "resized-crop-flip"
  with pytest.raises(InputError, match="photographs"):
    Recipe(augment="resized-crop-flip").for_dataset(dataset(colour))


def test_training_noise_has_the_given_standard_deviation():
  seen = {}

  def forward(x, batch_stats):
    seen["x"] = x
    return jnp.zeros((len(x), 3)), batch_stats

  images, labels = jnp.full((50, 32, 32, 3), 0.5), jnp.zeros(50, jnp.int32)
  batch = Batch(images, labels, labels, jax.random.key(0), jnp.int32(0), jnp.int32(0))
  Gaussian(noise_sd=0.25)(Network(forward, None, {}), batch)
  noise = np.asarray(seen["x"]) - 0.5
  assert noise.std() == pytest.approx(0.25, rel=0.01)
  assert abs(noise.mean()) < 0.005
  assert noise.max() > 0.75  # not clipped to [0, 1]


def test_batch_statistics_are_learnt(whole):
  state = whole("cifar_resnet8")[-1].state
  assert np.abs(state.batch_stats["bn1"]["mean"]).max() > 0


def test_bfloat16_keeps_float32_weights(sets):
  epochs = list(train(model("cifar_resnet8", "bfloat16"), *sets, OBJECTIVE, RECIPE))
  assert np.isfinite(epochs[-1].train_loss)
  assert {leaf.dtype for leaf in jax.tree.leaves(epochs[-1].state.params)} == {np.dtype(np.float32)}


def test_evaluation_counts_each_image_once(sets):
  """40 test images in batches of 16: the last batch is filled up, and the filling not counted."""
  epoch = run(sets, dataclasses.replace(RECIPE, epochs=1), objective=Gaussian())[0]
  logits = np.asarray(models.apply(model())(epoch.state.variables, sets[1].images.astype(np.float32) / 255))
  assert epoch.test_accuracy == pytest.approx((logits.argmax(1) == sets[1].labels).mean())


def test_diverged_training_stops(sets):
  with pytest.raises(DivergedError, match=r"epoch 0, step [12]"):
    run(sets, dataclasses.replace(RECIPE, lr=1e30, epochs=2))


def test_a_weight_that_is_not_finite_is_never_saved(sets):
  """The last step of an epoch can spoil the weights after a loss that was finite."""
  saved = []
  recipe = dataclasses.replace(RECIPE, batch=40, lr=float("1e38"), weight_decay=1e10)
  with pytest.raises(DivergedError, match="epoch 0, step 0: a weight is not finite"):
    run(sets, recipe, save=saved.append, save_seconds=0.0)
  assert not saved


@pytest.mark.parametrize(
  "bad", [dict(epochs=0), dict(batch=0), dict(lr=-1.0), dict(momentum=float("nan")), dict(augment="mixup"),
          dict(seed=-1), dict(lr_step_size=0), dict(schedule="linear"), dict(gamma=0.0), dict(accumulate=0)]
)  # fmt: skip
def test_bad_recipes_are_refused(bad):
  with pytest.raises(InputError, match=next(iter(bad))):
    Recipe(**bad)


def test_crops_are_windows_of_the_padded_image_and_flips_are_flips():
  x = np.random.default_rng(0).uniform(0.1, 1, (40, 8, 8, 3)).astype(np.float32)
  cropped = np.asarray(augment("crop", jax.random.key(0), jnp.asarray(x)))
  both = np.asarray(augment("crop-flip", jax.random.key(0), jnp.asarray(x)))
  padded = np.pad(x, ((0, 0), (4, 4), (4, 4), (0, 0)))
  corners = set()
  for image, found in zip(padded, cropped):
    [corner] = [
      (i, j) for i in range(9) for j in range(9) if np.array_equal(image[i : i + 8, j : j + 8], found)
    ]
    corners.add(corner)
  assert len(corners) > 20
  flipped = [not np.array_equal(a, b) for a, b in zip(cropped, both)]
  assert 8 < sum(flipped) < 32
  assert all(np.array_equal(a[:, ::-1] if f else a, b) for a, b, f in zip(cropped, both, flipped))
  assert augment("none", None, x) is x

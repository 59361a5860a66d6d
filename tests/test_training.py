import dataclasses
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rsjax import checkpoint, data, models, training, training_runs
from rsjax.augment import augment
from rsjax.errors import DivergedError, InputError
from rsjax.training import Recipe, train

RECIPE = Recipe(noise_sd=0.1, epochs=3, batch=16, lr=0.05, lr_step_size=2, augment="crop-flip")


@pytest.fixture
def sets(write_npz):
  path = str(write_npz())
  return data.load(path, "train"), data.load(path, "test")


def model(arch="convnet", dtype="float32"):
  return models.create(arch, num_classes=3, mean=(0.4,), std=(0.3,), dtype=dtype)


def run(sets, recipe=RECIPE, arch="convnet", **kwargs):
  return [
    (dataclasses.replace(epoch, state=jax.device_get(epoch.state)))
    for epoch in train(model(arch), *sets, recipe, **kwargs)
  ]


def assert_same(a, b):
  jax.tree.map(np.testing.assert_array_equal, a, b)


def test_it_learns_and_tells(sets):
  epochs = run(sets, dataclasses.replace(RECIPE, epochs=20, lr_step_size=20))
  assert [e.number for e in epochs] == list(range(20))
  assert epochs[-1].train_loss < epochs[0].train_loss
  assert epochs[-1].test_accuracy > 0.9
  assert epochs[-1].state.step == 20 * 3


def test_the_paper_schedule(sets):
  assert [e.lr for e in run(sets)] == pytest.approx([0.05, 0.05, 0.005])


def test_same_recipe_same_weights_other_seed_others(sets):
  a, b = run(sets), run(sets)
  assert_same(a[-1].state, b[-1].state)
  c = run(sets, dataclasses.replace(RECIPE, seed=1))
  assert not np.array_equal(a[-1].state.params["fc"]["kernel"], c[-1].state.params["fc"]["kernel"])


@pytest.mark.parametrize("arch", ["convnet", "cifar_resnet8"])
def test_continued_is_uninterrupted_bit_for_bit(sets, arch):
  whole = run(sets, arch=arch)
  continued = run(sets, arch=arch, state=jax.tree.map(jnp.asarray, whole[0].state))
  assert [e.number for e in continued] == [1, 2]
  assert_same(continued[-1].state, whole[-1].state)
  assert continued[-1].test_loss == whole[-1].test_loss


def test_one_step_is_sgd_with_momentum_and_decay_as_the_paper_has_it(sets):
  """Against the update written out: v = m v + g + wd p; p = p - lr v."""
  recipe = Recipe(noise_sd=0.0, epochs=2, batch=40, lr=0.1, weight_decay=0.01)
  net, (train_set, _) = model(), sets
  start = jax.device_get(training.initial_state(net, (8, 8, 1), recipe))
  x = train_set.images.astype(np.float32) / 255

  def loss(params):
    logits = net.apply({"params": params}, x)
    return optax.softmax_cross_entropy_with_integer_labels(logits, train_set.labels).mean()

  params, velocity = start.params, jax.tree.map(np.zeros_like, start.params)
  for _ in range(2):
    gradient = jax.grad(loss)(params)
    velocity = jax.tree.map(lambda v, g, p: 0.9 * v + g + 0.01 * p, velocity, gradient, params)
    params = jax.tree.map(lambda p, v: p - 0.1 * v, params, velocity)
  found = run(sets, recipe)[-1].state.params
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), found, params)


def test_training_noise_has_the_given_standard_deviation():
  seen = {}

  def forward(x):
    seen["x"] = x
    return jnp.zeros((len(x), 3)), {}

  images = jnp.full((50, 32, 32, 3), 0.5)
  training.gaussian(forward, images, jnp.zeros(50, jnp.int32), jax.random.key(0), Recipe(noise_sd=0.25))
  noise = np.asarray(seen["x"]) - 0.5
  assert noise.std() == pytest.approx(0.25, rel=0.01)
  assert abs(noise.mean()) < 0.005
  assert noise.max() > 0.75  # not clipped to [0, 1]


def test_batch_statistics_are_learnt(sets):
  state = run(sets, arch="cifar_resnet8")[-1].state
  assert np.abs(state.batch_stats["bn1"]["mean"]).max() > 0


def test_bfloat16_keeps_float32_weights(sets):
  epochs = list(train(model("cifar_resnet8", "bfloat16"), *sets, RECIPE))
  assert np.isfinite(epochs[-1].train_loss)
  assert {leaf.dtype for leaf in jax.tree.leaves(epochs[-1].state.params)} == {np.dtype(np.float32)}


def test_evaluation_counts_each_image_once(sets):
  """40 test images in batches of 16: the last batch is filled up, and the filling not counted."""
  recipe = dataclasses.replace(RECIPE, noise_sd=0.0, epochs=1)
  epoch = run(sets, recipe)[0]
  logits = np.asarray(models.apply(model())(epoch.state.variables, sets[1].images.astype(np.float32) / 255))
  assert epoch.test_accuracy == pytest.approx((logits.argmax(1) == sets[1].labels).mean())


def test_diverged_training_stops(sets):
  with pytest.raises(DivergedError, match="epoch 0"):
    run(sets, dataclasses.replace(RECIPE, lr=1e30, epochs=2))


@pytest.mark.parametrize(
  "bad", [dict(epochs=0), dict(batch=0), dict(lr=-1.0), dict(noise_sd=float("nan")), dict(augment="mixup"),
          dict(seed=-1), dict(lr_step_size=0)]
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


class Interrupted(training_runs.Progress):
  """Stops a run, as Ctrl-C would, after some epochs."""

  def __init__(self, after):
    self.after = after

  def epoch(self, epoch):
    if epoch.number >= self.after:
      raise KeyboardInterrupt


def test_a_run_continues_where_it_was_stopped(write_npz, tmp_path, monkeypatch):
  monkeypatch.setattr(training_runs, "SAVE_SECONDS", 0.0)
  path, recipe = str(write_npz()), dataclasses.replace(RECIPE, epochs=4)
  training_runs.run(path, "convnet", tmp_path / "whole", recipe)
  with pytest.raises(KeyboardInterrupt):
    training_runs.run(path, "convnet", tmp_path / "stopped", recipe, progress=Interrupted(2))
  assert checkpoint.load(tmp_path / "stopped").metadata["epoch"] == 2
  training_runs.run(path, "convnet", tmp_path / "stopped", recipe)
  a, b = checkpoint.load(tmp_path / "whole"), checkpoint.load(tmp_path / "stopped")
  assert a.digest == b.digest
  log_a, log_b = ((tmp_path / d / "log.tsv").read_text().splitlines() for d in ("whole", "stopped"))
  assert log_a[0] == "epoch\ttime\tlr\ttrain loss\ttrain acc\ttestloss\ttestacc\twaited"
  without_time = lambda log: [[*line.split("\t")[:1], *line.split("\t")[2:7]] for line in log]
  assert without_time(log_a) == without_time(log_b)
  assert len(log_a) == 5


def test_a_finished_run_is_left_alone_and_other_settings_are_refused(write_npz, tmp_path):
  path, out = str(write_npz()), tmp_path / "out"
  training_runs.run(path, "convnet", out, RECIPE)
  before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
  assert training_runs.run(path, "convnet", out, RECIPE)["epoch"] == 3
  for dataset, arch, recipe, message in (
    (path, "convnet", dataclasses.replace(RECIPE, lr=0.2), "lr was 0.05, is now 0.2"),
    (path, "cifar_resnet8", RECIPE, "arch was convnet"),
    (str(write_npz("other.npz", seed=5)), "convnet", RECIPE, "dataset_digest was"),
  ):
    with pytest.raises(InputError, match=message):
      training_runs.run(dataset, arch, out, recipe)
  assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before


def test_paths_that_cannot_hold_a_training_are_refused(write_npz, tmp_path):
  path = str(write_npz())
  (tmp_path / "file").write_text("")
  for bad in (tmp_path / "file", tmp_path / "file" / "out"):
    with pytest.raises(InputError):
      training_runs.run(path, "convnet", bad, RECIPE)


@pytest.mark.parametrize("killed_at", range(1, 9))
def test_a_run_killed_within_a_save_continues(killed_at, write_npz, tmp_path, monkeypatch):
  """Killed before the k-th thing that saving does: writing, and the two renames, of state and checkpoint."""
  monkeypatch.setattr(training_runs, "SAVE_SECONDS", 0.0)
  path, recipe = str(write_npz()), dataclasses.replace(RECIPE, epochs=3)
  training_runs.run(path, "convnet", tmp_path / "whole", recipe)
  steps = iter(range(1, 1000))

  def dying(function):
    def wrapped(*args, **kwargs):
      if next(steps) == killed_at:
        raise KeyboardInterrupt
      return function(*args, **kwargs)

    return wrapped

  with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
    patch.setattr(checkpoint.ocp, "save", dying(checkpoint.ocp.save))
    patch.setattr(pathlib.Path, "rename", dying(pathlib.Path.rename))
    training_runs.run(path, "convnet", tmp_path / "killed", recipe)
  if (tmp_path / "killed" / "state").exists() and killed_at > 4:
    assert checkpoint.load(tmp_path / "killed").metadata["epoch"] in (1, 2)  # readable in between
  training_runs.run(path, "convnet", tmp_path / "killed", recipe)
  assert checkpoint.load(tmp_path / "killed").digest == checkpoint.load(tmp_path / "whole").digest
  assert checkpoint.load(tmp_path / "killed").metadata["epoch"] == 3
  names = {p.name for p in (tmp_path / "killed").iterdir()}
  assert names == {"checkpoint", "state", "log.tsv", ".lock"}


def test_a_lost_checkpoint_is_made_again_from_the_state(write_npz, tmp_path):
  path = str(write_npz())
  training_runs.run(path, "convnet", tmp_path / "out", RECIPE)
  digest = checkpoint.load(tmp_path / "out").digest
  shutil.rmtree(tmp_path / "out" / "checkpoint")
  training_runs.run(path, "convnet", tmp_path / "out", RECIPE)
  assert checkpoint.load(tmp_path / "out").digest == digest


def test_a_second_training_into_the_same_directory_is_refused(write_npz, tmp_path):
  path, out = str(write_npz()), tmp_path / "out"

  class Second(training_runs.Progress):
    def epoch(self, epoch):
      with pytest.raises(InputError, match="another process"):
        training_runs.run(path, "convnet", out, RECIPE)

  training_runs.run(path, "convnet", out, RECIPE, progress=Second())


def test_directories_with_files_of_others_or_odd_names_are_refused(write_npz, tmp_path):
  path = str(write_npz())
  (tmp_path / "mine").mkdir()
  (tmp_path / "mine" / "log.tsv").write_text("my own log")
  with pytest.raises(InputError, match=r"another log\.tsv"):
    training_runs.run(path, "convnet", tmp_path / "mine", RECIPE)
  for name in ("o[3]", "a*", "b\\c", "d\ne"):
    with pytest.raises(InputError, match="path cannot have"):
      training_runs.run(path, "convnet", tmp_path / name, RECIPE)

import dataclasses
import pathlib
import shutil
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rsjax import augment as augmentation
from rsjax import (
  certify,
  checkpoint,
  data,
  devices,
  models,
  results,
  streaming,
  training,
  training_runs,
)
from rsjax import train as train_command
from rsjax.augment import augment
from rsjax.errors import DivergedError, InputError
from rsjax.recipe import Recipe, make_schedule
from rsjax.training import train

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


def test_nesterov_looks_ahead(sets):
  """p = p - lr (g + m v): after the first step, (1 + m) times as far as plain momentum."""
  recipe = Recipe(epochs=1, batch=40, weight_decay=0.0, augment="none")
  start = jax.device_get(training.initial_state(model(), (8, 8, 1), recipe).params)
  plain, ahead = (
    run(sets, dataclasses.replace(recipe, nesterov=nesterov))[-1].state.params for nesterov in (False, True)
  )
  moved = lambda params: params["fc"]["kernel"] - start["fc"]["kernel"]
  np.testing.assert_allclose(moved(ahead), 1.9 * moved(plain), rtol=1e-3, atol=1e-7)


def test_label_smoothing_spreads_the_target():
  logits = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3)), jnp.float32)
  labels = jnp.asarray([0, 1, 2, 1, 0])
  recipe = Recipe(label_smoothing=0.3)
  loss, _, _ = training.gaussian(
    lambda x: (logits, {}), jnp.zeros((5, 1, 1, 1)), labels, jax.random.key(0), recipe
  )
  target = 0.7 * np.eye(3)[labels] + 0.1
  assert loss == pytest.approx(-(target * np.log(jax.nn.softmax(logits))).sum(1).mean(), rel=1e-5)


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


def test_devices_share_the_work(sets, compile_training_step):
  """Each of eight devices computes about an eighth of what one does, and no images travel between them."""
  recipe = dataclasses.replace(RECIPE, batch=40)
  one, eight = (compile_training_step(model("cifar_resnet8"), sets[0], recipe, count) for count in (1, 8))
  assert eight.cost_analysis()["flops"] < one.cost_analysis()["flops"] / 5
  assert "all-gather" not in eight.as_text()


def test_statistics_of_a_part_of_the_batch_would_be_noticed(sets):
  """What the test above must see: the variance of a device's five images is not that of forty."""
  recipe = dataclasses.replace(RECIPE, epochs=1, batch=40, noise_sd=0.0, augment="none")
  state = run(sets, recipe, "cifar_resnet8")[0].state
  parts = dataclasses.replace(recipe, accumulate=8)
  other = run(sets, parts, "cifar_resnet8", mesh=devices.batch_mesh(jax.devices()[:1]))[0].state
  assert np.abs(state.batch_stats["bn1"]["var"] - other.batch_stats["bn1"]["var"]).max() > 1e-4


def test_a_batch_that_devices_cannot_share_is_refused(sets):
  with pytest.raises(InputError, match="batch 12 cannot be shared equally by 8 devices: give a multiple of 8"):
    run(sets, dataclasses.replace(RECIPE, batch=12))
  with pytest.raises(InputError, match="in 4 parts"):
    run(sets, dataclasses.replace(RECIPE, batch=16, accumulate=4))


def test_accumulated_parts_make_the_update_of_the_whole(sets):
  recipe = Recipe(epochs=2, batch=40, augment="none")
  whole = run(sets, recipe)
  parts = run(sets, dataclasses.replace(recipe, accumulate=5))
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


def test_certifying_never_augments(write_npz, tmp_path, monkeypatch):
  """Whatever the split, and whatever the classifier was trained with."""
  path = str(write_npz(shape=(8, 8, 3)))
  training_runs.run(path, "convnet", tmp_path / "out", dataclasses.replace(RECIPE, epochs=1))

  def never(*args, **kwargs):
    raise AssertionError("augmented")

  for module, names in ((augmentation, ("augment", "_crop")), (streaming, ("stream", "random_resized_crop"))):
    for name in names:
      monkeypatch.setattr(module, name, never)
  for split in ("train", "test"):
    outfile = tmp_path / f"{split}.tsv"
    arguments = [path, tmp_path / "out", 0.1, outfile, "--split", split, "--max", 4, "--N", 50]
    assert certify.main([str(a) for a in arguments]) == 0
    assert len(results.read(outfile)) == 4


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
  with pytest.raises(DivergedError, match=r"epoch 0, step [12]"):
    run(sets, dataclasses.replace(RECIPE, lr=1e30, epochs=2))


def test_a_weight_that_is_not_finite_is_never_saved(sets):
  """The last step of an epoch can spoil the weights after a loss that was finite."""
  saved = []
  recipe = dataclasses.replace(RECIPE, batch=40, lr=float("1e38"), weight_decay=1e10)
  with pytest.raises(DivergedError, match="epoch 0, step 0: a weight is not finite"):
    run(sets, recipe, save=saved.append, save_seconds=0.0)
  assert not saved


def test_the_last_good_checkpoint_survives_divergence(write_npz, tmp_path, monkeypatch):
  monkeypatch.setattr(training_runs, "SAVE_SECONDS", 0.0)
  path, out = str(write_npz()), tmp_path / "out"

  state_of = training._make_step

  def make_step(*args):
    step = state_of(*args)

    def wrapped(state, arrays, batch):
      bad = int(state.step) == 7
      state, loss = step(state, arrays, batch)
      return state, loss * jnp.float32(np.nan) if bad else loss

    return wrapped

  monkeypatch.setattr(training, "_make_step", make_step)
  with pytest.raises(DivergedError, match="epoch 2, step 1: the training loss is nan"):
    training_runs.run(path, "convnet", out, RECIPE)
  assert checkpoint.load(out).metadata["epoch"] == 2
  assert checkpoint.steps(out / "state") == [3, 6]


@pytest.mark.parametrize(
  "bad", [dict(epochs=0), dict(batch=0), dict(lr=-1.0), dict(noise_sd=float("nan")), dict(augment="mixup"),
          dict(seed=-1), dict(lr_step_size=0), dict(schedule="linear"), dict(gamma=0.0),
          dict(label_smoothing=1.0), dict(accumulate=0)]
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


class Killed(BaseException):
  """What no code can prepare for."""


class Interrupted(training_runs.Progress):
  """Stops a run, as Ctrl-C would, after some epochs."""

  def __init__(self, after):
    self.after = after

  def epoch(self, epoch):
    if epoch.number >= self.after:
      raise Killed


def test_a_run_continues_where_it_was_stopped(write_npz, tmp_path, monkeypatch):
  monkeypatch.setattr(training_runs, "SAVE_SECONDS", 0.0)
  path, recipe = str(write_npz()), dataclasses.replace(RECIPE, epochs=4)
  training_runs.run(path, "convnet", tmp_path / "whole", recipe)
  with pytest.raises(Killed):
    training_runs.run(path, "convnet", tmp_path / "stopped", recipe, progress=Interrupted(2))
  assert checkpoint.load(tmp_path / "stopped").metadata["epoch"] == 2
  training_runs.run(path, "convnet", tmp_path / "stopped", recipe)
  a, b = checkpoint.load(tmp_path / "whole"), checkpoint.load(tmp_path / "stopped")
  assert a.digest == b.digest
  log_a, log_b = ((tmp_path / d / "log.tsv").read_text().splitlines() for d in ("whole", "stopped"))
  assert log_a[0] == "epoch\ttime\tlr\ttrain loss\ttrain acc\ttestloss\ttestacc\timages/s\twaited"
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
        raise Killed
      return function(*args, **kwargs)

    return wrapped

  with monkeypatch.context() as patch, pytest.raises(Killed):
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
  for file in (tmp_path / "out" / "checkpoint").iterdir():
    shutil.rmtree(file) if file.is_dir() else file.unlink()
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


def test_a_run_stopped_within_an_epoch_continues_bit_for_bit(write_npz, tmp_path, monkeypatch):
  """Saved after every step, stopped after the fifth: the second of epoch 1."""
  monkeypatch.setattr(training_runs, "SAVE_WITHIN_SECONDS", 0.0)
  path = str(write_npz())
  training_runs.run(path, "cifar_resnet8", tmp_path / "whole", RECIPE)

  class Stop(training_runs.Progress):
    steps = 0

    def images(self, count):
      self.steps += 1
      if self.steps == 6:
        raise Killed

  with pytest.raises(Killed):
    training_runs.run(path, "cifar_resnet8", tmp_path / "stopped", RECIPE, progress=Stop())
  assert checkpoint.steps(tmp_path / "stopped" / "state") == [4, 5]
  steps = []
  continued = training_runs.Progress()
  continued.images = steps.append
  training_runs.run(path, "cifar_resnet8", tmp_path / "stopped", RECIPE, progress=continued)
  assert len(steps) == 9 - 5
  a, b = (checkpoint.load(tmp_path / d) for d in ("whole", "stopped"))
  assert a.digest == b.digest
  logs = [(tmp_path / d / "log.tsv").read_text().splitlines() for d in ("whole", "stopped")]
  fields = [[line.split("\t")[2:7] for line in log] for log in logs]
  assert fields[0] == fields[1]


@pytest.mark.parametrize(("at", "left"), [(5, 4), (6, 3)])
def test_an_interrupted_run_loses_no_step(at, left, write_npz, tmp_path, monkeypatch):
  """In the middle of an epoch the state is saved; at its end the epoch is finished first."""
  monkeypatch.setattr(training_runs, "SAVE_SECONDS", 0.0)
  path, steps = str(write_npz()), []

  class CtrlC(training_runs.Progress):
    def images(self, count):
      steps.append(count)
      if len(steps) >= at:
        raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    training_runs.run(path, "cifar_resnet8", tmp_path / "stopped", RECIPE, progress=CtrlC())
  assert len(steps) == at
  continued = training_runs.Progress()
  continued.images = steps.append
  training_runs.run(path, "cifar_resnet8", tmp_path / "stopped", RECIPE, progress=continued)
  assert len(steps) == at + left == 9
  assert len((tmp_path / "stopped" / "log.tsv").read_text().splitlines()) == 1 + RECIPE.epochs


def test_the_last_two_states_are_kept_and_a_damaged_one_is_passed_over(write_npz, tmp_path, monkeypatch):
  monkeypatch.setattr(training_runs, "SAVE_SECONDS", 0.0)
  path = str(write_npz())
  training_runs.run(path, "convnet", tmp_path / "whole", RECIPE)
  with pytest.raises(Killed):
    training_runs.run(path, "convnet", tmp_path / "out", RECIPE, progress=Interrupted(2))
  assert checkpoint.steps(tmp_path / "out" / "state") == [3, 6]
  assert checkpoint.load(tmp_path / "out" / "state" / "6").digest == checkpoint.load(tmp_path / "out").digest
  assert checkpoint.load(tmp_path / "out" / "state" / "3").metadata["epoch"] == 1
  damaged = tmp_path / "out" / "state" / "6"
  for file in damaged.rglob("*"):
    if file.is_file() and "METADATA" not in file.name and "metadata" not in file.name:
      file.write_bytes(b"")
  # In a process of its own: Orbax leaves tasks behind that complain in whatever test comes next.
  fields = dataclasses.asdict(RECIPE)
  code = (
    "from rsjax import training_runs as t, recipe as r; P = t.Progress; P.damaged = lambda _, path: print(path)"
  )
  code += f"; t.run({path!r}, 'convnet', {str(tmp_path / 'out')!r}, r.Recipe(**{fields}), progress=P())"
  run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
  assert run.stdout.split() == [str(damaged)]
  found, whole = (checkpoint.load(tmp_path / name) for name in ("out", "whole"))
  assert found.metadata["step"] == whole.metadata["step"]
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found.variables, whole.variables
  )  # one device there, eight here


def test_training_begins_with_the_weights_of_another(write_npz, tmp_path):
  path, other = str(write_npz()), str(write_npz("other.npz", seed=5))
  training_runs.run(path, "convnet", tmp_path / "first", RECIPE)
  first = checkpoint.load(tmp_path / "first")
  recipe = dataclasses.replace(RECIPE, epochs=1, lr=0.0)
  metadata = training_runs.run(other, "convnet", tmp_path / "second", recipe, init_from=tmp_path / "first")
  second = checkpoint.load(tmp_path / "second")
  assert_same(second.variables, first.variables)
  assert (second.metadata["mean"], second.metadata["std"]) == (first.metadata["mean"], first.metadata["std"])
  assert metadata["training"]["init_from"] == first.digest
  with pytest.raises(InputError, match="init_from was"):
    training_runs.run(other, "convnet", tmp_path / "second", recipe)
  with pytest.raises(InputError, match="arch is convnet, needed is cifar_resnet8"):
    training_runs.run(other, "cifar_resnet8", tmp_path / "third", recipe, init_from=tmp_path / "first")
  with pytest.raises(InputError, match="no checkpoint"):
    training_runs.run(other, "convnet", tmp_path / "third", recipe, init_from=tmp_path / "missing")


def test_resume_says_where_there_is_nothing_to_continue(write_npz, tmp_path, capsys):
  arguments = [str(write_npz()), "convnet", str(tmp_path / "out"), "--epochs", "1", "--batch", "16", "--resume"]
  assert train_command.main(arguments) == 0
  assert "nothing to continue" in capsys.readouterr().err
  assert train_command.main(arguments) == 0
  assert "nothing to continue" not in capsys.readouterr().err


KILLED = """
import sys
from rsjax import train, training_runs
training_runs.SAVE_SECONDS = training_runs.SAVE_WITHIN_SECONDS = 0.0
sys.exit(train.main(sys.argv[1:]))
"""


def test_a_killed_training_resumes_to_the_same_weights(tmp_path):
  """SIGKILL as soon as the k-th state appears, wherever the process then is; twice."""
  arguments = ["digits", "convnet", "--noise", "0.25", "--epochs", "3", "--batch", "479"]
  command = lambda out: [sys.executable, "-c", KILLED, *arguments[:2], str(out), *arguments[2:]]
  subprocess.run(command(tmp_path / "whole"), check=True, stderr=subprocess.DEVNULL)
  out = tmp_path / "killed"
  for saves in (2, 5):
    process = subprocess.Popen([*command(out), "--resume"], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while max(checkpoint.steps(out / "state"), default=0) < saves and time.monotonic() < deadline:
      time.sleep(0.002)
    process.kill()
    assert process.wait() == -9
  subprocess.run([*command(out), "--resume"], check=True, stderr=subprocess.DEVNULL)
  assert checkpoint.load(out).metadata["step"] == 9
  assert checkpoint.load(out).digest == checkpoint.load(tmp_path / "whole").digest

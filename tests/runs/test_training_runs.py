"""Trainings in their directories: continued wherever they were stopped, and nothing of others touched."""

import dataclasses
import pathlib
import shutil
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsjax.classifiers import checkpoint
from rsjax.errors import DivergedError, InputError
from rsjax.runs import training
from rsjax.runs.progress import TrainingProgress
from rsjax.training import Gaussian, Recipe, step
from rsjax.training.objectives import Consistency, chunks_of

OBJECTIVE = Gaussian(noise_sd=0.1)
RECIPE = Recipe(epochs=3, batch=16, lr=0.05, lr_step_size=2, augment="crop-flip")


def run(path, outdir, arch="convnet", objective=OBJECTIVE, recipe=RECIPE, **kwargs):
  return training.run(path, arch, outdir, objective, recipe, **kwargs)


@pytest.fixture(scope="module")
def whole(small_npz, tmp_path_factory):
  """The directory of a training by RECIPE that nothing stopped; to be left as it is."""
  out = tmp_path_factory.mktemp("whole") / "out"
  run(small_npz, out)
  return out


@pytest.fixture
def save_each_epoch(monkeypatch):
  monkeypatch.setattr(training, "SAVE_SECONDS", 0.0)
  monkeypatch.setattr(training, "SAVE_SHARE", float("inf"))


def test_saves_take_at_most_a_twentieth_of_the_time(small_npz, tmp_path, monkeypatch):
  """By a clock on which an epoch takes one second, and a save two."""
  now, saves = [0.0], []

  class Clocked(TrainingProgress):
    def epoch(self, epoch):
      now[0] += 1.0

  def save_step(*args):
    now[0] += 2.0
    saves.append(now[0])
    return write(*args)

  write = checkpoint.save_step
  monkeypatch.setattr(checkpoint, "save_step", save_step)
  monkeypatch.setattr(training, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
  run(small_npz, tmp_path / "out", recipe=dataclasses.replace(RECIPE, epochs=100), progress=Clocked())
  first_and_last = 2
  assert first_and_last < len(saves) <= first_and_last + 0.05 * now[0] / 2.0


class Killed(BaseException):
  """What no code can prepare for."""


class Interrupted(TrainingProgress):
  """Stops a run, as Ctrl-C would, after some epochs."""

  def __init__(self, after):
    self.after = after

  def epoch(self, epoch):
    if epoch.number >= self.after:
      raise Killed


def counting(steps):
  """Progress that appends the images of each step to a list."""
  progress = TrainingProgress()
  progress.images = steps.append
  return progress


def log(outdir):
  return (outdir / "log.tsv").read_text().splitlines()


def without_times(outdir):
  """The log's epoch, learning rate, losses and accuracies."""
  return [[fields[0], *fields[2:7]] for fields in (line.split("\t") for line in log(outdir))]


def set_by_the_user(name):
  """JAX with a setting that changes its random numbers or dtypes."""
  if name == "x64":
    return jax.enable_x64(True) if hasattr(jax, "enable_x64") else jax.experimental.enable_x64()
  return jax.threefry_partitionable(False)


@pytest.mark.parametrize("name", ["x64", "threefry_partitionable"])
def test_what_is_set_in_jax_changes_no_training(name, small_npz, whole, tmp_path, save_each_epoch):
  """Neither one that runs under it from the start, nor one that is continued without it."""
  with set_by_the_user(name), pytest.raises(Killed):
    run(small_npz, tmp_path / "out", progress=Interrupted(1))
  run(small_npz, tmp_path / "out")
  assert checkpoint.load(tmp_path / "out").digest == checkpoint.load(whole).digest


def test_another_precision_or_compiler_continues_no_training(small_npz, tmp_path, monkeypatch):
  run(small_npz, tmp_path / "out", recipe=dataclasses.replace(RECIPE, epochs=1))
  recipe = dataclasses.replace(RECIPE, epochs=1)
  with (
    jax.default_matmul_precision("highest"),
    pytest.raises(InputError, match="precision was default, is now highest"),
  ):
    run(small_npz, tmp_path / "out", recipe=recipe)
  begun = checkpoint.load(tmp_path / "out").metadata["training"]
  others = {} if "convolutions" in begun else {"convolutions": "onednn"}  # as another jax has it
  monkeypatch.setattr("rsjax.devices.settings", lambda: others)
  with pytest.raises(InputError, match="convolutions was"):
    run(small_npz, tmp_path / "out", recipe=recipe)


def test_a_run_continues_where_it_was_stopped(small_npz, tmp_path, save_each_epoch):
  recipe = dataclasses.replace(RECIPE, epochs=4)
  whole, stopped = tmp_path / "whole", tmp_path / "stopped"
  run(small_npz, whole, recipe=recipe)
  with pytest.raises(Killed):
    run(small_npz, stopped, recipe=recipe, progress=Interrupted(2))
  assert checkpoint.load(stopped).metadata["epoch"] == 2
  run(small_npz, stopped, recipe=recipe)
  assert checkpoint.load(whole).digest == checkpoint.load(stopped).digest
  assert log(whole)[0] == "epoch\ttime\tlr\ttrain loss\ttrain acc\ttestloss\ttestacc\timages/s\twaited"
  assert without_times(whole) == without_times(stopped)
  assert len(log(whole)) == 5


def test_a_finished_run_is_left_alone_and_other_settings_are_refused(small_npz, write_npz, whole):
  before = {p: p.stat().st_mtime_ns for p in whole.rglob("*")}
  assert run(small_npz, whole)["epoch"] == 3
  for dataset, arch, objective, recipe, message in (
    (small_npz, "convnet", OBJECTIVE, dataclasses.replace(RECIPE, lr=0.2), "lr was 0.05, is now 0.2"),
    (small_npz, "convnet", Gaussian(noise_sd=0.2), RECIPE, "noise_sd was 0.1, is now 0.2"),
    (small_npz, "cifar_resnet8", OBJECTIVE, RECIPE, "arch was convnet"),
    (str(write_npz("other.npz", seed=5)), "convnet", OBJECTIVE, RECIPE, "dataset_digest was"),
  ):
    with pytest.raises(InputError, match=message):
      run(dataset, whole, arch, objective, recipe)
  assert {p: p.stat().st_mtime_ns for p in whole.rglob("*")} == before


def test_paths_that_cannot_hold_a_training_are_refused(small_npz, tmp_path):
  (tmp_path / "file").write_text("")
  for bad in (tmp_path / "file", tmp_path / "file" / "out"):
    with pytest.raises(InputError):
      run(small_npz, bad)


@pytest.mark.parametrize("killed_at", range(1, 9))
def test_a_run_killed_within_a_save_continues(
  killed_at, small_npz, whole, tmp_path, monkeypatch, save_each_epoch
):
  """Killed before the k-th thing that saving does: writing, and the two renames, of state and checkpoint."""
  out, steps = tmp_path / "killed", iter(range(1, 1000))

  def dying(function):
    def wrapped(*args, **kwargs):
      if next(steps) == killed_at:
        raise Killed
      return function(*args, **kwargs)

    return wrapped

  with monkeypatch.context() as patch, pytest.raises(Killed):
    patch.setattr(checkpoint.ocp, "save", dying(checkpoint.ocp.save))
    patch.setattr(pathlib.Path, "rename", dying(pathlib.Path.rename))
    run(small_npz, out)
  if (out / "state").exists() and killed_at > 4:
    assert checkpoint.load(out).metadata["epoch"] in (1, 2)  # readable in between
  run(small_npz, out)
  assert checkpoint.load(out).digest == checkpoint.load(whole).digest
  assert checkpoint.load(out).metadata["epoch"] == 3
  assert {p.name for p in out.iterdir()} == {"checkpoint", "state", "log.tsv", ".lock"}


def test_a_lost_checkpoint_is_made_again_from_the_state(small_npz, whole, tmp_path):
  out = tmp_path / "out"
  shutil.copytree(whole, out)
  digest = checkpoint.load(out).digest
  shutil.rmtree(out / "checkpoint")
  run(small_npz, out)
  assert checkpoint.load(out).digest == digest
  for file in (out / "checkpoint").iterdir():
    shutil.rmtree(file) if file.is_dir() else file.unlink()
  run(small_npz, out)
  assert checkpoint.load(out).digest == digest


def test_a_second_training_into_the_same_directory_is_refused(small_npz, tmp_path):
  class Second(TrainingProgress):
    def epoch(self, epoch):
      with pytest.raises(InputError, match="another process"):
        run(small_npz, tmp_path / "out")

  run(small_npz, tmp_path / "out", progress=Second())


def test_directories_with_files_of_others_or_odd_names_are_refused(small_npz, tmp_path):
  (tmp_path / "mine").mkdir()
  (tmp_path / "mine" / "log.tsv").write_text("my own log")
  with pytest.raises(InputError, match=r"another log\.tsv"):
    run(small_npz, tmp_path / "mine")
  for name in ("o[3]", "a*", "b\\c", "d\ne"):
    with pytest.raises(InputError, match="path cannot contain"):
      run(small_npz, tmp_path / name)


def test_a_run_stopped_within_an_epoch_continues_bit_for_bit(small_npz, tmp_path, monkeypatch):
  """Saved after every step, stopped after the fifth: the second of epoch 1."""
  monkeypatch.setattr(training, "SAVE_WITHIN_SECONDS", 0.0)
  whole, stopped = tmp_path / "whole", tmp_path / "stopped"
  run(small_npz, whole, "cifar_resnet8")

  class Stop(TrainingProgress):
    steps = 0

    def images(self, count):
      self.steps += 1
      if self.steps == 6:
        raise Killed

  with pytest.raises(Killed):
    run(small_npz, stopped, "cifar_resnet8", progress=Stop())
  assert checkpoint.steps(stopped / "state") == [4, 5]
  steps = []
  run(small_npz, stopped, "cifar_resnet8", progress=counting(steps))
  assert len(steps) == 9 - 5
  assert checkpoint.load(whole).digest == checkpoint.load(stopped).digest
  assert without_times(whole) == without_times(stopped)


@pytest.mark.parametrize(("at", "left"), [(5, 4), (6, 3)])
def test_an_interrupted_run_loses_no_step(at, left, small_npz, tmp_path, save_each_epoch):
  """In the middle of an epoch the state is saved; at its end the epoch is finished first."""
  out, steps = tmp_path / "stopped", []

  class CtrlC(TrainingProgress):
    def images(self, count):
      steps.append(count)
      if len(steps) >= at:
        raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    run(small_npz, out, "cifar_resnet8", progress=CtrlC())
  assert len(steps) == at
  run(small_npz, out, "cifar_resnet8", progress=counting(steps))
  assert len(steps) == at + left == 9
  assert len(log(out)) == 1 + RECIPE.epochs


def test_the_last_two_states_are_kept_and_a_damaged_one_is_passed_over(
  small_npz, whole, tmp_path, save_each_epoch
):
  out = tmp_path / "out"
  with pytest.raises(Killed):
    run(small_npz, out, progress=Interrupted(2))
  assert checkpoint.steps(out / "state") == [3, 6]
  assert checkpoint.load(out / "state" / "6").digest == checkpoint.load(out).digest
  assert checkpoint.load(out / "state" / "3").metadata["epoch"] == 1
  damaged = out / "state" / "6"
  for file in damaged.rglob("*"):
    if file.is_file() and "METADATA" not in file.name and "metadata" not in file.name:
      file.write_bytes(b"")
  # In a process of its own: Orbax leaves tasks behind that complain in whatever test comes next.
  code = (
    "from rsjax.runs import progress, training\n"
    "from rsjax.training import Gaussian, Recipe\n"
    "P = progress.TrainingProgress\n"
    "P.damaged = lambda _, path: print(path)\n"
    f"objective = Gaussian(noise_sd={OBJECTIVE.noise_sd})\n"
    f"training.run({small_npz!r}, 'convnet', {str(out)!r}, objective, {RECIPE!r}, progress=P())\n"
  )
  ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
  assert ran.stdout.split() == [str(damaged)]
  found, wanted = checkpoint.load(out), checkpoint.load(whole)
  assert found.metadata["step"] == wanted.metadata["step"]
  jax.tree.map(
    lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found.variables, wanted.variables
  )  # one device there, eight here


def test_training_begins_with_the_weights_of_another(small_npz, whole, write_npz, tmp_path):
  other, first = str(write_npz("other.npz", seed=5)), checkpoint.load(whole)
  recipe = dataclasses.replace(RECIPE, epochs=1, lr=0.0)
  metadata = run(other, tmp_path / "second", recipe=recipe, init_from=whole)
  second = checkpoint.load(tmp_path / "second")
  jax.tree.map(np.testing.assert_array_equal, second.variables, first.variables)
  assert (second.metadata["mean"], second.metadata["std"]) == (first.metadata["mean"], first.metadata["std"])
  assert metadata["training"]["init_from"] == first.digest
  with pytest.raises(InputError, match="init_from was"):
    run(other, tmp_path / "second", recipe=recipe)
  with pytest.raises(InputError, match="arch is convnet, but cifar_resnet8 is needed"):
    run(other, tmp_path / "third", "cifar_resnet8", recipe=recipe, init_from=whole)
  with pytest.raises(InputError, match="no checkpoint"):
    run(other, tmp_path / "third", recipe=recipe, init_from=tmp_path / "missing")


@pytest.mark.parametrize("objective", [OBJECTIVE, Consistency(0.1)], ids=lambda o: o.name)
def test_the_last_good_checkpoint_survives_divergence(
  objective, small_npz, tmp_path, monkeypatch, save_each_epoch
):
  steps = 3 * chunks_of(objective)  # of an epoch
  out, make_step = tmp_path / "out", step.make_step

  def diverging(*args):
    made = make_step(*args)

    def wrapped(state, arrays, batch):
      bad = int(state.step) == 2 * steps + 1
      state, loss = made(state, arrays, batch)
      return state, loss * jnp.float32(np.nan) if bad else loss

    return wrapped

  monkeypatch.setattr(step, "make_step", diverging)
  with pytest.raises(DivergedError, match="epoch 2, step 1: the training loss is nan"):
    run(small_npz, out, objective=objective)
  assert checkpoint.load(out).metadata["epoch"] == 2
  assert checkpoint.steps(out / "state") == [steps, 2 * steps]

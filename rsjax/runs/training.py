"""Trains into a directory from which training can continue: checkpoint, optimiser state and log.

  >>> history = run("digits", "convnet", "out/digits", Gaussian(noise_sd=0.25), Recipe(epochs=1, batch=128))
  >>> history["epoch"], history["noise_sd"]
  (1, 0.25)

This is what `python -m rsjax.train` does, as one function. OUTDIR/checkpoint is the base classifier.
OUTDIR/state holds the training's last two saves, from which a run with the same settings continues.
OUTDIR/log.tsv has one line per epoch, under the paper's column names, followed by the training images per
second, the seconds spent waiting for images, and the objective's own statistics.
"""

import dataclasses
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from rsjax import data, devices, files, models, training
from rsjax.classifiers import checkpoint
from rsjax.data import streaming
from rsjax.errors import InputError
from rsjax.runs import provenance, split, training_directory, training_inputs
from rsjax.runs.estimate import Estimate
from rsjax.runs.progress import TrainingProgress
from rsjax.training import Objective, Recipe, State, timing
from rsjax.training.division import Division, divide
from rsjax.training.objectives import noise_of

SAVE_SECONDS = 10.0  # shorter epochs are not all saved; the last always is
SAVE_SHARE = 0.05  # the share of the time that saves after epochs may take
SAVE_WITHIN_SECONDS = 300.0  # between saves within a long epoch


def run(
  dataset_name: str,
  arch: str,
  outdir: str | pathlib.Path,
  objective: Objective,
  recipe: Recipe,
  *,
  data_dir: str | None = None,
  dtype: str | None = None,
  init_from: str | pathlib.Path | None = None,
  votes: str | pathlib.Path | None = None,
  classifier: str | pathlib.Path | None = None,
  workers: int = 4,
  progress: TrainingProgress = TrainingProgress(),
) -> dict[str, Any]:
  """Trains a base classifier or a denoiser, or continues its training, or finds it already trained.

  Args:
    dataset_name: as for `data.load`; both splits are used, the test split for the log only.
    arch: as for `models.create`; its normalisation is that of `init_from`, else the one published for the
      data set, else the training set's mean and standard deviation. For an objective that trains a denoiser, as
      for `dncnn.find`.
    outdir: the directory; a training in it is continued if its settings are the same.
    objective: what is minimised.
    recipe: how to train, whatever the objective.
    data_dir: as for `data.load`.
    dtype: "float32" or "bfloat16", what the network computes in; None: the device's default.
    init_from: a checkpoint whose weights to begin with.
    votes: for objectives that need them, a result file of the training split (`runs.votes.read_shares`).
    classifier: for objectives that need it, a checkpoint of the classifier behind the denoiser.
    workers: processes that decode images, if the set is too large to be held in memory.
    progress: receives what the training reports.

  Returns:
    The metadata of OUTDIR/checkpoint.

  Raises:
    InputError: for anything that cannot be used; nothing has been written then.
    DivergedError: if a loss or a weight is not finite; the last checkpoints are kept.
  """
  with devices.jax_defaults():  # other settings would give other weights, and could change when continued
    job = job_of(dataset_name, arch, outdir, objective, recipe, data_dir, dtype, init_from, votes, classifier)
    return _run(job, workers, progress)


@dataclasses.dataclass(frozen=True)
class Job:
  """A training whose settings are all checked.

  `init_from` holds the weights to begin with, `classifier` a function with its weights (`Batch.classifier`).
  """

  outdir: pathlib.Path
  model: Any
  train_set: data.Dataset
  test_set: data.Dataset
  objective: Objective
  recipe: Recipe
  init_from: Any
  votes: NDArray[np.float32] | None
  classifier: Any
  metadata: dict[str, Any]

  @property
  def division(self) -> Division:
    """How its epochs are divided into steps."""
    return divide(self.recipe, self.objective, len(self.train_set), jax.device_count())

  @property
  def steps(self) -> int:
    """Gradient computations per epoch."""
    return self.division.steps

  @property
  def notes(self) -> list[str]:
    """What a user should know of the images, the test images of the log included."""
    of_splits = [*self.train_set.notes, *self.test_set.notes]
    return [*dict.fromkeys(of_splits), *split.class_numbers(self.train_set)]

  def start(self, variables: Any = None) -> State:
    """The state to begin with."""
    return training.initial_state(
      self.model,
      self.train_set.image_shape,
      self.objective,
      self.recipe,
      variables,
      images=len(self.train_set),
    )


def job_of(
  dataset_name: str,
  arch: str,
  outdir: str | pathlib.Path,
  objective: Objective,
  recipe: Recipe,
  data_dir: str | None,
  dtype: str | None,
  init_from: str | pathlib.Path | None,
  votes: str | pathlib.Path | None = None,
  classifier: str | pathlib.Path | None = None,
) -> Job:
  """The job of `run`, for the same arguments; refuses what cannot be used before anything is touched."""
  outdir = checkpoint.check_path(outdir)
  for path in (dataset_name, init_from or "", data_dir or "", votes or "", classifier or ""):
    files.local(path)
  training_inputs.check_network(arch, objective)
  train_set, test_set = (data.load(dataset_name, part, data_dir) for part in ("train", "test"))
  training_inputs.check_classes(train_set, objective)
  if test_set.image_shape != train_set.image_shape:
    raise InputError(
      f"{dataset_name}: training images are {train_set.image_shape}, but test images are {test_set.image_shape}"
    )
  if train_set.encoded is not None:
    streaming.check_extra()
  recipe = recipe.for_dataset(train_set)
  divide(recipe, objective, len(train_set), jax.device_count())  # refuses what devices cannot share
  shares = training_inputs.shares_of(objective, votes, train_set)
  fixed = training_inputs.classifier_of(objective, classifier, train_set)
  spec, begin_with = training_inputs.spec_of(train_set, arch, init_from)
  metadata = training_directory.metadata_of(dataset_name, train_set, spec, objective, recipe, dtype, begin_with)
  if shares is not None:
    metadata["training"]["votes"] = provenance.digest(shares)
  if fixed is not None:
    metadata["training"]["classifier"] = fixed.digest
  dtype = metadata["training"]["dtype"]
  model = spec.model(dtype)
  if recipe.remat:
    models.recomputing(model)  # refuses what has no blocks
  init = lambda key: models.init(model, key, train_set.image_shape)
  jax.eval_shape(init, jax.random.key(0))  # refuses images that the network is not for
  training_directory.begun(outdir, metadata)  # refuses other settings
  variables = begin_with and begin_with.variables
  behind = fixed and jax.tree_util.Partial(models.apply(fixed.model(dtype)), fixed.variables)
  return Job(outdir, model, train_set, test_set, objective, recipe, variables, shares, behind, metadata)


def dry_run(job: Job, workers: int = 4) -> tuple[Estimate, int]:
  """(what training takes from its start, bytes that it leaves in its directory); writes nothing.

  Evaluation after each epoch is not included.
  """
  with devices.jax_defaults():
    state = job.start()
    given = job.votes, job.classifier
    rate = timing.images_a_second(job.model, job.train_set, job.objective, job.recipe, workers, *given)
  size = lambda tree: sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
  taken = Estimate(job.steps * job.division.part * job.recipe.epochs, "images", rate, devices.memory_peak())
  return taken, size(state.variables) + 2 * size(state)  # the checkpoint, and the last two states


def _run(job: Job, workers: int, progress: TrainingProgress) -> dict[str, Any]:
  outdir, metadata, train_set, recipe, steps = job.outdir, job.metadata, job.train_set, job.recipe, job.steps
  columns = training_directory.LOG_COLUMNS + job.objective.statistics
  with files.alone(outdir / ".lock"):
    begun = training_directory.begun(outdir, metadata)
    progress.start(
      {
        "images": len(train_set),
        "shape": "x".join(map(str, train_set.image_shape)),
        "classes": train_set.num_classes,
        "epochs": recipe.epochs,
        "done": begun["step"] / steps if begun else 0,
        "noise": noise_of(job.objective).settings(),
        "augment": recipe.augment,
        "dtype": metadata["training"]["dtype"],
        "devices": jax.device_count(),
        "notes": job.notes,
      }
    )
    state, begun = _continue(outdir, begun, job.start, progress) if begun else (None, None)
    if begun and begun["epoch"] == recipe.epochs:
      return begun
    if state is None and job.init_from is not None:
      state = job.start(job.init_from)
    training_directory.start_log(outdir, columns, begun["epoch"] if begun else 0)

    def save(state: State, with_checkpoint: bool = False) -> dict[str, Any]:
      step = int(state.step)
      history = {**metadata, "epoch": step // steps, "step": step, "environment": provenance.environment()}
      checkpoint.save_step(outdir / "state", step, state.saved(), history)
      if with_checkpoint:
        checkpoint.save(outdir / "checkpoint", state.variables, history)
      return history

    saved, pause = time.monotonic(), SAVE_SECONDS
    for epoch in training.train(
      job.model,
      train_set,
      job.test_set,
      job.objective,
      recipe,
      state,
      votes=job.votes,
      classifier=job.classifier,
      workers=workers,
      progress=progress.images,
      save=save,
      save_seconds=SAVE_WITHIN_SECONDS,
    ):
      training_directory.append_log(outdir, epoch)
      progress.epoch(epoch)
      begin = time.monotonic()
      if epoch.number + 1 == recipe.epochs or begin - saved > pause:
        history = save(epoch.state, with_checkpoint=True)
        saved = time.monotonic()
        pause = max(SAVE_SECONDS, (saved - begin) / SAVE_SHARE)
    return history


def _continue(
  outdir: pathlib.Path, begun: dict[str, Any], start: Callable[[], State], progress: TrainingProgress
) -> tuple[State | None, dict[str, Any]]:
  """(state, its metadata) of the newest state that can be read; (None, metadata) where all is done."""
  try:
    epoch_of_checkpoint = (checkpoint.read_metadata(outdir / "checkpoint") or {}).get("epoch")
  except InputError:  # damaged: it is made again from the state
    epoch_of_checkpoint = None
  if begun["epoch"] == begun["training"]["epochs"] == epoch_of_checkpoint:
    return None, begun
  damaged: InputError | None = None
  for step in reversed(checkpoint.steps(outdir / "state")):
    path = outdir / "state" / str(step)
    try:
      begun = checkpoint.read_metadata(path) or begun
      state = State(**checkpoint.load_tree(path, start().saved()))
    except InputError as error:
      damaged = damaged or error
      progress.damaged(path)
      continue
    # The state is saved first: a run that was killed right after it has no checkpoint of that epoch.
    if begun["epoch"] and epoch_of_checkpoint != begun["epoch"]:
      checkpoint.save(outdir / "checkpoint", state.variables, begun)
    return state, begun
  raise damaged or InputError(f"{outdir} holds no saved state to continue from")

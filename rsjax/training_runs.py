"""Training into a directory that can be continued: checkpoint, optimiser state and log.

  >>> history = run("digits", "convnet", "out/digits", Recipe(noise_sd=0.25, epochs=1, batch=128))
  >>> history["epoch"], history["noise_sd"]
  (1, 0.25)

What `python -m rsjax.train` does, as one function. OUTDIR/checkpoint is the base classifier; OUTDIR/state
all that training carries at its last two saves, from which the same settings continue; OUTDIR/log.tsv a
line an epoch, under the paper's column names, then the images trained on a second and the seconds spent
waiting for images.
"""

import contextlib
import dataclasses
import time

import filelock
import jax

from rsjax import checkpoint, data, devices, models, streaming, training
from rsjax.errors import InputError

LOG_COLUMNS = ("epoch", "time", "lr", "train loss", "train acc", "testloss", "testacc", "images/s", "waited")
SAVE_SECONDS = 10.0  # shorter epochs are not all saved; the last always is
SAVE_WITHIN_SECONDS = 300.0  # between saves within a long epoch


class Progress:
  """What a run tells of itself; the default is silent."""

  def start(self, plan):
    """Everything was checked; `plan` is a dict of what is about to be done."""

  def images(self, count):
    """A step on `count` images was dispatched."""

  def epoch(self, epoch):
    """An epoch ended; `epoch` is a `training.Epoch`."""

  def damaged(self, path):
    """The saved state at `path` cannot be read; the one before it is tried."""


def run(
  dataset_name,
  arch,
  outdir,
  recipe,
  *,
  data_dir=None,
  dtype=None,
  init_from=None,
  workers=4,
  progress=Progress(),
):
  """Trains a base classifier, or continues, or finds it trained.

  Args:
    dataset_name: as for `data.load`; both splits are used, the test split for the log only.
    arch: as for `models.create`; its normalisation is that of `init_from`, else the one published for the
      data set, else the training set's mean and standard deviation.
    outdir: the directory; what is there is continued if its settings are the same.
    recipe: a `recipe.Recipe`.
    data_dir: as for `data.load`.
    dtype: "float32" or "bfloat16", what the network computes in; None: the device's default.
    init_from: a checkpoint whose weights to begin with.
    workers: processes that decode images, where the set is too large to be held.
    progress: a `Progress`.

  Returns:
    The metadata of OUTDIR/checkpoint.

  Raises:
    InputError: for anything that cannot be used; no file was touched then.
    DivergedError: when the training is no longer finite; the last checkpoints stay.
  """
  outdir = checkpoint.check_path(outdir)
  train_set, test_set = (data.load(dataset_name, split, data_dir) for split in ("train", "test"))
  if test_set.image_shape != train_set.image_shape:
    raise InputError(
      f"{dataset_name}: training images are {train_set.image_shape}, test images {test_set.image_shape}"
    )
  if train_set.encoded is not None:
    streaming.check_extra()
  recipe = recipe.for_dataset(train_set)
  training.check_batch(recipe, len(train_set), jax.device_count())
  begin_with = checkpoint.load(init_from) if init_from is not None else None
  metadata = _metadata(dataset_name, train_set, arch, recipe, dtype or devices.default_dtype(), begin_with)
  model = models.create(
    arch, dtype=metadata["training"]["dtype"], **{k: metadata[k] for k in ("num_classes", "mean", "std")}
  )
  _begun(outdir, metadata)  # refuses other settings before anything is touched
  with _alone(outdir):
    begun = _begun(outdir, metadata)
    steps = training.steps_per_epoch(recipe, len(train_set))
    progress.start(
      {
        "images": len(train_set),
        "shape": "x".join(map(str, train_set.image_shape)),
        "classes": train_set.num_classes,
        "epochs": recipe.epochs,
        "done": begun["step"] / steps if begun else 0,
        "noise_sd": recipe.noise_sd,
        "augment": recipe.augment,
        "dtype": metadata["training"]["dtype"],
        "devices": jax.device_count(),
        "notes": list(train_set.notes),
      }
    )
    template = lambda: training.initial_state(model, train_set.image_shape, recipe)
    state, begun = _continue(outdir, begun, template, progress) if begun else (None, None)
    if begun and begun["epoch"] == recipe.epochs:
      return begun
    if state is None and begin_with:
      state = training.initial_state(model, train_set.image_shape, recipe, begin_with.variables)
    _start_log(outdir, begun["epoch"] if begun else 0)

    def save(state, with_checkpoint=False):
      step = int(state.step)
      history = {**metadata, "epoch": step // steps, "step": step, "environment": devices.environment()}
      checkpoint.save_step(outdir / "state", step, state._asdict(), history)
      if with_checkpoint:
        checkpoint.save(outdir / "checkpoint", state.variables, history)
      return history

    saved = time.monotonic()
    for epoch in training.train(
      model,
      train_set,
      test_set,
      recipe,
      state,
      workers=workers,
      progress=progress.images,
      save=save,
      save_seconds=SAVE_WITHIN_SECONDS,
    ):
      _append_log(outdir, epoch)
      progress.epoch(epoch)
      if epoch.number + 1 == recipe.epochs or time.monotonic() - saved > SAVE_SECONDS:
        history = save(epoch.state, with_checkpoint=True)
        saved = time.monotonic()
    return history


def _metadata(dataset_name, train_set, arch, recipe, dtype, begin_with):
  """What the checkpoint will say; refuses weights to begin with that do not fit."""
  if begin_with:
    has = begin_with.metadata
    for key, wanted in (
      ("arch", arch),
      ("num_classes", train_set.num_classes),
      ("image_shape", list(train_set.image_shape)),
    ):
      if has[key] != wanted:
        raise InputError(f"--init-from: the checkpoint's {key} is {has[key]}, needed is {wanted}")
    mean, std = has["mean"], has["std"]
  else:
    mean, std = train_set.channel_statistics()
    std = [s or 1.0 for s in std]
  return {
    "arch": arch,
    "num_classes": train_set.num_classes,
    "classes": train_set.classes and list(train_set.classes),
    "image_shape": list(train_set.image_shape),
    "mean": list(mean),
    "std": list(std),
    "dataset": dataset_name,
    "dataset_digest": train_set.digest,
    "notes": list(train_set.notes),
    "noise_sd": recipe.noise_sd,
    "training": {
      "objective": "gaussian",
      "dtype": dtype,
      "init_from": begin_with and begin_with.digest,
      **dataclasses.asdict(recipe),
    },
  }


def _continue(outdir, begun, template, progress):
  """(state, its metadata) of the newest state that can be read; (None, metadata) where all is done."""
  try:
    epoch_of_checkpoint = (checkpoint.read_metadata(outdir / "checkpoint") or {}).get("epoch")
  except InputError:  # damaged: it is made again from the state
    epoch_of_checkpoint = None
  if begun["epoch"] == begun["training"]["epochs"] == epoch_of_checkpoint:
    return None, begun
  damaged = None
  for step in reversed(checkpoint.steps(outdir / "state")):
    path = outdir / "state" / str(step)
    try:
      begun = checkpoint.read_metadata(path)
      state = training.State(**checkpoint.load_tree(path, template()._asdict()))
    except InputError as error:
      damaged = damaged or error
      progress.damaged(path)
      continue
    # The state is saved first: a run that was killed right after it has no checkpoint of that epoch.
    if begun["epoch"] and epoch_of_checkpoint != begun["epoch"]:
      checkpoint.save(outdir / "checkpoint", state.variables, begun)
    return state, begun
  raise damaged


@contextlib.contextmanager
def _alone(outdir):
  """Holds the directory, made if missing, against other runs."""
  lock = filelock.FileLock(outdir / ".lock", timeout=0)
  try:
    outdir.mkdir(parents=True, exist_ok=True)
    lock.acquire()
  except filelock.Timeout as error:
    raise InputError(f"{outdir} is being trained into by another process") from error
  except OSError as error:
    raise InputError(f"{outdir} cannot be written: {error.strerror or error}") from error
  try:
    yield
  finally:
    lock.release()


def _begun(outdir, metadata):
  """The metadata of this very training's newest saved state in `outdir`; None where nothing was saved."""
  if outdir.exists() and not outdir.is_dir():
    raise InputError(f"{outdir} is a file: give a directory")
  begun = _newest_metadata(outdir / "state")
  if begun is None:
    for name in ("checkpoint", "log.tsv"):
      if (outdir / name).exists() and not _is_our_log(outdir / name):
        raise InputError(f"{outdir} holds another {name}: give another directory, or delete it")
    return None
  differing = [
    f"{key} was {old.get(key)}, is now {new[key]}"
    for old, new in ((begun, metadata), (begun["training"], metadata["training"]))
    for key in new
    if (old is not begun or key not in ("training", "dataset", "noise_sd", "notes"))
    and old.get(key) != new[key]
  ]
  if differing:
    raise InputError(
      f"{outdir} was begun with other settings ({'; '.join(differing)}): give another directory, or delete it"
    )
  return begun


def _newest_metadata(path):
  damaged = None
  for step in reversed(checkpoint.steps(path)):
    try:
      return checkpoint.read_metadata(path / str(step))
    except InputError as error:
      damaged = error
  if damaged:
    raise damaged
  return None


def _is_our_log(path):
  """Whether it is a log: that of a run which was stopped before it saved anything."""
  return path.is_file() and path.read_bytes().startswith("\t".join(LOG_COLUMNS).encode())


def _start_log(outdir, done):
  """Leaves the header and the first `done` epochs in the log."""
  path, new = outdir / "log.tsv", outdir / ".log.tsv.new"
  lines = path.read_text().splitlines(keepends=True)[1 : 1 + done] if done and path.exists() else []
  new.write_text("\t".join(LOG_COLUMNS) + "\n" + "".join(lines))
  new.replace(path)


def _append_log(outdir, epoch):
  values = (
    epoch.number,
    f"{epoch.seconds:.3f}",
    f"{epoch.lr:g}",
    *(f"{v:.5f}" for v in (epoch.train_loss, epoch.train_accuracy, epoch.test_loss, epoch.test_accuracy)),
    f"{epoch.rate:.1f}",
    f"{epoch.waited:.3f}",
  )
  with open(outdir / "log.tsv", "a") as file:
    file.write("\t".join(map(str, values)) + "\n")

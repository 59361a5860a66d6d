"""Training into a directory that can be continued: checkpoint, optimiser state and log.

  >>> run("digits", "convnet", "out/digits_0.25", Recipe(noise_sd=0.25, epochs=60, batch=128))

What `python -m rsjax.train` does, as one function. OUTDIR/checkpoint is the base classifier; OUTDIR/state
all that training carries, from which the same settings continue; OUTDIR/log.tsv a line an epoch, under
the paper's column names.
"""

import contextlib
import dataclasses
import time

import filelock

from rsjax import checkpoint, data, devices, models, training
from rsjax.errors import InputError

LOG_COLUMNS = ("epoch", "time", "lr", "train loss", "train acc", "testloss", "testacc")
SAVE_SECONDS = 10.0  # shorter epochs are not all saved; the last always is


class Progress:
  """What a run tells of itself; the default is silent."""

  def start(self, plan):
    """Everything was checked; `plan` is a dict of what is about to be done."""

  def images(self, count):
    """A step on `count` images was dispatched."""

  def epoch(self, epoch):
    """An epoch ended; `epoch` is a `training.Epoch`."""


def run(dataset_name, arch, outdir, recipe, *, dtype=None, progress=Progress()):
  """Trains a base classifier, or continues, or finds it trained.

  Args:
    dataset_name: as for `data.load`; both splits are used, the test split for the log only.
    arch: as for `models.create`; its normalisation is the training set's mean and standard deviation.
    outdir: the directory; what is there is continued if its settings are the same.
    recipe: a `training.Recipe`.
    dtype: "float32" or "bfloat16", what the network computes in; None: the device's default.
    progress: a `Progress`.

  Returns:
    The metadata of OUTDIR/checkpoint.

  Raises:
    InputError: for anything that cannot be used; no file was touched then.
    DivergedError: when the training loss is not finite; the last checkpoint stays.
  """
  outdir = checkpoint.check_path(outdir)
  train_set, test_set = data.load(dataset_name, "train"), data.load(dataset_name, "test")
  if test_set.image_shape != train_set.image_shape:
    raise InputError(
      f"{dataset_name}: training images are {train_set.image_shape}, test images {test_set.image_shape}"
    )
  dtype = dtype or devices.default_dtype()
  mean, std = train_set.channel_statistics()
  std = tuple(s or 1.0 for s in std)
  num_classes = train_set.num_classes
  model = models.create(arch, num_classes=num_classes, mean=mean, std=std, dtype=dtype)
  metadata = {
    "arch": arch,
    "num_classes": num_classes,
    "classes": train_set.classes and list(train_set.classes),
    "image_shape": list(train_set.image_shape),
    "mean": list(mean),
    "std": list(std),
    "dataset": dataset_name,
    "dataset_digest": train_set.digest,
    "noise_sd": recipe.noise_sd,
    "training": {"objective": "gaussian", "dtype": dtype, **dataclasses.asdict(recipe)},
  }
  _begun(outdir, metadata)  # refuses other settings before anything is touched
  with _alone(outdir):
    begun = _begun(outdir, metadata)
    done = begun["epoch"] if begun else 0
    progress.start(
      {
        "images": len(train_set),
        "shape": "x".join(map(str, train_set.image_shape)),
        "classes": num_classes,
        "epochs": recipe.epochs,
        "done": done,
        "noise_sd": recipe.noise_sd,
        "dtype": dtype,
      }
    )
    # The state is saved first: a run that was killed right after it has no checkpoint of that epoch.
    late = done and (checkpoint.read_metadata(outdir / "checkpoint") or {}).get("epoch") != done
    state = None
    if late or 0 < done < recipe.epochs:
      template = training.initial_state(model, train_set.image_shape, recipe)._asdict()
      state = training.State(**checkpoint.load_tree(outdir / "state", template))
    if late:
      checkpoint.save(outdir / "checkpoint", state.variables, begun)
    if done == recipe.epochs:
      return begun
    _start_log(outdir, done)
    saved = time.monotonic()
    for epoch in training.train(model, train_set, test_set, recipe, state, progress=progress.images):
      _append_log(outdir, epoch)
      progress.epoch(epoch)
      if epoch.number + 1 == recipe.epochs or time.monotonic() - saved > SAVE_SECONDS:
        history = {**metadata, "epoch": epoch.number + 1, "environment": devices.environment()}
        checkpoint.save(outdir / "state", epoch.state._asdict(), history)
        checkpoint.save(outdir / "checkpoint", epoch.state.variables, history)
        saved = time.monotonic()
    return history


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
  """The metadata of this very training's saved state in `outdir`; None where nothing was saved."""
  if outdir.exists() and not outdir.is_dir():
    raise InputError(f"{outdir} is a file: give a directory")
  begun = checkpoint.read_metadata(outdir / "state")
  if begun is None:
    for name in ("checkpoint", "log.tsv"):
      if (outdir / name).exists() and not _is_our_log(outdir / name):
        raise InputError(f"{outdir} holds another {name}: give another directory, or delete it")
    return None
  differing = [
    f"{key} was {old[key]}, is now {new[key]}"
    for old, new in ((begun, metadata), (begun["training"], metadata["training"]))
    for key in new
    if (old is not begun or key not in ("training", "dataset", "noise_sd")) and old.get(key) != new[key]
  ]
  if differing:
    raise InputError(
      f"{outdir} was begun with other settings ({'; '.join(differing)}): give another directory, or delete it"
    )
  return begun


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
  )
  with open(outdir / "log.tsv", "a") as file:
    file.write("\t".join(map(str, values)) + "\n")

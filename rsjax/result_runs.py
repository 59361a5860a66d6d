"""A split of a data set through CERTIFY or PREDICT into a result file that can be continued.

  >>> settings = Smoothing(sigma=0.25, n=1000)
  >>> file = run("certify", "digits", "out/checkpoint", settings, "digits.tsv", skip=50, max_images=2)
  >>> file.complete, file.columns["idx"].tolist()
  (True, [0, 50])

What `python -m rsjax.certify` and `rsjax.predict` do, as one function: all that was given is checked
before anything is compiled or written.
"""

import contextlib
import datetime
import json
import time
from typing import Any, NamedTuple

from rsjax import checkpoint, data, devices, models, processes, results, smoothing, tuning
from rsjax.errors import InputError
from rsjax.votes import Execution

# command: (function, check of the settings, columns, row, draws an image)
_KINDS = {
  "certify": (
    smoothing.certify,
    smoothing.check_can_certify,
    results.CERTIFY_COLUMNS,
    results.certify_row,
    lambda s: s.n0 + s.n,
  ),
  "predict": (
    smoothing.predict,
    smoothing.check_can_predict,
    results.PREDICT_COLUMNS,
    results.predict_row,
    lambda s: s.n,
  ),
}


class Progress:
  """What a run tells of itself; the default is silent."""

  def start(self, plan):
    """Everything was checked; `plan` is a dict of what is about to be done."""

  def rows(self, rows):
    """Noisy images a step were chosen; what comes next is compilation."""

  def draws(self, count):
    """The votes of `count` more draws have arrived."""

  def row(self):
    """One more row was written."""

  def close(self):
    """Nothing more comes."""


def run(
  command,
  dataset_name,
  checkpoint_path,
  settings,
  outfile,
  *,
  data_dir=None,
  split="test",
  skip=1,
  max_images=None,
  dtype=None,
  rows=None,
  progress=Progress(),
):
  """Certifies or predicts images 0, skip, 2 skip, ... of a split, at most max_images of them.

  Args:
    command: "certify" or "predict".
    dataset_name: as for `data.load`.
    checkpoint_path: as for `checkpoint.load`.
    settings: a `smoothing.Smoothing`.
    outfile: the result file; continued where it was begun with the same settings.
    data_dir: as for `data.load`.
    split, skip, max_images: which images.
    dtype: "float32" or "bfloat16", what the classifier computes in; None: the device's default.
    rows: noisy images per device step; None: chosen by `tuning.best_rows`.
    progress: a `Progress`.

  Returns:
    The `results.Results` of the whole file; None in processes other than the first (see `processes`).

  Raises:
    InputError: for anything that cannot be used; nothing was compiled and no file touched then.
  """
  which = (split, skip, max_images)
  plan = processes.together(
    lambda: _plan(command, dataset_name, checkpoint_path, settings, data_dir, which, dtype, rows)
  )
  processes.check_alike(json.dumps([plan.manifest.settings, plan.versions], sort_keys=True))
  function, _, columns, to_row, draws_per_image = _KINDS[command]
  dataset, session = plan.dataset, plan.manifest.session
  apply, variables = models.inference(plan.model, plan.classifier.variables)
  with _open(outfile, plan.manifest, columns) as (writer, done):
    todo = plan.manifest.indices[done:]
    progress.start(
      {
        "images": len(plan.manifest.indices),
        "done": done,
        "draws per image": draws_per_image(settings),
        "dtype": plan.dtype,
        "devices": session["devices"],
        "device": session["device"],
        "notes": [*dataset.notes, *_notes(settings, plan.classifier.metadata)],
      }
    )
    if rows is None:
      rows = tuning.best_rows(
        apply,
        variables,
        dataset.image_shape,
        f"{plan.classifier.metadata['arch']} {plan.dtype}",
        draws=len(todo) * draws_per_image(settings),
        smallest_count=settings.n0 if command == "certify" else settings.n,
      )
    progress.rows(rows)
    examples = ((i, dataset.images[i]) for i in todo)
    before = time.perf_counter()
    for outcome in function(apply, variables, examples, settings, Execution(rows), progress.draws):
      now = time.perf_counter()
      if writer:
        writer.append(to_row(outcome, int(dataset.labels[outcome.index]), now - before))
      before = now
      progress.row()
  return results.read(outfile) if processes.first() else None


class _Plan(NamedTuple):
  dataset: data.Dataset
  classifier: checkpoint.Classifier
  model: Any
  dtype: str
  manifest: results.Manifest
  versions: list


def _plan(command, dataset_name, checkpoint_path, settings, data_dir, which, dtype, rows):
  """Everything that is known before a device is used, checked."""
  split, skip, max_images = which
  Execution(rows)  # refuses what is out of range
  _KINDS[command][1](settings)
  for name, value in (("skip", skip), ("max", 1 if max_images is None else max_images)):
    if value < 1:
      raise InputError(f"{name} must be at least 1, got {value}")
  dataset = data.load(dataset_name, split, data_dir)
  classifier = checkpoint.load(checkpoint_path)
  _check_match(dataset, classifier)
  dtype = dtype or devices.default_dtype()
  model = classifier.model(dtype)
  indices = list(range(0, len(dataset), skip))[:max_images]
  dataset.check(indices)
  environment = devices.environment()
  manifest = results.Manifest(
    settings={
      "command": command,
      "dataset": dataset.digest,
      "split": split,
      "skip": skip,
      "max": max_images,
      "sigma": settings.sigma,
      **({"n0": settings.n0} if command == "certify" else {}),
      "n": settings.n,
      "alpha": settings.alpha,
      "seed": settings.seed,
      "checkpoint": classifier.digest,
      "dtype": dtype,
      "precision": devices.matmul_precision(),
      "batch_norm": "folded",
    },
    indices=indices,
    about={
      "dataset": dataset_name,
      "images": len(dataset),
      "notes": list(dataset.notes),
      "checkpoint": classifier.metadata,
    },
    session={
      "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
      "rows": rows or "auto",
      **environment,
    },
  )
  versions = [environment[name] for name in ("rsjax", "jax", "jaxlib", "flax", "numpy")]
  return _Plan(dataset, classifier, model, dtype, manifest, versions)


@contextlib.contextmanager
def _open(outfile, manifest, columns):
  """(writer, rows done before): the result file in process 0; in others None, and process 0's number."""
  with contextlib.ExitStack() as stack:
    opened = lambda: stack.enter_context(results.open_for_append(outfile, manifest, columns))
    writer = processes.together(lambda: opened() if processes.first() else None)
    yield writer, int(processes.agree(writer.done if writer else 0))


def _notes(settings, metadata):
  """What is allowed, and often a mistake."""
  noise_sd = metadata.get("noise_sd")
  if noise_sd is not None and noise_sd != settings.sigma:
    yield f"the classifier was trained with noise_sd = {noise_sd:g}, not {settings.sigma:g}"
  epoch, epochs = metadata.get("epoch"), metadata.get("training", {}).get("epochs")
  if epoch != epochs:
    yield f"the classifier's training stands at epoch {epoch} of {epochs}"


def _check_match(dataset, classifier):
  shape, num_classes = tuple(classifier.metadata["image_shape"]), classifier.metadata["num_classes"]
  if dataset.image_shape != shape:
    raise InputError(
      f"{dataset.name} has images of {_by(dataset.image_shape)} (height x width x channels), "
      f"the checkpoint is for {_by(shape)}"
    )
  if dataset.num_classes != num_classes:
    raise InputError(
      f"{dataset.name} has {dataset.num_classes} classes, the checkpoint {num_classes}"
      " (a .npz of only some of the classes needs class_names, one string a class)"
    )
  names = classifier.metadata.get("classes")
  if names and dataset.classes and tuple(names) != dataset.classes:
    label = next(i for i, (a, b) in enumerate(zip(names, dataset.classes)) if a != b)
    raise InputError(
      f"class {label} is {dataset.classes[label]!r} in {dataset.name}, {names[label]!r} in the checkpoint"
    )


def _by(shape):
  return "x".join(str(n) for n in shape)

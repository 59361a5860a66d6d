"""A split of a data set through CERTIFY or PREDICT into a result file that can be continued.

  >>> run("certify", "digits", "out/checkpoint", Smoothing(sigma=0.25), "out.tsv", skip=5)

What `python -m rsjax.certify` and `rsjax.predict` do, as one function: all that was given is checked
before anything is compiled or written.
"""

import datetime
import time

from rsjax import checkpoint, data, devices, models, results, smoothing
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

  def draws(self, count):
    """The votes of `count` more draws have arrived."""

  def row(self):
    """One more row was written."""


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
    rows: noisy images per device step; None: chosen.
    progress: a `Progress`.

  Returns:
    The `results.Results` of the whole file.

  Raises:
    InputError: for anything that cannot be used; nothing was compiled and no file touched then.
  """
  function, check, columns, to_row, draws_per_image = _KINDS[command]
  check(settings)
  for name, value in (("skip", skip), ("max", 1 if max_images is None else max_images)):
    if value < 1:
      raise InputError(f"{name} must be at least 1, got {value}")
  dataset = data.load(dataset_name, split, data_dir)
  classifier = checkpoint.load(checkpoint_path)
  _check_match(dataset, classifier)
  dtype = dtype or devices.default_dtype()
  model = classifier.model(dtype)
  execution = Execution(rows).resolve(dataset.image_shape)
  indices = list(range(0, len(dataset), skip))[:max_images]
  dataset.check(indices)
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
      "rows": execution.rows,
      **devices.environment(),
    },
  )
  with results.open_for_append(outfile, manifest, columns) as writer:
    todo = indices[writer.done :]
    progress.start(
      {
        "images": len(indices),
        "done": writer.done,
        "draws per image": draws_per_image(settings),
        "dtype": dtype,
        "rows": execution.rows,
        "devices": manifest.session["devices"],
        "device": manifest.session["device"],
        "notes": [*dataset.notes, *_notes(settings, classifier.metadata)],
      }
    )
    examples = ((i, dataset.images[i]) for i in todo)
    apply, variables = models.inference(model, classifier.variables)
    before = time.perf_counter()
    for outcome in function(apply, variables, examples, settings, execution, progress.draws):
      now = time.perf_counter()
      writer.append(to_row(outcome, int(dataset.labels[outcome.index]), now - before))
      before = now
      progress.row()
  return results.read(outfile)


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

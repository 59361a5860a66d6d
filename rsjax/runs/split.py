"""Runs CERTIFY or PREDICT for a split of a data set and a checkpoint, both given by name, into a result file.

  >>> noise, procedure = Gaussian(0.25), Certify(n=1000)
  >>> selection = data.Selection(skip=50, max_images=2)
  >>> file = run("digits", "out/checkpoint", noise, procedure, "digits.tsv", selection)
  >>> file.complete, file.columns["idx"].tolist()
  (True, [0, 50])

This is what `python -m rsjax.certify` and `rsjax.predict` do, as one function: everything given is checked
before anything is compiled or written.
"""

import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from rsjax import data, devices, files
from rsjax.classifiers import denoised, ensemble
from rsjax.classifiers.classifier import Classifier
from rsjax.classifiers.denoised import Base, Denoised
from rsjax.data import coverage
from rsjax.devices import processes
from rsjax.errors import InputError
from rsjax.noise import Columns, Noise, Splitting, called, check_seed, kind_of_training, suits
from rsjax.noise.splitting import TRAINING_SEED
from rsjax.procedures import Exact, Procedure
from rsjax.results import Results
from rsjax.runs.certification import Job, into_file
from rsjax.runs.progress import Progress
from rsjax.smoothing import Execution, Smoothed


def run(
  dataset_name: str,
  checkpoint_path: str | pathlib.Path | Sequence[str | pathlib.Path],
  noise: Noise,
  procedure: Procedure | None,
  outfile: str | pathlib.Path,
  selection: data.Selection = data.Selection(),
  *,
  seed: int = 0,
  data_dir: str | None = None,
  split: str = "test",
  dtype: str | None = None,
  denoiser: str | pathlib.Path | None = None,
  rows: int | None = None,
  progress: Progress = Progress(),
) -> Results | None:
  """Certifies or predicts selected images of a split.

  Args:
    dataset_name, data_dir, split: as for `data.load`.
    checkpoint_path: as for `checkpoint.load`; several paths: their ensemble.
    noise: of the smoothed classifier.
    procedure: CERTIFY or PREDICT, with its numbers; None: the exact certificate, which has none.
    outfile: the result file; continued if it was begun with the same settings, or with fewer images.
    selection: which images.
    seed: of the noise.
    dtype: "float32" or "bfloat16", what the classifier computes in; None: the device's default.
    denoiser: as for `denoiser.load`; what it makes of a noisy image is classified. None: the noisy image is.
    rows: noisy images per device step; None: chosen by `tuning.best_rows`.
    progress: receives what the run reports.

  Returns:
    The whole file; None in processes other than the first (see `devices.processes`).

  Raises:
    InputError: for anything that cannot be used; nothing has been compiled or written then.
  """
  files.local(outfile)
  execution = Execution(rows)  # refuses what is out of range
  job = job_of(
    dataset_name,
    checkpoint_path,
    noise,
    procedure,
    selection,
    seed=seed,
    data_dir=data_dir,
    split=split,
    dtype=dtype,
    denoiser=denoiser,
  )
  return into_file(job, outfile, execution, progress)


def job_of(
  dataset_name: str,
  checkpoint_path: str | pathlib.Path | Sequence[str | pathlib.Path],
  noise: Noise,
  procedure: Procedure | None,
  selection: data.Selection = data.Selection(),
  *,
  seed: int = 0,
  data_dir: str | None = None,
  split: str = "test",
  dtype: str | None = None,
  denoiser: str | pathlib.Path | None = None,
) -> Job:
  """The job of `run`, for the same arguments; several processes agree on whether it can be done.

  Raises:
    InputError: for anything that cannot be used; nothing has been compiled then.
  """
  for path in (dataset_name, *ensemble.several(checkpoint_path), data_dir or "", denoiser or ""):
    files.local(path)
  seed = check_seed(seed)

  def made() -> Job:
    dataset = data.load(dataset_name, split, data_dir)
    classifier = denoised.load(checkpoint_path, denoiser, noise)
    return job_from(dataset, classifier, noise, procedure, selection, seed, dtype)

  return processes.together(made)


def job_from(
  dataset: data.Dataset,
  classifier: Base,
  noise: Noise,
  procedure: Procedure | None,
  selection: data.Selection,
  seed: int,
  dtype: str | None,
) -> Job:
  """The job for a loaded data set and a loaded classifier; arguments as for `run`.

  Raises:
    InputError: if they do not fit each other, or the selection does not fit the data set.
  """
  check_match(dataset, classifier)
  dtype = dtype or devices.default_dtype()
  indices = selection.of(len(dataset))
  dataset.check(indices)
  apply, variables = classifier.inference(dtype)
  procedure = Exact.of(noise, dataset.image_shape) if procedure is None else procedure
  return Job(
    Smoothed(apply, variables, noise),
    dataset.images,
    dataset.labels,
    indices,
    procedure,
    seed,
    settings={
      "dataset": dataset.digest,
      "split": dataset.split,
      **selection.settings(),
      "checkpoint": classifier.digest,
      **classifier.settings,
      "dtype": dtype,
      "batch_norm": _batch_norm(classifier, dtype),
    },
    about={
      "dataset": dataset.name,
      "images": len(dataset),
      "selected": len(selection.all_shards(len(dataset))),
      "notes": [*dataset.notes, *_trained_on(dataset, classifier), *unfinished(classifier)],
      "checkpoint": classifier.metadata,
    },
    name=lambda: f"{classifier.metadata['arch']} {dtype}",
    notes=[
      *dataset.notes,
      *_trained_on(dataset, classifier),
      *class_numbers(dataset),
      *notes(noise, classifier),
      *(classifier.notes(dataset.image_shape) if isinstance(classifier, Denoised) else []),
      *_of_seed(noise, seed),
      *_coverage(dataset, indices),
    ],
  )


def _batch_norm(classifier: Base, dtype: str) -> str:
  """Whether batch norm is folded into convolutions, as manifests record it."""
  folded = {hasattr(member.model(dtype), "CONVOLUTIONS") for member in classifier.members}
  if len(folded) > 1:
    return "folded in some members"
  return "folded" if folded == {True} else "not folded"


def notes(noise: Noise, classifier: Base) -> list[str]:
  """Notes about what is allowed, but often a mistake; each once."""
  facing = _networks(classifier)[-1:] if isinstance(classifier, Denoised) else _networks(classifier)
  found = [f"{name}{note}" for name, metadata in facing for note in _of_noise(noise, metadata)]
  return list(dict.fromkeys([*found, *unfinished(classifier)]))


def _networks(classifier: Base) -> list[tuple[str, dict[str, Any]]]:
  """(what it is called, metadata) of each network: the members, and a denoiser last."""
  called = "the classifier" if len(classifier.members) == 1 else "a member of the ensemble"
  networks = [(called, member.metadata) for member in classifier.members]
  if isinstance(classifier, Denoised):
    networks.append(("the denoiser", classifier.denoiser.metadata))
  return networks


def unfinished(classifier: Base) -> list[str]:
  """A note for each network whose training has not ended, each once."""
  found = [f"{name}{note}" for name, metadata in _networks(classifier) for note in _of_training(metadata)]
  return list(dict.fromkeys(found))


def class_numbers(dataset: data.Dataset) -> list[str]:
  """A note of which number stands for which class, if a reader of the numbers cannot know it."""
  told = dataset.numbered_classes()
  return [] if told is None else [f"{dataset.name}: label and predict are numbers of classes: {told}"]


def _of_noise(noise: Noise, metadata: dict[str, Any]) -> Iterator[str]:
  noise_sd = metadata.get("noise_sd")
  sigma = getattr(noise, "sigma", None)
  if None not in (noise_sd, sigma) and noise_sd != sigma:
    yield f" was trained with noise_sd = {noise_sd:g}, not {sigma:g}"
  trained = kind_of_training(metadata)
  if trained is not None and not suits(trained, noise.name):
    yield f" was trained with {called(trained)}, not {called(noise.name)}"
  band = metadata.get("training", {}).get("noise", {}).get("band") if isinstance(noise, Columns) else None
  if band is not None and band != noise.band:  # type: ignore[attr-defined]
    yield f" was trained with bands of {band} columns, not {noise.band}"  # type: ignore[attr-defined]


def _of_training(metadata: dict[str, Any]) -> Iterator[str]:
  epoch, epochs = metadata.get("epoch"), metadata.get("training", {}).get("epochs")
  if epoch != epochs:
    yield f"'s training stands at epoch {epoch} of {epochs}"


def _of_seed(noise: Noise, seed: int) -> Iterator[str]:
  """A note if splitting noise has another template than in training."""
  if isinstance(noise, Splitting) and seed != TRAINING_SEED:
    yield f"rsjax.train trains under the template of seed {TRAINING_SEED}, not {seed}: expect lower accuracy"


def _trained_on(dataset: data.Dataset, classifier: Base) -> Iterator[str]:
  """A note if the images are those of the training."""
  if any(member.metadata.get("dataset_digest") == dataset.digest for member in classifier.members):
    yield f"{dataset.name}: these are the images that the classifier was trained on, not test images"


def _coverage(dataset: data.Dataset, indices: list[int]) -> Iterator[str]:
  """A note if the images that were asked for are of a part of the classes only."""
  if told := coverage.few_classes(dataset.labels[indices], dataset.num_classes):
    yield f"{dataset.name}: {told}"


def check_match(dataset: data.Dataset, classifier: Base) -> None:
  """Raises InputError if images, classes or their names are not those that the classifier is for."""
  resized = isinstance(classifier, Denoised)
  if isinstance(classifier, Denoised):
    classifier.check_images(dataset.image_shape)
  for member in classifier.members:
    _check_member(dataset, member, resized)


def _check_member(dataset: data.Dataset, classifier: Classifier, resized: bool) -> None:
  spec = classifier.spec
  if not resized and dataset.image_shape != spec.image_shape:
    raise InputError(
      f"{dataset.name} has images of {_by(dataset.image_shape)} (height x width x channels), "
      f"but the checkpoint is for {_by(spec.image_shape)}"
    )
  if dataset.num_classes != spec.num_classes:
    mend = ""
    if dataset.name.endswith(".npz"):
      mend = " (a .npz of only some of the classes needs class_names, a string per class; labels count from 0)"
    elif dataset.classes is not None and dataset.num_classes < spec.num_classes:
      mend = " (a folder of only some of the classes needs a train/ beside it with at least one image of each)"
    raise InputError(
      f"{dataset.name} has {dataset.num_classes} classes, but the checkpoint has {spec.num_classes}{mend}"
    )
  names = classifier.metadata.get("classes")
  if names and dataset.classes and tuple(names) != dataset.classes:
    label = next(i for i, (a, b) in enumerate(zip(names, dataset.classes)) if a != b)
    raise InputError(
      f"class {label} is {dataset.classes[label]!r} in {dataset.name}, but {names[label]!r} in the checkpoint"
    )


def _by(shape: tuple[int, ...]) -> str:
  return "x".join(str(n) for n in shape)

"""Checkpoints: Orbax directories of host arrays with metadata; the only import of Orbax.

  >>> classifier = load("out/checkpoint")
  >>> classifier.metadata["arch"], classifier.metadata["image_shape"]
  ('convnet', [8, 8, 1])
  >>> save("out/again", classifier.variables, classifier.metadata)

A checkpoint says everything about its base classifier: architecture, classes, input shape,
normalisation. It loads without a template on any number of devices.
"""

import contextlib
import pathlib
import shutil
from typing import Any

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from rsjax import files
from rsjax.classifiers import classifier
from rsjax.classifiers.classifier import Classifier
from rsjax.errors import InputError

FORMAT = "rsjax-checkpoint-1"


def save(path: str | pathlib.Path, tree: Any, metadata: dict[str, Any]) -> None:
  """Writes a tree of arrays and its metadata (JSON) to the directory `path`, replacing what is there.

  If the process is killed at any instant, the old or the new checkpoint can be loaded. Only one process may
  write at a time.
  """
  path = _followed(check_path(path))
  new, old = _beside(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  if not path.exists() and _current(path) != path:
    _current(path).rename(path)  # a save was killed between its two renames
  ocp.save(new, jax.device_get(tree), custom_metadata={"format": FORMAT, **metadata}, overwrite=True)
  shutil.rmtree(old, ignore_errors=True)
  if path.exists():
    path.rename(old)
  new.rename(path)
  shutil.rmtree(old, ignore_errors=True)


def save_step(path: pathlib.Path, step: int, tree: Any, metadata: dict[str, Any]) -> None:
  """Saves as `path`/STEP, and keeps the last two steps."""
  save(path / str(step), tree, metadata)
  for older in steps(path)[:-2]:
    shutil.rmtree(path / str(older), ignore_errors=True)
    shutil.rmtree(_beside(path / str(older))[0], ignore_errors=True)


def steps(path: pathlib.Path) -> list[int]:
  """The steps saved at `path`, in order."""
  names = {p.name.removesuffix(".new") for p in path.iterdir()} if path.is_dir() else set()
  return sorted(int(name) for name in names if name.isdigit())


def check_path(path: str | pathlib.Path) -> pathlib.Path:
  """The absolute path; raises InputError for one that Orbax could write to but not read again."""
  path = files.without_patterns(path, "a checkpoint")
  if "\\" in str(path) or not str(path).isprintable():
    raise InputError(
      f"a checkpoint's path cannot contain backslashes, or bytes that are not text: {str(path)!r}"
    )
  return path


def _beside(path: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
  """The path that a save writes first, and the path of the old checkpoint until it is removed."""
  path = _followed(path)
  return path.with_name(f"{path.name}.new"), path.with_name(f"{path.name}.old")


def _followed(path: pathlib.Path) -> pathlib.Path:
  """The directory that a link leads to: a save replaces the directory, and leaves the link."""
  return path.resolve() if path.is_symlink() else path


def _current(path: pathlib.Path) -> pathlib.Path:
  """The directory that holds `path`'s checkpoint: itself, unless a save was killed between its renames.

  `path`.new is whole as soon as it has its name: Orbax writes elsewhere and renames.
  """
  path = _followed(path)
  try:
    return next((p for p in (path, *_beside(path)) if p.is_dir()), path)
  except PermissionError as error:  # of a folder above
    raise files.unreadable(path, error) from error


def load(path: str | pathlib.Path) -> Classifier:
  """The classifier saved at `path`, or at `path`/checkpoint (what `rsjax.train` writes).

  `path` may also be one of the training states, OUTDIR/state/STEP.

  Raises:
    InputError: if there is none, or its weights do not fit its architecture or are not finite.
  """
  metadata, tree = read(path)
  try:
    if "denoiser" in metadata:
      raise InputError("it is a denoiser, to be given as `denoiser` beside a classifier")
    return classifier.make(tree, metadata)
  except InputError as error:
    raise InputError(f"{path} cannot be used as a base classifier: {error}") from error


def read(path: str | pathlib.Path) -> tuple[dict[str, Any], Any]:
  """(metadata, weights) of the checkpoint at `path`, `path`/checkpoint or OUTDIR/state/STEP, of any network.

  Raises:
    InputError: if there is none.
  """
  path = check_path(path)
  if _current(path / "checkpoint").is_dir():
    path = path / "checkpoint"
  metadata, tree = _read(path)
  if "opt_state" in tree:  # OUTDIR/state/STEP
    tree = {key: tree[key] for key in ("params", "batch_stats") if tree.get(key)}
  return metadata, tree


def load_tree(path: str | pathlib.Path, template: Any) -> Any:
  """The tree saved at `path`, with its types and shapes as in `template`."""
  return _read(check_path(path), jax.device_get(template))[1]


def read_metadata(path: str | pathlib.Path) -> dict[str, Any] | None:
  """The metadata of the checkpoint at `path`, or None if there is no directory.

  Raises:
    InputError: if the directory is not a checkpoint of rsjax.
  """
  path = _current(check_path(path))
  return _metadata(path).custom_metadata if path.is_dir() else None


def _metadata(path: pathlib.Path) -> Any:
  if path.is_file():
    mend = "give a directory that rsjax.train wrote, or convert a PyTorch checkpoint with rsjax.convert"
    raise InputError(f"{path} is a file: {mend}")
  if not path.is_dir():
    raise InputError(f"no checkpoint at {path}: give a directory that rsjax.train or rsjax.convert wrote")
  try:
    with _alone():
      metadata = ocp.metadata(path)
  except (
    Exception
  ):  # Orbax raises many kinds for what is not its own; its long traceback would tell users nothing
    files.check_readable(path)
    if (path / "log.tsv").exists():
      raise InputError(
        f"{path} holds a training that has saved nothing yet: the same rsjax.train command continues it"
      ) from None
    raise InputError(f"{path} is not a checkpoint of rsjax: give a directory that rsjax.train wrote") from None
  if (metadata.custom_metadata or {}).get("format") != FORMAT:
    raise InputError(f"{path} is not a checkpoint of rsjax (format {FORMAT}), or is of a later version")
  return metadata


def _alone() -> Any:
  """A context in which Orbax does not wait for other processes: each reads for itself."""
  if jax.process_count() == 1:
    return contextlib.nullcontext()
  own = jax.process_index()
  options = ocp.options.MultiprocessingOptions(
    primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"process{own}"
  )
  return ocp.Context(multiprocessing_options=options)


def _read(path: pathlib.Path, template: Any = None) -> tuple[dict[str, Any], Any]:
  path = _current(path)
  metadata = _metadata(path)
  if template is None:
    is_array = lambda m: hasattr(m, "shape") and hasattr(m, "dtype")
    template = jax.tree.map(lambda m: np.empty(m.shape, m.dtype), metadata.metadata, is_leaf=is_array)
  try:
    with _alone():
      return metadata.custom_metadata, ocp.load(path, template)
  except Exception as error:
    files.check_readable(path)
    raise InputError(f"the checkpoint {path} is damaged or does not fit: {error}") from error

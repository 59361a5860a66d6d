"""Appends to result files: one row per image, flushed as it is certified, by a single writer.

Nothing is appended to a file that was begun with other settings.
"""

import contextlib
import os
import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

from rsjax import files
from rsjax.errors import InputError
from rsjax.results.differences import differences
from rsjax.results.manifest import Manifest, manifest_path, read_manifest, write_content, write_manifest
from rsjax.results.reading import Results, check_rows, read_rows
from rsjax.results.rows import cell, command_of, of_command, with_n

_FSYNC_SECONDS = 1.0


class ResultWriter:
  """A result file open for appending; `done` is the number of rows that it had when it was opened."""

  def __init__(self, file: Any, columns: Sequence[str], done: int) -> None:
    self._file, self._columns, self.done = file, columns, done
    self._synced = time.monotonic()

  def append(self, row: dict[str, Any]) -> None:
    """Writes one row, a dict of column to text, and flushes it; a column that the file lacks is left out.

    Raises:
      OSError: if the row cannot be written; the message says how to go on. The earlier rows are kept.
    """
    with _telling_how_to_go_on(self._file.name):
      _write(self._file, [row[c] for c in self._columns])
      if time.monotonic() - self._synced > _FSYNC_SECONDS:
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()


@contextlib.contextmanager
def open_for_append(
  path: str | pathlib.Path, manifest: Manifest, columns: Sequence[str]
) -> Iterator[ResultWriter]:
  """Opens or continues a result file, for this writer only.

  Args:
    path: the result file; its folder is created if it is missing.
    manifest: what the file holds.
    columns: from `rows.columns_of`.

  Yields:
    A `ResultWriter`.

  Raises:
    InputError: if the path cannot be written, or the file is not rsjax's, was begun with other settings, or is
      being written by another process. Nothing is changed then.
  """
  path = files.local(path)
  try:
    if path.is_dir():
      raise InputError(f"{path} is a directory: give the path of a file to write")
    if path.is_symlink() and not path.exists():
      raise InputError(f"{path} is a link to nothing: give another path")
    _check_resumable(path, manifest, columns)  # before anything is touched, and again when alone
  except OSError as error:
    raise files.unwritable(path, error) from error
  with files.alone(path.with_name(f".{path.name}.lock"), path):
    try:
      done, end = _check_resumable(path, manifest, columns)
      if done < len(manifest.indices):
        write_manifest(path, manifest)  # before the file: a file without manifest is refused
      file = open(path, "ab", buffering=0)  # noqa: SIM115
    except OSError as error:
      raise files.unwritable(path, error) from error
    with file:
      with _telling_how_to_go_on(path):
        file.truncate(end)
        if end == 0:
          _write(file, columns)
          files.sync_folder(path)
      yield ResultWriter(file, columns, done)
      with _telling_how_to_go_on(path):
        os.fsync(file.fileno())


def rows_done(path: str | pathlib.Path, manifest: Manifest, columns: Sequence[str]) -> int:
  """How many of its rows a run would find in the file; changes nothing.

  Raises:
    InputError: if `open_for_append` would refuse the file.
  """
  return _check_resumable(pathlib.Path(path), manifest, columns)[0]


def save(results: Results, path: str | pathlib.Path) -> None:
  """Writes results that are in memory to a new result file and its manifest, each whole or not at all.

  Raises:
    InputError: if a file is already there, the file cannot be written, or labels are not known.
  """
  path = files.local(path)
  if "label" not in results.columns:
    raise InputError("a result file needs labels: give `labels` when certifying")
  if "top_k" in results.settings:
    raise InputError(
      f"top-k radii of {results.path} are not saved, because `predict` would be taken for the classifier's "
      "answer: save the results that they are of, whose votes say the same"
    )
  if "combined" in results.settings:
    raise InputError(
      f"{results.path} is not saved, because its rows follow from the votes of several files: keep these"
    )
  if results.shards and (not results.complete or results.settings.get("indices") is not None):
    raise InputError(
      f"{results.path} is not saved, because shards are missing or its images were chosen one by one: keep the "
      "files of the shards"
    )
  if "votes" not in results.columns:
    raise InputError(f"{results.path} keeps no votes, which a result file needs: copy the file instead")
  if path.exists() or manifest_path(path).exists():
    raise InputError(f"{path} exists: give another path")
  base = of_command(command_of(results.columns))
  varies = "plan" in results.settings or (results.columns["n"] != results.settings["n"]).any()
  columns = with_n(base) if varies else base
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    about = {name: value for name, value in results.manifest["about"].items() if name != "joined"}
    write_content(path, results.manifest | {"about": about})
    with files.whole(path, "wb") as file:
      _write(file, columns)
      for values in zip(*(results.columns[name] for name in columns)):
        _write(file, [cell(name, value) for name, value in zip(columns, values)])
  except OSError as error:
    raise files.unwritable(path, error) from error


def _write(file: Any, cells: Sequence[Any]) -> None:
  line = ("\t".join(map(str, cells)) + "\n").encode()
  while line:  # what is written at once may be a part
    line = line[file.write(line) :]


@contextlib.contextmanager
def _telling_how_to_go_on(path: str | pathlib.Path) -> Iterator[None]:
  try:
    yield
  except OSError as error:
    raise OSError(
      f"{path} cannot be written to: {error.strerror or error}; the earlier rows are kept: make room, "
      "and the same command continues"
    ) from error


def _check_resumable(path: pathlib.Path, manifest: Manifest, columns: Sequence[str]) -> tuple[int, int]:
  """(rows done, length in bytes of what to keep) of the file that `manifest` would continue."""
  if not manifest_path(path).exists():
    if path.exists():
      raise InputError(f"{path} exists and has no manifest {manifest_path(path).name}: give another path")
    return 0, 0
  begun = read_manifest(path)
  if differing := differences(begun["settings"], manifest.settings):
    raise InputError(f"{path} was begun with other settings ({'; '.join(differing)}): give another path")
  if not path.exists():
    return 0, 0
  header, rows, end = read_rows(path)
  if end == 0:
    return 0, 0
  if header != list(columns):
    raise InputError(f"{path}: line 1 is not the header of a result file: {' '.join(header)}")
  check_rows(path, header, rows, manifest.settings)
  for number, (row, index) in enumerate(zip(rows, manifest.indices), start=2):
    if row[0] != str(index):
      raise InputError(f"{path}: line {number} should be of image {index}, but is of {row[0]}")
  if len(rows) > len(manifest.indices):
    raise InputError(f"{path} has {len(rows)} rows, but {len(manifest.indices)} were expected")
  return len(rows), end

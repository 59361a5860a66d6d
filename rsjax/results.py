"""Result files: one row an image, appended and flushed as it is certified, with a manifest beside it.

  >>> with open_for_append("out.tsv", manifest, CERTIFY_COLUMNS) as results:
  ...   for row in rows[results.done:]:
  ...     results.append(row)
  >>> results = read("out.tsv")
  >>> results.complete, results.columns["radius"]

A result file is TSV with a header; the first columns are the paper's, under its names. `OUTFILE.json`,
the manifest, holds the settings and how many rows there should be. A file can be continued only with
the settings it was begun with; a torn last line is dropped then. Votes are kept whole and sparse, as
`class:count` pairs, so that any other bound can be computed from them later.

The label enters here, beside the certificate, and nowhere else.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import time

import filelock
import numpy as np

from rsjax.bounds import RADIUS_DIGITS, round_down
from rsjax.errors import InputError

FORMAT = "rsjax-results-1"
CERTIFY_COLUMNS = ("idx", "label", "predict", "radius", "correct", "time", "nA", "pABar", "votes0", "votes")
PREDICT_COLUMNS = ("idx", "label", "predict", "correct", "time", "pvalue", "votes")
INVALID = "invalid"  # the name under which draws that voted for nobody stand among the votes
_P_DIGITS = 10
_FSYNC_SECONDS = 1.0


@dataclasses.dataclass(frozen=True)
class Manifest:
  """What a result file is of.

  Attributes:
    settings: what fixes the rows, JSON values; a file is continued only if all of them are equal.
    indices: the image indices of the rows, in order, as the settings fix them.
    about: what else is worth knowing: names, metadata of the checkpoint.
    session: versions, devices and the like of this run; the manifest lists those of every run.
  """

  settings: dict
  indices: list[int]
  about: dict
  session: dict


class ResultWriter:
  """A result file open for appending; `done` is the number of rows it had."""

  def __init__(self, file, columns, done):
    self._file, self._columns, self.done = file, columns, done
    self._synced = time.monotonic()

  def append(self, row):
    """Writes one row, a dict of column to text, and flushes it."""
    self._file.write(("\t".join(str(row[c]) for c in self._columns) + "\n").encode())
    self._file.flush()
    if time.monotonic() - self._synced > _FSYNC_SECONDS:
      os.fsync(self._file.fileno())
      self._synced = time.monotonic()


@contextlib.contextmanager
def open_for_append(path, manifest, columns):
  """Opens or continues a result file, alone.

  Args:
    path: of the result file; its folder is made if missing.
    manifest: a `Manifest`.
    columns: CERTIFY_COLUMNS or PREDICT_COLUMNS.

  Yields:
    A `ResultWriter`.

  Raises:
    InputError: where the path cannot be written, the file is not rsjax's, was begun with other
      settings, or is being written by another process. Nothing is changed then.
  """
  path = pathlib.Path(path)
  try:
    if path.is_dir():
      raise InputError(f"{path} is a directory: give the path of a file to write")
    if path.is_symlink() and not path.exists():
      raise InputError(f"{path} is a link to nothing: give another path")
    _check_resumable(path, manifest, columns)  # before anything is touched, and again when alone
    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"), timeout=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock.acquire()
  except filelock.Timeout as error:
    raise InputError(f"{path} is being written by another process") from error
  except OSError as error:
    raise InputError(f"{path} cannot be written: {error.strerror or error}") from error
  try:
    try:
      done, end = _check_resumable(path, manifest, columns)
      if done < len(manifest.indices):
        _write_manifest(path, manifest)  # before the file: a file without manifest is refused
      file = open(path, "ab")  # noqa: SIM115
    except OSError as error:
      raise InputError(f"{path} cannot be written: {error.strerror or error}") from error
    with file:
      file.truncate(end)
      if end == 0:
        file.write(("\t".join(columns) + "\n").encode())
        file.flush()
      yield ResultWriter(file, columns, done)
      os.fsync(file.fileno())
  finally:
    lock.release()  # its file stays: to remove it could let two writers in


def certify_row(certificate, label, seconds):
  """The row of a `smoothing.Certificate`."""
  c = certificate
  return {
    "idx": c.index,
    "label": label,
    "predict": c.prediction,
    "radius": f"{c.radius:.{RADIUS_DIGITS}f}",
    "correct": int(c.prediction == label),
    "time": f"{seconds:.3f}",
    "nA": c.n_a,
    "pABar": f"{round_down(c.p_lower, _P_DIGITS):.{_P_DIGITS}f}",
    "votes0": format_votes(c.votes0, c.invalid0),
    "votes": format_votes(c.votes, c.invalid),
  }


def predict_row(prediction, label, seconds):
  """The row of a `smoothing.Prediction`."""
  p = prediction
  return {
    "idx": p.index,
    "label": label,
    "predict": p.prediction,
    "correct": int(p.prediction == label),
    "time": f"{seconds:.3f}",
    "pvalue": f"{p.p_value:.6e}",
    "votes": format_votes(p.votes, p.invalid),
  }


def format_votes(votes, invalid):
  """Sparse votes as text: `3:99871,8:120,invalid:9`; `-` where there are none."""
  pairs = [f"{c}:{votes[c]}" for c in np.flatnonzero(votes)]
  return ",".join(pairs + [f"{INVALID}:{invalid}"] * (invalid > 0)) or "-"


def parse_votes(text):
  """(counts by class: dict, invalid draws) from `format_votes`' text."""
  pairs = dict(pair.split(":") for pair in text.split(",")) if text != "-" else {}
  invalid = int(pairs.pop(INVALID, 0))
  return {int(c): int(count) for c, count in pairs.items()}, invalid


@dataclasses.dataclass(frozen=True)
class Results:
  """A result file as read.

  Attributes:
    path: its path.
    manifest: the manifest's dict.
    columns: column name to array: idx, label, predict, correct, nA int64; radius, pABar, pvalue, time
      float64; votes0, votes text (`parse_votes`).
    expected: how many rows there should be.
  """

  path: str
  manifest: dict
  columns: dict[str, np.ndarray]
  expected: int

  def __len__(self):
    return len(self.columns["idx"])

  @property
  def complete(self):
    return len(self) == self.expected


_DTYPES = {"radius": float, "pABar": float, "pvalue": float, "time": float, "votes0": str, "votes": str}


def read(path):
  """Reads a result file and its manifest; a torn last line is not a row.

  Raises:
    InputError: where either is missing or malformed, naming the line.
  """
  manifest = _read_manifest(path)
  columns, rows, _ = _read_rows(path)
  if set(columns) not in ({*CERTIFY_COLUMNS}, {*PREDICT_COLUMNS}):
    raise InputError(f"{path}: line 1 is not the header of a result file: {' '.join(columns)}")
  try:
    arrays = {
      name: np.array([row[i] for row in rows]).astype(_DTYPES.get(name, np.int64))
      for i, name in enumerate(columns)
    }
  except ValueError as error:
    raise InputError(f"{path}: {error}") from error
  return Results(str(path), manifest, arrays, manifest["expected"])


def _check_resumable(path, manifest, columns):
  """(rows done, length in bytes of what to keep) of the file that `manifest` would continue."""
  if not manifest_path(path).exists():
    if path.exists():
      raise InputError(f"{path} exists and has no manifest {manifest_path(path).name}: give another path")
    return 0, 0
  begun = _read_manifest(path)
  differing = [
    f"{key} was {json.dumps(begun['settings'].get(key))}, is now {json.dumps(manifest.settings.get(key))}"
    for key in sorted(begun["settings"].keys() | manifest.settings.keys())
    if begun["settings"].get(key) != manifest.settings.get(key)
  ]
  if differing:
    raise InputError(
      f"{path} was begun with other settings ({'; '.join(differing)}): give another path, or delete it"
    )
  if not path.exists():
    return 0, 0
  header, rows, end = _read_rows(path)
  if end == 0:
    return 0, 0
  if header != list(columns):
    raise InputError(f"{path}: line 1 is not the header of a result file: {' '.join(header)}")
  for number, (row, index) in enumerate(zip(rows, manifest.indices), start=2):
    if row[0] != str(index):
      raise InputError(f"{path}: line {number} should be of image {index}, it is of {row[0]}")
  if len(rows) > len(manifest.indices):
    raise InputError(f"{path} has {len(rows)} rows, {len(manifest.indices)} were expected")
  return len(rows), end


def _read_rows(path):
  """(header, rows, bytes up to the end of the last whole line)."""
  try:
    content = pathlib.Path(path).read_bytes()
  except OSError as error:
    raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
  end = content.rfind(b"\n") + 1
  lines = [line.split("\t") for line in content[:end].decode(errors="replace").splitlines()]
  if not lines:
    return [], [], 0
  for number, line in enumerate(lines, start=1):
    if len(line) != len(lines[0]):
      raise InputError(f"{path}: line {number} has {len(line)} columns, the header {len(lines[0])}")
  return lines[0], lines[1:], end


_KINDS = {"expected": int, "settings": dict, "about": dict, "sessions": list}  # of the manifest's values


def manifest_path(path):
  return pathlib.Path(f"{path}.json")


def _read_manifest(path):
  try:
    manifest = json.loads(manifest_path(path).read_text())
  except (OSError, ValueError) as error:
    raise InputError(f"{manifest_path(path)}, the manifest of {path}, cannot be read: {error}") from error
  if (
    not isinstance(manifest, dict)
    or manifest.get("format") != FORMAT
    or {key: type(manifest.get(key)) for key in _KINDS} != _KINDS
  ):
    raise InputError(f"{manifest_path(path)} is not a manifest of this version ({FORMAT})")
  return manifest


def _write_manifest(path, manifest):
  target = manifest_path(path)
  sessions = _read_manifest(path)["sessions"] if target.exists() else []
  content = {
    "format": FORMAT,
    "expected": len(manifest.indices),
    "settings": manifest.settings,
    "about": manifest.about,
    "sessions": [*sessions, manifest.session],
  }
  new = target.with_name(f".{target.name}.new")
  with open(new, "w") as file:
    json.dump(content, file, indent=1)
    file.write("\n")
    file.flush()
    os.fsync(file.fileno())
  new.replace(target)

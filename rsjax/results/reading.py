"""Result files to arrays: rsjax's own, and those in the format of the paper's code.

Every value is checked, and what is wrong named by its line: a file that was damaged is refused, not
averaged. A spreadsheet's byte-order mark and line ends are read over.
"""

import dataclasses
import pathlib
import re

import numpy as np

from rsjax.errors import InputError
from rsjax.results.manifest import manifest_path, read_manifest
from rsjax.results.rows import CERTIFY_COLUMNS, PREDICT_COLUMNS, parse_votes

_DTYPES = {"radius": float, "pABar": float, "pvalue": float, "time": float, "votes0": object, "votes": object}
# The range of each column's values, both ends included.
_RANGES = {
  "idx": (0, np.inf),
  "label": (0, np.inf),
  "predict": (-1, np.inf),
  "correct": (0, 1),
  "radius": (0, np.finfo(float).max),
  "nA": (0, np.inf),
  "pABar": (0, 1),
  "pvalue": (0, 1),
}


@dataclasses.dataclass(frozen=True)
class Results:
  """A result file as read.

  Attributes:
    path: its path.
    manifest: the manifest's dict; of a foreign file, what its path tells, in the same form.
    columns: column name to array: idx, label, predict, correct, nA int64; radius, pABar, pvalue, time
      float64; votes0, votes text (`parse_votes`).
    expected: how many rows there should be; None where nobody knows.
    notes: what a reader should know of the file, sentences.
  """

  path: str
  manifest: dict
  columns: dict[str, np.ndarray]
  expected: int | None
  notes: tuple[str, ...] = ()

  def __len__(self):
    return len(self.columns["idx"])

  @property
  def complete(self):
    """Whether all rows are there, as far as is known."""
    return self.expected in (None, len(self))

  @property
  def settings(self):
    return self.manifest["settings"]


def read(path):
  """Reads a result file of rsjax and its manifest; a torn last line is not a row.

  Raises:
    InputError: where either is missing or malformed, naming the line.
  """
  manifest = read_manifest(path)
  header, rows, _ = read_rows(path)
  columns = check_rows(path, header, rows, manifest["settings"])
  return Results(str(path), manifest, columns, manifest["expected"], tuple(manifest["about"].get("notes", ())))


def read_any(path):
  """`read` where the file has a manifest, else `read_foreign`."""
  return read(path) if manifest_path(path).exists() else read_foreign(path)


def read_foreign(path):
  """Reads a TSV in the format of the paper's code, which has no manifest.

  Columns idx, label and predict are needed, and radius for certificates; `correct` is computed anew.
  sigma and the training noise are taken from a path like `noise_0.50/test/sigma_0.25`. Of images that
  stand there twice the first row counts.

  Raises:
    InputError: where it is missing or malformed, naming the line.
  """
  header, rows, _ = read_rows(path, torn=False)
  missing = {"idx", "label", "predict"} - set(header)
  if missing:
    raise InputError(
      f"{path}: line 1 is not the header of a result file: it lacks {', '.join(sorted(missing))}"
    )
  texts = dict(zip(header, zip(*rows) if rows else [()] * len(header)))
  columns = {name: _column(path, name, texts[name]) for name in ("idx", "label", "predict")}
  if "radius" in header:
    columns["radius"] = _column(path, "radius", texts["radius"])
  correct = (columns["predict"] == columns["label"]).astype(np.int64)
  notes = list(_foreign_notes(texts, columns, correct))
  columns["correct"] = correct
  _, first = np.unique(columns["idx"], return_index=True)
  columns = {name: column[np.sort(first)] for name, column in columns.items()}
  told = {name: _from_path(path, name) for name in ("sigma", "noise")}
  manifest = {
    "settings": {"command": "certify" if "radius" in header else "predict"}
    | ({"sigma": told["sigma"]} if told["sigma"] else {}),
    "about": {} if told["noise"] is None else {"checkpoint": {"noise_sd": told["noise"]}},
    "sessions": [],
  }
  return Results(str(path), manifest, columns, None, tuple(notes))


def _foreign_notes(texts, columns, correct):
  yield "no manifest: whether all images are there is not known"
  if "correct" in texts:
    differ = sum(text not in (str(c), f"{c}.0", str(bool(c))) for text, c in zip(texts["correct"], correct))
    if differ:
      yield f"its column `correct` is not predict = label in {differ} rows, and was computed anew"
  again = len(columns["idx"]) - len(np.unique(columns["idx"]))
  if again:
    yield f"{again} rows are of images that stand there before: only the first row of each counts"
  positive = [t for t, radius in zip(texts.get("radius", ()), columns.get("radius", ())) if radius > 0]
  digits = [len(re.sub(r"[eE].*", "", text).replace(".", "").lstrip("0")) for text in positive]
  if digits and max(digits) <= 3:
    yield "radii have three significant figures, rounded to the nearest: some are above what was certified"


def _from_path(path, name):
  found = re.findall(rf"{name}_([0-9]+(?:\.[0-9]+)?)", str(path))
  return float(found[-1]) if found else None


def read_rows(path, torn=True):
  """(header, rows of text, bytes up to the end of the last whole line).

  torn: a last line without its end is no row; else it is one.
  """
  try:
    content = pathlib.Path(path).read_bytes()
  except OSError as error:
    raise InputError(f"{path} cannot be read: {error.strerror or error}") from error
  if not torn and not content.endswith(b"\n"):
    content += b"\n"
  end = content.rfind(b"\n") + 1
  text = content[:end].decode("utf-8-sig", errors="replace")
  lines = [line.removesuffix("\r").split("\t") for line in text.split("\n")[:-1]]
  if not lines:
    return [], [], 0
  for number, line in enumerate(lines, start=1):
    if len(line) != len(lines[0]):
      raise InputError(f"{path}: line {number} has {len(line)} columns, the header {len(lines[0])}")
  return lines[0], lines[1:], end


def check_rows(path, header, rows, settings):
  """{column: array} of rows of text of an rsjax file that was begun with `settings`.

  Raises:
    InputError: for values that cannot be, naming the line.
  """
  if set(header) not in ({*CERTIFY_COLUMNS}, {*PREDICT_COLUMNS}):
    raise InputError(f"{path}: line 1 is not the header of a result file: {' '.join(header)}")
  texts = zip(*rows) if rows else [()] * len(header)
  columns = {name: _column(path, name, column) for name, column in zip(header, texts)}
  wrong = np.flatnonzero(columns["correct"] != (columns["predict"] == columns["label"]))
  if len(wrong):
    raise InputError(f"{path}: line {wrong[0] + 2}: correct is not whether predict is the label")
  for name, n in (("votes0", settings.get("n0")), ("votes", settings.get("n"))):
    for number, text in enumerate(columns.get(name, ()), start=2):
      try:
        _, counts, invalid = parse_votes(text)
      except ValueError as error:
        raise InputError(f"{path}: line {number}: {name} are {error}") from error
      if n is not None and counts.sum() + invalid != n:
        raise InputError(f"{path}: line {number}: {name} are {counts.sum() + invalid}, not {n}")
  return columns


def _column(path, name, texts):
  """A column's values, each within its range."""
  dtype, (low, high) = _DTYPES.get(name, np.int64), _RANGES.get(name, (-np.inf, np.inf))
  try:
    if dtype is object:
      column = np.empty(len(texts), object)
      column[:] = texts
      return column
    column = np.array(texts, str).astype(dtype)
    good = (column >= low) & (column <= high)
  except (ValueError, OverflowError):
    good = np.array([_is_number(text, dtype) for text in texts])
  if not good.all():
    row = int(np.argmin(good))
    raise InputError(f"{path}: line {row + 2}: {name} cannot be {texts[row][:40]!r}")
  return column


def _is_number(text, dtype):
  try:
    np.array(text, str).astype(dtype)
  except (ValueError, OverflowError):
    return False
  return True

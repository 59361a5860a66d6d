"""Result files to arrays.

Every value is checked, and an error names its line: a damaged file is refused, not averaged. A spreadsheet's
byte-order mark and line ends are accepted.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rsjax import files
from rsjax.errors import InputError
from rsjax.procedures import AUTO
from rsjax.results.manifest import read_manifest
from rsjax.results.rows import (
  ATTACK_COLUMNS,
  CERTIFY_COLUMNS,
  DISTANCES,
  NONE,
  PREDICT_COLUMNS,
  of_command,
  with_n,
)
from rsjax.results.votes import parse_votes
from rsjax.results.wording import harmless

if TYPE_CHECKING:
  import pandas

_DTYPES: dict[str, Any] = {
  "radius": float,
  "epsilon": float,
  "norm": float,
  "pABar": float,
  "pvalue": float,
  "time": float,
  "votes0": object,
  "votes": object,
}
# The range of each column's values, both ends included.
_RANGES = {
  "idx": (0, np.inf),
  "label": (0, np.inf),
  "predict": (-1, np.inf),
  "correct": (0, 1),
  "radius": (0, np.finfo(float).max),
  "epsilon": (0, np.finfo(float).max),
  "norm": (0, np.finfo(float).max),
  "draws": (1, np.inf),
  "n": (1, np.inf),
  "nA": (0, np.inf),
  "pABar": (0, 1),
  "pvalue": (0, 1),
  "time": (0, np.finfo(float).max),
}


@dataclasses.dataclass(frozen=True)
class Results:
  """A result file as read.

  Attributes:
    path: its path.
    manifest: the manifest's dict; for a foreign file, what its path says, in the same form.
    columns: column name to array: idx, label, predict, correct, n, nA, draws int64; radius, pABar, pvalue,
      epsilon, norm (inf: none), time float64; votes0, votes text (`parse_votes`). `n` is there whenever it is
      known, even if the file itself has no such column because all rows have the same n. The arrays are
      read-only: whoever sorts or scales a column takes a copy.
    expected: how many rows there should be; None if that is not known.
    notes: sentences about what a reader should know of the file.
    shards: the files that it was joined from; () of a file.
  """

  path: str
  manifest: dict[str, Any]
  columns: dict[str, np.ndarray]
  expected: int | None
  notes: tuple[str, ...] = ()
  shards: tuple["Results", ...] = ()

  def __post_init__(self):
    views = {name: values.view() for name, values in self.columns.items()}
    for view in views.values():
      view.flags.writeable = False
    object.__setattr__(self, "columns", views)

  def __len__(self) -> int:
    return len(self.columns["idx"])

  @property
  def complete(self) -> bool:
    """Whether all rows are there, as far as is known."""
    return self.expected in (None, len(self))

  @property
  def settings(self) -> dict[str, Any]:
    """What fixed the rows."""
    return self.manifest["settings"]

  def to_pandas(self) -> "pandas.DataFrame":
    """The columns as a pandas.DataFrame.

    Raises:
      InputError: if pandas is missing; the message gives the command that installs it.
    """
    try:
      import pandas
    except ImportError as error:
      raise InputError("to_pandas needs pandas: pip install pandas") from error
    return pandas.DataFrame(self.columns)


def read(path: str | pathlib.Path) -> Results:
  """Reads a result file of rsjax and its manifest; an incomplete last line, or header, is ignored.

  Raises:
    InputError: if either is missing or malformed; the message names the line.
  """
  manifest = read_manifest(path)
  header, rows, _ = read_rows(path)
  if not header:  # a run that was only begun
    header = list(of_command(manifest["settings"].get("command") or "certify"))
  columns = check_rows(path, header, rows, manifest["settings"])
  notes = tuple(manifest["about"].get("notes") or ())
  return Results(str(path), manifest, columns, manifest["expected"], notes)


def read_rows(path: str | pathlib.Path, torn: bool = True) -> tuple[list[str], list[list[str]], int]:
  """(header, rows of text, bytes up to the end of the last whole line).

  torn: whether a last line without a line end is ignored; otherwise it is a row.
  """
  if files.local(path).is_dir():
    raise InputError(f"{path} is a folder: give a result file")
  try:
    content = files.local(path).read_bytes()
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
    if number > 1 and {"idx", "label", "predict"} <= {*line} & {*lines[0]}:
      raise InputError(
        f"{path}: line {number} is a second header: if files were joined, give each of them to analyze instead"
      )
    if len(line) != len(lines[0]):
      if "idx" not in (names := [name.strip() for name in lines[0]]):
        raise InputError(
          f"{path} is not a result file: its first line must name columns, such as idx, label and predict, "
          f"got {', '.join(names)[:40]!r}"
        )
      if line == [""]:
        raise InputError(f"{path}: line {number} is empty: delete it")
      raise InputError(f"{path}: line {number} has {len(line)} columns, but the header has {len(lines[0])}")
  return [harmless(name) for name in lines[0]], lines[1:], end


def check_rows(
  path: str | pathlib.Path, header: Sequence[str], rows: list[list[str]], settings: dict[str, Any]
) -> dict[str, np.ndarray]:
  """{column: array} of rows of text of an rsjax file that was begun with `settings`.

  Raises:
    InputError: for impossible values; the message names the line.
  """
  bases = (CERTIFY_COLUMNS, PREDICT_COLUMNS, ATTACK_COLUMNS)
  known = [set(columns) for base in bases for columns in (base, with_n(base))]
  if set(header) not in known or len(set(header)) < len(header):
    raise InputError(f"{path}: line 1 is not the header of a result file: {' '.join(header)}")
  columns = parse_columns(path, header, rows, settings)
  wrong = np.flatnonzero(columns["correct"] != (columns["predict"] == columns["label"]))
  if len(wrong):
    raise InputError(f"{path}: line {wrong[0] + 2}: correct does not say whether predict is the label")
  return columns


def check_labels(path: str | pathlib.Path, labels: Any) -> None:
  """Compares the labels of a file's rows with the data set's, which the rows' `correct` follows.

  Args:
    path: a result file whose rows have passed `check_rows`.
    labels: the data set's labels, by index.

  Raises:
    InputError: for a row with another label.
  """
  for number, row in enumerate(read_rows(path)[1], start=2):
    index, label = int(row[0]), int(row[1])
    if label != labels[index]:
      raise InputError(
        f"{path}: line {number} says that image {index} has label {label}, but its label in the data set is "
        f"{labels[index]}: the row was changed; give another path"
      )


def parse_columns(
  path: str | pathlib.Path, header: Sequence[str], rows: list[list[str]], settings: dict[str, Any]
) -> dict[str, np.ndarray]:
  """{column: array} of rows of text, and `n` from the settings if the rows themselves do not have it.

  Raises:
    InputError: for impossible values, and for votes that do not add up to the number of draws.
  """
  texts = zip(*rows) if rows else [()] * len(header)
  columns = {name: column(path, name, cells) for name, cells in zip(header, texts)}
  if "n" not in columns and settings.get("n") is not None:
    known = columns | {"n": np.full(len(rows), settings["n"], np.int64)}
    columns = {name: known[name] for name in with_n(header)}
  due0, n = _selection_draws(path, settings), columns.get("n")
  for name, due in (
    ("votes0", None if due0 is None else [due0] * len(rows)),
    ("votes", None if n is None else [(int(draws),) for draws in n]),
  ):
    for row, text in enumerate(columns.get(name, ())):
      try:
        _, counts, invalid = parse_votes(text)
      except ValueError as error:
        raise InputError(f"{path}: line {row + 2}: {name} are {error}") from error
      if due is not None and counts.sum() + invalid not in due[row]:
        wanted = " or ".join(map(str, due[row]))
        raise InputError(f"{path}: line {row + 2}: {name} are {counts.sum() + invalid}, not {wanted}")
  return columns


def _selection_draws(path: str | pathlib.Path, settings: dict[str, Any]) -> tuple[int, ...] | None:
  """How many votes0 a row may have; None if not known."""
  n0 = settings.get("n0")
  if n0 != AUTO:
    return None if n0 is None else (n0,)
  auto = settings.get("n0_auto")
  first, more = (auto.get(name) if isinstance(auto, dict) else None for name in ("first", "more"))
  if not (isinstance(first, int) and isinstance(more, int)):
    raise InputError(f"the manifest of {path} must say what draws n0 = {AUTO} takes, got n0_auto = {auto!r}")
  return first, first + more


def column(path: str | pathlib.Path, name: str, texts: Sequence[str]) -> np.ndarray:
  """A column's values, each within its range.

  Raises:
    InputError: for an impossible value; the message names the line.
  """
  if name in DISTANCES and NONE in texts:
    none = np.array([text == NONE for text in texts])
    return np.where(none, np.inf, column(path, name, ["0" if text == NONE else text for text in texts]))
  dtype, (low, high) = _DTYPES.get(name, np.int64), _RANGES.get(name, (-np.inf, np.inf))
  try:
    if dtype is object:
      values = np.empty(len(texts), object)
      values[:] = texts
      return values
    values = np.array(texts, str).astype(dtype)
    good = (values >= low) & (values <= high)
    if good.all() and not _plain(texts, values):
      good = np.array([_plain([text], values[[row]]) for row, text in enumerate(texts)])
  except (ValueError, OverflowError):
    good = np.array([_is_number(text, dtype) for text in texts])
  if not good.all():
    row = int(np.argmin(good))
    whole = dtype == np.int64 and _is_number(texts[row], float) and float(texts[row]).is_integer()
    mend = f": write the whole number {int(float(texts[row]))}" if whole and "." in texts[row] else ""
    raise InputError(f"{path}: line {row + 2}: {name} cannot be {texts[row][:40]!r}{mend}")
  return values


def _plain(texts: Sequence[str], values: np.ndarray) -> bool:
  """Whether numbers stand as a program prints them; NumPy would also read "3_0", " 30" and "-0"."""
  if values.dtype == np.int64:
    return values.astype(str).tolist() == list(texts)
  return not "".join(texts).strip("0123456789.eE+-")


def _is_number(text: str, dtype: Any) -> bool:
  try:
    np.array(text, str).astype(dtype)
  except (ValueError, OverflowError):
    return False
  return True

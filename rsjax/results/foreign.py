"""Result files in the format of the paper's code, which have no manifest."""

import pathlib
import re
from collections.abc import Iterator, Sequence

import numpy as np

from rsjax.errors import InputError
from rsjax.results.manifest import manifest_path
from rsjax.results.reading import Results, column, read, read_rows


def read_any(path: str | pathlib.Path) -> Results:
  """`read` where the file has a manifest, else `read_foreign`."""
  return read(path) if manifest_path(path).exists() else read_foreign(path)


def read_foreign(path: str | pathlib.Path) -> Results:
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
  texts: dict[str, Sequence[str]] = dict(zip(header, zip(*rows) if rows else [()] * len(header)))
  columns = {name: column(path, name, texts[name]) for name in ("idx", "label", "predict")}
  if "radius" in header:
    columns["radius"] = column(path, "radius", texts["radius"])
  correct = (columns["predict"] == columns["label"]).astype(np.int64)
  notes = list(_foreign_notes(texts, columns, correct))
  columns["correct"] = correct
  _, first = np.unique(columns["idx"], return_index=True)
  columns = {name: values[np.sort(first)] for name, values in columns.items()}
  told = {name: _from_path(path, name) for name in ("sigma", "noise")}
  manifest = {
    "settings": {"command": "certify" if "radius" in header else "predict"}
    | ({"sigma": told["sigma"]} if told["sigma"] else {}),
    "about": {} if told["noise"] is None else {"checkpoint": {"noise_sd": told["noise"]}},
    "sessions": [],
  }
  return Results(str(path), manifest, columns, None, tuple(notes))


def _foreign_notes(
  texts: dict[str, Sequence[str]], columns: dict[str, np.ndarray], correct: np.ndarray
) -> Iterator[str]:
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


def _from_path(path: str | pathlib.Path, name: str) -> float | None:
  found = re.findall(rf"{name}_([0-9]+(?:\.[0-9]+)?)", str(path))
  return float(found[-1]) if found else None

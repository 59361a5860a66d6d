"""Result files in the format of the paper's code, which have no manifest.

Only known columns are read. A column of another method may say that a row proves nothing, as in files of
adaptive sampling, whose rows have an answer whether or not the radius was proved: such files are refused.
"""

import pathlib
import re
from collections.abc import Iterator, Sequence

import numpy as np

from rsjax.errors import InputError
from rsjax.noise import grey_levels
from rsjax.results import foreign_radii
from rsjax.results.manifest import manifest_path
from rsjax.results.reading import Results, column, read, read_rows
from rsjax.results.rows import CERTIFY_COLUMNS, PREDICT_COLUMNS
from rsjax.results.votes import NO_VOTES
from rsjax.results.wording import plural

# Names of columns that may say of a row whether it proves anything.
_VERDICT = re.compile(r"prov|certif|verif|abstain|valid|robust|fail|success", re.IGNORECASE)


def read_any(path: str | pathlib.Path) -> Results:
  """Reads a result file: by `read` if it has a manifest, else by `read_foreign`."""
  if manifest_path(path).exists():
    return read(path)
  if str(path).endswith(".tsv.json"):
    raise InputError(f"{path} is a manifest: give its result file, {str(path).removesuffix('.json')}")
  return read_foreign(path)


def read_foreign(path: str | pathlib.Path) -> Results:
  """Reads a TSV in the format of the paper's code, which has no manifest.

  Columns idx, label and predict are needed, and radius for certificates; `correct` is computed anew.
  sigma and the training noise are taken from a path like `noise_0.50/test/sigma_0.25`. If an image occurs
  twice, its first row counts. The notes name columns that are neither rsjax's nor the paper's; if there are
  any, an answer with radius 0 counts as abstained.

  Raises:
    InputError: if the file is missing or malformed (the message names the line), or if other columns leave open
      which rows are proved.
  """
  header, rows, _ = read_rows(path, torn=False)
  if header in ([], [""]):
    raise InputError(f"{path} is empty: a result file begins with the names of its columns")
  header = [name.strip() for name in header]
  others = _check_header(path, header)
  texts: dict[str, Sequence[str]] = dict(zip(header, zip(*rows) if rows else [()] * len(header)))
  if texts.get("votes0") and set(texts["votes0"]) == {NO_VOTES}:
    raise InputError(
      f"{path} has exact certificates, whose radii are in another norm than l2, and no manifest to say which: "
      f"put its {manifest_path(path).name} beside it"
    )
  columns = {name: column(path, name, texts[name]) for name in ("idx", "label", "predict")}
  if "radius" in header:
    columns["radius"] = column(path, "radius", texts["radius"])
  told = {name: _from_path(path, name) for name in ("sigma", "noise")}
  notes = list(_foreign_notes(path, texts, columns))
  notes += [text] if (text := grey_levels(told["sigma"] or 0)) else []
  notes += foreign_radii.of_digits(texts, columns, told["sigma"])
  doubts = [
    *foreign_radii.too_large(texts, columns, told["sigma"]),
    *foreign_radii.of_rows(texts, columns, told["sigma"]),
  ]
  notes += [*doubts, *foreign_radii.not_used(texts, told["sigma"]), *_of_unproved(columns, others)]
  columns["correct"] = (columns["predict"] == columns["label"]).astype(np.int64)
  _, first = np.unique(columns["idx"], return_index=True)
  columns = {name: values[np.sort(first)] for name, values in columns.items()}
  manifest = {
    "settings": {"command": "certify" if "radius" in header else "predict"}
    | ({"sigma": told["sigma"]} if told["sigma"] else {}),
    "about": ({} if told["noise"] is None else {"checkpoint": {"noise_sd": told["noise"]}})
    | ({"manifest": "missing"} if "votes" in header else {})
    | ({"doubts": doubts} if doubts else {})
    | ({"rounding": rounded} if (rounded := foreign_radii.rounding(texts, columns)) else {}),
    "sessions": [],
  }
  return Results(str(path), manifest, columns, None, tuple(notes))


def _check_header(path: str | pathlib.Path, header: list[str]) -> list[str]:
  """The columns that are not read, where the file can be understood without them.

  Raises:
    InputError: if columns are missing, occur twice, or are not known and may matter.
  """
  missing = {"idx", "label", "predict"} - set(header)
  if missing:
    separated = len(header) == 1 and re.search("[,;]", header[0])
    mend = f"; its columns are separated by {separated[0]!r}, not by tabs" if separated else ""
    raise InputError(
      f"{path}: line 1 is not the header of a result file: it lacks {', '.join(sorted(missing))}{mend}"
    )
  twice = sorted({name for name in header if header.count(name) > 1})
  if twice:
    raise InputError(f"{path}: line 1 names a column twice: {', '.join(twice)}")
  known = {*CERTIFY_COLUMNS, "n"} if "radius" in header else {*PREDICT_COLUMNS, "n"}
  others = [name for name in header if name not in known]
  if others and "radius" not in header:
    raise InputError(
      f"{path} has no column radius, and columns that files of PREDICT do not have: {', '.join(others)}. It "
      "is not known which of its rows are proved: give a file with a radius in each row, 0 if nothing is proved"
    )
  verdicts = [name for name in others if _VERDICT.search(name)]
  if verdicts:
    raise InputError(
      f"{path} has columns that may say which rows are proved, but are not known: {', '.join(verdicts)}. "
      "Leave them out if the radius alone says it, with 0 where nothing is proved"
    )
  return others


def _foreign_notes(
  path: str | pathlib.Path, texts: dict[str, Sequence[str]], columns: dict[str, np.ndarray]
) -> Iterator[str]:
  yield "no manifest: it is not known whether all images are there"
  if "votes" in texts:
    name = manifest_path(path).name
    yield f"its votes are not used: the manifest {name}, which explains them and names the norm, is missing"
  if len(set(texts.get("n", ()))) > 1:
    lower = "radii and ACR may be lower bounds, and " if "radius" in columns else ""
    yield (
      f"its images took different numbers of draws: {lower}without a manifest it is not known whether the "
      "bound allows for stopping early"
    )
  correct = (columns["predict"] == columns["label"]).astype(np.int64)
  if "correct" in texts:
    differ = sum(text not in (str(c), f"{c}.0", str(bool(c))) for text, c in zip(texts["correct"], correct))
    if differ:
      rows = plural(differ, "row")
      yield f"its column `correct` disagrees with predict = label in {rows}, and was computed anew"
  again = len(columns["idx"]) - len(np.unique(columns["idx"]))
  if again:
    rows = plural(again, "row repeats an earlier image", "rows repeat earlier images")
    yield f"{rows}: only the first row of each image counts"


def _of_unproved(columns: dict[str, np.ndarray], others: list[str]) -> Iterator[str]:
  """Of columns that are not read, and of answers with radius 0, which are made abstentions beside such."""
  if others:
    named = ", ".join(name or "(no name)" for name in others)
    told = f"columns {named} are" if len(others) > 1 else f"column {named} is"
    yield (
      f"its {told} not read: if this is about another sigma or alpha, or numbers of draws that depend on the "
      "image, the radii may not allow for that"
    )
  if norms := [name for name in others if re.search(r"norm|(^|_)l(1|2|inf)", name, re.IGNORECASE)]:
    yield f"its column {norms[0]} may say another norm: its radii are shown as l2 radii in pixels of [0, 1]"
  unproved = (columns.get("radius", np.ones(1)) == 0) & (columns["predict"] >= 0)
  if unproved.any():
    rows = plural(int(unproved.sum()), "row answers", "rows answer")
    told = f"{rows} a class with radius 0, which proves nothing"
    yield f"{told}: counted as abstained" if others else f"{told}, but counts at radius 0"
  if others:
    columns["predict"] = np.where(unproved, -1, columns["predict"])


def _from_path(path: str | pathlib.Path, name: str) -> float | None:
  number = r"([0-9]*\.?[0-9]+(?:e[-+]?[0-9]+)?)"
  found = re.findall(rf"(?i){name}(?:[_=-]|(?=[0-9]*\.[0-9])){number}", str(path))
  return float(found[-1]) if found else None

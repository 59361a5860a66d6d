"""Result files in the format of the paper's code, which have no manifest.

Only known columns are read. A column of another method may say that a row proves nothing, as in files of
adaptive sampling, whose rows have an answer whether or not the radius was proved: such files are refused.
"""

import pathlib
import re
from collections.abc import Iterator, Sequence

import numpy as np

from rsjax import bounds
from rsjax.errors import InputError
from rsjax.noise import Gaussian, grey_levels
from rsjax.results.manifest import manifest_path
from rsjax.results.reading import Results, column, read, read_rows
from rsjax.results.rows import CERTIFY_COLUMNS, PREDICT_COLUMNS
from rsjax.results.wording import plural

# Names of columns that may say of a row whether it proves anything.
_VERDICT = re.compile(r"prov|certif|verif|abstain|valid|robust|fail|success", re.IGNORECASE)
# What nearly all published files were made with; a foreign file does not say.
_USUAL_N = (1_000, 10_000, 100_000)
_USUAL_ALPHA = 0.001
_FAR = 10.0  # a radius in pixels of [0, 1] that no usual sigma and n prove
_WORDS = ("no", "one", "two", "three", "four", "five")


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
  columns = {name: column(path, name, texts[name]) for name in ("idx", "label", "predict")}
  if "radius" in header:
    columns["radius"] = column(path, "radius", texts["radius"])
  told = {name: _from_path(path, name) for name in ("sigma", "noise")}
  notes = list(_foreign_notes(path, texts, columns))
  notes += [text] if (text := grey_levels(told["sigma"] or 0)) else []
  notes += _of_digits(texts, columns, told["sigma"])
  doubts = [*_too_large(texts, columns, told["sigma"]), *_of_rows(texts, columns, told["sigma"])]
  notes += [*doubts, *_not_used(texts, told["sigma"]), *_of_unproved(columns, others)]
  columns["correct"] = (columns["predict"] == columns["label"]).astype(np.int64)
  _, first = np.unique(columns["idx"], return_index=True)
  columns = {name: values[np.sort(first)] for name, values in columns.items()}
  manifest = {
    "settings": {"command": "certify" if "radius" in header else "predict"}
    | ({"sigma": told["sigma"]} if told["sigma"] else {}),
    "about": ({} if told["noise"] is None else {"checkpoint": {"noise_sd": told["noise"]}})
    | ({"manifest": "missing"} if "votes" in header else {})
    | ({"doubts": doubts} if doubts else {}),
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
    yield f"its votes are not used: the manifest {manifest_path(path).name}, which explains them, is missing"
  if len(set(texts.get("n", ()))) > 1:
    yield (
      "its images took different numbers of draws: radii and ACR may be lower bounds, and without a manifest "
      "it is not known whether the bound allows for stopping early"
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
    yield (
      f"its columns {', '.join(name or '(no name)' for name in others)} are not read: if they hold another "
      "sigma or alpha, or numbers of draws that depend on the image, the radii may not allow for that"
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


def _positive(texts: dict[str, Sequence[str]], columns: dict[str, np.ndarray]) -> list[str]:
  return [t.strip() for t, radius in zip(texts.get("radius", ()), columns.get("radius", ())) if radius > 0]


def _of_digits(
  texts: dict[str, Sequence[str]], columns: dict[str, np.ndarray], sigma: float | None
) -> Iterator[str]:
  """Of radii that were rounded to the nearest, or upward."""
  if not (positive := _positive(texts, columns)):
    return
  figures = max(len(re.sub(r"[eE].*", "", text).replace(".", "").lstrip("0")) for text in positive)
  decimals = max(_decimals(text) for text in positive)
  if figures <= 3:
    yield "radii have three significant figures, rounded to the nearest: some are above what was certified"
  elif decimals < len(_WORDS):
    places = f"{_WORDS[decimals]} decimal{'s' * (decimals != 1)}"
    half = f"{0.5 * 10.0**-decimals:.{decimals + 1}f}"
    yield f"radii have {places}: if rounded to the nearest, some are up to {half} above what was certified"
  farthest = max(positive, key=float)
  if not (sigma := _without_n(texts, sigma)):
    return
  for n in _USUAL_N:
    most = _unanimous(n, sigma)
    if most + 1e-6 < float(farthest) <= most + _allowed(farthest, sigma):
      yield f"{_above(columns, farthest, n, sigma)}if these are its settings, rounded upward"


def _too_large(
  texts: dict[str, Sequence[str]], columns: dict[str, np.ndarray], sigma: float | None
) -> Iterator[str]:
  """Of radii that are larger than any that the usual settings prove."""
  if not (positive := _positive(texts, columns)):
    return
  farthest, n = max(positive, key=float), _USUAL_N[-1]
  if not sigma and float(farthest) > _FAR:
    yield (
      f"radii reach {farthest}, which no usual sigma proves for pixels in [0, 1]: divide those of 0..255 by 255"
    )
  if (sigma := _without_n(texts, sigma)) and float(farthest) > _unanimous(n, sigma) + _allowed(farthest, sigma):
    yield f"{_above(columns, farthest, n, sigma)}its settings differ, or its radii are too large"


def _without_n(texts: dict[str, Sequence[str]], sigma: float | None) -> float | None:
  """Sigma if the numbers of draws are not known; if they are, `_of_rows` goes by them."""
  return sigma if _numbers(texts.get("n", ("",))) is None else None


def _unanimous(n: int, sigma: float) -> float:
  return float(bounds.radius(bounds.lower_confidence_bound(n, n, _USUAL_ALPHA), Gaussian(sigma)))


def _allowed(farthest: str, sigma: float) -> float:
  """Half a unit of the last digit, or what float32 makes of a bound."""
  return max(0.51 * 10.0 ** -_decimals(farthest), 1e-4 * sigma)


def _above(columns: dict[str, np.ndarray], farthest: str, n: int, sigma: float) -> str:
  most = _unanimous(n, sigma)
  rows = plural(int(np.sum(columns["radius"] > most + 1e-6)), "radius is", "radii are")
  return (
    f"{rows} up to {farthest}, above {most:.6f}, the most that {n:,} unanimous votes prove at "
    f"alpha = {_USUAL_ALPHA} and sigma = {sigma:g}: "
  )


def _known(texts: dict[str, Sequence[str]]) -> dict[str, np.ndarray | None]:
  return {name: _numbers(texts[name]) for name in ("n", "nA", "pABar", "pvalue") if name in texts}


def _not_used(texts: dict[str, Sequence[str]], sigma: float | None) -> Iterator[str]:
  """Of bounds and votes that nothing is compared with."""
  known, has_radii = _known(texts), "radius" in texts
  not_used = [name for name, values in known.items() if values is None or name == "pvalue"]
  not_used += ["pABar"] if "pABar" in known and not (has_radii and sigma) else []
  not_used += [name for name in ("n", "nA") if name in known and has_radii and not sigma]
  if known.get("n") is None and known.get("nA") is not None:
    not_used.append("nA")
  if not_used:
    yield f"not used, for lack of what explains them: {', '.join(dict.fromkeys(not_used))}"


def _of_rows(
  texts: dict[str, Sequence[str]], columns: dict[str, np.ndarray], sigma: float | None
) -> Iterator[str]:
  """Of rows whose radius does not follow from their bound or votes, or their bound from their votes."""
  known, radius = _known(texts), columns.get("radius")
  n, n_a, p_lower = (known.get(name) for name in ("n", "nA", "pABar"))
  if radius is not None:
    yield from _in_rows((columns["predict"] < 0) & (radius > 0), "a radius above 0 and no answer", columns)
  if p_lower is not None:
    p_lower = np.clip(p_lower + _half_units(texts["pABar"]), 0, 1)
  if radius is not None and sigma:
    least = radius - _half_units(texts["radius"]) - 1e-4 * sigma  # what float32 makes of a bound
    if p_lower is not None:
      what = f"a radius above that of their pABar, if the noise is Gaussian with sigma = {sigma:g}"
      yield from _in_rows((radius > 0) & (least > bounds.radius(p_lower, Gaussian(sigma))), what, columns)
    if n is not None:
      most = _most(n if n_a is None else np.minimum(n_a, n), n, sigma)
      votes = "even n unanimous votes" if n_a is None else "their nA of n votes"
      what = f"a radius above what {votes} prove at alpha = {_USUAL_ALPHA} and sigma = {sigma:g}"
      end = ": its settings differ, or its radii are too large"
      yield from _in_rows((radius > 0) & (least > most), what, columns, end)
  if n is not None and n_a is not None:
    yield from _in_rows(n_a > n, "more votes nA than draws n", columns)
    if p_lower is not None:
      what = "a pABar above nA / n, of which it is to be a lower bound"
      yield from _in_rows(p_lower - 2 * _half_units(texts["pABar"]) > n_a / np.maximum(n, 1), what, columns)


def _most(votes: np.ndarray, n: np.ndarray, sigma: float) -> np.ndarray:
  """float64[rows]: the radius that so many of n votes prove at the usual alpha; 0 if they are no counts."""
  counts = (n >= 1) & (n == np.floor(n)) & (votes >= 0) & (votes == np.floor(votes))
  votes, n = np.where(counts, votes, 0).astype(np.int64), np.where(counts, n, 1).astype(np.int64)
  return np.maximum(bounds.radius(bounds.lower_confidence_bound(votes, n, _USUAL_ALPHA), Gaussian(sigma)), 0)


def _in_rows(wrong: np.ndarray, what: str, columns: dict[str, np.ndarray], end: str = "") -> Iterator[str]:
  if wrong.any():
    rows = plural(int(wrong.sum()), "row has", "rows have")
    yield f"{rows} {what}{end}; the first is of image {columns['idx'][wrong][0]}"


def _numbers(texts: Sequence[str]) -> np.ndarray | None:
  """float64[rows]; None if some cells are no finite numbers."""
  try:
    values = np.array(texts, str).astype(float)
  except ValueError:
    return None
  return values if np.isfinite(values).all() else None


def _half_units(texts: Sequence[str]) -> np.ndarray:
  """float64[rows]: half a unit of the last digit of each number, which rounding may have added."""
  return np.array([0.51 * 10.0 ** -_decimals(text) for text in texts])


def _decimals(text: str) -> int:
  """Digits after the point that a number as text has; 0.0125 and 1.25e-2 have four."""
  digits, _, exponent = text.lower().partition("e")
  return max(0, len(digits.partition(".")[2]) - int(exponent or 0))


def _from_path(path: str | pathlib.Path, name: str) -> float | None:
  number = r"([0-9]*\.?[0-9]+(?:e[-+]?[0-9]+)?)"
  found = re.findall(rf"(?i){name}(?:[_=-]|(?=[0-9]*\.[0-9])){number}", str(path))
  return float(found[-1]) if found else None

"""Certified-accuracy tables as text, Markdown, CSV, and as a dict for JSON; for LaTeX see `latex`.

>>> rows = summarize(files, [0.0, 0.25, 0.5])
>>> print(markdown(rows))
| l2 radius | 0 | 0.25 | 0.5 | ACR | abstained | images |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
| sigma = 0.25 | 0.93 | 0.81 | 0.64 | 0.543 | 0.00 | 72 |
"""

import io
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from rsjax.analysis import cells, looks, statistics
from rsjax.analysis.columns import fitted
from rsjax.analysis.exact import is_closed, sign
from rsjax.analysis.labels import (
  PIXELS,
  all_facts,
  as_results,
  bound_called,
  check_norms,
  labels,
  norm_words,
  same_data,
  unit,
)
from rsjax.analysis.unusual import below_a_table
from rsjax.noise import Columns
from rsjax.procedures import EXACT
from rsjax.results import Results


def summarize(
  files: Sequence[Results],
  radii: Sequence[float],
  *,
  names: Sequence[str] | None = None,
  rule: str = "open",
  confidence: float = 0.95,
  rho: float | None = None,
) -> list[dict[str, Any]]:
  """The numbers of result files of CERTIFY, one dict of JSON values per file.

  Args:
    files: `results.Results`.
    radii: the radii of the columns.
    names: one name per file, to which sigma is added if the files differ in it; None: `labels`.
    rule: as for `statistics.certified_accuracy`.
    confidence: confidence level of the intervals.
    rho: failure probability of `statistics.high_probability_accuracy`; a file that does not record its alpha is
      taken to have 0.001. None: leave it out.

  Raises:
    InputError: for files whose radii are in different norms, or that have no rows or no labels.
  """
  files = as_results(files)
  known = all_facts(files)
  check_norms(files)
  first = np.sort(files[0].columns["idx"])
  same_images = all(np.array_equal(np.sort(f.columns["idx"]), first) for f in files)
  same_images &= len({k["digest"] for k in known} - {None}) < 2
  rows = []
  for f, name, settings in zip(files, labels(files, names), known):
    hits = statistics.certified(f, radii, rule)
    low, high = statistics.accuracy_interval(hits, len(f), confidence)
    row = {
      "name": name,
      "file": f.path,
      **settings,
      "images": len(f),
      "same_images": same_images,
      "expected": f.expected,
      "radii": [float(r) for r in radii],
      "certified_accuracy": (hits / len(f)).tolist(),
      "interval": np.transpose([low, high]).tolist(),
      "certified_accuracy_at_0": float(f.columns["correct"].mean()),
      "abstained": statistics.abstention_rate(f),
      "draws": statistics.mean_draws(f),
      "ACR": statistics.average_certified_radius(f),
      "ACR_is_lower_bound": looks.grid_radii(f.settings) is not None,
      "ACR_interval": [v if np.isfinite(v) else None for v in statistics.acr_interval(f, confidence)],
      "rule": rule,
      "closed": is_closed(f, rule),
      "confidence": confidence,
    }
    if (given := unit(f)) != PIXELS:
      row["unit"] = given
    if rho is not None:
      certain = statistics.sure_accuracy(f, hits / len(f), rho)
      row |= {"rho": rho, "high_probability": certain.tolist()}
    rows.append(row)
  return rows


def table(files: Sequence[Results], radii: Sequence[float]) -> str:
  """The certified-accuracy table as text: one line per file, one column per radius; see `text`."""
  return text(summarize(files, radii), intervals=False)


def text(rows: list[dict[str, Any]], intervals: bool = True, *, with_caption: bool = False) -> str:
  """The table for a terminal of 80 columns; with `intervals`, the ends of intervals below each line.

  A last line has what is unusual: a norm other than l2, a unit other than that of pixels, an alpha other than
  0.001, an n below 1,000. It is left out if the table is shown `with_caption`, which says it.
  """
  radii = cells.radii(rows)
  drawn = has_draws(rows)
  heads = [*radii, "ACR", "abstain", *["draws"] * drawn, "images"]
  widths = [max(7, len(r) + 2) for r in radii] + [9, 9] + [9] * drawn + [8]
  lines: list[tuple[str, list[str]]] = []
  for row in rows:
    show = partial(cells.accuracy, row)
    tail = [f"{row['abstained']:.2f}", *[cells.draws(row)] * drawn, str(row["images"])]
    lines.append((row["name"], [*map(show, row["certified_accuracy"]), cells.acr(row, ">="), *tail]))
    if intervals:
      for end, word in enumerate(("from", "to")):
        ends = [show(pair[end]) for pair in row["interval"]]
        lines.append(
          (f"  {cells.confidence(row)} {word}", [*ends, cells.radius(row, row["ACR_interval"][end])])
        )
    if "rho" in row:
      lines.append((f"  {cells.for_all(row)}", [cells.at_least(row, v) for v in row["high_probability"]]))
  body = fitted("patch width" if rows[0]["norm"] == Columns.norm else "radius", heads, widths, lines)
  return body if with_caption else "\n".join([body, *below_a_table(rows)])


def markdown(rows: list[dict[str, Any]], intervals: bool = False) -> str:
  """The table in Markdown, the best of each column in bold."""
  body = marked(rows, lambda value: f"**{value}**", "{} ({}–{})" if intervals else None)  # noqa: RUF001
  drawn = has_draws(rows)
  unit = f", {rows[0]['unit']}" if "unit" in rows[0] else ""
  heads = [norm_words(rows[0]["norm"]) + unit, *cells.radii(rows), "ACR", "abstained"]
  heads += [*["draws"] * drawn, "images"]
  lines = [heads, ["---", *["---:"] * (len(heads) - 1)]]
  for row, line in zip(rows, body):
    tail = [f"{row['abstained']:.2f}", *[cells.draws(row)] * drawn, str(row["images"])]
    lines.append([cells.in_markdown(row["name"]), *line, *tail])
    if "rho" in row:
      certain = map(partial(cells.at_least, row), row["high_probability"])
      lines.append([cells.for_all(row), *certain, *[""] * (1 + len(tail))])
  return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def caption(rows: list[dict[str, Any]], intervals: bool = False) -> str:
  """The caption of a table: the rule, and what the rows have in common."""
  cells.check_alike(rows)
  same = common(rows)
  name, counted = called(row["top_k"] for row in rows)
  if rows[0]["norm"] == Columns.norm:
    parts = [f"{name.capitalize()}: {counted}, whatever replaces a patch of R columns (in pixels), anywhere"]
  else:
    radii = f"({rows[0]['norm']}, {rows[0].get('unit', PIXELS)})"
    parts = [f"{name.capitalize()}: {counted}, and certified radius {sign(rows)} R {radii}"]
  parts += [", ".join(f"{key} {value}" for key, value in same.items())] if same else []
  parts += provisos(rows)
  if any(row["top_k"] is not None for row in rows):
    parts.append("abstained, of top-k: this is not shown of the label")
  if intervals:
    parts.append(intervals_of(rows))
  return "; ".join(parts) + "."


def called(top_k: Iterable[int | None]) -> tuple[str, str]:
  """What certified accuracy is called, and what it asks of an image besides a radius; by each file's top-k."""
  numbers = set(top_k)
  if numbers == {None}:
    return "certified accuracy", "right"
  if len(numbers) == 1:
    most = "the most probable class" if (k := numbers.pop()) == 1 else f"among the {k} most probable classes"
    return f"certified top-{k} accuracy", f"the label is {most}"
  return "certified accuracy", "right (of top-k: the label is among the k most probable classes)"


def provisos(rows: list[dict[str, Any]]) -> list[str]:
  """What a table must say of a norm that is assumed, and of images that ended after unlike numbers of draws."""
  parts = []
  if any(row.get("expected", 0) is None for row in rows):
    parts.append("the norm of a file without a manifest is taken to be l2")
  if any(row["ACR_is_lower_bound"] for row in rows):
    parts.append(
      f"ACR is a lower bound if images {looks.AT_GRID}, because none was followed beyond the largest of these"
    )
  if has_draws(rows):
    parts.append("draws: mean number of draws per image, selection included")
  return parts


def has_draws(rows: list[dict[str, Any]]) -> bool:
  """Whether the table has a column of draws, because they vary."""
  return any(row["plan"] is not None for row in rows)


def common(rows: list[dict[str, Any]]) -> dict[str, Any]:
  """{setting: value} of what all rows have in common; sigma only if their names do not say it."""
  keys = ["dataset", "split", "selection", "arch", "sigma", "n", "alpha", "bound", "stop", "dtype"]
  if all("sigma = " in row["name"] for row in rows):
    keys.remove("sigma")
  same = {key: rows[0][key] for key in keys
          if rows[0][key] is not None and len({row[key] for row in rows}) == 1}  # fmt: skip
  if rows[0]["top_k"] is not None:  # it is in the name
    same.pop("bound", None)
  stop = same.pop("stop", None)
  if "selection" in same:
    same = {"images" if key == "selection" else key: value for key, value in same.items()}
  if same.get("bound") == EXACT:
    same = {"certificates" if key == "bound" else key: value for key, value in same.items()}
  if "bound" in same:
    same["bound"] = bound_called(same["bound"])
  if "n" in same:
    most = f" at most, {stop}" if stop else " at most (images may stop earlier)" if has_draws(rows) else ""
    same["n"] = f"{same['n']:,}{most}"
  return same


def intervals_of(rows: list[dict[str, Any]]) -> str:
  """What the intervals of a table are."""
  return f"{cells.confidence(rows[0])} intervals for the number of images"


def csv(rows: list[dict[str, Any]]) -> str:
  """Long CSV: one line per file, quantity and radius, with the ends of its interval if it has one.

  The last columns are the norm and the unit of the radii.
  The quantity is `ACR, stopped at grid radii` if the ACR is a lower bound; draws are the mean per image.
  """
  import csv as csv_module

  out = io.StringIO()
  writer = csv_module.writer(out, lineterminator="\n")
  writer.writerow(["file", "name", "sigma", "training_noise", "images", "expected", "quantity", "radius"]
                  + ["value", "low", "high", "norm", "unit"])  # fmt: skip
  for row in rows:
    head = [row["file"], row["name"], row["sigma"], row["noise"], row["images"], row["expected"]]
    acr = f"ACR, {looks.AT_GRID}" if row["ACR_is_lower_bound"] else "ACR"
    lines = [
      *(
        ("certified_accuracy", radius, value, low, high)
        for radius, value, (low, high) in zip(row["radii"], row["certified_accuracy"], row["interval"])
      ),
      *(
        ("high_probability", radius, value, "", "")
        for radius, value in zip(row["radii"], row.get("high_probability", ()))
      ),
      (acr, "", row["ACR"], *row["ACR_interval"]),
      ("abstained", "", row["abstained"], "", ""),
      *([] if row["draws"] is None else [("draws", "", row["draws"], "", "")]),
    ]
    writer.writerows([*head, *line, row["norm"], row.get("unit", PIXELS)] for line in lines)
  return out.getvalue()


def marked(
  rows: list[dict[str, Any]],
  mark: Callable[[str], str],
  with_interval: str | None,
  show: Callable[[dict[str, Any], float], str] | None = None,
  at_least: str = ">= ",
) -> list[list[str]]:
  """Text of each row's accuracies and ACR; the best of several in a column, as shown, is marked.

  Nothing is marked if the rows are of different images, and no ACR if one of them is a lower bound.

  Args:
    rows: from `summarize`; of several calls, if these have the same images.
    mark: from the text of the best cell to its marked text.
    with_interval: a format of a cell and the ends of its interval; None: the cell alone.
    show: (row, accuracy) to text; None: `cells.accuracy`.
    at_least: before an ACR that is a lower bound.
  """
  show = show or cells.accuracy
  texts = [[*(show(row, v) for v in row["certified_accuracy"]), cells.acr(row, at_least)] for row in rows]
  certain = len(texts[0]) - any(row["ACR_is_lower_bound"] for row in rows)
  best = [max(map(float, column)) for column in zip(*(line[:certain] for line in texts))]
  same = all(row["images"] == rows[0]["images"] and same_data(rows[0], row) for row in rows)
  lines = []
  for row, line in zip(rows, texts):
    compared = len(rows) > 1 and same and row["same_images"]
    marked = [mark(v) if compared and float(v) == b > 0 else v for v, b in zip(line, best)]
    marked += line[certain:]
    if with_interval:
      ends = [[show(row, end) for end in pair] for pair in row["interval"]]
      ends.append([cells.radius(row, end) for end in row["ACR_interval"]])
      marked = [with_interval.format(cell, *pair) for cell, pair in zip(marked, ends)]
    lines.append(marked)
  return lines

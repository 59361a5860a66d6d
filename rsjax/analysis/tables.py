"""Certified-accuracy tables: as text, Markdown, LaTeX, CSV, and as a dict for JSON.

>>> rows = summarize(files, [0.0, 0.25, 0.5])
>>> print(markdown(rows))
| l2 radius | 0 | 0.25 | 0.5 | ACR | abstained | images |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
| sigma = 0.25 | 0.93 | 0.81 | 0.64 | 0.543 | 0.00 | 72 |
"""

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rsjax.analysis import statistics
from rsjax.analysis.labels import facts, labels
from rsjax.errors import InputError
from rsjax.results import Results

_MANY = 1000  # images, from which on a third decimal is shown


def summarize(
  files: Sequence[Results],
  radii: Sequence[float],
  *,
  names: Sequence[str] | None = None,
  rule: str = "open",
  confidence: float = 0.95,
  rho: float | None = None,
) -> list[dict[str, Any]]:
  """The numbers of result files of CERTIFY, a dict of JSON values each.

  Args:
    files: `results.Results`.
    radii: of the columns.
    names: one a file; None: `labels`.
    rule: as for `statistics.certified_accuracy`.
    confidence: of the intervals.
    rho: failure probability of `statistics.high_probability_accuracy`, for which a file that does not say its
      alpha is taken to have 0.001; None: leave it out.

  Raises:
    InputError: for files whose radii are in different norms, or that have no rows or no labels.
  """
  norms = sorted({facts(f)["norm"] for f in files})
  if len(norms) > 1:
    raise InputError(f"radii in {' and '.join(norms)} cannot be in one table: give files of one norm")
  rows = []
  for f, name in zip(files, labels(files) if names is None else names):
    hits = statistics.certified(f, radii, rule)
    low, high = statistics.accuracy_interval(hits, len(f), confidence)
    row = {
      "name": name,
      "file": f.path,
      **facts(f),
      "images": len(f),
      "expected": f.expected,
      "radii": [float(r) for r in radii],
      "certified_accuracy": (hits / len(f)).tolist(),
      "interval": np.transpose([low, high]).tolist(),
      "clean_accuracy": float(f.columns["correct"].mean()),
      "abstained": statistics.abstention_rate(f),
      "ACR": statistics.average_certified_radius(f),
      "ACR_interval": [min(v, 1e9) for v in statistics.acr_interval(f, confidence)],
      "rule": rule,
      "confidence": confidence,
    }
    if rho is not None:
      alpha = row["alpha"] or 0.001
      certain = statistics.high_probability_accuracy(hits / len(f), len(f), alpha, rho)
      row |= {"rho": rho, "high_probability": certain.tolist()}
    rows.append(row)
  return rows


def table(files: Sequence[Results], radii: Sequence[float]) -> str:
  """The certified-accuracy table as text: a line a file, a column a radius."""
  return text(summarize(files, radii), intervals=False)


def text(rows: list[dict[str, Any]], intervals: bool = True) -> str:
  """The table for a terminal; with `intervals`, their ends below each line."""
  certain = [_for_all(r) for r in rows if "rho" in r]
  width = max(
    len(name)
    for name in ["radius", *certain, *(f"  {_percent(r)} from" for r in rows), *(r["name"] for r in rows)]
  )
  lines = [f"{'radius':{width}}" + "".join(f"{r:>7g}" for r in rows[0]["radii"]) + "      ACR  abstain  images"]

  def line(name: str, values: Any, tail: str) -> str:
    return f"{name:{width}}" + "".join(f"{v:>7}" for v in values) + tail

  for row in rows:
    show = _shower(row)
    tail = f"{row['ACR']:9.3f}{row['abstained']:9.2f}{row['images']:8d}"
    lines.append(line(row["name"], map(show, row["certified_accuracy"]), tail))
    if intervals:
      for end, word in enumerate(("from", "to")):
        ends = [show(pair[end]) for pair in row["interval"]]
        lines.append(line(f"  {_percent(row)} {word}", ends, f"{row['ACR_interval'][end]:9.3f}"))
    if "rho" in row:
      lines.append(line(_for_all(row), map(show, row["high_probability"]), ""))
  return "\n".join(lines)


def markdown(rows: list[dict[str, Any]], intervals: bool = False) -> str:
  """The table in Markdown, the best of each column in bold."""
  cells = _marked(rows, lambda value: f"**{value}**", "{} ({}–{})" if intervals else None)  # noqa: RUF001
  heads = [f"{rows[0]['norm']} radius", *(f"{r:g}" for r in rows[0]["radii"]), "ACR", "abstained", "images"]
  lines = [heads, ["---", *["---:"] * (len(heads) - 1)]]
  lines += [
    [row["name"], *line, f"{row['abstained']:.2f}", str(row["images"])] for row, line in zip(rows, cells)
  ]
  lines += [[_for_all(row).strip(), *map(_shower(row), row["high_probability"]), "", "", ""]
            for row in rows if "rho" in row]  # fmt: skip
  return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def caption(rows: list[dict[str, Any]], intervals: bool = False) -> str:
  """What must stand below a table: the rule, and what the rows have in common."""
  same = {key: rows[0][key] for key in ("dataset", "split", "arch", "n", "alpha", "dtype")
          if rows[0][key] is not None and len({row[key] for row in rows}) == 1}  # fmt: skip
  if "n" in same:
    same["n"] = f"{same['n']:,}"
  rule = ">" if rows[0]["rule"] == "open" else ">="
  parts = [f"Certified accuracy: right, and certified radius {rule} R ({rows[0]['norm']}, pixels in [0, 1])"]
  parts += [", ".join(f"{key} {value}" for key, value in same.items())] if same else []
  if intervals:
    parts.append(f"{_percent(rows[0])} intervals for the number of images")
  return "; ".join(parts) + "."


def latex(rows: list[dict[str, Any]], intervals: bool = False) -> str:
  """The table in LaTeX, for the package booktabs, the best of each column in bold."""
  cells = _marked(
    rows, lambda value: rf"\textbf{{{value}}}", r"{} {{\scriptsize [{}, {}]}}" if intervals else None
  )
  heads = ["", *(f"$r = {r:g}$" for r in rows[0]["radii"]), "ACR"]
  lines = [heads, *([_escape(row["name"]), *line] for row, line in zip(rows, cells))]
  lines += [[_escape(_for_all(row).strip()), *map(_shower(row), row["high_probability"]), ""]
            for row in rows if "rho" in row]  # fmt: skip
  head, *body = (" & ".join(line) + r" \\" for line in lines)
  return "\n".join(
    [rf"\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}", r"\toprule", head, r"\midrule", *body]
    + [r"\bottomrule", r"\end{tabular}"]
  )


def csv(rows: list[dict[str, Any]]) -> str:
  """Long CSV: a line a file, quantity and radius, with the ends of its interval where it has one."""
  import csv as csv_module

  out = io.StringIO()
  writer = csv_module.writer(out, lineterminator="\n")
  writer.writerow(["file", "name", "sigma", "training_noise", "images", "expected", "quantity", "radius"]
                  + ["value", "low", "high"])  # fmt: skip
  for row in rows:
    head = [row["file"], row["name"], row["sigma"], row["noise"], row["images"], row["expected"]]
    for radius, value, (low, high) in zip(row["radii"], row["certified_accuracy"], row["interval"]):
      writer.writerow([*head, "certified_accuracy", radius, value, low, high])
    for radius, value in zip(row["radii"], row.get("high_probability", ())):
      writer.writerow([*head, "high_probability", radius, value, "", ""])
    writer.writerow([*head, "ACR", "", row["ACR"], *row["ACR_interval"]])
    writer.writerow([*head, "abstained", "", row["abstained"], "", ""])
  return out.getvalue()


def _marked(
  rows: list[dict[str, Any]], mark: Callable[[str], str], with_interval: str | None
) -> list[list[str]]:
  """Text of each row's accuracies and ACR; what shows as the best of several in its column is marked."""
  shown = [[*map(_shower(row), row["certified_accuracy"]), f"{row['ACR']:.3f}"] for row in rows]
  ends = [[*row["interval"], row["ACR_interval"]] for row in rows]
  lines = []
  for row, line, pairs in zip(rows, shown, ends):
    show, cells = _shower(row), []
    for column, (value, pair) in enumerate(zip(line, pairs)):
      best = max(float(other[column]) for other in shown)
      cell = mark(value) if len(rows) > 1 and float(value) == best > 0 else value
      cells.append(with_interval.format(cell, *map(show, pair)) if with_interval else cell)
    lines.append(cells)
  return lines


def _shower(row: dict[str, Any]) -> Callable[[float], str]:
  return lambda value: f"{value:.{3 if row['images'] >= _MANY else 2}f}"


def _percent(row: dict[str, Any]) -> str:
  return f"{100 * row['confidence']:.6g} %"


def _for_all(row: dict[str, Any]) -> str:
  return f"  for all, {1 - row['rho']:g}"


def _escape(name: str) -> str:
  for character in "&%_#":
    name = name.replace(character, rf"\{character}")
  return name.replace("sigma = ", r"$\sigma$ = ").replace("alpha = ", r"$\alpha$ = ")

r"""The certified-accuracy table in LaTeX: per cent, a group of rows for each sigma.

>>> rows = tables.summarize(files, [0.0, 0.25, 0.5])
>>> print(latex(rows))
% needs \usepackage{booktabs}
\begin{table}
...
0.25 & 93 & 81 & 64 & 0.543 \\
...
\end{table}
"""

from collections.abc import Callable
from typing import Any

from rsjax.analysis import cells, tables
from rsjax.analysis.exact import sign
from rsjax.analysis.labels import PIXELS, method
from rsjax.noise import Columns

_SPECIAL = {
  "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$",
  **{character: rf"\{character}" for character in "&%_#${}"},
}  # fmt: skip
_SYMBOLS = {"sigma": r"$\sigma$", "alpha": r"$\alpha$", "n": "$n$"}


def latex(rows: list[dict[str, Any]], intervals: bool = False) -> str:
  """The table with its caption, for the package booktabs: certified accuracy in per cent, the best in bold.

  The rows are in the order of their sigma, which has its own column: empty if it is that of the row above, "?"
  if it is not known, a dash if there is none. The method has its own column, too, if names say more than sigma.
  The numbers of images have one if they differ.
  """
  wanted = r"{} {{\scriptsize [{}, {}]}}" if intervals else None
  marked = zip(rows, tables.marked(rows, lambda cell: rf"\textbf{{{cell}}}", wanted, _percents, r"$\geq$ "))
  body = sorted(marked, key=lambda pair: (pair[0]["sigma"] is None, pair[0]["sigma"] or 0))
  with_sigma = any(row["sigma"] is not None for row in rows)
  with_method = any(method(row) or "rho" in row for row in rows)
  heads = [r"$\sigma$"] * with_sigma + ["method"] * with_method
  drawn = tables.has_draws(rows)
  counted = len({row["images"] for row in rows}) > 1
  columns = "l" * len(heads) + "r" * (len(rows[0]["radii"]) + 1 + drawn + counted)
  heads += [*(f"$r = {r}$" for r in cells.radii(rows)), "ACR", *["draws"] * drawn, *["images"] * counted]
  grouped = len(rows) > len({row["sigma"] for row in rows})
  lines: list[str] = []
  before: Any = object()
  for row, line in body:
    new, before = row["sigma"] != before, row["sigma"]
    if lines and new and grouped:
      lines.append(r"\midrule")
    if row["sigma"] is None:
      sigma = "?" if row["expected"] is None else "--"
    else:
      sigma = f"{row['sigma']:g}" if new else ""
    tail = [cells.draws(row)] * drawn + [f"{row['images']:,}"] * counted
    lines.append(_line([*[sigma] * with_sigma, *[escaped(method(row))] * with_method, *line, *tail]))
    if "rho" in row:
      certain = [_percents(row, value, cells.at_least) for value in row["high_probability"]]
      lines.append(
        _line([""] * with_sigma + [escaped(cells.for_all(row)), *certain, "", *[""] * (drawn + counted)])
      )
  return "\n".join(
    [
      r"% needs \usepackage{booktabs}",
      r"\begin{table}",
      r"\centering",
      rf"\caption{{{_caption(rows, intervals)}}}",
    ]
    + [r"\label{tab:certified-accuracy}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _line(heads)]
    + [r"\midrule", *lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]
  )


def escaped(text: str) -> str:
  """The text, with the characters that are special in LaTeX escaped."""
  return "".join(_SPECIAL.get(character, character) for character in text)


def _line(cells: list[str]) -> str:
  return " & ".join(cells) + r" \\"


def _percents(
  row: dict[str, Any], value: float, show: Callable[[dict[str, Any], float], str] = cells.accuracy
) -> str:
  """The accuracy in per cent, with the digits of the other formats."""
  return f"{100 * float(show(row, value)):.{cells.decimals(row) - 2}f}"


def _caption(rows: list[dict[str, Any]], intervals: bool) -> str:
  norm = rows[0]["norm"].removeprefix("l").replace("inf", r"\infty")
  name, counted = tables.called(row["top_k"] for row in rows)
  if rows[0]["norm"] == Columns.norm:
    what = "whatever replaces a patch of $r$ columns (in pixels), anywhere"
  else:
    unit = rows[0].get("unit", PIXELS).replace("[0, 1]", "$[0, 1]$")
    rules = {">": "$> r$", ">=": r"$\geq r$"}
    rule = rules.get(sign(rows), r"$> r$ (exact ones: $\geq r$)")
    what = rf"and certified radius {rule} ($\ell_{{{norm}}}$, {unit})"
  parts = [rf"{name.capitalize()} (\%): {counted}, {what}"]
  common = tables.common(rows)
  common.pop("sigma", None)  # has its column
  parts += [", ".join(f"{_SYMBOLS.get(key, key)} {escaped(str(value))}" for key, value in common.items())]
  parts += [escaped(part) for part in tables.provisos(rows)]
  if intervals:
    parts.append(escaped(tables.intervals_of(rows)))
  return "; ".join(part for part in parts if part) + "."

"""The report's pictures: SVG within the page, whose black is the page's text colour, light or dark."""

import io
import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rsjax.analysis import plots, statistics
from rsjax.analysis.labels import facts
from rsjax.results import Results, plural

if TYPE_CHECKING:
  from matplotlib.figure import Figure

# Okabe and Ito's, as in `plots`: right, wrong and none can be told apart without colour by their hatching.
_RIGHT, _WRONG, _NONE = "#0072B2", "#D55E00", "#8a8a8a"
_WIDTH = 4.0  # inches: text has the page's size on a phone
_FAINTEST, _STRONGEST = 0.08, 0.62  # of a cell's colour, so that text on it is read


def curve(
  files: Sequence[Results], names: Sequence[str] | None, rule: str, confidence: float, rho: float | None
) -> dict[str, str]:
  """Certified accuracy against radius with its intervals: the picture and its description."""
  figure: Any = _figure(2.9 + 0.22 * len(files) * (len(files) > 1))
  axes = figure.subplots()
  plots.plot(files, ax=axes, names=names, rule=rule, band=confidence, rho=rho)
  legend = axes.get_legend()
  if len(files) == 1 and not rho:
    legend.remove()
  else:
    handles, texts = legend.legend_handles, [text.get_text() for text in legend.get_texts()]
    legend.remove()
    below = figure.legend(handles, texts, loc="outside lower center", fontsize="small", frameon=False)
    below.set_in_layout(True)
    for text in below.get_texts():
      text.set_parse_math(False)
  norm = facts(files[0])["norm"]
  ends = []
  for f in files[:3]:
    at_zero = float(statistics.certified_accuracy(f, [0.0], rule)[0])
    ends.append(f"{at_zero:.2f} at radius 0, and 0 beyond {math.ceil(100 * _farthest(f)) / 100:.2f}")
  more = "" if len(files) <= 3 else f"; and {plural(len(files) - 3, 'more file')}"
  alt = f"Certified accuracy falls as the {norm} radius grows: {'; '.join(ends)}{more}"
  return {"svg": svg(figure, "curve", alt), "alt": alt}


def _farthest(f: Results) -> float:
  return float((f.columns["radius"] * f.columns["correct"]).max())


def histogram(votes: dict[str, Any], name: str) -> dict[str, str]:
  """The distribution of p_A, as `numbers.histogram` counts it."""
  axes: Any = (figure := _figure(2.9)).subplots()
  edges = votes["edges"]
  width, base = edges[1] - edges[0], [0] * (len(edges) - 1)
  for kind, colour, hatch in (("right", _RIGHT, ""), ("wrong", _WRONG, "///"), ("abstained", _NONE, "")):
    axes.bar(
      edges[:-1],
      votes[kind],
      width,
      bottom=base,
      align="edge",
      color=colour,
      hatch=hatch,
      edgecolor="white",
      linewidth=0.4,
      label=f"{kind} ({sum(votes[kind]):,})",
    )
    base = [a + b for a, b in zip(base, votes[kind])]
  axes.set(xlabel="share of the votes for the selected class", ylabel="images", xlim=(0, 1))
  axes.yaxis.get_major_locator().set_params(integer=True)
  axes.grid(axis="y", alpha=0.3)
  axes.set_axisbelow(True)
  figure.legend(loc="outside lower center", fontsize="small", frameon=False, ncols=3)
  alt = (
    f"Histogram of the selected class's share of the votes over {plural(votes['images'], 'image')}: median "
    f"{votes['median']:.3f}; {votes['unanimous']:,} unanimous; {votes['below']:,} below one half"
  )
  return {"svg": svg(figure, name, alt), "alt": alt}


def matrix(table: dict[str, Any] | None, name: str) -> dict[str, str] | None:
  """Labels against certified answers, as `classes.matrix` counts them; None if there is no such table."""
  if table is None:
    return None
  from matplotlib.patches import Rectangle

  counts, size = table["counts"], len(table["rows"])
  figure = _figure(1.1 + 0.3 * size)
  axes = figure.subplots()
  for row, line in enumerate(counts):
    total = max(1, sum(line))
    for column, count in enumerate(line):
      colour = _RIGHT if column == row else _NONE if column == size else _WRONG
      strength = _FAINTEST + (_STRONGEST - _FAINTEST) * count / total if count else 0
      axes.add_patch(Rectangle((column, row), 1, 1, facecolor=colour, alpha=strength, linewidth=0))
      if count:
        axes.text(column + 0.5, row + 0.5, f"{count}", ha="center", va="center", fontsize=7)
  axes.set(xlim=(0, size + 1), ylim=(size, 0), xlabel="certified answer", ylabel="label")
  axes.set_xticks([c + 0.5 for c in range(size + 1)], [_short(t) for t in table["columns"]], fontsize=7)
  axes.set_yticks([r + 0.5 for r in range(size)], [_short(t) for t in table["rows"]], fontsize=7)
  for text in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
    text.set_parse_math(False)
  axes.tick_params(length=0)
  for side in axes.spines.values():
    side.set_visible(False)
  right = sum(counts[i][i] for i in range(size))
  alt = f"Labels against certified answers: {right:,} of {sum(map(sum, counts)):,} on the diagonal"
  return {"svg": svg(figure, name, alt), "alt": alt}


def svg(figure: "Figure", name: str, alt: str) -> str:
  """A figure as SVG element of a page: its ids begin with `name`, `alt` describes it, black is the text's."""
  import html

  import matplotlib

  out = io.StringIO()
  settings: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": name,
    "hatch.linewidth": 0.6,
    "font.sans-serif": ["DejaVu Sans"],
  }
  with matplotlib.rc_context(settings):
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
  text = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", out.getvalue(), flags=re.S)
  text = re.sub(r'\bid="', f'id="{name}-', text[text.index("<svg") :])
  text = re.sub(r'(url\(|href=")#', rf"\g<1>#{name}-", text)
  text = re.sub(r'\b(d|x|y|transform)="[^"]*"', lambda place: re.sub(r"(\.\d\d)\d+", r"\1", place[0]), text)
  text = re.sub(r"(fill|stroke): #000000", r"\1: currentColor", text)
  head, rest = text.split(">", 1)
  [box] = re.findall(r'viewBox="[^"]*"', head)
  spaces = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
  return f'<svg {spaces} {box} role="img" aria-label="{html.escape(alt)}">{rest}'


def _figure(height: float) -> "Figure":
  plots.check_matplotlib()
  from matplotlib.figure import Figure

  return Figure(figsize=(_WIDTH, height), layout="constrained")


def _short(text: str) -> str:
  text = text.encode("utf-8", "backslashreplace").decode()
  return text if len(text) <= 12 else f"{text[:11]}…"

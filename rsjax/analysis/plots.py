"""The plot of certified accuracy against radius, readable in colour, by the colour-blind and in grey."""

import contextlib
import dataclasses
import itertools
import os
import pathlib
import sys
import textwrap
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rsjax import files as local_files
from rsjax.analysis import statistics
from rsjax.analysis.attacked import attacked_accuracy, reach_of
from rsjax.analysis.attacked import called as called_attack
from rsjax.analysis.labels import as_results, check_norms, facts, labels, radius_words
from rsjax.analysis.tables import called
from rsjax.analysis.unusual import chance
from rsjax.errors import InputError
from rsjax.results import Results

if TYPE_CHECKING:
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure
  from matplotlib.lines import Line2D

# Okabe and Ito's colours, which the colour-blind can tell apart, dark and light in turn, and a line style each.
_COLOURS = ("#0072B2", "#E69F00", "#000000", "#56B4E9", "#D55E00", "#009E73", "#CC79A7")
_LEGEND = 50  # characters of a line of it
_LINES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 2)), (0, (8, 3)))


@dataclasses.dataclass(frozen=True, eq=False)
class _Curve:
  """A curve in some Axes: its file, the name that it was given, its place among the colours, its reach."""

  file: Results
  name: str | None
  place: int
  farthest: float


# Lines that a legend names, for as long as they exist: the curve of each, and what is said after the curve's
# name. A line that stands for others of its kind has no curve.
_LEGENDS: "weakref.WeakKeyDictionary[Line2D, tuple[_Curve | None, str]]" = weakref.WeakKeyDictionary()


def plot(
  files: Sequence[Results],
  paths: str | pathlib.Path | Sequence[str | pathlib.Path] = (),
  title: str = "",
  *,
  ax: "Axes | None" = None,
  names: Sequence[str] | None = None,
  panels: str | None = None,
  rule: str = "open",
  band: float | None = None,
  rho: float | None = None,
  attacks: Sequence[tuple[int, Results]] = (),
) -> "Figure":
  """Draws certified accuracy against radius, one curve per file; needs Matplotlib, and no display.

  Args:
    files: `results.Results` of CERTIFY.
    paths: where to save it: a path or several, each ending in .png, .pdf or .svg; by default it is not saved.
    title: the title above the plot.
    ax: Matplotlib's Axes to draw into; None: a new figure. What is there stays. Names of curves that this
      function drew there before change where the new ones differ from them in a setting.
    names: names for the legend, one per file, to which sigma is added if the files differ in it; None:
    `labels`. An alpha other than 0.001, and an n below 1,000, are added.
    panels: "sigma" or "noise" (of training): one panel per value, side by side; None: one panel.
    rule: as for `statistics.certified_accuracy`.
    band: confidence of a shaded interval about each curve; None: none.
    rho: adds `statistics.high_probability_accuracy` as a thin line below each curve; None: leaves it out.
    attacks: (place in files, file of `rsjax.attack` on the same images): what the attack leaves is drawn as a
      thin line above the curve, and what lies between is shaded.

  Returns:
    Matplotlib's figure: that of `ax` if it was given.

  Raises:
    InputError: if Matplotlib is missing (the message gives the command that installs it), for several panels
      in one `ax`, for radii of another norm or unit than those in `ax`, or for a path whose ending is no
      kind of picture.
  """
  targets = [local_files.local(p) for p in ([paths] if isinstance(paths, str | os.PathLike) else paths)]
  FigureCanvasAgg, Figure = _matplotlib()
  for path in targets:
    if path.suffix.removeprefix(".").lower() not in FigureCanvasAgg.filetypes:
      raise InputError(f"{path} must end in .png, .pdf or .svg, which says what to write")
  files = as_results(files)
  for f in files:
    statistics.check_rows(f)
    statistics.check_radii(f)
  check_norms(files)
  earlier = [] if ax is None else _curves(ax)
  if earlier and (there := radius_words(earlier[0].file)) != (here := radius_words(files[0])):
    raise InputError(f"radii called {there!r} in `ax` and {here!r} cannot be compared: give other axes")
  texts = _names(earlier, files, names)
  before, texts = dict(zip(earlier, texts)), texts[len(earlier) :]
  values = [facts(f)[panels] for f in files] if panels else [None] * len(files)
  shown = sorted(set(values), key=lambda v: (v is None, v))
  if ax is None:
    figure = Figure(figsize=(1.2 + 4.8 * len(shown), 4), layout="constrained")
    FigureCanvasAgg(figure)
    all_axes = list(figure.subplots(1, len(shown), sharey=True, squeeze=False)[0])
  elif len(shown) > 1:
    raise InputError(f"{len(shown)} panels do not fit into one `ax`: leave out `panels`, or `ax`")
  else:
    parent, all_axes = ax.figure, [ax]
    while not isinstance(parent, Figure):  # a subfigure
      parent = parent.figure
    figure = parent
  for axes, value in zip(all_axes, shown):
    places = [i for i, v in enumerate(values) if v == value]
    of_attacks = [(places.index(i), f) for i, f in attacks if i in places]
    farthest = max(max(files[i].columns["radius"].max() for i in places), 1e-6)
    farthest = max([farthest, *(reach_of(f) for _, f in of_attacks), *(c.farthest for c in earlier)])
    radii = np.linspace(0, 1.05 * farthest, 1000)
    first = max((c.place + 1 for c in earlier), default=0)
    given = [None if names is None else names[i] for i in places]
    curves = [_Curve(files[i], given[at], first + at, farthest) for at, i in enumerate(places)]
    for curve in curves:
      f, i = curve.file, curve.place
      style = dict(color=_COLOURS[i % len(_COLOURS)], linestyle=_LINES[(i + i // len(_LINES)) % len(_LINES)])
      hits = statistics.certified(f, radii, rule)
      accuracy = hits / len(f)
      reach = slice(np.count_nonzero(hits) + 1)  # to where it falls to 0
      [line] = axes.plot(radii[reach], accuracy[reach], linewidth=2, **style)
      _LEGENDS[line] = curve, ""
      if band:
        axes.fill_between(
          radii,
          *statistics.accuracy_interval(hits, len(f), band),
          color=style["color"],
          alpha=0.15,
          linewidth=0,
        )
      if rho:
        certain = statistics.sure_accuracy(f, accuracy, rho)
        [line] = axes.plot(radii[reach], certain[reach], linewidth=0.8, **style)
        if curve is curves[0]:
          _LEGENDS[line] = None, f"thin: for all images at once, with probability {1 - rho:g}"
    for i, f in of_attacks:
      tried = radii[radii <= f.settings["radii"][-1]]
      left, colour = attacked_accuracy(f, tried), _COLOURS[curves[i].place % len(_COLOURS)]
      [line] = axes.plot(tried, left, linewidth=1, color=colour, marker="v", markevery=0.1)
      _LEGENDS[line] = curves[i], f": left by {called_attack(f)}"
      below = statistics.certified_accuracy(curves[i].file, tried, rule)
      axes.fill_between(tried, below, left, color=colour, alpha=0.12, linewidth=0)
    axes.set(xlabel=radius_words(curves[0].file), ylim=(0, 1))
    axes.set_xlim(0, max(radii[-1], axes.dataLim.x1))  # with what others drew
    if panels and value is not None:
      axes.set_title({"sigma": "sigma", "noise": "training noise"}[panels] + f" = {value:g}", fontsize="medium")
    axes.grid(alpha=0.3)
    _make_legend(axes, before | dict(zip(curves, [texts[i] for i in places])))
  all_axes[0].set_ylabel(called(facts(f)["top_k"] for f in [*(c.file for c in earlier), *files])[0])
  if ax is None:
    figure.suptitle(_drawable(title), fontsize="large", parse_math=False)
  elif title:
    ax.set_title(_drawable(title), parse_math=False)
  for path in targets:
    try:
      figure.savefig(path, dpi=150)
    except OSError as error:
      raise local_files.unwritable(path, error) from error
  return figure


def _curves(axes: "Axes") -> list[_Curve]:
  """The curves that `plot` drew into these Axes before, in order, without those that were removed."""
  curves = [_LEGENDS[line][0] for line in axes.get_lines() if line in _LEGENDS]
  return [curve for curve in dict.fromkeys(curves) if curve is not None]


def _names(earlier: Sequence[_Curve], files: Sequence[Results], names: Sequence[str] | None) -> list[str]:
  """Names of the earlier curves, and then of the files; if there are earlier ones, no two are equal."""
  texts = labels(files, names)  # which also counts the names
  if not earlier:
    return [_drawable(_with_chance(text, f)) for text, f in zip(texts, files)]
  shown = [*(c.file for c in earlier), *files]
  given = [*(c.name for c in earlier), *([] if names is None else names)]
  named = {i: name for i, name in enumerate(given) if name is not None}
  others = [i for i in range(len(shown)) if i not in named]
  found = dict(zip(named, labels([shown[i] for i in named], [*named.values()]))) if named else {}
  found |= dict(zip(others, labels([shown[i] for i in others]))) if others else {}
  told: list[str] = []
  for i, f in enumerate(shown):
    text = _drawable(_with_chance(found[i], f))
    numbered = (f"{text} ({number})" for number in itertools.count(2))
    told.append(next(t for t in itertools.chain([text], numbered) if t not in told))
  return told


def _make_legend(axes: "Axes", names: dict[_Curve, str]) -> None:
  """A legend of all that `plot` drew into the Axes, and of what others drew there and labelled."""
  lines = [line for line in axes.get_lines() if line in _LEGENDS]
  handles: list[Any] = []
  texts: list[str] = []
  for line in lines:
    curve, text = _LEGENDS[line]
    if curve is not None or text not in texts:
      handles.append(line)
      texts.append(text if curve is None else textwrap.fill(names[curve] + text, _LEGEND))
  others = [(handle, text) for handle, text in zip(*axes.get_legend_handles_labels()) if handle not in lines]
  legend = axes.legend(
    [*handles, *(handle for handle, _ in others)],
    [*texts, *(text for _, text in others)],
    fontsize="small",
    handlelength=3.5,
  )
  for own in legend.get_texts()[: len(texts)]:
    own.set_parse_math(False)


def _with_chance(name: str, f: Results) -> str:
  """A curve's name, with an alpha or an n that a reader would not expect."""
  return ", ".join([name, *(text for text in chance(facts(f)) if text not in name)])


def check_matplotlib() -> None:
  """Raises InputError if Matplotlib is missing; the message gives the command that installs it."""
  _matplotlib()


def _matplotlib():
  """(FigureCanvasAgg, Figure); MPLBACKEND, as a notebook leaves it to its commands, may be of no use here."""
  first = "matplotlib" not in sys.modules
  backend = os.environ.pop("MPLBACKEND", None) if first else None
  try:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
  except ImportError as error:
    raise InputError("plots need Matplotlib: pip install matplotlib") from error
  finally:
    if backend is not None:
      os.environ["MPLBACKEND"] = backend
  if backend:  # for the figures of others
    with contextlib.suppress(ValueError):
      matplotlib.rcParams["backend"] = backend
  return FigureCanvasAgg, Figure


def _drawable(text):
  """A text in which bytes that are not Unicode, as in file names, are escaped."""
  return text.encode("utf-8", "backslashreplace").decode()

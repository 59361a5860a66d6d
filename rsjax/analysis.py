"""Result files to certified accuracies, tables and plots.

  >>> certified_accuracy(results.read("out.tsv"), [0.0, 0.25, 0.5])

Certified accuracy at radius r is the fraction of images that are classified correctly with a
certified radius above r: strictly, because the certificate holds in the open ball. At r = 0 it is the
fraction of correct answers that are not abstentions.
"""

import numpy as np

from rsjax.errors import InputError


def certified_accuracy(results, radii):
  """float64[radii]: the fraction of the rows present that are right and certified beyond each radius."""
  _check_rows(results)
  radius = np.where(results.columns["correct"] == 1, results.columns["radius"], -1.0)
  radii = np.asarray(radii, np.float64)[:, None]
  return np.where(radii > 0, radius > radii, radius >= 0).mean(1)


def average_certified_radius(results):
  """ACR: the mean radius over the rows present, counting 0 where the answer is wrong or none."""
  return float((results.columns["radius"] * results.columns["correct"]).mean())


def abstention_rate(results):
  return float((results.columns["predict"] == -1).mean())


def _check_rows(results):
  if not len(results):
    raise InputError(f"{results.path} has no rows yet, of {results.expected}")


def grid(results, most=10):
  """Radii for a table: multiples of 0.25, or of a finer step where all radii are small, up to the largest."""
  _check_rows(results)
  farthest = float(results.columns["radius"].max())
  step = 0.25 if farthest > 0.5 else 0.05
  while farthest / step > most:
    step *= 2
  return np.arange(0, farthest, step).round(6).tolist() or [0.0]


def label(results):
  """What a table or plot calls a file: its sigma, and that it is incomplete if it is."""
  text = f"sigma = {results.manifest['settings']['sigma']:g}"
  return text if results.complete else f"{text} (only {len(results)} of {results.expected} images)"


def table(files, radii):
  """The certified-accuracy table as text: a line a file, a column a radius."""
  names = [label(f) for f in files]
  width = max(len(name) for name in ["radius", *names])
  lines = [f"{'radius':{width}}" + "".join(f"{r:>7g}" for r in radii) + "      ACR  abstain  images"]
  for name, f in zip(names, files):
    cells = "".join(f"{accuracy:7.2f}" for accuracy in certified_accuracy(f, radii))
    tail = f"{average_certified_radius(f):9.3f}{abstention_rate(f):9.2f}{len(f):8d}"
    lines.append(f"{name:{width}}{cells}{tail}")
  return "\n".join(lines)


def plot(files, path, title):
  """Saves certified accuracy against radius, a curve a file, as PNG, PDF or SVG by the path's ending.

  Needs Matplotlib, which needs no display here.
  """
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.figure import Figure

  figure = Figure(figsize=(6, 4), layout="constrained")
  FigureCanvasAgg(figure)
  axes = figure.add_subplot()
  for f in files:
    _check_rows(f)
  farthest = max(f.columns["radius"].max() for f in files)
  radii = np.linspace(0, 1.05 * farthest, 1000)
  for f, style in zip(files, ("-", "--", "-.", ":") * len(files)):
    axes.plot(radii, certified_accuracy(f, radii), style, linewidth=2, label=label(f))
  axes.set(xlabel="l2 radius", ylabel="certified accuracy", title=title)
  axes.set(xlim=(0, radii[-1]), ylim=(0, 1))
  axes.grid(alpha=0.3)
  axes.legend()
  figure.savefig(path, dpi=150)

"""Figures of the paper (Cohen et al. 2019) that need no run of their own: formulas, or one file's votes.

  python experiments/paper_figures.py bounds OUT.png               three bounds: radius against p_A
  python experiments/paper_figures.py draws RESULT.tsv OUT.png     certified accuracy with fewer draws
  python experiments/paper_figures.py alpha RESULT.tsv OUT.png     certified accuracy at other alphas
  python experiments/paper_figures.py radius OUT.png               radius in units of sigma against n
  python experiments/paper_figures.py predict RESULT.tsv           PREDICT's answers with fewer draws

RESULT.tsv is a file of rsjax.certify, whose votes are analysed again. Seconds each, and no JAX.
"""

import argparse
import sys

import numpy as np
from scipy import optimize, special

from rsjax import analysis, bounds, results
from rsjax.errors import InputError


def cohen(p_a, sigma=1.0):
  """Radius by Cohen et al. 2019, theorem 1, with p_B = 1 - p_A."""
  return sigma * special.ndtri(p_a)


def li(p_a, sigma=1.0):
  """Radius by Li et al. 2018 (Renyi divergence), with p_B = 1 - p_A.

  sup over alpha > 1 of sigma sqrt(-(2 / alpha) ln(1 - p_A - p_B + 2 m)), where
  m = ((p_A^(1 - alpha) + p_B^(1 - alpha)) / 2)^(1 / (1 - alpha)) is a generalised mean.
  Source: Li et al. 2018, theorem 3.1 and lemma 3.2 (arXiv 1809.03113), with their deviation bounded as
  alpha L^2 / (2 sigma^2).
  """
  p_b = 1 - p_a

  def squared(log_excess):
    alpha = 1 + np.exp(log_excess)
    logs = (1 - alpha) * np.log([p_a, p_b])
    mean = np.exp((special.logsumexp(logs) - np.log(2)) / (1 - alpha))
    return -(2 / alpha) * np.log(1 - p_a - p_b + 2 * mean)

  return sigma * np.sqrt(_largest(squared, -8.0, 8.0))


def lecuyer(p_a, sigma=1.0):
  """Radius by Lecuyer et al. 2019 (differential privacy, Gaussian mechanism), with p_B = 1 - p_A.

  sup over 0 < e <= min(1, ln(p_A / p_B) / 2) of sigma e / sqrt(2 ln(1.25 (1 + exp(e)) / (p_A - exp(2 e) p_B))).
  Source: Lecuyer et al. 2019, proposition 1 with delta as large as it allows (arXiv 1802.03471), as compared
  in Cohen et al. 2019.
  """
  p_b = 1 - p_a
  most = min(1.0, np.log(p_a / p_b) / 2)

  def radius(e):
    room = p_a - np.exp(2 * e) * p_b
    return e / np.sqrt(2 * np.log(1.25 * (1 + np.exp(e)) / room)) if room > 0 else 0.0

  return sigma * _largest(radius, 0.0, most)


def _largest(function, low, high):
  """The largest value of a function with one peak within an interval, its ends included."""
  found = optimize.minimize_scalar(lambda x: -function(x), bounds=(low, high), method="bounded")
  return max(-found.fun, function(low), function(high), 0.0)


def figure(title, xlabel, ylabel):
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.figure import Figure

  made = Figure(figsize=(6, 4), layout="constrained")
  FigureCanvasAgg(made)
  axes = made.add_subplot()
  axes.set(title=title, xlabel=xlabel, ylabel=ylabel)
  axes.grid(alpha=0.3)
  return made, axes


def draw_bounds(out):
  made, axes = figure("three bounds, p_B = 1 - p_A", "p_A, probability of the top class", "radius / sigma")
  p = np.linspace(0.501, 0.999, 250)
  curves = ((cohen, "this paper (Cohen et al. 2019)", "-", "#0072B2"),
            (li, "Li et al. 2018", "--", "#E69F00"),
            (lecuyer, "Lecuyer et al. 2019", "-.", "#000000"))  # fmt: skip
  for bound, name, line, colour in curves:
    axes.plot(p, [bound(value) for value in p], line, color=colour, linewidth=2, label=name)
  axes.set(xlim=(0.5, 1), ylim=(0, None))
  axes.legend()
  made.savefig(out, dpi=150)


def draw_radius(out, alpha=0.001):
  made, axes = figure(f"what n draws certify, alpha = {alpha:g}", "n", "radius / sigma")
  n = np.unique(np.geomspace(20, 1e7, 200).astype(int))
  for share, line in ((1, "-"), (0.999, "--"), (0.99, "-."), (0.9, ":"), (0.7, (0, (8, 3)))):
    p_lower = bounds.lower_confidence_bound(np.floor(share * n).astype(int), n, alpha)
    radius = bounds.certified_radius(p_lower, 1.0)
    axes.semilogx(n, radius, linestyle=line, linewidth=2, label=f"{share:g}")
  axes.legend(title="share of the votes for the class")
  made.savefig(out, dpi=150)


def fewer_draws(file):
  """The file at a hundredth, a tenth of its draws and so on, and whole."""
  smallest, n = bounds.smallest_n_to_certify(file.settings["alpha"]), file.settings["n"]
  sizes = [n // 10**k for k in (3, 2, 1, 0) if n // 10**k >= smallest]
  return [analysis.with_draws(file, size) for size in sizes]


def draw_file(kind, path, out):
  file = results.read(path)
  if kind == "draws":
    files, title = fewer_draws(file), "a random choice of each image's draws"
  else:
    files, title = [analysis.with_alpha(file, alpha) for alpha in (0.1, 0.001, 1e-5, 1e-10)], ""
  analysis.plot(files, out, title)
  print(analysis.table(files, analysis.grid(max(files, key=lambda f: f.columns["radius"].max()))))


def show_predictions(path):
  file = results.read(path)
  truth = analysis.as_predictions(file)
  smallest = bounds.smallest_n_to_predict(file.settings["alpha"])
  sizes = [n for n in (100, 1000, 10_000, 100_000) if smallest <= n < file.settings["n"]]
  print(f"fractions of {len(file)} images; accurate: the leading class of all {file.settings['n']:,} draws\n")
  print(f"{'n':>8}" + "".join(f"{name:>24}" for name in analysis.CATEGORIES))
  for n in sizes:
    shares = analysis.agreement(analysis.with_draws(truth, n), truth)
    print(f"{n:8,}" + "".join(f"{share:24.3f}" for share in shares.values()))


def main(argv=None):
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  commands = parser.add_subparsers(dest="figure", required=True)
  for name, paths in (("bounds", ["out"]), ("radius", ["out"]), ("draws", ["result", "out"]),
                      ("alpha", ["result", "out"]), ("predict", ["result"])):  # fmt: skip
    command = commands.add_parser(name)
    for path in paths:
      command.add_argument(path)
  args = parser.parse_args(argv)
  if args.figure == "bounds":
    draw_bounds(args.out)
  elif args.figure == "radius":
    draw_radius(args.out)
  elif args.figure == "predict":
    show_predictions(args.result)
  else:
    draw_file(args.figure, args.result, args.out)


if __name__ == "__main__":
  try:
    main()
  except InputError as error:
    print(f"paper_figures.py: error: {error}", file=sys.stderr)
    sys.exit(2)

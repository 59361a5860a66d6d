"""What certificates that stop early save: recorded vote shares, replayed exactly through the stopping rules.

  python experiments/sequential_replay.py FILE... [--out RECORD.md]
  python experiments/sequential_replay.py --picture draws.png

A FILE is a result file of rsjax.certify, or one in the format of the paper's code whose path says sigma, like
noise_0.25/test/sigma_0.25 (n = 100,000 is assumed). Each image's share of votes is taken for the probability of
its class. The expected draws, certified accuracy and radius of each rule follow exactly, and nothing is drawn:
the law of the votes goes from look to look by convolution. What is left out has a probability below 1e-12.

About 10 seconds of one core per file of 500 images with n = 100,000, most of it for shares that differ; no JAX.
"""

import argparse
import dataclasses
import datetime
import itertools
import math
import pathlib
import platform
import shlex
import sys
import time

import numpy as np
import scipy
from scipy import special

import rsjax
from rsjax import bounds, results
from rsjax.errors import InputError
from rsjax.noise import Gaussian
from rsjax.procedures import Anytime, CertifyByLooks, Radii, Tolerance

STEP = 0.25  # of the grid of radii, in units of [0, 1] pixels
ONE_RADIUS = (0.25, 0.5, 1.0, 1.5)
TOLERANCE = Tolerance(0.05, floor=0.02)
SHOWN_LOOKS = (316, 1000, 3162, 10_000, 31_623)
N0 = 100  # draws of the selection
FORGOTTEN = 1e-16  # probability left out on either side of a law


@dataclasses.dataclass(frozen=True)
class Expected:
  """Of one image: expected draws, P(radius > r) for each r of some radii, and the expected radius."""

  draws: float
  certified: np.ndarray
  radius: float


class Replay:
  """A procedure by looks, as it treats an image whose selected class has a given probability.

  Args:
    procedure: CertifyByLooks.
    sigma: of the Gaussian noise, in units of [0, 1] pixels.
    radii: increasing; how often each is certified is asked for.
  """

  def __init__(self, procedure, sigma, radii):
    self.looks, self.known = procedure.plan.looks, {}
    noise = Gaussian(sigma)
    procedure.check(noise)
    self.number, self.radius, self.stops = [], [], []  # of each look, for each number of votes
    for look, n in enumerate(self.looks):
      votes = np.arange(n + 1)
      radius = bounds.radius(bounds.lower_bound_at_look(votes, n, procedure.plan), noise)
      self.number.append(np.searchsorted(radii, radius))  # radii below this one
      self.radius.append(radius)
      last = look == len(self.looks) - 1
      self.stops.append(votes >= 0 if last else procedure.stop.stops(look, votes, procedure.plan, noise))
    self.radii = radii

  def expect(self, p):
    """`Expected` of an image whose class has probability p, under the procedure's rule."""
    if p not in self.known:
      self.known[p] = self._walk(p)
    return self.known[p]

  def at_look(self, look, p):
    """`Expected` of an image that is stopped at this look whatever its votes."""
    if (look, p) not in self.known:
      low, mass = binomial(self.looks[look], p)
      ends = slice(low, low + len(mass))
      self.known[look, p] = Expected(float(self.looks[look]), *self._found(look, ends, mass))
    return self.known[look, p]

  def _walk(self, p):
    draws, certified, radius = 0.0, np.zeros(len(self.radii)), 0.0
    low, mass = 0, np.ones(1)
    for look, (before, n) in enumerate(itertools.pairwise((0, *self.looks))):
      first, more = binomial(n - before, p)
      low, mass = low + first, np.convolve(mass, more)
      here = slice(low, low + len(mass))
      ended = np.where(self.stops[look][here], mass, 0.0)
      draws += n * ended.sum()
      found = self._found(look, here, ended)
      certified, radius = certified + found[0], radius + found[1]
      mass = mass - ended
      kept = np.flatnonzero(mass > FORGOTTEN / n)
      if not len(kept):
        break
      low, mass = low + kept[0], mass[kept[0] : kept[-1] + 1]
    return Expected(draws, certified, radius)

  def _found(self, look, votes, mass):
    """(P(radius > r) for each radius, expected radius) of votes that end at a look."""
    per_number = np.bincount(self.number[look][votes], mass, len(self.radii) + 1)
    return per_number[::-1].cumsum()[::-1][1:], float(mass @ self.radius[look][votes])


def binomial(n, p):
  """(fewest votes, probabilities from there on) of n draws; what is left out is below 2 FORGOTTEN.

  The range is Bernstein's; the probabilities are products of their ratios outward from the middle, which are
  right to about 1e-13 relative.
  """
  if p <= 0 or p >= 1:
    return (n if p >= 1 else 0), np.ones(1)
  third = -math.log(FORGOTTEN) / 3
  far = third + math.sqrt(third**2 + 6 * third * n * p * (1 - p))
  low, high = max(0, math.floor(n * p - far)), min(n, math.ceil(n * p + far))
  middle = min(max(round(n * p), low), high)
  up = np.arange(middle, high)
  down = np.arange(middle, low, -1)
  odds = p / (1 - p)
  above = np.cumprod((n - up) / (up + 1) * odds)
  below = np.cumprod(down / (n - down + 1) / odds)
  mass = np.concatenate([below[::-1], [1.0], above])
  return low, mass / mass.sum()


@dataclasses.dataclass(frozen=True)
class Images:
  """What is replayed of a file.

  Attributes:
    name: of the file.
    sigma: of the noise it was certified with.
    p: float[images], share of the votes for the selected class.
    correct: bool[images], whether that class is the label.
    unknown: bool[images], whether the share is not recorded but assumed.
    said: sentences on where the shares are from.
  """

  name: str
  sigma: float
  p: np.ndarray
  correct: np.ndarray
  unknown: np.ndarray
  said: tuple[str, ...]


def images(path):
  """`Images` of a result file.

  Raises:
    InputError: for a file that is none of CERTIFY, says no sigma, or stopped early.
  """
  file = results.read_any(path)
  settings, columns = file.settings, file.columns
  if settings["command"] != "certify":
    raise InputError(f"{path} must be a result file of certify, and it is one of {settings['command']}")
  if not settings.get("sigma") or not len(file):
    raise InputError(f"{path} must have rows and say sigma, in its manifest or its path (.../sigma_0.25)")
  if "plan" in settings:
    raise InputError(f"{path} was stopped by its votes: its shares of votes are no estimates to replay")
  given = pathlib.Path(path)
  name, sigma = "/".join(given.parts[-3:]) if given.is_absolute() else given.as_posix(), settings["sigma"]
  if "nA" in columns:
    p = columns["nA"] / columns["n"]
    selected = np.maximum(results.parse_column(columns["votes0"]).leaders(), 0)
    said = (f"shares of {settings['n']:,} recorded votes, also where it abstained",)
    return Images(name, sigma, p, selected == columns["label"], np.zeros(len(p), bool), said)
  n = 100_000
  alpha = recorded_alpha(columns["radius"], sigma, n)
  certified = columns["predict"] >= 0
  p = votes_of(columns["radius"], sigma, n, alpha) / n
  p[~certified] = continued(p[certified], np.sum(~certified), fewest_votes(n, alpha) / n)
  said = (
    f"shares from the radii, which have three significant figures, of n = {n:,} at alpha = {alpha:g} (of 0.001 "
    "and 0.01 the one that gives the file's largest radii)",
    f"{np.sum(~certified)} abstained and have no share: shares are taken to be as dense below 1/2 as just "
    "above it, and these images count as wrong",
  )
  return Images(name, sigma, p, columns["correct"] == 1, ~certified, said)


def fewest_votes(n, alpha):
  """The fewest of n votes with which CERTIFY does not abstain."""
  return int(np.argmax(~bounds.abstains(bounds.lower_confidence_bound(np.arange(n + 1), n, alpha))))


def votes_of(radii, sigma, n, alpha):
  """The votes of n whose radius is nearest to each of some recorded ones."""
  fewest = fewest_votes(n, alpha)
  votes = np.arange(fewest, n + 1)
  of_votes = sigma * special.ndtri(bounds.lower_confidence_bound(votes, n, alpha))
  return fewest + np.searchsorted((of_votes[1:] + of_votes[:-1]) / 2, radii)


def recorded_alpha(radii, sigma, n):
  """Which of alpha 0.001 and 0.01 the radii of a file come from, by its largest ones.

  Few votes against a class leave gaps of more than the rounding between the radii that are possible.
  """

  def explained(alpha):
    possible = sigma * special.ndtri(bounds.lower_confidence_bound(np.arange(n - 20, n + 1), n, alpha))
    rounded = [float(f"{radius:.3g}") for radius in possible]
    large = radii[radii >= sigma * 3.45]  # at most 20 votes of 100,000 against it, with either alpha
    return np.isin(large, rounded).sum()

  return max((0.001, 0.01), key=explained)


def continued(p, number, fewest):
  """Shares for `number` images below `fewest`, as dense as p is in the tenth above it."""
  dense = max(1, np.sum(p < fewest + 0.1)) / 0.1
  return np.maximum(fewest - (np.arange(number) + 0.5) / dense, 0.0)


class Rules:
  """The rules that are compared, at one sigma."""

  def __init__(self, sigma, n, alpha):
    fixed = CertifyByLooks(n=n, alpha=alpha, first=n)
    largest = float(bounds.radius(bounds.lower_bound_at_look(n, n, fixed.plan), Gaussian(sigma)))
    self.n, self.radii = n, np.arange(0, largest, STEP)
    by_looks = lambda stop: Replay(CertifyByLooks(n=n, alpha=alpha, stop=stop), sigma, self.radii)
    grid = ", ".join(f"{r:g}" for r in self.radii[:2])
    self.fixed = Replay(fixed, sigma, self.radii)
    # name: (its replay, the radii by which it is judged, whether its radii are lower bounds)
    all_ = slice(None)
    self.rules = {
      f"A: radii {grid}, ..., {self.radii[-1]:g}": (by_looks(Radii(tuple(self.radii))), all_, True),
      "B: tolerance 5 %, at least 0.02 sigma": (by_looks(TOLERANCE), all_, False),
    }
    for r in (r for r in ONE_RADIUS if r < largest):
      self.rules[f"C: radius {r:g}"] = (by_looks(Radii((r,))), np.flatnonzero(self.radii == r), True)
    self.anytime = by_looks(Anytime())


@dataclasses.dataclass(frozen=True)
class Line:
  """One line of a file's table: expectations over its images."""

  rule: str
  draws: float
  loss: np.ndarray  # points of certified accuracy, for each radius
  acr: float
  lower: bool
  draws_of_fixed: float


def lines(some, rules):
  """The `Line`s of `Images`: fixed n first; draws include the N0 of the selection."""
  fixed = [rules.fixed.at_look(0, p) for p in some.p]
  accuracy = certified_accuracy(fixed, some.correct)

  def line(rule, found, judged=slice(None), lower=False):
    loss = 100 * (accuracy - certified_accuracy(found, some.correct))[judged]
    return Line(
      rule, N0 + np.mean([e.draws for e in found]), loss, acr(found, some.correct), lower, N0 + rules.n
    )

  yield line("fixed n", fixed)
  for rule, (replay, judged, lower) in rules.rules.items():
    yield line(rule, [replay.expect(p) for p in some.p], judged, lower)
  looks = rules.anytime.looks
  for n in (*(n for n in SHOWN_LOOKS if n in looks and n < rules.n), rules.n):
    look = looks.index(n)
    yield line(f"D: ended at look {n:,}", [rules.anytime.at_look(look, p) for p in some.p])


def certified_accuracy(found, correct):
  """float64[radii]: the expected share of images that are right and certified beyond each radius."""
  return np.mean([e.certified * right for e, right in zip(found, correct)], axis=0)


def acr(found, correct):
  return float(np.mean([e.radius * right for e, right in zip(found, correct)]))


def points(x):
  """Three decimals, and no sign at 0."""
  return f"{round(x, 3) + 0.0:.3f}"


def table(some, made):
  """A file's Markdown, from its lines."""
  fixed = made[0]
  text = [f"## {some.name}, sigma = {some.sigma:g}", ""]
  text += [f"{len(some.p)} images; {'; '.join(some.said)}.", ""]
  text += ["| rule | draws per image | times fewer | loss, mean | loss, largest | ACR | ACR, % of fixed n |"]
  text += ["| --- | ---: | ---: | ---: | ---: | ---: | ---: |"]
  for line in made:
    mark = "≥ " if line.lower else ""
    cells = [line.rule, f"{line.draws:,.0f}", f"{line.draws_of_fixed / line.draws:.3g}"]
    cells += [points(line.loss.mean()), points(line.loss.max())]
    cells += [f"{mark}{line.acr:.4f}", f"{mark}{100 * line.acr / fixed.acr:.1f}"]
    text.append("| " + " | ".join(cells) + " |")
  return "\n".join(text) + "\n"


def at_one_half(some, rules):
  """A sentence: goal A's draws, were the share of each image that has none 1/2."""
  replay = next(iter(rules.rules.values()))[0]
  draws = N0 + np.mean([replay.expect(p).draws for p in np.where(some.unknown, 0.5, some.p)])
  return (
    f"Were all {some.unknown.sum()} shares that are not known 1/2, A would take {draws:,.0f} draws per image.\n"
  )


def overview(made):
  """One line of Markdown per file, from {name: its lines}."""
  short = lambda line: f"{line.draws:,.0f} ({line.draws_of_fixed / line.draws:.3g}x)"
  text = ["| file | A | loss | ACR, fixed n and A | B | ACR, B | C 0.25 | C 0.5 | C 1 | C 1.5 |"]
  text += ["| --- " + "| ---: " * 9 + "|"]
  for name, file_lines in made.items():
    named = {line.rule.split(":")[0] if line.rule[0] in "AB" else line.rule: line for line in file_lines}
    fixed, a, b = named["fixed n"], named["A"], named["B"]
    cells = [
      name,
      short(a),
      f"{points(a.loss.mean())} ({points(a.loss.max())})",
      f"{fixed.acr:.3f}, ≥ {a.acr:.3f}",
    ]
    cells += [short(b), f"{100 * (b.acr / fixed.acr - 1):+.1f} %"]
    cells += [short(named[f"C: radius {r:g}"]) if f"C: radius {r:g}" in named else "" for r in ONE_RADIUS]
    text.append("| " + " | ".join(cells) + " |")
  return "\n".join(text) + "\n"


HEAD = """# Recorded vote shares, replayed through the stopping rules

    {command}

{date}, {versions}; {seconds:.0f} s.

Exact expectations, no draws: each image's share of votes is taken for its class's probability, and the law of
its votes is followed from look to look. At most n = {n:,} draws, alpha = {alpha:g}, the default plan of {looks}
looks, `give_up` = 0.01. All draws count: the {n0} of the selection, too, and those of images that abstain.

- **A**: the radii 0, 0.25, ... up to the largest that n draws certify. **B**: a tolerance of 5 %, at least
  0.02 sigma. **C**: one radius. **D**: no rule, all images ended at the same look.
- **times fewer** (x): than fixed n, which takes {total:,}.
- **loss**: points of certified accuracy (radius > R) that fixed n has more, in expectation; over the grid of A,
  of C at its radius: the mean, and the largest.
- **ACR** of A and C: images stop at the radii that were asked for, so that theirs is a lower bound, and not to
  be compared with that of fixed n.
- The selected class is the file's: selection goes wrong as often with every rule. A share of 1 is taken for a
  probability of 1.
"""


def record(args):
  """Replays the files; prints the record, and writes it."""
  begun, read, rules = time.perf_counter(), [images(path) for path in args.files], {}
  of_files, tables = {}, []
  for some in read:
    print(f"{some.name}: {len(np.unique(some.p))} different shares ...", file=sys.stderr)
    if some.sigma not in rules:
      rules[some.sigma] = Rules(some.sigma, args.N, args.alpha)
    made = list(lines(some, rules[some.sigma]))
    of_files[some.name] = made
    tables.append(table(some, made))
    if some.unknown.any():
      tables.append(at_one_half(some, rules[some.sigma]))
  head = HEAD.format(
    command=" \\\n      ".join(["python experiments/sequential_replay.py", *map(shlex.quote, of_files)]),
    date=datetime.date.today(),
    versions=f"rsjax {rsjax.__version__}, Python {platform.python_version()}, NumPy {np.__version__}, "
    f"SciPy {scipy.__version__}",
    seconds=time.perf_counter() - begun,
    looks=len(rules[read[0].sigma].anytime.looks),
    n=args.N,
    alpha=args.alpha,
    n0=N0,
    total=N0 + args.N,
  )
  text = "\n".join([head, overview(of_files), *tables])
  print(text)
  if args.out:
    pathlib.Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(args.out).write_text(text)


def picture(out, n, alpha):
  """Expected draws against the true radius, in units of sigma, of four rules."""
  from matplotlib.backends.backend_agg import FigureCanvasAgg
  from matplotlib.figure import Figure

  sigma, z = 0.5, np.arange(-1, 4.001, 0.0125)
  rules = Rules(sigma, n, alpha).rules
  names = list(rules)
  shown = (
    (names[0], f"every {STEP / sigma:g} sigma", "#0072B2", "-"),
    (
      next(name for name in names if name.startswith("C") and float(name.split()[-1]) == sigma),
      "1 sigma alone",
      "#E69F00",
      "-",
    ),
    (names[1], "5 %, at least 0.02 sigma", "#000000", "--"),
  )
  labels = ("A: radii", "C: radius", "B: tolerance")
  made = Figure(figsize=(7, 4.5), layout="constrained")
  FigureCanvasAgg(made)
  axes = made.add_subplot()
  axes.axhline(N0 + n, color="#999999", linewidth=2, label=f"fixed n = {n:,}")
  for (name, what, colour, line), label in zip(shown, labels):
    draws = [N0 + rules[name][0].expect(p).draws for p in special.ndtr(z)]
    axes.semilogy(z, draws, line, color=colour, linewidth=1.6, label=f"{label} {what}")
  axes.set(
    xlabel="true radius / sigma (below 0: the selected class has less than half of the votes)",
    ylabel="expected draws per image",
    xlim=(z[0], z[-1]),
  )
  axes.grid(alpha=0.3, which="both")
  made.legend(loc="outside upper center", ncols=2, fontsize="small")
  made.savefig(out, dpi=90)


def main(argv=None):
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument(
    "files", nargs="*", metavar="FILE", help="result files of certify, or of the paper's code"
  )
  parser.add_argument("--N", type=int, default=100_000, help="draws per image at most (%(default)s)")
  parser.add_argument("--alpha", type=float, default=0.001, help="failure probability (%(default)s)")
  parser.add_argument("--out", metavar="RECORD.md", help="write what is printed there, too")
  parser.add_argument(
    "--picture", metavar="FILE.png", help="draw expected draws against radius, and nothing else"
  )
  args = parser.parse_args(argv)
  try:
    if args.picture:
      picture(args.picture, args.N, args.alpha)
    elif not args.files:
      raise InputError("a FILE must be given, or --picture")
    else:
      record(args)
  except InputError as error:
    print(f"sequential_replay.py: error: {error}", file=sys.stderr)
    return 2
  return 0


if __name__ == "__main__":
  sys.exit(main())

"""What certificates that stop early save, measured: CERTIFY and PREDICT of one checkpoint under every rule.

  python experiments/stopping.py DATASET CHECKPOINT SIGMA OUT [--skip 1 --max 100 --N 100000]

Each rule is a command of rsjax, is shown as one, and does nothing where its file is complete. Interrupted at
any time, the same command continues. Everything lies in one folder:

  OUT/RULE.tsv       result file of each rule, its manifest beside it
  OUT/runs.json      what each run took: seconds, draws, device steps and their rows, load of the machine
  OUT/summary.md     draws per image, seconds, ACR, certified accuracy cell by cell beside that of fixed n

Rules, in this order: one_radius (C), radii (A), tolerance (B), predict (by looks), predict_fixed, budget (D),
fixed (N draws for every image). A larger --max later continues the files.
"""

import argparse
import contextlib
import datetime
import json
import os
import pathlib
import shlex
import sys
import time

import numpy as np
import pipeline

from rsjax import analysis, bounds, certify, files, predict, results
from rsjax.analysis import looks, statistics
from rsjax.cli import arguments, console, stopping
from rsjax.noise import Gaussian
from rsjax.procedures import CertifyByLooks

STEP = 0.25  # of the grid of radii, in units of [0, 1] pixels
RULES = ("one_radius", "radii", "tolerance", "predict", "predict_fixed", "budget", "fixed")


def parser():
  usage, _, epilog = __doc__.partition("\n\n")
  made = argparse.ArgumentParser(
    description=usage, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = made.add_argument
  add("dataset", metavar="DATASET", help=arguments.DATASET_HELP)
  add("checkpoint", metavar="CHECKPOINT", help="a directory that rsjax.train or rsjax.convert wrote")
  add("sigma", metavar="SIGMA", type=float, help="standard deviation of the noise, pixels in [0, 1]")
  add("out", metavar="OUT", help="folder for everything")
  add("--rules", nargs="+", choices=RULES, default=RULES, metavar="RULE", help="only these of the rules")
  add("--skip", type=int, default=1, help="take every SKIPth test image (default: 1)")
  add("--max", type=int, default=-1, help="stop after MAX images; -1: all (default: all)")
  add("--N", type=int, default=100_000, help="draws per image, at most (default: 100000)")
  add("--radius", type=float, help="that of C (default: sigma)")
  add("--tolerance", default="5%", help="that of B (default: 5%%)")
  add("--time-budget", default="60s", help="that of D for all images, as 2h, 90m, 45s (default: 60s)")
  add("--predict-N", type=int, default=1000, help="draws per image of PREDICT with n fixed (default: 1000)")
  add("--seed", type=int, default=0, help="of the noise (default: 0)")
  add("--batch", type=int, help="noisy images per step (default: auto, the fastest that fits)")
  add("--note", help="a sentence for the summary, for example on the machine or the pixels")
  arguments.add_data_dir(made)
  return made


def main(argv=None):
  return console.run("stopping.py", _body, parser().parse_args(argv))


def _body(args):
  out = files.local(args.out)
  typed = {rule: command(rule, args, out) for rule in RULES if rule in args.rules}
  for kind, flags in typed.values():
    if kind is certify:
      made = certify.parser().parse_args([str(flag) for flag in flags])
      stopping.seconds(made.time_budget)
      procedure = stopping.certify_procedure(made)
      if isinstance(procedure, CertifyByLooks):
        procedure.check(Gaussian(args.sigma))
  for rule, (kind, flags) in typed.items():
    with measured(out / "runs.json", rule):
      console.type_command(kind.__name__.rpartition(".")[2], kind.main, *flags)
  text = summary(out, args)
  (out / "summary.md").write_text(text, encoding="utf-8")
  print(f"\n{text}\nwrote {out}/summary.md")


def command(rule, args, out):
  """(module of rsjax, its arguments) of a rule."""
  flags = [args.dataset, args.checkpoint, f"{args.sigma:g}", out / f"{rule}.tsv"]
  flags += ["--skip", args.skip, "--max", args.max, "--seed", args.seed]
  flags += ["--N", args.predict_N if rule == "predict_fixed" else args.N]
  flags += ["--data-dir", args.data_dir] if args.data_dir else []
  flags += ["--batch", args.batch] if args.batch else []
  own = {
    "fixed": [],
    "radii": ["--radii", ",".join(f"{r:g}" for r in grid(args.sigma, args.N))],
    "one_radius": ["--radii", f"{args.sigma if args.radius is None else args.radius:g}"],
    "tolerance": ["--tolerance", args.tolerance],
    "budget": ["--time-budget", args.time_budget],
    "predict": [],
    "predict_fixed": ["--fixed"],
  }
  return predict if rule.startswith("predict") else certify, [*flags, *own[rule]]


def grid(sigma, n):
  """The radii 0, 0.25, ... that n draws can certify."""
  return np.arange(0, pipeline.largest_radius(sigma, n), STEP).tolist()


@contextlib.contextmanager
def measured(path, rule):
  """Adds to runs.json what was drawn meanwhile: by the engine's own steps, of which each is counted.

  The steps by which a number of rows is chosen, before the run, are not among them.
  """
  from rsjax.smoothing import Smoothed, votes

  outcomes, dispatch = Smoothed.outcomes, votes.Steps.dispatch
  counts = {"draws": 0, "steps": 0, "rows": 0}
  begun = []

  def counting(self, *args, **kwargs):
    begun.append(time.perf_counter())
    return outcomes(self, *args, **kwargs)

  def dispatching(self, segments):
    if begun:
      counts["draws"] += sum(segment.count for segment in segments)
      counts["rows"] += self._execution.rows
      counts["steps"] += 1
    return dispatch(self, segments)

  Smoothed.outcomes, votes.Steps.dispatch = counting, dispatching
  try:
    yield
  finally:
    Smoothed.outcomes, votes.Steps.dispatch = outcomes, dispatch
    if counts["steps"]:
      seconds = time.perf_counter() - begun[0]
      runs = read_runs(path)
      runs.setdefault(rule, []).append(
        {
          "ended": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
          "seconds": round(seconds, 3),
          **counts,
          "load": round(os.getloadavg()[1], 2),
          "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        }
      )
      path.write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")


def read_runs(path):
  return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def summary(out, args):
  """Markdown of all the files in OUT, those of other calls included."""
  found = {rule: results.read(path) for rule in RULES if (path := out / f"{rule}.tsv").exists()}
  found = {rule: file for rule, file in found.items() if len(file)}
  if not found:
    return "no image yet\n"
  runs = read_runs(out / "runs.json")
  fixed = found.get("fixed")
  some = [cost(rule, file, runs.get(rule, ())) for rule, file in in_order(found)]
  text = [head(found, runs, args), COST_HEAD, *some, ""]
  certified = {rule: file for rule, file in in_order(found) if "radius" in file.columns}
  if certified:
    text += [cells(certified, fixed), ""]
  predicted = {rule: file for rule, file in in_order(found) if "radius" not in file.columns}
  if predicted:
    text += [answers(predicted, fixed), ""]
  return "\n".join(text)


COST_HEAD = (
  "| rule | images | draws per image, mean | median | times fewer | seconds | draws/s | rows filled | ACR |\n"
  "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
)
EXPLAINED = """Draws per image count those of the selection, and of images that abstain. **Times fewer**: than
the N draws, and those of the selection, that a fixed number would take for every image. **Seconds** and
**draws/s**: of drawing, with the compilation of the step, on the machine and at the load of above.
**Rows filled**: draws that were asked for, of the rows of all device steps. **ACR** with ≥: images stopped at
the radii that were asked for, so that it is a lower bound, and not to be compared with that of fixed n.
"""


def in_order(found):
  """(rule, file), the fixed number of draws first."""
  return sorted(found.items(), key=lambda item: (item[0] != "fixed", RULES.index(item[0])))


def head(found, runs, args):
  """What was run, on what, with what."""
  first = next(iter(found.values()))
  settings, about, session = first.settings, first.manifest["about"], first.manifest["sessions"][-1]
  all_runs = [run for of_rule in runs.values() for run in of_rule]
  loads = [run["load"] for run in all_runs] or [0.0]
  days = sorted({run["ended"][:10] for run in all_runs})
  cpus = sorted({run["cpus"] for run in all_runs})
  machine = f"{session['devices']} x {session['device']}"
  if session["platform"] == "cpu" and cpus:
    machine += f", {'/'.join(map(str, cpus))} of {os.cpu_count()} cores given to each run"
    span = f"{min(loads):g}" + (f" to {max(loads):g}" if max(loads) > min(loads) else "")
    machine += f", load average of the machine {span}"
  versions = ", ".join(f"{name} {session[key]}" for name, key in VERSIONS)
  lines = [
    f"# Stopping early, measured: {pathlib.Path(about['dataset']).name}, sigma = {settings['sigma']:g}",
    "",
  ]
  lines += [f"    {typed(args)}", ""]
  lines += [
    f"{' to '.join(days[:1] + days[1:][-1:])}; {about['checkpoint']['arch']}, trained with noise "
    f"{about['checkpoint']['noise_sd']:g}; test images 0, {settings['skip']}, ...; seed {settings['seed']}, "
    f"alpha = {settings['alpha']:g}, {settings['dtype']}; {machine}; {versions}."
  ]
  lines += [args.note] if args.note else []
  return "\n".join([*lines, "", EXPLAINED])


VERSIONS = (("rsjax", "rsjax"), ("Python", "python"), ("jax", "jax"), ("NumPy", "numpy"), ("SciPy", "scipy"))


def typed(args):
  """The command, without the paths of this machine."""
  words = ["python", "experiments/stopping.py", pathlib.Path(args.dataset).name]
  words += [short(args.checkpoint), f"{args.sigma:g}", short(args.out)]
  default = parser().parse_args(["d", "c", "1", "o"])
  if set(args.rules) != set(RULES):
    words += ["--rules", *args.rules]
  for name in ("skip", "max", "N", "radius", "tolerance", "time_budget", "predict_N", "seed", "batch"):
    value = getattr(args, name)
    if value != getattr(default, name):
      words += [f"--{name.replace('_', '-')}", str(value)]
  return shlex.join(words)


def short(path):
  given = pathlib.Path(path)
  return given.name if given.is_absolute() else given.as_posix()


def cost(rule, file, runs):
  """A line of the first table."""
  settings, drawn = file.settings, looks.draws(file)
  fixed = settings["n"] + settings.get("n0", 0)
  seconds, draws, rows = (sum(run[name] for run in runs) for name in ("seconds", "draws", "rows"))
  line = [described(rule, settings), f"{len(file):,}", f"{drawn.mean():,.0f}", f"{np.median(drawn):,.0f}"]
  line += [f"{fixed / drawn.mean():.3g}"]
  line += [f"{seconds:,.0f}", f"{draws / seconds:,.0f}", f"{100 * draws / rows:.1f} %"] if rows else [""] * 3
  acr = statistics.average_certified_radius(file) if "radius" in file.columns else None
  lower = acr is not None and looks.grid_radii(settings) is not None
  line += ["" if acr is None else f"≥ {bounds.round_down(acr, 4):.4f}" if lower else f"{acr:.4f}"]
  return f"| {' | '.join(line)} |"


def described(rule, settings):
  """A rule in a few words."""
  stop = settings.get("stop") or {}
  if rule == "radii":
    return f"A: radii 0, {STEP:g}, ..., {stop['radii'][-1]:g}"
  if rule == "one_radius":
    return f"C: radius {stop['radii'][0]:g}"
  if rule == "tolerance":
    return f"B: tolerance {100 * stop['relative']:g} %, at least {stop['floor']:g} sigma"
  if rule == "predict":
    return f"PREDICT by looks, n at most {settings['n']:,}"
  return {
    "fixed": f"fixed n = {settings['n']:,}",
    "budget": "D: ended by its time budget",
    "predict_fixed": f"PREDICT, n = {settings['n']:,} fixed",
  }[rule]


CELLS = """Certified accuracy (radius > R), among the images of both files; in brackets how many images fixed n
certifies and the rule does not (-), and the other way round (+). Radii that a rule was not asked for are left
out. The interval is that of all images which are like these, paired: of the share that is lost and of the one
that is won Clopper and Pearson's at 97.5 %, so that both hold with 95 %."""


def cells(found, fixed):
  """Certified accuracy at the grid radii, and which images differ from fixed n's."""
  radii = grid(next(iter(found.values())).settings["sigma"], next(iter(found.values())).settings["n"])
  text = [
    "Certified accuracy (radius > R). Radii that a rule was not asked for are left out."
    if fixed is None
    else CELLS
  ]
  text += ["", f"| rule | images | {' | '.join(f'{r:g}' for r in radii)} | largest difference, points |"]
  text += ["| --- | ---: " + "| ---: " * (len(radii) + 1) + "|"]
  for rule, file in found.items():
    asked = looks.grid_radii(file.settings)
    if fixed is None or rule == "fixed":
      mine = {r: statistics.counted(file, r) for r in radii}
      images, against = len(file), None
    else:
      _, ours, theirs = np.intersect1d(file.columns["idx"], fixed.columns["idx"], return_indices=True)
      mine = {r: statistics.counted(file, r)[ours] for r in radii}
      images, against = len(ours), {r: statistics.counted(fixed, r)[theirs] for r in radii}
    line, worst = [described(rule, file.settings), f"{images:,}"], (0, 0)
    for r in radii:
      if asked is not None and r not in asked:
        line.append("")
        continue
      cell = f"{mine[r].mean():.3f}" if images else ""
      if against is not None and images:
        lost, won = int(np.sum(against[r] & ~mine[r])), int(np.sum(mine[r] & ~against[r]))
        cell += f" (-{lost} +{won})"
        worst = max(worst, (lost, won), key=lambda pair: abs(pair[0] - pair[1]))
      line.append(cell)
    line.append("" if against is None or not images else difference(*worst, images))
    text.append(f"| {' | '.join(line)} |")
  return "\n".join(text)


def difference(lost, won, images):
  """Points of certified accuracy won, with a paired interval that holds with 95 %: see `CELLS`."""
  low, high = bounds.interval(np.array([won, lost]), images, 0.975)
  ends = low[0] - high[1], high[0] - low[1]
  return f"{points((won - lost) / images)} ({points(ends[0])} to {points(ends[1])})"


def points(share):
  """A share in points, with its sign, and none at 0."""
  return f"{100 * share:+.2f}" if share else "0"


def answers(found, fixed):
  """What PREDICT answers, and what the votes of fixed n's file would."""
  others = {described(rule, file.settings): file for rule, file in found.items()}
  reference = None if fixed is None else analysis.as_predictions(fixed)
  if reference is not None:
    others[f"PREDICT, n = {fixed.settings['n']:,} fixed, from the votes of CERTIFY"] = reference
  text = ["| answers | images | correct | wrong | abstained |", "| --- | ---: | ---: | ---: | ---: |"]
  for name, file in others.items():
    right, none = file.columns["correct"].mean(), (file.columns["predict"] == -1).mean()
    text.append(f"| {name} | {len(file):,} | {right:.3f} | {1 - right - none:.3f} | {none:.3f} |")
  return "\n".join(text)


if __name__ == "__main__":
  console.leave(main(sys.argv[1:]))

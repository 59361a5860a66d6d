"""The gap between what is certified and what an attack finds, on one data set at several sigmas.

  python experiments/attack_gap.py OUT [--sigma 0.25 0.5]

Each training, certification and attack is a command of rsjax, is shown as one, and does nothing where it is
complete. Interrupted at any time, the same command continues. Everything lies in one folder:

  OUT/model_SIGMA/         checkpoint and log of a training with noise SIGMA
  OUT/certify_SIGMA.tsv    result file of its certification, its manifest beside it
  OUT/attack_SIGMA.tsv     result file of the attack on the same images
  OUT/tables/              tables and the plot that rsjax.analyze makes of all of them
  OUT/summary.md           certified accuracy, what the attack leaves, and the gap of each image
"""

import datetime
import shlex
import sys

import numpy as np
import pipeline

from rsjax import analysis, analyze, attack, certify, files, results, train
from rsjax.cli import console


def parser():
  made = pipeline.small_parser(__doc__)
  add = made.add_argument
  add("--sigma", type=float, nargs="+", default=[0.25, 0.5], help="noise levels (default: 0.25 0.5)")
  add("--N", type=int, default=10_000, help="draws per image, of certificates and of points (default: 10000)")
  add("--skip", type=int, default=5, help="take every SKIPth test image (default: 5)")
  add("--max", type=int, default=72, help="at most so many images (default: 72)")
  add("--steps", type=int, default=10, help="gradient steps at each radius (default: 10)")
  add("--noise-vectors", type=int, default=32, help="noisy copies for a gradient (default: 32)")
  return made


def main(argv=None):
  return console.run("attack_gap.py", _body, parser().parse_args(argv))


def _body(args):
  out = files.local(args.out)
  out.mkdir(parents=True, exist_ok=True)
  pairs = []
  for sigma in (f"{value:g}" for value in args.sigma):
    model, certified, attacked = (out / f"{name}_{sigma}" for name in ("model", "certify", "attack"))
    certified, attacked = (f"{path}.tsv" for path in (certified, attacked))
    fit = ["--batch", 128, "--epochs", args.epochs, "--lr_step_size", max(1, args.epochs // 3)]
    console.type_command("train", train.main, args.dataset, args.arch, model, "--noise", sigma, *fit)
    images = ["--skip", args.skip, "--max", args.max, "--N", args.N]
    console.type_command("certify", certify.main, args.dataset, model, sigma, certified, *images)
    search = ["--method", "both", "--steps", args.steps, "--noise-vectors", args.noise_vectors]
    console.type_command("attack", attack.main, args.dataset, model, sigma, attacked, *images, *search)
    pairs.append((certified, attacked))
  every = [path for pair in pairs for path in pair]
  console.type_command("analyze", analyze.main, *every, "-o", out / "tables")
  (out / "summary.md").write_text(summary(args, pairs), encoding="utf-8")
  print(f"\nwrote {out}/summary.md and {out}/tables")


def summary(args, pairs):
  """The text of summary.md."""
  heads = ["sigma", "images", "certified at 0", "ACR", "wrong or attacked at 0", "mean distance, at most"]
  heads += ["attacked", "median gap in sigma", "distance over radius", "contradictions"]
  lines = [heads, ["---:"] * len(heads)]
  for certified, attacked in pairs:
    gap = analysis.compare(results.read(certified), results.read(attacked))
    lines.append(line_of(gap))
  table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
  shown = shlex.join(["python", "experiments/attack_gap.py", "OUT", *_given(args)])
  note = f" {args.note}" if args.note else ""
  return (
    HEAD.format(command=shown, date=datetime.date.today(), versions=pipeline.versions(), note=note)
    + table
    + PLOT
  )


def line_of(gap):
  """The cells of one sigma."""
  certified, attacked = gap.certified, gap.attacked
  sigma = certified.settings["sigma"]
  radius, norm = certified.columns["radius"], attacked.columns["norm"]
  right = certified.columns["correct"] == 1
  both = right & np.isfinite(norm)
  last = attacked.settings["radii"][-1]
  return [
    f"{sigma:g}",
    str(len(certified)),
    f"{right.mean():.3f}",
    f"{analysis.average_certified_radius(certified):.3f}",
    f"{(norm == 0).mean():.3f}",
    f"{np.minimum(norm, last).mean():.3f}",
    f"{int(both.sum())} of {int(right.sum())}",
    f"{np.median((norm - radius)[both]) / sigma:.2f}",
    f"{np.median(norm[both] / radius[both]):.2f}",
    str(len(gap.contradictions)),
  ]


def _given(args):
  """The flags that differ from their defaults."""
  given = vars(args) | {"out": None, "note": None}
  defaults = vars(parser().parse_args(["OUT"])) | {"out": None, "note": None}
  flags = []
  for name, value in given.items():
    if value != defaults[name]:
      several = value if isinstance(value, list) else [value]
      flags += [f"--{name.replace('_', '-')}", *map(str, several)]
  return flags


HEAD = """# What is certified, and what an attack finds

    {command}

{date}, {versions}.{note}

Robust accuracy is at least certified accuracy and at most what the attack leaves. The attack searches at radii
sigma / 4, sigma / 2, ..., 4 sigma, with PGD and DDN at each. A distance is that of the first example that
PREDICT verified with other draws; a nearer one may exist.

- **Wrong or attacked at 0**: the share of images whose own answer was verified to be wrong.
- **Mean distance**: of the examples; 0 if the image itself is answered wrongly, the last radius if none was
  found.
- **Attacked**: how many of the images that are right and certified have an example; **median gap** (distance
  less certified radius) and **distance over radius** (median, too) are of these.
- **Contradictions**: examples inside a certified radius. There can be none if both are right.

"""

PLOT = "\n\n![certified accuracy, and what the attack leaves](tables/certified_accuracy.png)\n"

if __name__ == "__main__":
  sys.exit(main())

"""One small network for each kind of noise, trained and certified under it: certified accuracy, by norm.

  python experiments/noises.py OUT [--sigma 0.5 --epochs 60]

Each training and each certification is a command of rsjax, is shown as one, and does nothing where it is
complete. Interrupted at any time, the same command continues. Everything lies in one folder:

  OUT/KIND/       checkpoint and log of a training
  OUT/KIND.tsv    result file of its certification, its manifest beside it
  OUT/summary.md  one table per norm, of the kinds that prove radii in it
  OUT/NORM.png    certified accuracy against radius in that norm

Every noise but column ablation has the same standard deviation, and the settings are not tuned. A kind is in
each table whose norm it proves. Gaussian noise has l1 and l-infinity radii, too: they follow from its l2 radii.
"""

import csv
import datetime
import shlex
import sys

import jax
import numpy as np
import pipeline

from rsjax import analysis, certify, files, noise, results, train
from rsjax.cli import console
from rsjax.errors import InputError

DRAWN = ("--N", 10_000)
# By --noise-kind: what else `certify` is given. A kind that takes another number for SIGMA has it in SIZES.
KINDS = {
  "gaussian": DRAWN,
  "grid": DRAWN,
  "uniform": DRAWN,
  "laplace": DRAWN,
  "splitting": (),  # exact: of all its draws, as the next
  "columns": (),
}
SIZES = {"columns": 2}  # the width of its band
RADII = {
  "l2": (0.0, 0.25, 0.5, 0.75, 1.0, 1.25),
  "l1": (0.0, 0.25, 0.5, 0.75, 1.0, 1.25),
  "linf": (0.0, 0.03, 0.06, 0.09, 0.12, 0.15),
  "patch": (0.0, 1.0, 2.0, 3.0),
}
CALLED = {
  "l2": "l2 radius",
  "l1": "l1 radius",
  "linf": "l-infinity radius",
  "patch": "width of a patch in pixels",
}


def parser():
  made = pipeline.small_parser(__doc__)
  add = made.add_argument
  add("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="only these (default: all)")
  add(
    "--sigma", type=float, default=0.5, help="standard deviation of each noise, pixels in [0, 1] (default: 0.5)"
  )
  add("--batch", type=int, default=128, help="images per update (default: 128)")
  add("--skip", type=int, default=3, help="certify every SKIPth test image (default: 3)")
  return made


def main(argv=None):
  return console.run("noises.py", _body, parser().parse_args(argv))


def _body(args):
  out = files.local(args.out)
  out.mkdir(parents=True, exist_ok=True)
  for kind in args.kinds:
    size, own = f"{SIZES.get(kind, args.sigma):g}", ("--noise-kind", kind)
    how = ["--epochs", args.epochs, "--batch", args.batch, "--lr_step_size", max(1, args.epochs // 3)]
    console.type_command("train", train.main, args.dataset, args.arch, out / kind, "--noise", size, *own, *how)
    told = [args.dataset, out / kind, size, out / f"{kind}.tsv", *own, *KINDS[kind], "--skip", args.skip]
    console.type_command("certify", certify.main, *told)
  found = {kind: results.read(out / f"{kind}.tsv") for kind in args.kinds}
  tables = []
  for norm, radii in RADII.items():
    shown = {kind: f for kind, file in found.items() if (f := _in_norm(file, norm)) is not None}
    if shown:
      names = list(shown)
      title = f"{args.dataset}, every sigma = {args.sigma:g}"
      analysis.plot(list(shown.values()), out / f"{norm}.png", title, names=names)
      tables.append(_table(norm, radii, shown))
  text = _summary(args, found, tables, {kind: _test_accuracy(out / kind) for kind in args.kinds})
  (out / "summary.md").write_text(text, encoding="utf-8")
  print(f"\n{text}\nwrote {out}/summary.md and its pictures")


def _in_norm(file, norm):
  """The file with its radii in a norm; None where its noise proves nothing in it."""
  try:
    return analysis.with_norm(file, norm)
  except InputError:
    return None


def _table(norm, radii, shown):
  """One line per kind; a star where radii follow from those of another norm."""
  heads = ["noise", "ACR", *(f"{r:g}" for r in radii), "abstained"]
  lines = [heads, ["---", *["---:"] * (len(heads) - 1)]]
  for kind, file in shown.items():
    own = noise.from_settings(file.settings).norm
    accuracy = analysis.certified_accuracy(file, radii)
    acr = np.where(file.columns["correct"] == 1, file.columns["radius"], 0.0).mean()
    star = "" if own == norm else f" (from {own})"
    abstained = analysis.abstention_rate(file)
    lines.append([kind + star, f"{acr:.3f}", *(f"{v:.3f}" for v in accuracy), f"{abstained:.3f}"])
  table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
  return f"## Certified accuracy by {CALLED[norm]}\n\n{table}\n\n![{norm}]({norm}.png)\n"


def _test_accuracy(folder):
  """Of the base classifier under one draw of its noise per test image, after the last epoch."""
  with open(folder / "log.tsv", newline="") as file:
    return float(list(csv.DictReader(file, delimiter="\t"))[-1]["testacc"])


def _summary(args, found, tables, accuracies):
  typed = [f"--{k} {v}" for k, v in vars(args).items() if k not in ("out", "kinds", "note")]
  devices, images = jax.devices(), len(next(iter(found.values())))
  under = "; ".join(f"{kind} {accuracy:.3f}" for kind, accuracy in accuracies.items())
  return f"""# Kinds of noise on {args.dataset}

    python experiments/noises.py OUT {shlex.join(shlex.split(" ".join(typed)))}

{datetime.date.today()}, {pipeline.versions()}, {len(devices)} x {devices[0].device_kind}. {args.note or ""}

{args.arch}, {args.epochs} epochs under each noise, one seed; {images} test images, alpha = 0.001. Radii are in
units of pixels in [0, 1]. Column ablation keeps {SIZES["columns"]} columns. Splitting and column ablation are
certified exactly, without alpha. Accuracy of the base classifiers under their own noise, on all test images:
{under}.

{chr(10).join(tables)}
Do not compare numbers of different tables: the l1 ball of a radius is much smaller than the l2 ball, and the
l-infinity ball much larger.
"""


if __name__ == "__main__":
  sys.exit(main())

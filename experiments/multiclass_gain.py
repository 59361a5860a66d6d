"""What the multi-class bound certifies more than the one-sided one, from the stored votes of result files.

  python experiments/multiclass_gain.py FILE... [--out RECORD.md]

A FILE is a result file of rsjax.certify. All radii are computed anew from its votes, with either bound at the
file's own alpha; nothing is drawn. A second or so; no JAX.
"""

import argparse
import datetime
import pathlib
import platform
import shlex
import sys

import numpy as np
import scipy

import rsjax
from rsjax import analysis, results
from rsjax.errors import InputError

HEAD = """# The multi-class bound on stored votes

    {command}

{date}, {versions}.

Every radius is computed anew from the votes of the file: with the one-sided bound, the paper's, and (→) with
the multi-class one, both at the file's own alpha. Each number is of one bound for all images of the file, never
of the larger radius of the two.

- **ACR**: the average certified radius, and its change. **At 0**: certified accuracy at radius 0, that is, the
  share of right answers. **Abstained**: the share of images without an answer.
- **Larger, smaller**: how many images have a larger radius with the multi-class bound, and how many a smaller
  one; **most lost**: by how much at most, in units of sigma.
"""


def compared(path):
  """The cells of a file's line."""
  file = results.read(path)
  one, multi = (analysis.with_bound(file, bound) for bound in ("one-sided", "multi"))
  acr, at_0, abstained = (
    [measure(f) for f in (one, multi)]
    for measure in (
      analysis.average_certified_radius,
      lambda f: float(analysis.certified_accuracy(f, 0.0)),
      analysis.abstention_rate,
    )
  )
  change = multi.columns["radius"] - one.columns["radius"]
  return [
    f"{file.settings['sigma']:g}",
    f"{file.settings['n']:,}",
    str(len(file)),
    f"{acr[0]:.4f} → {acr[1]:.4f}",
    f"{100 * (acr[1] / acr[0] - 1):+.1f} %",
    f"{at_0[0]:.3f} → {at_0[1]:.3f}",
    f"{abstained[0]:.3f} → {abstained[1]:.3f}",
    f"{np.sum(change > 0)}, {np.sum(change < 0)}",
    f"{max(0.0, float(-change.min())) / file.settings['sigma']:.4f}",
  ]


def main(argv=None):
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("files", nargs="+", metavar="FILE", help="result files of certify")
  parser.add_argument("--out", metavar="RECORD.md", help="write what is printed there, too")
  args = parser.parse_args(argv)
  heads = ["file", "sigma", "n", "images", "ACR", "change", "at 0", "abstained", "larger, smaller", "most lost"]
  try:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)]] + [[path, *compared(path)] for path in args.files]
  except InputError as error:
    print(f"multiclass_gain.py: error: {error}", file=sys.stderr)
    return 2
  head = HEAD.format(
    command=" \\\n      ".join(["python experiments/multiclass_gain.py", *map(shlex.quote, args.files)]),
    date=datetime.date.today(),
    versions=f"rsjax {rsjax.__version__}, Python {platform.python_version()}, NumPy {np.__version__}, "
    f"SciPy {scipy.__version__}",
  )
  text = f"{head}\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
  print(text)
  if args.out:
    pathlib.Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(args.out).write_text(text)
  return 0


if __name__ == "__main__":
  sys.exit(main())

"""The speed of CERTIFY's compiled step under grid noise against float noise, in one run.

  python experiments/noise_speed.py [--arch cifar_resnet20 --repeats 15] [--out FILE.json]

Both kinds take turns, and which goes first changes from pair to pair, so that a machine whose speed varies
treats both alike. The weights are random. Each pair gives one ratio; the record has their median, quartiles,
least and greatest. Where the quartiles are more than 0.1 apart, `too_noisy` says that the machine was too busy.
"""

import argparse
import datetime
import json
import os
import platform
import sys
import time

import jax
import numpy as np

from rsjax import devices, models, noise
from rsjax.cli import console
from rsjax.procedures import Steps
from rsjax.smoothing import Execution, scheduling
from rsjax.training.step import make_init

KINDS = ("gaussian", "grid")
NOISY = 0.1  # distance of the quartiles from which the machine was too busy


class _Draws:
  """The procedure that asks for n draws and wants nothing of them."""

  def __init__(self, n):
    self.n = n

  def steps(self, noise) -> Steps:
    yield (self.n,)


def parser():
  usage, _, epilog = __doc__.partition("\n\n")
  made = argparse.ArgumentParser(
    description=usage, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = made.add_argument
  add("--arch", default="cifar_resnet20", help="architecture, on 32x32x3 images (default: cifar_resnet20)")
  add("--sigma", type=float, default=0.25, help="of both, pixels in [0, 1] (default: 0.25)")
  add("--rows", type=int, default=256, help="noisy images per step (default: 256)")
  add("--steps", type=int, default=8, help="steps in a measurement (default: 8)")
  add("--repeats", type=int, default=15, help="pairs of measurements (default: 15)")
  add("--out", metavar="FILE", help="where to write the record, as JSON")
  return made


def main(argv=None):
  return console.run("noise_speed.py", _body, parser().parse_args(argv))


def _body(args):
  shape = (32, 32, 3)
  scale = {"mean": (0.5,) * 3, "std": (0.25,) * 3}
  model = models.create(args.arch, num_classes=10, dtype=devices.default_dtype(), **scale)
  apply, variables = models.inference(model, jax.device_get(make_init(model, shape)(jax.random.key(0))))
  image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)

  def seconds(kind, steps):
    drawn = noise.of_kind(kind, args.sigma)
    before = time.perf_counter()
    found = scheduling.outcomes(
      apply, variables, [(0, image)], _Draws(steps * args.rows), drawn, execution=Execution(args.rows)
    )
    for _ in found:
      pass
    return time.perf_counter() - before

  for kind in KINDS:
    seconds(kind, 1)  # compiles
  pairs = []
  for place in range(args.repeats):
    order = KINDS if place % 2 == 0 else KINDS[::-1]
    taken = {kind: seconds(kind, args.steps) for kind in order}
    pairs.append([taken[kind] for kind in KINDS])
    print(f"pair {place + 1} of {args.repeats}: {pairs[-1][1] / pairs[-1][0]:.3f}", file=sys.stderr)
  record = summary(args, np.array(pairs))
  print(json.dumps(record, indent=1))
  if args.out:
    with open(args.out, "w", encoding="utf-8") as file:
      file.write(json.dumps(record, indent=1) + "\n")


def summary(args, pairs):
  """The record of seconds [pairs, kinds]."""
  ratios = pairs[:, 1] / pairs[:, 0]
  least, low, median, high, greatest = np.quantile(ratios, [0, 0.25, 0.5, 0.75, 1]).round(3).tolist()
  rates = args.steps * args.rows / np.median(pairs, axis=0)
  return {
    "date": str(datetime.date.today()),
    "settings": {key: value for key, value in vars(args).items() if key != "out"},
    "dtype": devices.default_dtype(),
    "device": f"{len(jax.devices())} x {jax.devices()[0].device_kind}",
    "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    "jax": jax.__version__,
    "python": platform.python_version(),
    "draws_per_second": dict(zip(KINDS, rates.round(1).tolist())),
    "time_of_grid_over_gaussian": {
      "median": median,
      "quartiles": [low, high],
      "least": least,
      "greatest": greatest,
      "all": ratios.round(3).tolist(),
    },
    "too_noisy": bool(high - low > NOISY),
  }


if __name__ == "__main__":
  sys.exit(main())

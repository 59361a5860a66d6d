"""python -m rsjax.predict DATASET CHECKPOINT SIGMA OUTFILE: the smoothed classifier's answers."""

import argparse

from rsjax.cli import arguments, console, execution
from rsjax.errors import InputError

EPILOG = """example:
  python -m rsjax.predict digits out/digits_0.25 0.25 digits_0.25_predict.tsv --N 1000

You can interrupt the command at any time; the same command continues where it stopped. OUTFILE.json, beside
OUTFILE, records the settings."""


def parser() -> argparse.ArgumentParser:
  """The command's arguments."""
  made = arguments.run_parser("predict", "Predict images of a split with PREDICT (Cohen et al. 2019).", EPILOG)
  made.add_argument(
    "--N", type=int, help="draws per image, at most (default: 100000; with --fixed, exactly N, default: 1000)"
  )
  made.add_argument(
    "--fixed",
    action="store_true",
    help="take N draws for every image, as in the paper, instead of stopping when its answer is settled",
  )
  return made


def main(argv: list[str] | None = None) -> int:
  """Runs the command; returns its exit code."""
  return console.run("predict", _body, parser().parse_args(argv))


def _body(args: argparse.Namespace) -> None:
  if args.noise_kind in arguments.EXACT_KINDS:
    raise InputError(f"{args.noise_kind} noise is certified exactly: rsjax.certify gives the class, too")
  from rsjax.procedures import Predict, PredictByLooks

  alpha = arguments.ALPHA if args.alpha is None else args.alpha
  kind, usual = (Predict, 1000) if args.fixed else (PredictByLooks, 100_000)
  results, progress = execution.execute(args, kind(usual if args.N is None else args.N, alpha))
  if results is None:
    return
  from rsjax import analysis  # late: it takes a second, which the first draws need not wait for
  from rsjax.results import plural

  right, abstains = results.columns["correct"].mean(), analysis.abstention_rate(results)
  images = plural(len(results), "image")
  print(f"{images}: {right:.2%} correct, {1 - right - abstains:.2%} wrong, {abstains:.2%} abstained")
  print(progress.summary(args.outfile))


if __name__ == "__main__":
  console.leave(main())

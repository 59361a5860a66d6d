"""python -m rsjax.certify DATASET CHECKPOINT SIGMA OUTFILE: certified radii of a split's images."""

import argparse
import sys

from rsjax.cli import arguments, console, execution, noises, stopping

EPILOG = """example:
  python -m rsjax.certify digits out/digits_0.25 0.25 digits_0.25.tsv --skip 20

You can interrupt the command at any time; the same command continues where it stopped (but see --stop
anytime). Image k is image k in the original order of the split. OUTFILE.json, beside OUTFILE, records the
settings."""


def parser() -> argparse.ArgumentParser:
  """The command's arguments."""
  made = arguments.run_parser("certify", "Certify images of a split with CERTIFY (Cohen et al. 2019).", EPILOG)
  made.add_argument(
    "--N0",
    type=stopping.selection_draws,
    help="draws per image to select the class (default: 100); auto: 100, and 900 more if two classes are close",
  )
  made.add_argument("--N", type=int, help="draws per image to estimate its probability (default: 100000)")
  made.add_argument(
    "--bound",
    choices=("one-sided", "multi"),
    help="one-sided: the paper's bound, from the votes for the selected class; multi: also counts the votes "
    "for the strongest other class, which certifies more if there are many classes (default: one-sided)",
  )
  noises.add_lambda(made)
  stopping.add_stop(made)
  return made


def main(argv: list[str] | None = None) -> int:
  """Runs the command; returns its exit code."""
  return console.run("certify", _body, parser().parse_args(argv))


def _body(args: argparse.Namespace) -> int:
  budget = stopping.seconds(args.time_budget)
  results, progress = execution.execute(args, stopping.certify_procedure(args), budget)
  if results is None or not len(results):
    return 0 if results is None else execution.exit_code(results)
  from rsjax import analysis  # late: it takes a second, which the first draws need not wait for
  from rsjax.analysis import contradictions, looks

  radii = analysis.grid(results)
  print(analysis.table([results], radii))
  print(progress.summary(args.outfile))
  for text in contradictions.of_rows(results):
    print(f"warning: {args.outfile}: {text}", file=sys.stderr)
  for text in looks.told(results, radii):
    print(f"note: {text}", file=sys.stderr)
  return execution.exit_code(results)


if __name__ == "__main__":
  console.leave(main())

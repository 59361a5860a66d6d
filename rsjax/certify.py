"""python -m rsjax.certify DATASET CHECKPOINT SIGMA OUTFILE: certified radii of a split's images."""

import argparse

from rsjax.cli import arguments, console, execution, stopping

EPILOG = """example:
  python -m rsjax.certify digits out/digits_0.25 0.25 digits_0.25.tsv --skip 20

Interrupt it at any time; the same command continues where it was. Image k of the split is image k
of its original order. OUTFILE.json, beside OUTFILE, keeps the settings."""


def parser() -> argparse.ArgumentParser:
  """The command's arguments."""
  made = arguments.run_parser("certify", "Certify images of a split with CERTIFY (Cohen et al. 2019).", EPILOG)
  made.add_argument(
    "--N0",
    type=stopping.selection_draws,
    default=100,
    help="draws to select the class with (default: 100); auto: 100, and 900 more where two classes are close",
  )
  made.add_argument("--N", type=int, default=100_000, help="draws to estimate with (default: 100000)")
  made.add_argument(
    "--bound",
    choices=("one-sided", "multi"),
    default="one-sided",
    help="one-sided: the paper's, from the votes for the selected class; multi: those for the strongest other "
    "class count, too, which certifies more where there are many classes (default: one-sided)",
  )
  stopping.add_stop(made)
  return made


def main(argv: list[str] | None = None) -> int:
  """Runs the command; returns its exit code."""
  return console.run("certify", _body, parser().parse_args(argv))


def _body(args: argparse.Namespace) -> None:
  budget = stopping.seconds(args.time_budget)
  results, progress = execution.execute(args, stopping.certify_procedure(args), budget)
  if results is None:
    return
  if not len(results):
    execution.check_ended(results)
  from rsjax import analysis  # late: it takes a second, which the first draws need not wait for

  print(analysis.table([results], analysis.grid(results)))
  print(progress.summary(args.outfile))
  execution.check_ended(results)


if __name__ == "__main__":
  console.leave(main())

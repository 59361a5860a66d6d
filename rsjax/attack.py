"""python -m rsjax.attack DATASET CHECKPOINT SIGMA OUTFILE: adversarial examples of the smoothed classifier."""

import argparse
import sys

from rsjax.cli import arguments, attacking, console, execution

EPILOG = """example:
  python -m rsjax.attack digits out/digits_0.25 0.25 digits_0.25_attack.tsv --radii 0.25,0.5,0.75,1
  python -m rsjax.analyze digits_0.25.tsv digits_0.25_attack.tsv -o tables

An example counts if PREDICT answers a class other than the label there, from other draws than the attack used.
So robust accuracy is at most what the attack leaves, and at least what rsjax.certify certifies.

You can interrupt the command at any time; the same command continues where it stopped. OUTFILE.json, beside
OUTFILE, records the settings."""


def parser() -> argparse.ArgumentParser:
  """The command's arguments."""
  made = arguments.run_parser("attack", "Attack the smoothed classifier: an upper bound of robustness.", EPILOG)
  attacking.add(made)
  return made


def main(argv: list[str] | None = None) -> int:
  """Runs the command; returns its exit code."""
  return console.run("attack", _body, parser().parse_args(argv))


def _body(args: argparse.Namespace) -> None:
  results, progress = execution.execute(args, attacking.procedure(args))
  if results is None:
    return
  from rsjax.analysis import contradictions

  print("\n".join(attacking.summary(results)))
  print(progress.summary(args.outfile))
  for text in contradictions.of_rows(results):
    print(f"warning: {args.outfile}: {text}", file=sys.stderr)


if __name__ == "__main__":
  console.leave(main())

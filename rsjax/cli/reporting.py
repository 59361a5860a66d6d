"""What analyze says beside its tables: whether files support claims, and the report as one HTML page."""

import argparse
import textwrap
from collections.abc import Sequence
from typing import Any

from rsjax.cli import arguments, console, parsing
from rsjax.errors import InputError
from rsjax.files import local


def add(made: argparse.ArgumentParser) -> None:
  """Adds --claim, --html, --data and --data-dir."""
  made.add_argument(
    "--claim",
    action="append",
    metavar="CLAIM",
    help='a certified accuracy that is claimed, such as "0.61 at 0.25" or "61%% at 0.25": say whether each '
    "file supports it, with the interval, and with what may be certified wrongly; with --rho, take that off "
    "first. The exit code is 1 if a file does not support a claim. May be repeated (default: none)",
  )
  made.add_argument(
    "--html",
    metavar="FILE.html",
    help="write a report, one page that needs no network: tables, pictures, classes, costs, settings, versions "
    "and all warnings; needs pip install jinja2 matplotlib (default: none)",
  )
  made.add_argument(
    "--data",
    metavar="DATASET",
    help="data set whose images the report shows, by name or path (default: the one that the file names, if it "
    "is there)",
  )
  arguments.add_data_dir(made)


def check(args: argparse.Namespace) -> None:
  """Refuses what cannot be used, before any file is read; puts the parsed claims into `args.claims`.

  Raises:
    InputError: for a claim that is none, a path on another machine, or a missing package.
  """
  from rsjax import analysis
  from rsjax.analysis import claims

  args.claims = [claims.parse(text) for text in args.claim or ()]
  if args.radii and parsing.LEADERBOARD in args.radii and len(args.radii) > 1:
    raise InputError("--radii takes numbers, or the word leaderboard alone")
  for flag in ("data", "data_dir"):
    local(getattr(args, flag) or "")
    if getattr(args, flag) is not None and args.html is None:
      raise InputError(f"`{flag}` belongs to the report: give `html`, too")
  if args.html is not None:
    analysis.check_report(args.html)


def refuse_predictions(args: argparse.Namespace) -> None:
  """Raises InputError for what only files of CERTIFY have."""
  for flag in ("claim", "html"):
    if getattr(args, flag):
      raise InputError(f"--{flag} is about certified radii, which PREDICT's answers do not have: leave it out")


def radii_of(files: Sequence[Any], args: argparse.Namespace) -> Sequence[float]:
  """The radii of the table's columns."""
  from rsjax import analysis
  from rsjax.analysis import leaderboard

  if args.radii == [parsing.LEADERBOARD]:
    return leaderboard.radii_of(files)
  return [*dict.fromkeys(args.radii or analysis.common_grid(files))]


def contradicted(files: Sequence[Any], args: argparse.Namespace) -> dict[str, list[str]]:
  """{path: what in the file contradicts itself}, of files as they were read; {} if there is no claim."""
  from rsjax.analysis import claims

  return {f.path: claims.contradicting(f) for f in files} if args.claims else {}


def verdicts_on(
  files: Sequence[Any],
  names: Sequence[str],
  args: argparse.Namespace,
  odd: dict[str, list[str]],
  inside: Sequence[Sequence[str]],
) -> list[Any]:
  """What each file says of each claim.

  Args:
    files, names: the files, and what to call them.
    args: the command's arguments.
    odd: from `contradicted`; results of several files together have the contradictions of all of them.
    inside: for each file, what attacks found inside its certified radii.
  """
  from rsjax.analysis import claims

  of_all = [f"{path}: {text}" for path, texts in odd.items() for text in texts]
  against = [[*odd.get(f.path, of_all), *found] for f, found in zip(files, inside)]
  settings = {"rule": args.rule, "confidence": args.confidence, "rho": args.rho, "against": against}
  return claims.judge_all(files, names, args.claims, **settings)


def write(
  files: Sequence[Any],
  args: argparse.Namespace,
  radii: Sequence[float],
  verdicts: Sequence[Any],
  warnings: Sequence[str],
) -> None:
  """Writes the report, if it is asked for."""
  from rsjax import analysis

  if args.html is None:
    return
  analysis.report(
    files,
    args.html,
    radii,
    names=args.label,
    title=args.title,
    rule=args.rule,
    confidence=args.confidence,
    rho=args.rho,
    claims=verdicts,
    warnings=warnings,
    dataset=args.data,
    data_dir=args.data_dir,
    command=console.typed("analyze", args.typed),
  )


def say(verdicts: Sequence[Any], width: int) -> None:
  """Prints the verdicts on claims."""
  wrap = lambda text, first, then: textwrap.fill(
    text, width, initial_indent=first, subsequent_indent=then, break_long_words=False, break_on_hyphens=False
  )
  for verdict in verdicts:
    print("\n" + wrap(verdict.head, "", ""))
    for text in verdict.details:
      print(wrap(text, "- ", "  "))


def exit_code(verdicts: Sequence[Any]) -> int:
  """0 if all claims are supported, else 1."""
  return 0 if all(verdict.supported for verdict in verdicts) else 1

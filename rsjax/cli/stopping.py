"""The flags of `certify` that stop drawing when an answer is settled, and the procedure that they ask for."""

import argparse
import re
from typing import Any

from rsjax.cli import arguments, noises
from rsjax.errors import InputError

_HOURS = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")


def add_stop(made: argparse.ArgumentParser) -> None:
  """Adds --stop and the flags that belong to it, as a group."""
  group = made.add_argument_group(
    "stopping early",
    "By default every image takes N0 + N draws, as in the paper. With one of these flags, drawing stops at one "
    "of a fixed series of looks, as soon as the answer is settled; N is then the maximum. The certificates are "
    "as valid as without them: see docs/stopping-early.md.",
  )
  group.add_argument(
    "--radii",
    metavar="R,R,...",
    help="stop when it is settled which of these radii are certified (pixels in [0, 1]; 0: the class alone). "
    "A table at these radii is nearly that of all N draws; accuracies at other radii and the ACR are lower "
    "bounds",
  )
  group.add_argument(
    "--tolerance",
    metavar="5%",
    help="stop when more draws are expected to add little: when the radius is within this share, or within "
    "0.02 sigma, of the radius expected of all N draws",
  )
  group.add_argument(
    "--stop",
    choices=("anytime",),
    help="anytime: no rule. All images go on side by side; Ctrl-C or --time-budget ends the run "
    "for good, and each image gets the radius that it has reached",
  )
  group.add_argument(
    "--time-budget",
    metavar="2h",
    help="end the run after drawing for this time, with its unit: 2h, 90m, 45s or 1h30m; each image gets the "
    "radius that it has reached (implies --stop anytime if no other rule is given). The time does not include "
    "the start, compilation and the choice of --batch",
  )
  group.add_argument(
    "--give-up",
    metavar="1%",
    help="for --radii and --tolerance: probability that the draws that are saved would have certified more "
    "(default: 1%%; 0: give nothing up)",
  )


def certify_procedure(args: argparse.Namespace) -> Any:
  """CERTIFY with N fixed, or by looks if one of the flags asks for it; None for an exact certificate.

  Raises:
    InputError: for values that cannot be used, or flags that cannot be combined.
  """
  if noises.is_exact(args):
    return None
  from rsjax.bounds import ONE_SIDED
  from rsjax.procedures import Anytime, Certify, CertifyByLooks, Radii, StopRule, Tolerance

  n0, n = 100 if args.N0 is None else args.N0, 100_000 if args.N is None else args.N
  alpha, bound = arguments.ALPHA if args.alpha is None else args.alpha, args.bound or ONE_SIDED
  rules = [flag for flag in ("radii", "tolerance", "stop") if getattr(args, flag) is not None]
  if len(rules) > 1:
    raise InputError(f"{' and '.join('--' + rule for rule in rules)} are different rules: give one of them")
  give_up = {} if args.give_up is None else {"give_up": share(args.give_up, "--give-up")}
  if args.radii is not None:
    stop: StopRule = Radii(_radii(args.radii), **give_up)
  elif args.tolerance is not None:
    stop = Tolerance(_above_zero(share(args.tolerance, "--tolerance")), **give_up)
  elif give_up:
    raise InputError("--give-up applies only to --radii and --tolerance: give one of them, too")
  elif args.stop or args.time_budget is not None:
    stop = Anytime()
  elif n0 == "auto":
    raise InputError("--N0 auto needs --radii, --tolerance or --stop: with N fixed, give a number of draws")
  else:
    return Certify(n0, n, alpha, bound)
  return CertifyByLooks(n0, n, alpha, stop, bound=bound)


def _above_zero(tolerance: float) -> float:
  if tolerance == 0:
    raise InputError("a tolerance of 0 never stops drawing: give a larger --tolerance, or leave it out")
  return tolerance


def selection_draws(text: str) -> int | str:
  """--N0: a number of draws, or "auto"."""
  return text if text == "auto" else int(text)


def share(text: str, flag: str) -> float:
  """5% or 0.05 as 0.05.

  Raises:
    InputError: for anything that is not a share, or a number of 1 or more without a per cent sign.
  """
  try:
    value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
  except ValueError as error:
    raise InputError(f"{flag} must be a share such as 5% or 0.05, got {text}") from error
  if not text.endswith("%") and value >= 1:
    raise InputError(f"{flag} must be below 100%, got {text}: for {value:g} per cent, give {value:g}%")
  return value


def seconds(text: str | None) -> float | None:
  """2h, 90m, 45s or 1h30m in seconds; None if no time is given.

  Raises:
    InputError: for anything else.
  """
  if text is None:
    return None
  found = _HOURS.fullmatch(text.replace(" ", "").lower())
  if not (found and any(found.groups())):
    raise InputError(f"--time-budget must be a time such as 2h, 90m, 45s or 1h30m, got {text}")
  hours, minutes, rest = (float(part or 0) for part in found.groups())
  value = 3600 * hours + 60 * minutes + rest
  if value <= 0:
    raise InputError(f"--time-budget must be longer than 0 s, got {text}")
  return value


def _radii(text: str) -> tuple[float, ...]:
  try:
    return tuple(float(part) for part in text.split(","))
  except ValueError as error:
    raise InputError(f"--radii must be numbers separated by commas, such as 0,0.25,0.5, got {text}") from error

"""The noise that the arguments of certify and predict ask for, and what an exact one has no use for."""

import argparse
import math
from typing import Any

from rsjax.cli import arguments
from rsjax.errors import InputError

_ROUNDED = 0.005  # SIGMA and --lambda may differ by this share: three digits are typed of one of them
# The flags of certificates from random draws, by their names in the arguments.
_RANDOM = {
  "N0": "--N0",
  "N": "--N",
  "alpha": "--alpha",
  "bound": "--bound",
  "radii": "--radii",
  "tolerance": "--tolerance",
  "stop": "--stop",
  "time_budget": "--time-budget",
  "give_up": "--give-up",
}


def add_lambda(made: argparse.ArgumentParser) -> None:
  """Adds --lambda."""
  made.add_argument(
    "--lambda",
    dest="reach",
    type=float,
    metavar="L",
    help="for --noise-kind splitting: half the distance of two thresholds, pixels in [0, 1]; there are "
    "floor(510 L) draws. SIGMA must then be L / sqrt(3), to three digits (default: sqrt(3) SIGMA)",
  )


def of(args: argparse.Namespace) -> Any:
  """The noise of --noise-kind, SIGMA and --lambda.

  Raises:
    InputError: for numbers that it cannot have.
  """
  from rsjax import noise

  kind, reach = args.noise_kind, getattr(args, "reach", None)
  if kind not in arguments.EXACT_KINDS:
    arguments.check_grey_levels(args.sigma, "SIGMA")
  if reach is None:
    return noise.of_kind(kind, args.sigma)
  if kind != noise.Splitting.name:
    raise InputError(f"--lambda belongs to --noise-kind {noise.Splitting.name}, not to {kind}: leave it out")
  made = noise.Splitting.of_lambda(reach)
  if not abs(math.sqrt(3) * args.sigma - reach) <= _ROUNDED * reach:
    raise InputError(
      f"SIGMA {args.sigma:g} means lambda = {math.sqrt(3) * args.sigma:.6g}, not {reach:g}: give SIGMA "
      f"{made.sigma:.4g}, or leave out --lambda"
    )
  return made


def is_exact(args: argparse.Namespace) -> bool:
  """Whether certificates are exact, from all draws of the noise.

  Raises:
    InputError: if they are, and a flag was given that they have no use for.
  """
  if args.noise_kind not in arguments.EXACT_KINDS:
    return False
  if given := [flag for name, flag in _RANDOM.items() if getattr(args, name) is not None]:
    raise InputError(
      f"{args.noise_kind} noise is certified exactly: each of its draws is classified once, and nothing is "
      f"left to chance. Leave out {' and '.join(given)}"
    )
  return True

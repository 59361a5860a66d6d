"""The flags of the attack, and what it says at its end."""

import argparse
from collections.abc import Sequence
from typing import Any

from rsjax.cli import arguments
from rsjax.errors import InputError

_USUAL = 16  # radii, if none are given: multiples of a quarter of sigma


def add(made: argparse.ArgumentParser) -> None:
  """Adds the flags that certify and predict do not have."""
  add = made.add_argument
  for action in made._actions:
    if action.dest == "batch":  # it decides how many images share the program of the search
      action.help = (
        "noisy images per step, over all devices; may change a point by rounding, never whether it is verified "
        "rightly (default: by the size of an image)"
      )
  add("--norm", choices=("l2",), default="l2", help="norm of the perturbation (default: l2, the only one)")
  add(
    "--radii",
    metavar="R,R,...",
    help="radii at which adversarial examples are searched, in this order, pixels in [0, 1]; an image is done "
    "with the first at which one is verified (default: multiples of SIGMA / 4 up to 4 SIGMA)",
  )
  add(
    "--method",
    choices=("pgd", "ddn", "both"),
    default="pgd",
    help="pgd: projected gradient ascent as in SmoothAdv; ddn: decoupled direction and norm, whose direction "
    "is followed up to the radius; both: each at every radius (default: pgd)",
  )
  add("--steps", type=int, default=20, help="gradient steps at each radius (default: 20)")
  add(
    "--noise-vectors",
    type=int,
    default=64,
    help="noisy copies of each image from which a gradient is taken (default: 64)",
  )
  add("--N", type=int, default=10_000, help="draws that verify a point, at most (default: 10000)")


def procedure(args: argparse.Namespace) -> Any:
  """The `Attack` of the arguments.

  Raises:
    InputError: for values that cannot be used.
  """
  if args.noise_kind in arguments.EXACT_KINDS:
    raise InputError(
      f"the attack is for random noise, not for {args.noise_kind} noise, whose certificates are exact"
    )
  from rsjax import bounds
  from rsjax.procedures import Attack

  bounds.check_sigma(args.sigma)
  if args.radii is None:
    radii = tuple(round(args.sigma * (k + 1) / 4, bounds.RADIUS_DIGITS) for k in range(_USUAL))
  else:
    try:
      radii = tuple(float(part) for part in args.radii.split(","))
    except ValueError as error:
      mend = "--radii must be numbers separated by commas, such as 0.25,0.5"
      raise InputError(f"{mend}, got {args.radii}") from error
  alpha = arguments.ALPHA if args.alpha is None else args.alpha
  return Attack(radii, args.method, args.steps, args.noise_vectors, args.N, alpha)


def summary(results: Any) -> Sequence[str]:
  """What the attack found, line by line."""
  from rsjax.analysis import attacked
  from rsjax.results import plural

  radii = [0.0, *results.settings["radii"]]
  left = attacked.attacked_accuracy(results, radii)
  found = int((results.columns["epsilon"] < float("inf")).sum())
  images = plural(len(results), "image")
  lines = [f"{images}: the smoothed classifier is wrong for {found} of them within {radii[-1]:g}, as verified"]
  lines += ["", "radius   robust accuracy is at most"]
  return [*lines, *(f"{radius:<8g} {share:.3f}" for radius, share in zip(radii, left))]

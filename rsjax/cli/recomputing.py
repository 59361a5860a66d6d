"""What `analyze` computes anew: at another alpha, n or bound, for top-k, of files combined, in another norm."""

import argparse
from collections.abc import Sequence
from typing import Any

from rsjax.errors import InputError


def add(made: argparse.ArgumentParser) -> None:
  """Adds the flags."""
  add = made.add_argument
  add("--alpha", type=float, help="analyse the stored votes again at this alpha (default: the file's own)")
  add(
    "--n",
    "--N",
    type=int,
    help="analyse as if only N draws had been made: a random choice of each image's draws, because votes do "
    "not record which draws came first (default: all)",
  )
  add(
    "--bound",
    choices=("one-sided", "multi"),
    help="analyse the stored votes again with this bound: one-sided, the paper's, or multi, which uses the "
    "votes for the strongest other class, too. Choose it before looking at the results; the larger of both "
    "radii is not valid (default: the file's own)",
  )
  add(
    "--top-k",
    type=int,
    metavar="K",
    help="analyse the stored votes again for the radius within which the label stays among the K most probable "
    "classes: certified top-K accuracy, for data sets of many classes. Choose K before looking at the results",
  )
  add(
    "--norm",
    choices=("l1", "l2", "linf"),
    help="show radii in this norm, where the noise proves them: l2, l1 and l-infinity (linf) of gaussian and "
    "grid noise, l1 and linf of uniform noise, l1 of laplace noise (default: l2, or l1 if l2 is not proved)",
  )
  add(
    "--combine",
    choices=("cascade", "dual"),
    help="one certificate from several files of the same images, which share alpha: cascade, the answer of the "
    "largest sigma at which one class has more than half of the probability; or dual, where the class of the "
    "first file chooses which of the other files answers, from 0 on. Gives a table, not a result file",
  )


def check(args: argparse.Namespace) -> None:
  """Raises InputError for an alpha that cannot be, or flags that exclude each other."""
  from rsjax import bounds

  if args.alpha is not None:
    bounds.check_alpha(args.alpha)
  if args.top_k is not None and (args.reference or args.bound is not None):
    raise InputError("--top-k has its own bound, and none of PREDICT: give it without --bound and --reference")
  if args.combine and (args.reference or args.bound is not None or args.top_k is not None):
    raise InputError("--combine has its own bounds: give it without --bound, --top-k and --reference")
  if args.norm and (args.combine or args.reference):
    raise InputError("--norm is for the radii of each file: give it without --combine and --reference")


def combined(files: Sequence[Any], args: argparse.Namespace) -> list[Any]:
  """The one certificate of the files, where it is asked for; else the files."""
  from rsjax import analysis

  if args.combine is None:
    return list(files)
  return [analysis.combine(args.combine, [_again(f, args) for f in files])]


def again(files: Sequence[Any], args: argparse.Namespace) -> list[Any]:
  """The files at another n and alpha, with another bound, or for top-k, where asked for."""
  return list(files) if args.combine is not None else [_again(f, args) for f in files]


def _again(f: Any, args: argparse.Namespace) -> Any:
  from rsjax import analysis

  if args.n is not None:
    f = analysis.with_draws(f, args.n)
  if args.bound is not None:
    f = analysis.with_bound(f, args.bound)
  if args.alpha is not None:
    f = analysis.with_alpha(f, args.alpha)
  if args.top_k is not None:
    f = analysis.with_top_k(f, args.top_k)
  return f if args.norm is None else analysis.with_norm(f, args.norm)

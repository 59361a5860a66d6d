"""The same votes at another alpha, with another bound, for top-k, or as fewer draws: no forward pass is needed.

  >>> stricter = with_alpha(results.read("out.tsv"), 1e-5)
  >>> cheaper = with_draws(results.read("out.tsv"), 10_000)
  >>> stricter.settings["alpha"], cheaper.settings["n"]
  (1e-05, 10000)

alpha, n and the bound must be chosen without looking at the result: a bound holds for one look. Files of other
tools do not keep the votes and cannot be analysed again. If votes decided when the images of a file ended, only
the bound can be changed, and top-k radii computed, because the bounds of its plan's looks hold whatever ended
the images. Each function takes a file as read, or what `certify` returned.
"""

import dataclasses
import numbers
from typing import Any

import numpy as np

from rsjax import bounds
from rsjax.analysis import contradictions, looks
from rsjax.analysis.deciding import check_has_votes, decided_anew
from rsjax.analysis.exact import check_random
from rsjax.analysis.labels import as_one
from rsjax.analysis.statistics import check_radii
from rsjax.bounds import BoundKind
from rsjax.errors import InputError
from rsjax.procedures import Counts, checked_alpha
from rsjax.results import Results, format_counts, parse_column


def with_alpha(results: Results, alpha: float) -> Results:
  """The file's certificates (or PREDICT's answers) at another failure probability, from its votes.

  Raises:
    InputError: for a file that keeps no votes, or whose number of draws depended on them; that may be analysed
      at its own alpha alone.
  """
  results = as_one(results)
  check_has_votes(results)
  alpha = checked_alpha(alpha)
  if looks.is_by_looks(results.settings) and alpha == results.settings["alpha"]:
    return results
  looks.check_fixed(results, "at another alpha")
  return _decide(_noted(results), {"alpha": alpha}, {})


def at_share(results: Results, share: float) -> Results:
  """The file's certificates, with its own bound, at a share, in (0, 1], of its alpha; valid by looks, too.

  The bounds of a plan's looks hold together, and so do those of the same looks at this share of each alpha,
  whatever ended the images. The share is chosen before anything of the file has been seen.

  Raises:
    InputError: for a file that keeps no votes, or has no valid plan of looks where it needs one.
  """
  results = as_one(results)
  check_has_votes(results)
  check_random(results, "at another alpha")
  settings: dict[str, Any] = {"alpha": share * results.settings["alpha"]}
  if looks.is_by_looks(results.settings):
    settings["plan"] = looks.plan_of(results.settings).scaled(share).settings()
  return _decide(_noted(results), settings, {})


def with_draws(results: Results, n: int, seed: int = 0) -> Results:
  """The file that a run with fewer draws might have given: a random n of each image's draws.

  Votes do not record which draws came first, so the first n cannot be taken. A random choice that does not look
  at the votes is as good, and the certificates from it are as valid.

  Args:
    results: a file of rsjax.
    n: draws per image, at most those of the row with the fewest.
    seed: the seed of the choice.

  Raises:
    InputError: for an n out of range, and as for `with_alpha`.
  """
  results = as_one(results)
  check_has_votes(results)
  looks.check_fixed(results, "with fewer draws")
  fewest = int(results.columns["n"].min(initial=results.settings["n"]))
  if isinstance(n, bool) or not isinstance(n, numbers.Integral) or not 1 <= n <= fewest:
    raise InputError(f"n must be an integer from 1 to the {fewest:,} draws of {results.path}, got {n!r}")
  rng = np.random.default_rng(seed)
  votes = parse_column(results.columns["votes"])
  kept, invalid = votes.votes.copy(), votes.invalid.copy()
  for row, (start, end) in enumerate(zip(votes.starts, votes.ends)):
    drawn = [*votes.votes[start:end], votes.invalid[row]]
    *kept[start:end], invalid[row] = rng.multivariate_hypergeometric(drawn, n, method="marginals")
  fewer = Counts(votes.classes, kept, votes.ends, invalid)
  changed = {
    "votes": np.array(format_counts(fewer), object),
    "n": np.full(len(results), n, np.int64),
  }
  return _decide(_noted(results), {"n": int(n)}, changed)


def with_bound(results: Results, bound: BoundKind) -> Results:
  """The file's certificates with the one-sided bound or the multi-class one, from its votes.

  It is valid where the bound is chosen before anything of the file has been seen, as `certify` has to choose
  it: the shares of alpha are fixed, and the second count is the largest, whichever class has it. The larger of
  the two radii, image by image or file by file, is not valid. By looks it is valid, too: the bounds of all the
  plan's looks, with these shares, hold together, whatever stopped the images. They stopped by the file's own
  bound, so that more draws might have certified more.

  Args:
    results: a file of CERTIFY of rsjax.
    bound: "one-sided" or "multi".

  Raises:
    InputError: for a file that keeps no votes, is of PREDICT, or has no plan of looks where it needs one, or
      one that cannot be.
  """
  bounds.check_bound(bound)
  results = as_one(results)
  check_has_votes(results)
  check_random(results, "with another bound")
  check_radii(results, "is of PREDICT, which has no such bound: give a file of CERTIFY")
  if looks.lacks_plan(results):
    raise InputError(
      f"{results.path} cannot be analysed with another bound: its images ended after different numbers of "
      "draws, and its manifest has no plan of looks"
    )
  settings = _without_bound(results.settings) | bounds.bound_settings(bound)
  changed = dataclasses.replace(_noted(results), manifest=results.manifest | {"settings": settings})
  try:
    return _decide(changed, {}, {})
  except InputError as error:
    raise InputError(f"{results.path} cannot be analysed with another bound: {error}") from error


def with_top_k(results: Results, k: int) -> Results:
  """The radii within which each image's label stays among the k most probable classes, from the file's votes.

  `predict` is then the label where it is shown to be among them at the image itself, else -1; `radius`, `nA`
  and `pABar` are the label's. They are false, for each image, with probability at most alpha. The label is a
  constant, so that its votes need no selection; who does not know it does not get such a certificate. See
  `bounds.topk`. k is chosen before anything of the file has been seen. By looks it is valid, too. Images
  stopped by the radius of the class that was certified, so that more draws might have given larger radii.

  Args:
    results: a file of CERTIFY of rsjax.
    k: at least 1, and below the number of classes; where a file does not say that, the classes that it shows.

  Returns:
    Results to look at, which are not saved: the votes of the file itself say the same.

  Raises:
    InputError: for a k out of range, a file that keeps no votes or no labels, is of PREDICT, or has no plan of
      looks where it needs one.
  """
  if isinstance(k, bool) or not isinstance(k, numbers.Integral) or k < 1:
    raise InputError(f"k of top-k must be an integer of at least 1, got {k!r}")
  results = as_one(results)
  check_radii(results, "is of PREDICT, which certifies no radius: give a file of CERTIFY")
  check_has_votes(results)
  check_random(results, "for top-k")
  if "label" not in results.columns:
    raise InputError("top-k radii are of the labels: give `labels` when certifying")
  if looks.lacks_plan(results):
    raise InputError(
      f"{results.path} cannot be analysed for top-k: its images ended after different numbers of draws, and "
      "its manifest has no plan of looks"
    )
  classes, said = _classes(results)
  if k >= classes:
    raise InputError(f"k of top-k must be below the number of classes, {classes} as {said}, got {k}")
  settings = _without_bound(results.settings) | {"top_k": int(k)}
  changed = dataclasses.replace(_noted(results), manifest=results.manifest | {"settings": settings})
  try:
    return _decide(changed, {}, {})
  except InputError as error:
    raise InputError(f"{results.path} cannot be analysed for top-k: {error}") from error


def _classes(results: Results) -> tuple[int, str]:
  """How many classes there are, at least, and who says it."""
  checkpoint = results.manifest["about"].get("checkpoint")
  known = checkpoint.get("num_classes") if isinstance(checkpoint, dict) else None
  if isinstance(known, int):
    return known, f"the manifest of {results.path} says"
  seen = [
    results.columns["label"],
    *(parse_column(results.columns[name]).classes for name in ("votes0", "votes")),
  ]
  return 1 + int(np.concatenate(seen).max(initial=0)), f"{results.path} shows in labels and votes"


def as_predictions(results: Results, alpha: float | None = None) -> Results:
  """What PREDICT answers from the estimation draws of a file of CERTIFY, at its own alpha or another.

  Raises:
    InputError: as for `with_alpha`.
  """
  results = as_one(results)
  check_has_votes(results)
  looks.check_fixed(results, "as PREDICT")
  kept = ("idx", "label", "predict", "correct", "n", "votes")
  columns = {name: column for name, column in results.columns.items() if name in kept}
  settings = _without_bound(results.settings) | {
    "command": "predict",
    "alpha": results.settings["alpha"] if alpha is None else checked_alpha(alpha),
  }
  manifest = results.manifest | {"settings": settings}
  as_predict = dataclasses.replace(_noted(results), columns=columns, manifest=manifest)
  return _decide(as_predict, {}, {})


def _noted(results: Results) -> Results:
  """The file, with a note on each way in which its rows contradict its votes: rows made anew no longer do."""
  odd = [f"as it was read, {text}" for text in contradictions.of_rows(results)]
  return dataclasses.replace(results, notes=(*results.notes, *odd))


def _decide(results: Results, settings: dict, changed: dict[str, np.ndarray]) -> Results:
  """The results with settings and columns changed, and everything that follows from the votes anew."""
  manifest = results.manifest | {"settings": results.settings | settings}
  results = dataclasses.replace(results, columns=results.columns | changed, manifest=manifest)
  columns = results.columns | decided_anew(results)
  if "label" in columns:
    columns["correct"] = (columns["predict"] == columns["label"]).astype(np.int64)
  return dataclasses.replace(results, columns=columns)


def _without_bound(settings: dict[str, Any]) -> dict[str, Any]:
  others = {*bounds.bound_settings(bounds.MULTI), "top_k"}
  return {key: value for key, value in settings.items() if key not in others}

"""The same votes at another alpha, or as fewer draws: no forward pass is needed.

  >>> stricter = with_alpha(results.read("out.tsv"), 1e-5)
  >>> cheaper = with_draws(results.read("out.tsv"), 10_000)
  >>> stricter.settings["alpha"], cheaper.settings["n"]
  (1e-05, 10000)

alpha and n must be chosen without looking at the result: a bound holds for one look. Files of other tools do
not keep the votes and cannot be analysed again, nor can files whose votes decided when their images ended.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from rsjax import bounds, noise, procedures
from rsjax.analysis import looks
from rsjax.errors import InputError
from rsjax.procedures import Counts
from rsjax.results import Results, format_counts, parse_column


def with_alpha(results: Results, alpha: float) -> Results:
  """The file's certificates (or PREDICT's answers) at another failure probability, from its votes.

  Raises:
    InputError: for a file that keeps no votes, or whose number of draws depended on them.
  """
  check_has_votes(results)
  looks.check_fixed(results, "at another alpha")
  bounds.check_alpha(alpha)
  return _decide(results, {"alpha": float(alpha)}, {})


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
  check_has_votes(results)
  looks.check_fixed(results, "with fewer draws")
  fewest = int(results.columns["n"].min(initial=results.settings["n"]))
  if not 1 <= n <= fewest:
    raise InputError(f"n must be from 1 to the {fewest:,} draws of {results.path}, got {n:,}")
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
  return _decide(results, {"n": int(n)}, changed)


def as_predictions(results: Results, alpha: float | None = None) -> Results:
  """What PREDICT answers from the estimation draws of a file of CERTIFY, at its own alpha or another.

  Raises:
    InputError: as for `with_alpha`.
  """
  check_has_votes(results)
  looks.check_fixed(results, "as PREDICT")
  kept = ("idx", "label", "predict", "correct", "n", "votes")
  columns = {name: column for name, column in results.columns.items() if name in kept}
  settings = results.settings | {"command": "predict", "alpha": alpha or results.settings["alpha"]}
  as_predict = dataclasses.replace(results, columns=columns, manifest=results.manifest | {"settings": settings})
  return _decide(as_predict, {}, {})


def leading_classes(results: Results) -> NDArray[np.int64]:
  """int64[rows]: the class of most votes, -1 if there are none; for a file of another tool, its prediction."""
  if "votes" not in results.columns:
    return results.columns["predict"]
  return parse_column(results.columns["votes"]).leaders()


def decided_anew(results: Results) -> dict[str, np.ndarray]:
  """{column: values} that follow from the file's votes under its settings: what its rows should say.

  Raises:
    InputError: if the plan of looks is not valid, or a row's number of draws is not one of its looks.
  """
  settings, columns = results.settings, results.columns
  votes, alpha = parse_column(columns["votes"]), settings["alpha"]
  plan = looks.plan_of(settings) if looks.is_by_looks(settings) else None
  if "radius" not in columns:
    answers = procedures.predict_at_looks(votes, plan) if plan else procedures.predict(votes, alpha)
    return {"predict": answers.prediction, "pvalue": answers.p_value}
  votes0, kind = parse_column(columns["votes0"]), noise.from_settings(settings)
  certificates = (
    procedures.certify_at_looks(votes0, votes, plan, kind)
    if plan
    else procedures.certify(votes0, votes, alpha, kind)
  )
  return {
    "predict": certificates.prediction,
    "radius": certificates.radius,
    "nA": certificates.n_a,
    "pABar": certificates.p_lower,
  }


def _decide(results: Results, settings: dict, changed: dict[str, np.ndarray]) -> Results:
  """The results with settings and columns changed, and everything that follows from the votes anew."""
  manifest = results.manifest | {"settings": results.settings | settings}
  results = dataclasses.replace(results, columns=results.columns | changed, manifest=manifest)
  columns = results.columns | decided_anew(results)
  if "label" in columns:
    columns["correct"] = (columns["predict"] == columns["label"]).astype(np.int64)
  return dataclasses.replace(results, columns=columns)


def check_has_votes(results: Results) -> None:
  """Raises InputError if a file keeps no votes, or its manifest lacks the settings that explain them."""
  if "votes" not in results.columns:
    raise InputError(
      f"{results.path} keeps no votes: only files of rsjax can be analysed at another n or alpha"
    )
  if lacking := lacking_settings(results):
    raise InputError(f"the manifest of {results.path} lacks {', '.join(lacking)}: its votes cannot be analysed")


def lacking_settings(results: Results) -> list[str]:
  """The settings that are missing from a manifest, but needed to analyse its votes."""
  own = [name for name in ("n", "alpha") if results.settings.get(name) is None]
  return [*noise.lacking(results.settings), *own]

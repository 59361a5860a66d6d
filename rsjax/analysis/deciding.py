"""What follows from the votes of a file under its settings, and whether they are there. No JAX."""

import numpy as np
from numpy.typing import NDArray

from rsjax import bounds, noise, procedures
from rsjax.analysis import looks
from rsjax.analysis.exact import is_exact
from rsjax.errors import InputError
from rsjax.results import Results, manifest_path, parse_column


def leading_classes(results: Results) -> NDArray[np.int64]:
  """int64[rows]: the class of most votes, -1 if there are none; for a file of another tool, its prediction."""
  if "votes" not in results.columns:
    return results.columns["predict"]
  return parse_column(results.columns["votes"]).leaders()


def decided_anew(results: Results) -> dict[str, np.ndarray]:
  """{column: values} that follow from the file's votes under its settings: what its rows should say.

  Raises:
    InputError: if the plan of looks or the bound is not valid, or a row's draws are not one of its looks.
  """
  settings, columns = results.settings, results.columns
  votes = parse_column(columns["votes"])
  alpha = 0.0 if is_exact(settings) else settings["alpha"]
  plan = looks.plan_of(settings) if looks.is_by_looks(settings) else None
  if "radius" not in columns:
    answers = procedures.predict_at_looks(votes, plan) if plan else procedures.predict(votes, alpha)
    return {"predict": answers.prediction, "pvalue": answers.p_value}
  votes0, kind = parse_column(columns["votes0"]), noise.from_settings(settings)
  bound, top_k = bounds.bound_from_settings(settings), settings.get("top_k")
  if is_exact(settings):
    certificates = procedures.certify_exactly(votes, kind)
  elif top_k is not None:
    certificates = (
      procedures.certify_top_k_at_looks(votes, columns["label"], top_k, plan, kind)
      if plan
      else procedures.certify_top_k(votes, columns["label"], top_k, alpha, kind)
    )
  else:
    certificates = (
      procedures.certify_at_looks(votes0, votes, plan, kind, bound)
      if plan
      else procedures.certify(votes0, votes, alpha, kind, bound)
    )
  norm, dimension = settings.get("norm", kind.norm), settings.get("dimension")
  return {
    "predict": certificates.prediction,
    "radius": bounds.in_norm(certificates.radius, kind, norm, dimension),
    "nA": certificates.n_a,
    "pABar": certificates.p_lower,
  }


def check_has_votes(results: Results) -> None:
  """Raises InputError if a file keeps no votes, or its manifest lacks the settings that explain them."""
  if results.manifest["about"].get("manifest") == "missing":
    raise InputError(
      f"{results.path} has no manifest {manifest_path(results.path).name} beside it, and votes cannot be "
      "analysed without one: put it back, or give a file of rsjax with its manifest"
    )
  if "votes" not in results.columns:
    raise InputError(
      f"{results.path} keeps no votes of the classes: only files of rsjax can be analysed at another n or "
      "alpha, with another bound, for top-k, or combined"
    )
  if lacking := lacking_settings(results):
    raise InputError(f"the manifest of {results.path} lacks {', '.join(lacking)}: its votes cannot be analysed")


def lacking_settings(results: Results) -> list[str]:
  """The settings that are missing from a manifest, but needed to analyse its votes."""
  needed = ("n",) if is_exact(results.settings) else ("n", "alpha")
  own = [name for name in needed if results.settings.get(name) is None]
  return [*noise.lacking(results.settings), *own]

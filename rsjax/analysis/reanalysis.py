"""The same votes at another alpha, or as fewer draws: no forward pass is needed.

  >>> stricter = with_alpha(results.read("out.tsv"), 1e-5)
  >>> cheaper = with_draws(results.read("out.tsv"), 10_000)
  >>> stricter.settings["alpha"], cheaper.settings["n"]
  (1e-05, 10000)

alpha and n must be chosen without looking at what they give: a bound holds for one look. Files of
others do not keep the votes, and cannot be analysed again.
"""

import dataclasses

import numpy as np

from rsjax import bounds
from rsjax.errors import InputError
from rsjax.results import parse_votes


def with_alpha(results, alpha):
  """The file's certificates (or PREDICT's answers) at another failure probability, from its votes."""
  _check_has_votes(results)
  bounds.check_alpha(alpha)
  return _decide(results, {"alpha": alpha}, {})


def with_draws(results, n, seed=0):
  """The file as a run with fewer draws would have given it: a random n of each image's draws.

  Votes do not tell which draw came first, so that it cannot be the first n. A random choice that does
  not look at the votes is as good: n of the draws, of which each certificate is as valid.

  Args:
    results: a file of rsjax.
    n: draws, at most the file's.
    seed: of the choice.
  """
  _check_has_votes(results)
  drawn = results.settings["n"]
  if not 1 <= n <= drawn:
    raise InputError(f"n must be from 1 to the {drawn:,} draws of {results.path}, got {n:,}")
  rng = np.random.default_rng(seed)
  votes, chosen_a = [], []
  for text, selected in zip(results.columns["votes"], _selected(results)):
    classes, counts, invalid = parse_votes(text)
    found = rng.multivariate_hypergeometric([*counts, invalid], n, method="marginals")
    kept, lost = found[:-1], found[-1]
    pairs = [f"{c}:{k}" for c, k in zip(classes.tolist(), kept.tolist()) if k]
    votes.append(",".join(pairs + [f"invalid:{lost}"] * bool(lost)) or "-")
    chosen_a.append(int(kept[classes == selected].sum()))
  changed = {"votes": np.array(votes, object)}
  if "nA" in results.columns:
    changed["nA"] = np.array(chosen_a, np.int64)
  return _decide(results, {"n": int(n)}, changed)


def as_predictions(results, alpha=None):
  """A file of CERTIFY as PREDICT with its estimation draws, at its own alpha or another."""
  _check_has_votes(results)
  columns = {name: results.columns[name] for name in ("idx", "label", "predict", "correct", "votes")}
  settings = results.settings | {"command": "predict", "alpha": alpha or results.settings["alpha"]}
  columns["pvalue"] = np.zeros(len(results))
  as_predict = dataclasses.replace(results, columns=columns, manifest=results.manifest | {"settings": settings})
  return _decide(as_predict, {}, {})


def leading_classes(results):
  """int64[rows]: the class of most votes, -1 where nobody voted; a file of others: its prediction."""
  if "votes" not in results.columns:
    return results.columns["predict"]
  return np.array([_leader(parse_votes(text)) for text in results.columns["votes"]], np.int64)


def follows_from_votes(results):
  """bool[rows]: whether nA and predict of a file of CERTIFY are what its votes give at its alpha."""
  settings, columns = results.settings, results.columns
  selected = np.array([max(0, _leader(parse_votes(text))) for text in columns["votes0"]], np.int64)
  _, abstains, _ = bounds.certify_votes(columns["nA"], settings["n"], settings["alpha"], settings["sigma"])
  counted = [
    f",{c}:{n}," in f",{text}," if n else f",{c}:" not in f",{text}"
    for c, n, text in zip(selected.tolist(), columns["nA"].tolist(), columns["votes"])
  ]
  return np.array(counted) & (columns["predict"] == np.where(abstains, -1, selected))


def _decide(results, settings, changed):
  """The results with settings and columns changed, and everything that follows from the votes anew."""
  settings, columns = results.settings | settings, results.columns | changed
  n, alpha = settings["n"], settings["alpha"]
  if settings["command"] == "certify":
    selected = _selected(results)
    p_lower, abstains, radius = bounds.certify_votes(columns["nA"], n, alpha, settings["sigma"])
    columns |= {"pABar": p_lower, "radius": radius}
  else:
    parsed = [parse_votes(text) for text in columns["votes"]]
    selected = np.array([_leader(votes) for votes in parsed], np.int64)
    ordered = [np.sort([0, 0, *counts])[-2:] for _, counts, _ in parsed]
    second, first = np.array(ordered, np.int64).reshape(-1, 2).T
    columns["pvalue"] = bounds.binomial_p_value(first, first + second)
    abstains = columns["pvalue"] > alpha
  columns["predict"] = np.where(abstains, -1, selected)
  columns["correct"] = (columns["predict"] == columns["label"]).astype(np.int64)
  return dataclasses.replace(results, columns=columns, manifest=results.manifest | {"settings": settings})


def _selected(results):
  """int64[rows]: the class that the selection chose, also where CERTIFY abstained."""
  predict = results.columns["predict"]
  if "votes0" not in results.columns:
    return predict
  abstained = np.flatnonzero(predict == -1)
  selected = predict.copy()
  # no selection vote is finite: the selection's argmax is class 0
  selected[abstained] = [max(0, _leader(parse_votes(results.columns["votes0"][i]))) for i in abstained]
  return selected


def _leader(votes):
  classes, counts, _ = votes
  return int(classes[counts.argmax()]) if len(classes) else -1


def _check_has_votes(results):
  if "votes" not in results.columns:
    raise InputError(
      f"{results.path} keeps no votes: only files of rsjax can be analysed at another n or alpha"
    )
  lacking = [name for name in ("sigma", "n", "alpha") if results.settings.get(name) is None]
  if lacking:
    raise InputError(f"the manifest of {results.path} lacks {', '.join(lacking)}: its votes cannot be analysed")

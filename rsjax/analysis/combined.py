"""One certificate from the result files of several smoothed classifiers, which share alpha. No JAX.

  both = cascade([results.read("sigma_0.25.tsv"), results.read("sigma_0.50.tsv")])

cascade: the answer of the largest sigma at which a class has more than half of the probability (Jeong and Shin
2023, multi-scale smoothing). dual: a smoothed classifier chooses which of the others answers, for example which
sigma (dual randomized smoothing). What each certifies, and why, is in docs/combining.md. The union bound is all
that is used: the files' draws may depend on each other in any way, as they do if they have the same seed.

The shares of alpha are fixed beforehand, and so must be which files are combined. The results keep no votes:
they are for tables and plots, and are not saved.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rsjax import bounds, noise
from rsjax.analysis import contradictions, looks, said
from rsjax.analysis.deciding import check_has_votes
from rsjax.analysis.exact import check_random
from rsjax.analysis.labels import as_results
from rsjax.analysis.reanalysis import at_share
from rsjax.analysis.statistics import check_rows
from rsjax.bounds import LOWER_SHARE
from rsjax.errors import InputError
from rsjax.procedures import ABSTAIN
from rsjax.results import Results, parse_column

KINDS = ("cascade", "dual")
_OF_IMAGES = ("dataset", "split", "skip", "max", "start", "indices", "shard")  # settings
_OTHERS_SHARE = (1 - LOWER_SHARE) / 2  # of a file's alpha, for each of the two most probable classes


def combine(how: str, files: Sequence[Results]) -> Results:
  """The files combined: "cascade", in any order, or "dual", the one that chooses first.

  Raises:
    InputError: as for `cascade` and `dual`.
  """
  if how not in KINDS:
    raise InputError(f"files are combined by {' or '.join(KINDS)}, got {how!r}")
  return cascade(files) if how == "cascade" else dual(files[0], files[1:])


def cascade(files: Sequence[Results]) -> Results:
  """The certificates of the cascade of smoothed classifiers, from the largest sigma down.

  Args:
    files: two or more of CERTIFY of the same images at the same alpha, each of another sigma.

  Returns:
    One row per image: `predict` is what the cascade answers within `radius`; each is false with probability at
    most the alpha of the files.

  Raises:
    InputError: for files that cannot be combined; the message says why.
  """
  files = as_results(files)
  alpha = _checked(files)
  classes = {known for f in files if (known := _num_classes(f)) is not None}
  if len(classes) > 1:
    raise InputError(f"files of {' and '.join(map(str, sorted(classes)))} classes cannot be combined")
  files = sorted(files, key=lambda f: -f.settings["sigma"])
  sigmas = [f.settings["sigma"] for f in files]
  if len(set(sigmas)) < len(sigmas):
    raise InputError(f"a cascade needs another sigma in each file, got {', '.join(f'{s:g}' for s in sigmas)}")
  selected, radii = [], []
  for place, f in enumerate(files):
    answer = np.maximum(parse_column(f.columns["votes0"]).leaders(), 0)
    limits = [_radius(f, parse_column(f.columns["votes"]).of(answer), LOWER_SHARE / len(files))]
    for larger in files[:place]:
      votes = parse_column(larger.columns["votes"])
      others = votes.draws() - votes.strongest_other(answer)
      limits.append(_radius(larger, others, _OTHERS_SHARE / len(files), of_others=True))
    selected.append(answer)
    radii.append(np.min(limits, axis=0))
  # All bounds hold at once, so that the largest of these radii is proved, too.
  best, rows = np.argmax(radii, axis=0), np.arange(len(files[0]))
  radius = np.array(radii)[best, rows]
  predict = np.where(radius >= 0, np.array(selected)[best, rows], ABSTAIN)
  return _results(
    "cascade", f"cascade of sigma {_listed(sigmas)}", files, alpha, predict, np.maximum(radius, 0)
  )


def dual(chooser: Results, files: Sequence[Results]) -> Results:
  """The certificates of a classifier that asks a smoothed classifier which of several is to answer.

  Args:
    chooser: of CERTIFY; its class i chooses the i-th of `files`, from 0 on. Its labels are not used; so that
      the images can be compared, it is certified with the labels of `files`.
    files: of CERTIFY, of the same images at the same alpha.

  Returns:
    One row per image: `predict` is the chosen classifier's answer within `radius`, which is the smaller of the
    chooser's and its own; each is false with probability at most the alpha of the files.

  Raises:
    InputError: for files that cannot be combined, or a choice that none of them is.
  """
  chooser, *files = as_results([chooser, *files])
  alpha = _checked([chooser, *files])
  choice, *answers = (at_share(f, 0.5).columns for f in (chooser, *files))
  if (most := int(choice["predict"].max())) >= len(files):
    raise InputError(
      f"{chooser.path} answers class {most}, but only classes below {len(files)} choose a file: give one file "
      "for each class of the chooser, in the order of the classes"
    )
  chosen, rows = np.maximum(choice["predict"], 0), np.arange(len(chooser))
  predict = np.array([columns["predict"] for columns in answers])[chosen, rows]
  predict = np.where(choice["predict"] >= 0, predict, ABSTAIN)
  radius = np.minimum(choice["radius"], np.array([columns["radius"] for columns in answers])[chosen, rows])
  name = f"dual smoothing, sigma {_listed([chooser.settings['sigma']])} chooses of "
  name += _listed([f.settings["sigma"] for f in files])
  return _results("dual", name, [chooser, *files], alpha, predict, np.where(predict >= 0, radius, 0.0))


def _radius(f: Results, count: NDArray[np.int64], share: float, of_others: bool = False) -> NDArray[np.float64]:
  """The one-sided radius of a count of each row's draws, at a share of alpha; below 0 where there is none.

  `of_others`: the count is of the draws that are not for another class. Void draws are among them, although
  they might be for it, so that the probability of one is taken off.
  """
  drawn = noise.from_settings(f.settings)
  lower = _lower(f, share)(count, parse_column(f.columns["votes"]).draws())
  if of_others:
    lower = np.maximum(lower - getattr(drawn, "void", 0.0), 0.0)
  radius = bounds.radius(lower, drawn)
  return np.where(bounds.abstains(lower), -1.0, radius)


def _lower(f: Results, share: float) -> Callable[[ArrayLike, ArrayLike], NDArray[np.float64]]:
  """The lower bound of counts of a file's draws, at a share of its alpha."""
  if looks.is_by_looks(f.settings):
    plan = looks.plan_of(f.settings).scaled(share)
    return lambda k, n: bounds.lower_bound_at_look(k, n, plan)
  return lambda k, n: bounds.lower_confidence_bound(k, n, share * f.settings["alpha"])


def _checked(files: Sequence[Results]) -> float:
  """The alpha of files that can be combined.

  Raises:
    InputError: for other files; the message says why.
  """
  if len(files) < 2:
    raise InputError(f"combining needs two files or more, got {len(files)}")
  first = files[0]
  for f in files:
    if "radius" not in f.columns or f.settings.get("top_k") is not None:
      raise InputError(f"{f.path} holds no certificates of one class: give files of CERTIFY, without top-k")
    check_has_votes(f)
    check_random(f, "in combination")
    check_rows(f)
    if looks.lacks_plan(f):
      raise InputError(
        f"{f.path} cannot be combined: its images ended after different numbers of draws, and its "
        "manifest has no plan of looks"
      )
    norms = [noise.from_settings(file.settings).norm for file in (f, first)]
    if norms[0] != norms[1]:
      raise InputError(
        f"{f.path} certifies {norms[0]} radii, {first.path} {norms[1]} radii: give files of noises of one norm"
      )
    if (shown := f.settings.get("norm", norms[0])) != norms[0]:
      raise InputError(f"{f.path} is shown in {shown}: give the file as it is, in {norms[0]}")
    if f.settings["alpha"] != first.settings["alpha"]:
      raise InputError(
        f"{f.path} has alpha = {f.settings['alpha']:g}, {first.path} {first.settings['alpha']:g}, and they "
        "must share one: give `alpha`, or files that have the same"
      )
    if not np.array_equal(f.columns["idx"], first.columns["idx"]):
      counts = f"{len(f)} and {len(first)} rows"
      raise InputError(f"{f.path} is of other images than {first.path} ({counts}): give files of the same")
    digests = [file.settings.get("dataset") for file in (f, first)]
    same = np.array_equal(f.columns.get("label", ()), first.columns.get("label", ()))
    if None in digests or digests[0] != digests[1] or not same:
      raise InputError(
        f"{f.path} and {first.path} are not of one data set: images or labels differ, or a manifest does not "
        "say (a classifier that chooses is certified with the labels of the others, too)"
      )
  return float(first.settings["alpha"])


def _num_classes(f: Results) -> int | None:
  checkpoint = f.manifest["about"].get("checkpoint")
  return checkpoint.get("num_classes") if isinstance(checkpoint, dict) else None


def _results(
  how: str,
  name: str,
  files: Sequence[Results],
  alpha: float,
  predict: NDArray[np.int64],
  radius: NDArray[np.float64],
) -> Results:
  """Results for tables and plots, without votes."""
  first, notes = files[0], []
  settings = {"command": "certify", "alpha": alpha, "combined": how}
  settings |= {key: first.settings[key] for key in _OF_IMAGES if key in first.settings}
  settings |= {"norm": noise.from_settings(first.settings).norm}
  if len(set(draws := [f.settings["n"] for f in files])) > 1:
    name += f", n = {' and '.join(f'{n:,}' for n in draws)}"
  elif not any(looks.is_by_looks(f.settings) for f in files):
    settings["n"] = draws[0]
  for f in files:
    told = (*f.notes, *contradictions.everything(f), *said.of_sessions(f))
    notes += [f"{f.path}: {text}" for text in told]
    if looks.is_by_looks(f.settings) and (f.columns["n"] < f.settings["n"]).any():
      settings["ended_early"] = True
      notes.append(
        f"{f.path}: images ended early, by a rule for a radius of their own at all of alpha: with more draws, "
        "radii might be larger, so that certified accuracy and ACR are lower bounds"
      )
  kept = ("dataset", "images", "selected", "joined")
  about = {key: value for key, value in first.manifest["about"].items() if key in kept}
  if kinds := {noise.from_settings(f.settings).name for f in files} - {noise.Gaussian.name}:
    name += f", {' and '.join(map(noise.called, sorted(kinds)))}"
  manifest = {"settings": settings, "about": about | {"files": [f.path for f in files]}, "sessions": []}
  columns = {name: column for name, column in first.columns.items() if name in ("idx", "label")}
  columns |= {"predict": predict, "radius": radius}
  if "label" in columns:
    columns["correct"] = (predict == columns["label"]).astype(np.int64)
  return Results(name, manifest, columns, first.expected, tuple(notes))


def _listed(numbers: Sequence[float]) -> str:
  return ", ".join(f"{number:g}" for number in numbers)

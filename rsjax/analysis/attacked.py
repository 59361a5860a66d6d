"""What files of an attack say, alone and beside the certificates of the same smoothed classifier. No JAX.

>>> columns = {"idx": np.arange(4), "norm": np.array([0.0, 0.5, 0.8, np.inf])}
>>> attacked_accuracy(results.Results("a.tsv", {}, columns, None), [0.0, 0.5, 0.75]).tolist()
[0.75, 0.5, 0.5]

Robust accuracy at radius r is the share of the images whose every perturbation up to r leaves the smoothed
classifier's answer right. It is at least certified accuracy, and at most what an attack leaves.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rsjax.analysis import statistics
from rsjax.analysis.labels import as_one, facts
from rsjax.errors import InputError
from rsjax.noise import parameter_names
from rsjax.procedures import ABSTAIN, Attack
from rsjax.results import Results, command_of, plural

_ROUNDED = 1e-6  # what rounding up may add to a distance
# What the manifest of an attack has besides the settings of all files.
SETTINGS = ("plan", "norm", "radii", "method", "iterations", "noise_vectors", "verifications")
_OTHER_IMAGES = "it is of other images or labels: give both the same images, labels and `indices`"
_SHOWN = 3  # contradictions that are told one by one
# What must be the same for a certificate and an attack to be about one smoothed classifier and its images.
_SAME = ("checkpoint", "classifier", "dataset", "split", "dtype", "precision")
_MADE_BY = ("rsjax", "jax", "device")  # of a session: what made a program


@dataclasses.dataclass(frozen=True)
class Gap:
  """A file of certificates and a file of an attack on the same smoothed classifier, and the images in both.

  Attributes:
    certified, attacked: the files, with the rows of the images that are in both.
    name: what the attack is called.
    left_out: images that are in one of the files only.
    contradictions: sentences on adversarial examples that were verified inside a certified radius.
  """

  certified: Results
  attacked: Results
  name: str
  left_out: int
  contradictions: tuple[str, ...]


def is_attack(results: Results) -> bool:
  """Whether a file is one of `rsjax.attack`."""
  return command_of(results.columns) == "attack"


def attacked_accuracy(results: Results, radii: ArrayLike) -> NDArray[np.float64]:
  """float64[radii]: the share of the images for which no adversarial example was verified up to each radius.

  Robust accuracy is at most this. An image whose answer was not settled counts as robust.

  Args:
    results: a file of `rsjax.attack`.
    radii: l2 radii of closed balls; beyond the last radius of the attack, nothing was searched.

  Raises:
    InputError: for another file, one without rows, or radii below 0.
  """
  if "norm" not in results.columns:
    raise InputError(f"{results.path} is not a file of rsjax.attack")
  statistics.check_rows(results)
  radii = np.asarray(radii, np.float64)
  if not np.all((radii >= 0) & np.isfinite(radii)):
    raise InputError(f"radii must be numbers >= 0, got {radii.tolist()}")
  distances = np.sort(results.columns["norm"])
  return 1 - np.searchsorted(distances, radii, side="right") / len(results)


def compare(certified: Results, attacked: Results) -> Gap:
  """The two files on the images that both have, and what contradicts itself.

  Args:
    certified, attacked: as read, or what `certify` and `attack` returned.

  Raises:
    InputError: if they are of different smoothed classifiers or images, or of other norms than l2; the message
      names the setting that differs.
  """
  certified, attacked = as_one(certified), as_one(attacked)
  if "norm" not in attacked.columns:
    raise InputError(f"{attacked.path} is not a file of rsjax.attack: give the certificates, then the attack")
  statistics.check_radii(certified)
  if differing := _differing(certified, attacked):
    names = attacked.path, certified.path
    one, other = names if names[0] != names[1] else ("the attack", "the certificates")
    mend = "" if differing[0] == _OTHER_IMAGES else "; give files of one smoothed classifier"
    raise InputError(f"{one} does not fit {other}: {differing[0]}{mend}")
  index, ours, theirs = np.intersect1d(certified.columns["idx"], attacked.columns["idx"], return_indices=True)
  if not len(index):
    raise InputError(f"{attacked.path} and {certified.path} have no image in common: attack the same images")
  left_out = len(certified) + len(attacked) - 2 * len(index)
  both = _of(certified, ours), _of(attacked, theirs)
  if not np.array_equal(both[0].columns["label"], both[1].columns["label"]):
    raise InputError(f"{attacked.path} has other labels than {certified.path} for the same images")
  return Gap(*both, called(attacked), left_out, (*_inside(*both),))


def fitting(files: Sequence[Results], attacks: Sequence[Results]) -> list[tuple[int, Results]]:
  """For each attack, the place among `files` of the certificates of its smoothed classifier.

  Raises:
    InputError: for an attack that fits none; the message says why it does not fit the nearest.
  """
  found = []
  for attack in attacks:
    statistics.check_rows(attack)
    differing = [_differing(f, attack) for f in files]
    place = min(range(len(files)), key=lambda i: len(differing[i]))
    if differing[place]:
      raise InputError(
        f"{attack.path} fits no file of certificates that was given; {files[place].path} is nearest, but "
        f"{'; '.join(differing[place])}"
      )
    found.append((place, attack))
  return found


def reach_of(attacked: Results) -> float:
  """The largest distance at which an adversarial example was verified; 0 if none was."""
  norm = attacked.columns["norm"]
  return float(norm[np.isfinite(norm)].max(initial=0.0))


def called(attacked: Results) -> str:
  """What an attack is called: its method, with its numbers."""
  s = attacked.settings
  method = {"both": "PGD and DDN"}.get(str(s.get("method")), str(s.get("method")).upper())
  steps, draws = (s.get(name) or 0 for name in ("iterations", "noise_vectors"))
  return f"{method}, {plural(steps, 'step')}, {plural(draws, 'draw')}"


def of_settings(f: Results) -> Iterator[str]:
  """Settings of an attack that do not go together, such as too few points that share alpha."""
  try:
    due = {} if (procedure := _procedure(f)) is None else procedure.settings()
  except InputError as error:
    yield f"its attack is not possible: {error}"
    return
  for name in ("norm", "verifications"):
    if name in due and f.settings[name] != due[name]:
      yield f"its manifest says {name} {f.settings[name]}, but for its radii and method it is {due[name]}"


def _procedure(f: Results) -> Attack | None:
  """The attack that a manifest describes; None if it does not say all of it.

  Raises:
    InputError: if there is no such attack.
  """
  s = f.settings
  if any(s.get(name) is None for name in (*SETTINGS, "n", "alpha")):
    return None
  return Attack(tuple(s["radii"]), s["method"], s["iterations"], s["noise_vectors"], s["n"], s["alpha"])


def of_rows(f: Results) -> Iterator[str]:
  """Rows of an attack that contradict themselves or its settings; its votes are checked elsewhere."""
  columns, index = f.columns, f.columns["idx"]
  epsilon, norm, predict = columns["epsilon"], columns["norm"], columns["predict"]
  found = np.isfinite(epsilon)
  radii = [0.0, *(f.settings.get("radii") or ())]
  wrong = (
    ("a number of draws that its radii cannot have taken", ~_possible_draws(f)),
    ("a radius at which nothing was searched", found & ~np.isin(epsilon, radii)),
    ("an example outside its radius", found & ~(norm <= epsilon + _ROUNDED)),
    ("a radius without a norm, or the reverse", found != np.isfinite(norm)),
    ("an example whose answer is the label, or none", found & np.isin(predict, [ABSTAIN]) | found & _right(f)),
    ("a wrong answer and no example", ~found & (predict != ABSTAIN) & ~_right(f)),
  )
  for what, rows in wrong:
    if rows.any():
      number = plural(int(rows.sum()), "row has", "rows have")
      yield f"{number} {what}; the first is of image {index[rows][0]}"


def _possible_draws(f: Results) -> NDArray[np.bool_]:
  """bool[rows]: whether as many draws were made as the radii that were searched may take, with all points."""
  draws, n = f.columns["draws"], f.columns["n"]
  try:
    procedure = _procedure(f)
  except InputError:
    procedure = None
  if procedure is None:
    return draws >= n
  searched = np.searchsorted(procedure.radii, f.columns["epsilon"]) + 1
  searched = np.minimum(searched, len(procedure.radii))
  gradients, points = searched * procedure.gradient_draws, 1 + searched * len(procedure.methods)
  return (draws >= gradients + n) & (draws <= gradients + points * procedure.n)


def _right(f: Results) -> NDArray[np.bool_]:
  return f.columns["predict"] == f.columns["label"]


def _differing(certified: Results, attacked: Results) -> list[str]:
  """The settings that show the files to be of different smoothed classifiers, images or norms."""
  ours, theirs = certified.settings, attacked.settings
  unknown = [f.path for f in (certified, attacked) if f.settings.get("checkpoint") is None]
  texts = [f"it is not known of which classifier {path} is, for want of a manifest" for path in unknown]
  for name in ("noise", *parameter_names(theirs), *_SAME):
    one, other = ours.get(name), theirs.get(name)
    if name == "split" and ours.get("dataset") and ours["dataset"] == theirs.get("dataset"):
      continue  # a digest is of one split, whatever it is called
    if None in (one, other) or one == other:
      continue
    if name == "dataset" and "split" not in {**ours, **theirs}:  # from Python: a digest of the chosen images
      texts.append(_OTHER_IMAGES)
    else:
      texts.append(f"its {name} is {_short(other)}, not {_short(one)}")
  if not texts and _other_function(certified, attacked):
    texts.append("its `apply` answers otherwise, with the same variables")
  norms = [facts(f)["norm"] for f in (certified, attacked)]
  if norms[0] != norms[1]:
    texts.append(f"its distances are in {norms[1]}, not in {norms[0]}")
  if ours.get("top_k") is not None or ours.get("combined") is not None:
    texts.append("it is of the class of one smoothed classifier, which top-k or combined radii are not")
  return texts


def _other_function(one: Results, other: Results) -> bool:
  """Whether files from Python, of the same variables and images, are of functions that clearly differ."""
  abouts, files = (one.manifest["about"], other.manifest["about"]), (one, other)
  if one.settings.get("dataset") is None or one.settings["dataset"] != other.settings.get("dataset"):
    return False  # their first images may differ
  try:
    ours, theirs = (np.array(about["first logits"], np.float64) for about in abouts)
  except (KeyError, TypeError, ValueError):
    return False
  made = [[s.get(name) for s in f.manifest["sessions"][-1:] for name in _MADE_BY] for f in files]
  same, held = made[0] == made[1], {about.get("constants") for about in abouts} - {None}
  if ours.shape != theirs.shape or (same and len(held) > 1):
    return True
  size = np.abs(np.where(np.isfinite(ours), ours, 0)).max(initial=1e-30)
  rounding = 1e-3 if same else 5e-2  # other programs round otherwise
  return not np.allclose(ours, theirs, rtol=0, atol=rounding * size, equal_nan=True)


def _short(value: Any) -> str:
  """A setting in a message; of a digest its beginning."""
  text = str(value)
  return f"{text[:12]}..." if len(text) == 64 else text


def _of(f: Results, rows: NDArray[np.intp]) -> Results:
  """The file with these rows, in this order."""
  if np.array_equal(rows, np.arange(len(f))):
    return f
  columns = {name: column[rows] for name, column in f.columns.items()}
  return dataclasses.replace(f, columns=columns, expected=None if f.expected is None else len(rows))


def _inside(certified: Results, attacked: Results) -> Iterator[str]:
  """Adversarial examples inside a certified radius, where one of both is wrong, of files of the same images."""
  theirs, answer, radius = attacked.columns, certified.columns["predict"], certified.columns["radius"]
  wrong = (answer != ABSTAIN) & (theirs["predict"] != answer) & (theirs["predict"] != ABSTAIN)
  inside = np.flatnonzero(wrong & np.isfinite(theirs["norm"]) & (theirs["norm"] < radius))
  for row in inside[:_SHOWN].tolist():
    yield (
      f"image {theirs['idx'][row]}: class {theirs['predict'][row]} was verified at distance "
      f"{theirs['norm'][row]:.6f}, inside the radius {radius[row]:.6f} that is certified for class "
      f"{answer[row]}: either {attacked.path} or {certified.path} is wrong there"
    )
  if len(inside) > _SHOWN:
    more = plural(len(inside) - _SHOWN, "more image", "more images")
    yield f"{more} of {attacked.path} with an example inside the radius of {certified.path}"

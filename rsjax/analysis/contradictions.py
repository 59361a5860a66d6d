"""What in a result file contradicts itself: its images, its settings, and rows compared with votes. No JAX.

>>> list(of_images(files[0])), list(of_rows(files[0]))
([], [])
"""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from rsjax import bounds, noise
from rsjax.analysis import attacked, draws, looks, said
from rsjax.analysis.deciding import decided_anew, lacking_settings
from rsjax.analysis.exact import is_exact, shape_of, wrong_passes
from rsjax.data import Dataset, Selection
from rsjax.data.known import meant_by
from rsjax.errors import InputError
from rsjax.procedures import AUTO
from rsjax.results import Results, command_of, parse_column, plural

_ABOVE, _BELOW = 0.5e-6, 1.5e-6  # rounding: of a radius, which is rounded down to six decimals,
_P = 2e-10  # of pABar,
_P_VALUE = 1e-5  # and, relative, of a p-value
# The settings that every manifest of the commands has, besides those of its noise and procedure.
_ALWAYS = ("command", "noise", "dataset", "checkpoint", "seed", "precision")
_OF_A_SPLIT = ("split", "skip", "dtype")  # and of a run of a split of a data set
DTYPES = ("float32", "bfloat16")
_OF_A_SESSION = ("rsjax", "jax", "device")  # what each session says, among other things


@dataclasses.dataclass(frozen=True)
class Checked:
  """One thing that was checked: its name, what contradicts it, and what else a reader should know."""

  what: str
  contradictions: tuple[str, ...] = ()
  notes: tuple[str, ...] = ()


def checked(f: Results) -> list[Checked]:
  """Everything that a file and its manifest say about themselves, checked against each other."""
  wrong = (*of_settings(f), *of_whole_manifest(f))
  told = "" if wrong else f": {procedure_words(f)}, seed {f.settings['seed']}"
  notes = [*f.notes, *said.notes(f)]
  incomplete = f"incomplete, {len(f)} of {plural(f.expected or 0, 'image')}"
  notes += [] if f.complete or len(f) > (f.expected or 0) else [incomplete]
  if "votes" in f.columns and not wrong:
    notes += looks.ended_before(f)
  bound = "radius, nA and pABar" if "radius" in f.columns else "pvalue"
  return [
    Checked(f"manifest{told}", wrong),
    Checked(f"images: {plural(len(f), 'row')} of {f.expected}{_as_asked(f)}", (*of_images(f),), (*notes,)),
    Checked(f"votes: predict, {bound} follow from them in {plural(len(f), 'row')}", (*of_rows(f),)),
  ]


def everything(f: Results) -> list[str]:
  """All that contradicts itself in a file, one sentence each; of a file of another tool, its images alone."""
  whole = of_whole_manifest(f) if "votes" in f.columns else ()
  return list(dict.fromkeys((*of_images(f), *of_settings(f), *whole, *of_rows(f))))


def selection_of(f: Results) -> Selection | None:
  """Which images were asked for, by the manifest; None if it does not say so, as for a run from Python.

  Raises:
    InputError: if the manifest asks for a selection that is not possible.
  """
  return Selection.from_settings(f.settings) if f.settings.get("skip") is not None else None


def of_images(f: Results) -> Iterator[str]:
  """Rows of other images than those that the manifest asks for, and too many rows."""
  yield from said.of_shards(f, of_images)
  index = f.columns["idx"]
  if f.expected is not None and len(f) > f.expected:
    yield f"it has {plural(len(f), 'row')}, but {f.expected} are expected"
  images, about = f.manifest["about"].get("images"), f.manifest["about"]
  if len(np.unique(index)) < len(index):
    yield "some images occur twice"
  yield from said.of_given(f)
  try:
    selection = selection_of(f)
    if selection is None or not isinstance(images, int):
      return
    joined = "joined" in about
    should = selection.all_shards(images) if joined else selection.of(images)
  except InputError as error:
    yield f"its manifest asks for an impossible choice of images: {error}"
    return
  fits = np.isin(index, should).all() if joined else np.array_equal(index, should[: len(index)])
  if f.expected != len(should) or not fits:
    yield f"its images, or their number, do not match {selection.flags}"


def of_settings(f: Results) -> Iterator[str]:
  """Settings or sessions that a file with votes needs but lacks, and a bound or a plan that is not valid."""
  if "votes" not in f.columns:
    return
  if f.shards:
    yield from said.of_shards(f, of_settings)
    return
  if lacking := lacking_settings(f):
    yield f"its manifest lacks {', '.join(lacking)}: the rows cannot be checked against the votes"
  if not f.manifest["sessions"]:
    yield "its manifest lists no session: it is not known which versions and devices computed the file"
  yield from wrong_passes(f)
  yield from _of_noise(f)
  try:
    bounds.bound_from_settings(f.settings)
  except InputError as error:
    yield str(error)
    return
  if looks.lacks_plan(f):
    yield "its images ended after different numbers of draws, and its manifest has no plan of looks for that"
  if lacking or not looks.is_by_looks(f.settings):
    return
  try:
    plan = looks.plan_of(f.settings)
    looks.stop_rule(f.settings)
  except InputError as error:
    yield str(error)
    return
  if not looks.is_usual(plan, command_of(f.columns)):
    yield "its plan of looks is not the one that rsjax makes for this n and alpha: was it fixed beforehand?"


def _of_noise(f: Results) -> Iterator[str]:
  """Parameters that no noise has, or that do not go together, such as a sigma and another one's lambda."""
  try:
    if noise.lacking(f.settings):
      return  # is said as lacking
    kind = noise.from_settings(f.settings)
  except InputError as error:
    yield f"its noise is not possible: {error}"
    return
  norm = f.settings.get("norm", kind.norm)
  if norm != kind.norm and command_of(f.columns) == "certify":
    dimension, shape = f.settings.get("dimension"), shape_of(f)
    found = "an unknown number of" if shape is None else math.prod(shape)
    if dimension != found:
      yield (
        f"its manifest says that radii, which are {kind.norm} for this noise, are {norm} for inputs of "
        f"{dimension} numbers, but inputs have {found} numbers"
      )
  for name, value in kind.settings().items():
    given = f.settings.get(name, value)
    if given != value and not (isinstance(given, float) and math.isclose(given, value, rel_tol=1e-12)):
      yield f"its manifest says that {name} is {given}, but for this noise it is {value}"


def of_whole_manifest(f: Results) -> Iterator[str]:
  """Settings that every file of the commands has, but this one lacks; stricter than `of_settings`."""
  if f.shards:
    yield from said.of_shards(f, of_whole_manifest)
    yield from said.unlike_shards(f)
    return
  yield from said.of_about(f)
  selects = f.settings.get("command") == "certify" and not is_exact(f.settings)
  needed = [*_ALWAYS, *(["n0"] if selects else [])]
  needed += _OF_A_SPLIT if said.is_of_a_split(f) else ()
  needed += attacked.SETTINGS if attacked.is_attack(f) else ()
  if lacking := [name for name in needed if f.settings.get(name) is None]:
    yield f"its manifest lacks {', '.join(lacking)}"
  if attacked.is_attack(f):
    yield from attacked.of_settings(f)
  if said.is_of_a_split(f) and f.manifest["about"].get("images") is None:
    yield "its manifest lacks about.images: it is not known which images its rows should be of"
  command = command_of(f.columns)
  if f.settings.get("command") not in (None, command):
    yield f"its columns are those of {command}, but its manifest says {f.settings['command']}"
  if (dtype := f.settings.get("dtype")) not in (None, *DTYPES):
    yield f"its manifest says dtype {dtype}, in which rsjax does not compute"
  told = [name for name in _OF_A_SESSION if any(name not in session for session in f.manifest["sessions"])]
  if told:
    yield f"a session of its manifest lacks {', '.join(told)}"
  images, network = (about.get("image_shape") for about in (f.manifest["about"], about_checkpoint(f)))
  if None not in (images, network) and images != network and "denoiser" not in f.settings:
    yield f"its manifest says that images are {images}, but the checkpoint is for {network}"


def about_checkpoint(f: Results) -> dict[str, Any]:
  """What the manifest says of the classifier; {} if it says nothing."""
  told = f.manifest["about"].get("checkpoint")
  return told if isinstance(told, dict) else {}


def of_rows(f: Results) -> Iterator[str]:
  """Rows that do not follow from their votes under the manifest's settings."""
  if "votes" not in f.columns or not len(f) or lacking_settings(f):
    return
  yield from _of_classes(f)
  yield from draws.of_rows(f)
  columns, index = f.columns, f.columns["idx"]
  try:
    if looks.is_by_looks(f.settings):
      plan = looks.plan_of(f.settings)
      strange = ~np.isin(columns["n"], plan.looks)
      if strange.any():
        rows = plural(int(strange.sum()), "row has", "rows have")
        first = f"image {index[strange][0]} with {columns['n'][strange][0]:,}"
        yield f"{rows} a number of draws that is not one of the plan's looks; the first is {first}"
        return
    due = decided_anew(f)
  except InputError as error:
    yield f"its rows cannot be checked against their votes: {error}"
    return
  if "radius" in due:
    for word, wrong in (
      ("above", columns["radius"] > due["radius"] + _ABOVE),
      ("below", columns["radius"] < due["radius"] - _BELOW),
    ):
      if wrong.any():
        radii = plural(int(wrong.sum()), "radius is", "radii are")
        yield f"{radii} {word} what the votes certify; the first is of image {index[wrong][0]}"
  wrong = columns["predict"] != due["predict"]
  if "nA" in due:
    wrong |= (columns["nA"] != due["nA"]) | (np.abs(columns["pABar"] - due["pABar"]) > _P)
  else:
    wrong |= ~np.isclose(columns["pvalue"], due["pvalue"], rtol=_P_VALUE, atol=0)
  if wrong.any():
    rows = plural(int(wrong.sum()), "row does not follow from its", "rows do not follow from their")
    yield f"{rows} votes; the first is of image {index[wrong][0]}"
  if attacked.is_attack(f):
    yield from attacked.of_rows(f)


def _of_classes(f: Results) -> Iterator[str]:
  """Labels and votes for classes that the classifier does not have."""
  classes = about_checkpoint(f).get("num_classes")
  if not isinstance(classes, int):
    return
  for name in ("label", "votes0", "votes"):
    if name not in f.columns:
      continue
    seen = f.columns[name] if name == "label" else parse_column(f.columns[name]).classes
    if len(seen) and seen.max() >= classes:
      yield f"its {name} name class {seen.max()}, but its manifest says that there are {classes} classes"


def of_data(f: Results, dataset: Dataset) -> Iterator[str]:
  """A digest, a number of images or labels that differ from those of the data set."""
  images, index = f.manifest["about"].get("images"), f.columns["idx"]
  named = f.manifest["about"].get("dataset")
  if named != dataset.name and meant_by(named) != meant_by(dataset.name):
    yield f"its manifest names the data set {named}, not {dataset.name}"
  if f.settings.get("dataset") != dataset.digest:
    yield f"its data set has digest {f.settings.get('dataset')}, but {dataset.name} has {dataset.digest}"
  if images is not None and images != len(dataset):
    yield f"its manifest says {images} images, but {dataset.name} has {len(dataset)}"
  shape, is_ = f.manifest["about"].get("image_shape"), [*dataset.image_shape]
  if shape is not None and shape != is_:
    yield f"its manifest says that images are {shape}, but those of {dataset.name} are {is_}"
  outside = index >= len(dataset)
  if outside.any():
    yield f"image {index[outside][0]} does not exist: {dataset.name} has {len(dataset)} images"
  known, labels = index[~outside], f.columns["label"][~outside]
  wrong = dataset.labels[known] != labels
  if wrong.any():
    is_not = plural(int(wrong.sum()), "label differs from that", "labels differ from those")
    first = f"image {known[wrong][0]}: {dataset.labels[known][wrong][0]}, not {labels[wrong][0]}"
    yield f"{is_not} of {dataset.name}; the first is of {first}"


def procedure_words(f: Results) -> str:
  """The settings that fix the bound, in words."""
  s = f.settings
  kind = noise.from_settings(s)
  numbers = ", ".join(f"{name} = {getattr(kind, name):g}" for name in noise.parameter_names(s))
  if is_exact(s):
    return f"{kind.name} noise with {numbers}, all of its {s['n']:,} draws, exact"
  n0 = "" if "n0" not in s else f"n0 = {s['n0'] if s['n0'] == AUTO else format(s['n0'], ',')}, "
  most = " at most" if looks.is_by_looks(s) else ""
  bound = ", multi-class bound" if s.get("bound") == bounds.MULTI else ""
  return f"{kind.name} noise with {numbers}, {n0}n = {s['n']:,}{most}, alpha = {s['alpha']:g}{bound}"


def _as_asked(f: Results) -> str:
  """Which images the rows are of, in words; "" if the manifest does not say so."""
  try:
    selection = selection_of(f)
  except InputError:
    return ""
  return "" if selection is None else f", those of {selection.flags}"

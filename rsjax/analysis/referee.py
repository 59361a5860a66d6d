"""What a careful referee would ask about result files, before believing a table made of them."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rsjax import bounds
from rsjax.analysis import contradictions, looks, said, significance
from rsjax.analysis.labels import (
  all_facts,
  as_results,
  bound_called,
  check_names,
  grey_levels,
  rows_there,
  same_data,
  some,
)
from rsjax.analysis.spacing import looks_cut, order_and_gaps
from rsjax.analysis.statistics import accuracy_interval, check_labels
from rsjax.data.coverage import few_classes
from rsjax.results import Results, plural

_FEW = 100  # images
_APART = 3  # sentences that differ in their numbers alone, at most
_OF_A_RUN = ("checkpoint", "dataset", "split", "seed", "dtype", "sigma", "n", "alpha")  # settings
_CONSTANT = 0.98  # the share of the answers that are one class


def warnings(
  files: Sequence[Results],
  names: Sequence[str],
  radii: Sequence[float],
  rule: str = "open",
  confidence: float = 0.95,
  shown: Sequence[Results] | None = None,
) -> list[str]:
  """Sentences about the files, which are called `names`.

  Args:
    files, names: what the sentences are about.
    radii, rule, confidence: those of the table.
    shown: the files with the rows that the table is of; None: all of their rows.

  Raises:
    InputError: if there are not as many names as files.
  """
  files = as_results(files)
  check_names(files, names)
  shown = files if shown is None else as_results(shown)
  told: list[tuple[str, str]] = []
  for f, name, cut, rows in zip(files, names, looks_cut(files), shown):
    check_labels(f)
    told += [(name, text) for text in (*_about_one(f, radii), *_about_few(rows))]
    told += [(name, cut)] if cut else []
  found = _told_once(told)
  grey = grey_levels(files[0], float(np.max(np.asarray(radii, float), initial=0.0))) if files else None
  found += [grey] if grey else []
  found += _about_all(files, names)
  if all("radius" in f.columns and len(f) for f in files):
    found += significance.too_close(shown, names, radii, rule, confidence)
  return found


def of_reference(reference: Results, files: Sequence[Results], names: Sequence[str]) -> list[str]:
  """Sentences about the file that counts as the truth for `files`: what contradicts it, and other labels."""
  of_it = [*reference.notes, *contradictions.everything(reference), *said.of_sessions(reference)]
  found = [f"{reference.path}: {text}" for text in of_it]
  for f, name in zip(files, names):
    found += _other_labels([f, reference], all_facts([f, reference]), [name, reference.path])
  return found


def _told_once(told: Sequence[tuple[str, str]]) -> list[str]:
  """Each text with the names that it is said of; one for many that differ in their numbers alone."""
  alike: dict[str, dict[str, list[str]]] = {}
  for name, text in told:
    alike.setdefault(re.sub(r"[0-9][0-9.,e-]*", "0", text), {}).setdefault(text, []).append(name)
  found = []
  for texts in alike.values():
    if len(texts) <= _APART:
      found += [f"{some(names)}: {text}" for text, names in texts.items()]
    else:
      text, names = next(iter(texts.items()))
      concerned = plural(sum(map(len, texts.values())), "file")
      found.append(f"{concerned}, in other numbers each, such as {names[0]}: {text}")
  return found


def _about_one(f: Results, radii: Sequence[float]) -> Iterator[str]:
  yield from f.notes
  if not f.complete:
    yield f"{rows_there(f, 'incomplete, ')}; the numbers are of those that are there"
  if not len(f):
    return
  predict, label = f.columns["predict"], f.columns["label"]
  answers = predict[predict >= 0]
  if len(answers) > 10:
    classes, counts = np.unique(answers, return_counts=True)
    share = np.mean(label == classes[counts.argmax()])
    if counts.max() >= _CONSTANT * len(answers) and share < _CONSTANT:
      yield f"answers nearly always class {classes[counts.argmax()]}: radii and ACR say nothing then"
  if told := few_classes(label, *_classes(f)):
    yield told
  yield from said.notes(f)
  if not _images_are_listed(f):
    yield from order_and_gaps(f.columns["idx"])
  yield from contradictions.everything(f)
  if "votes" in f.columns and not [*contradictions.of_settings(f)]:
    yield from looks.told(f, radii)
  yield from said.of_sessions(f)


def _about_few(f: Results) -> Iterator[str]:
  if 0 < len(f) < _FEW:
    _, high = accuracy_interval(len(f) // 2, len(f))
    few, reach = plural(len(f), "image"), high - 0.5
    yield f"with {few}, the 95 % interval of an accuracy of one half reaches {reach:.2f} to each side"


def _classes(f: Results) -> tuple[int, bool]:
  """How many classes there are, and whether it is known: else at least as many as labels and answers show."""
  checkpoint = f.manifest["about"].get("checkpoint")
  told = checkpoint.get("num_classes") if isinstance(checkpoint, dict) else None
  seen = 1 + max(int(f.columns["label"].max()), int(f.columns["predict"].max()))
  return (max(seen, told), True) if isinstance(told, int) else (seen, False)


def _images_are_listed(f: Results) -> bool:
  """Whether the images were asked for one by one, or are of some shards: in any order, and with gaps."""
  about = f.manifest["about"]
  by_indices = about.get("selected") is not None and not said.is_of_a_split(f)
  return by_indices or f.settings.get("indices") is not None or "joined" in about


def _about_all(files: Sequence[Results], names: Sequence[str]) -> Iterator[str]:
  if len(files) < 2:
    return
  known = all_facts(files)
  yield from _given_twice(files, names)
  yield from _of_another(files, names)
  if len(sets := {k["dataset"] for k in known if k["dataset"] is not None}) > 1:
    yield f"the files are of different data sets: {', '.join(sorted(sets))}"
  for setting in ("split", "n", "alpha", "dtype", "seed"):
    values = {k[setting] for k in known if k[setting] is not None}
    if len(values) > 1:
      yield f"the files differ in {setting}: {', '.join(str(v) for v in sorted(values))}"
  kinds = {k["bound"] or "not known" for k in known}
  if len(kinds) > 1 and bounds.MULTI in kinds:
    called = ", ".join(sorted(map(bound_called, kinds)))
    yield f"the files differ in bound: {called}; the larger of two bounds of the same votes is no certificate"
  plans = {k["plan"] for f, k in zip(files, known) if "votes" in f.columns}
  stops = {k["stop"] or "n fixed beforehand" for f, k in zip(files, known) if "votes" in f.columns}
  if len(stops) > 1:
    yield f"the files differ in when images stop: {'; '.join(sorted(stops))}"
  elif len(plans) > 1:
    yield f"the files differ in their plan of looks: {', '.join(str(plan) for plan in sorted(plans, key=str))}"
  digests = {f.settings["dataset"] for f in files if f.settings.get("dataset")}
  if len(digests) > 1 and len({k["dataset"] for k in known}) == 1:
    yield "the files are of data sets of one name, but with other images or labels"
  elif len(digests) > 1 and len(sets) < 2:
    yield (
      "the files may be of different images: the digests of their images and labels differ. A digest from "
      "Python is of the certified images alone. The files are not tested against each other"
    )
  first, others = np.sort(files[0].columns["idx"]), []
  for f, k, name in zip(files[1:], known[1:], names[1:]):
    if not np.array_equal(np.sort(f.columns["idx"]), first) and same_data(k, known[0]):
      both = len(np.intersect1d(first, f.columns["idx"]))
      others.append(f"{name} is of other images than {names[0]}: {len(f)} and {len(first)}, {both} in common")
  yield from _other_labels(files, known, names)
  yield from others[:_APART]
  if len(others) > _APART:
    yield f"{plural(len(others) - _APART, 'more file is', 'more files are')} of other images than {names[0]}"


def _other_labels(
  files: Sequence[Results], known: Sequence[dict[str, Any]], names: Sequence[str]
) -> Iterator[str]:
  """Files that give images of one data set other labels than the first file of it does."""
  for place, (f, k) in enumerate(zip(files, known)):
    for earlier in range(place):
      other = files[earlier]
      if not same_data(k, known[earlier]):
        continue
      index, ours, theirs = np.intersect1d(f.columns["idx"], other.columns["idx"], return_indices=True)
      wrong = index[f.columns["label"][ours] != other.columns["label"][theirs]]
      if len(wrong):
        images = plural(len(wrong), "image")
        yield (
          f"{names[place]} has other labels than {names[earlier]} for {images}, the first is {wrong[0]}: one "
          "may have been changed; they are not to be compared"
        )
      break


def _of_another(files: Sequence[Results], names: Sequence[str]) -> Iterator[str]:
  """Names that speak of the training objective of another file, as labels in a wrong order do."""
  objectives = [_objective(f) for f in files]
  for name, own in zip(names, objectives):
    words = {*re.findall(r"[a-z]+", name.lower().replace("gaussian noise", ""))}
    if own is None or words & {*own.split("_")}:
      continue
    if others := sorted(words & {*objectives}):
      yield f"{name} is, by its manifest, of a classifier trained with the objective {own}, not {others[0]}"


def _objective(f: Results) -> str | None:
  """The name of the objective that a manifest says its checkpoint was trained with."""
  found = f.manifest["about"]
  for key in ("checkpoint", "training", "objective", "name"):
    found = found.get(key) if isinstance(found, dict) else None
  return found if isinstance(found, str) else None


def _given_twice(files: Sequence[Results], names: Sequence[str]) -> Iterator[str]:
  """Of files that hold the rows of another one."""
  rows: dict[int, list[tuple[str, Results]]] = {}
  for f, name in zip(files, names):
    own = tuple(tuple(f.columns[c]) for c in ("idx", "label", "predict", "radius", "votes") if c in f.columns)
    rows.setdefault(hash(own), []).append((name, f))
  for same in rows.values():
    if len(same) < 2:
      continue
    told = f"{some([name for name, _ in same])} hold the same rows"
    differing = [key for key in _OF_A_RUN if len({f.settings.get(key) for _, f in same} - {None}) > 1]
    if differing:
      yield f"{told}, but differ in {', '.join(differing)}: are they copies of one run?"
    else:
      yield f"{told}: one run was given {len(same)} times"

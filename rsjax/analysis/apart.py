"""Names of files told apart: by their images, and, if they are the same, by paths, settings or a number."""

import collections
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsjax.results import Results, plural

_PARTS = 3  # of a path, at most, by which a file is named
_DIGEST = 64  # characters, of which the first few are shown
# Settings by which files of one path differ, and what they are called.
_SETTINGS = {
  "n": "n =",
  "alpha": "alpha =",
  "n0": "n0 =",
  "seed": "seed =",
  "dtype": "dtype",
  "classifier": "classifier",
  "checkpoint": "variables",
  "dataset": "data",
}
# Columns of which a run that is given twice has the same.
_ROWS = ("idx", "label", "predict", "radius", "votes")


def apart(files: Sequence[Results], texts: Sequence[str]) -> list[str]:
  """The texts, one per file; to those that are the same something is added, unless the runs are the same."""
  counts = collections.Counter(texts)
  short = dict(zip((f.path for f in files), _short([f.path for f in files])))
  if len(short) > 1:
    texts = [f"{text} ({short[f.path]})" if counts[text] > 1 else text for text, f in zip(texts, files)]
  texts = _with_settings(files, texts)
  return _numbered(files, texts)


def other_images(files: Sequence[Results], known: Sequence[dict[str, Any]]) -> list[list[str]]:
  """Of which images each file is, in words; where files differ in it, their accuracies cannot be compared.

  known: `labels.all_facts` of the files.
  """
  digests: dict[Any, set[str]] = collections.defaultdict(set)
  places: dict[Any, set[bytes]] = collections.defaultdict(set)
  for f, k in zip(files, known):
    name = k["dataset"], k["split"]
    digests[name] |= {k["digest"]} - {None}
    if _is_whole(f):
      places[name, k["digest"]].add(np.sort(f.columns["idx"]).tobytes())
  found = []
  for f, k in zip(files, known):
    name = k["dataset"], k["split"]
    parts = [part for part in name if part and len(digests) > 1]
    parts += [f"data {_shown(k['digest'])}"] if k["digest"] and len(digests[name]) > 1 else []
    parts += [_places(f.columns["idx"])] if _is_whole(f) and len(places[name, k["digest"]]) > 1 else []
    found.append(parts)
  return found


def _is_whole(f: Results) -> bool:
  """Whether a file has all images of a run; the names of the others say that they have not."""
  return f.complete and f.settings.get("shard") is None


def _places(index: NDArray[np.int64]) -> str:
  """Which images these are: "images 0 to 29", or "30 images from 0 to 58" if some between are left out."""
  if not len(index):
    return "no images"
  first, last = int(index.min()), int(index.max())
  listed = "images" if last - first + 1 == len(index) else f"{plural(len(index), 'image')} from"
  return f"{listed} {first} to {last}"


def _groups(texts: Sequence[str]) -> list[list[int]]:
  """The places of each text that is there more than once."""
  places = collections.defaultdict(list)
  for place, text in enumerate(texts):
    places[text].append(place)
  return [same for same in places.values() if len(same) > 1]


def _with_settings(files: Sequence[Results], texts: Sequence[str]) -> list[str]:
  found = list(texts)
  for same in _groups(texts):
    for name, called in _SETTINGS.items():
      values = [_shown(files[place].settings.get(name)) for place in same]
      if len(set(values)) > 1:
        for place, value in zip(same, values):
          found[place] += f", {called} {value}"
  return found


def _shown(value: Any) -> str:
  text = "not known" if value is None else str(value)
  return text[:8] if len(text) == _DIGEST else text


def _numbered(files: Sequence[Results], texts: Sequence[str]) -> list[str]:
  found = list(texts)
  for same in _groups(texts):
    runs = [_run(files[place]) for place in same]
    different = list(dict.fromkeys(runs))
    if len(different) > 1:
      for place, run in zip(same, runs):
        found[place] += f", run {different.index(run) + 1}"
  return found


def _run(f: Results) -> tuple[Any, ...]:
  """What is the same for two files of one run."""
  rows = (np.asarray(f.columns[name]).tolist() for name in _ROWS if name in f.columns)
  return (json.dumps(f.settings, sort_keys=True, default=str), *map(tuple, rows))


def _short(paths: Sequence[str]) -> list[str]:
  """The ends of the paths, as long as it takes to tell them apart, with ... for what lies between."""
  parts = [pathlib.PurePath(path).parts for path in paths]
  different, longest = len(set(parts)), max(map(len, parts))
  length = next((k for k in range(1, longest) if len({p[-k:] for p in parts}) == different), longest)
  ends = [p[-length:] for p in parts]
  shorter = ["/".join(p if len(p) <= _PARTS else (p[0], "...", p[-1])) for p in ends]
  return shorter if len(set(shorter)) == different else [str(pathlib.PurePath(*p)) for p in ends]

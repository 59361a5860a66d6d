"""Names of files that would be the same, told apart: by paths, else by settings, else by a number."""

import collections
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from rsjax.results import Results

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

"""Joins the files of jobs that shared the images of one run."""

import collections
import dataclasses
import json
from collections.abc import Sequence

import numpy as np

from rsjax.errors import InputError
from rsjax.results.reading import Results


def join(files: Sequence[Results]) -> list[Results]:
  """The files, with the shards of each run joined at the place of its first shard.

  Args:
    files: of any kind; shards are those whose settings have a `shard`, and belong together if all other
      settings are the same.

  Returns:
    Runs whose rows are in the order of their indices. A run with missing shards or rows is incomplete. The
    `about` of its manifest then has `joined`, the shards that are there.

  Raises:
    InputError: if two files are the same shard of one run.
  """
  runs: dict[str, list[Results]] = collections.defaultdict(list)
  for place, file in enumerate(files):
    runs[_run_of(file) if _is_shard(file) else f"file {place}"].append(file)
  return [_joined(run) if _is_shard(run[0]) else run[0] for run in runs.values()]


def _is_shard(file: Results) -> bool:
  return file.settings.get("shard") is not None


def _run_of(file: Results) -> str:
  """What all shards of one run have in common, and no other."""
  others = {key: value for key, value in file.settings.items() if key not in ("shard", "max")}
  return json.dumps([others, _count(file), sorted(file.columns)], sort_keys=True)


def _count(file: Results) -> int:
  return int(file.settings["shard"].partition("/")[2])


def _joined(shards: list[Results]) -> Results:
  by_number: dict[str, Results] = {}
  for file in shards:
    other = by_number.setdefault(file.settings["shard"], file)
    if other is not file:
      raise InputError(
        f"{other.path} and {file.path} are both shard {file.settings['shard']} of one run: give one"
      )
    if file.manifest["about"].get("selected") is None:
      raise InputError(f"{file.path} is a shard, but its manifest does not say how many images its run has")
  first = max(shards, key=lambda file: file.manifest["about"]["selected"])
  columns = {name: np.concatenate([file.columns[name] for file in shards]) for name in first.columns}
  order = np.argsort(columns["idx"], kind="stable")
  count = _count(first)
  notes = [note for file in shards for note in file.notes]
  if len(shards) < count:
    missing = [str(i) for i in range(1, count + 1) if f"{i}/{count}" not in by_number]
    notes.append(f"shards {', '.join(missing)} of {count} are missing")
  manifest = dict(first.manifest)
  manifest["settings"] = {key: value for key, value in first.settings.items() if key != "shard"}
  manifest["about"] = first.manifest["about"] | {"joined": sorted(by_number)}
  manifest["expected"] = first.manifest["about"]["selected"]
  manifest["sessions"] = [session for file in shards for session in file.manifest["sessions"]]
  return dataclasses.replace(
    first,
    path=f"{first.path} (shards)",
    manifest=manifest,
    columns={name: column[order] for name, column in columns.items()},
    expected=manifest["expected"],
    notes=tuple(dict.fromkeys(notes)),
    shards=tuple(shards),
  )

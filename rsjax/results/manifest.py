"""The manifest beside a result file: what the file holds, and how many rows it should have."""

import dataclasses
import json
import pathlib
import re
from collections.abc import Callable
from typing import Any

from rsjax import files
from rsjax.errors import InputError
from rsjax.procedures import AUTO
from rsjax.results.wording import harmless

FORMAT = "rsjax-results-2"
_EARLIER = ("rsjax-results-1",)  # without a noise, which was always Gaussian
_MOST = 2**40  # of images and draws: no file has more
# What the values are that others rely on, where they are there and not null.
_SETTINGS: dict[str, Callable[[Any], bool]] = {
  "command": lambda v: v in ("certify", "predict", "attack"),
  "n": lambda v: _is_count(v) and v > 0,
  "n0": lambda v: v == AUTO or (_is_count(v) and v > 0),
  "seed": lambda v: _is_count(v),
  "alpha": lambda v: isinstance(v, float) and 0 < v < 1,
  **dict.fromkeys(
    ("noise", "split", "dtype", "dataset", "checkpoint", "norm", "procedure", "bound"),
    lambda v: isinstance(v, str),
  ),
  "inputs": lambda v: v == "arrays",
  "method": lambda v: v in ("pgd", "ddn", "both"),
  **dict.fromkeys(
    ("sigma", "band", "dimension", "noise_lambda", "noise_scale", "noise_bits", "noise_guard"),
    lambda v: _is_number(v),
  ),
  **dict.fromkeys(("iterations", "noise_vectors", "max", "skip", "verifications"), lambda v: _is_count(v)),
  "radii": lambda v: isinstance(v, list) and all(_is_number(radius) for radius in v),
  "plan": lambda v: not isinstance(v, dict) or isinstance(v.get("id", ""), str),
  **dict.fromkeys(("top_k", "combined"), lambda v: False),  # of analyses, which are not saved
  "shard": lambda v: isinstance(v, str) and re.fullmatch(r"\d{1,9}/\d{1,9}", v) is not None,
}
_ABOUT: dict[str, Callable[[Any], bool]] = {
  **dict.fromkeys(("images", "selected"), lambda v: _is_count(v)),
  "dataset": lambda v: isinstance(v, str),
  "notes": lambda v: isinstance(v, list) and all(isinstance(note, str) for note in v),
  "checkpoint": lambda v: not isinstance(v, dict) or _is_description(v),
  "joined": lambda v: False,  # of shards that were read together, which are not saved so
}
_KINDS = {"expected": int, "settings": dict, "about": dict, "sessions": list}  # of the values in the file


@dataclasses.dataclass(frozen=True)
class Manifest:
  """What a result file holds.

  Attributes:
    settings: what fixes the rows, JSON values; a file is continued only if all of them are equal.
    indices: the image indices of the rows, in order, as the settings fix them.
    about: what else is worth knowing: names, metadata of the checkpoint.
    session: versions, devices and the like of this run; the manifest lists those of every run.
  """

  settings: dict[str, Any]
  indices: list[int]
  about: dict[str, Any]
  session: dict[str, Any]

  def content(self, sessions: list[dict[str, Any]]) -> dict[str, Any]:
    """The manifest's dict, after these earlier sessions."""
    return {
      "format": FORMAT,
      "expected": len(self.indices),
      "settings": self.settings,
      "about": self.about,
      "sessions": [*sessions, self.session],
    }


def manifest_path(path: str | pathlib.Path) -> pathlib.Path:
  """The path of the manifest of the result file at `path`."""
  return pathlib.Path(f"{files.local(path)}.json")


def read_manifest(path: str | pathlib.Path) -> dict[str, Any]:
  """The manifest of the result file at `path`, as a dict; an earlier format is converted to the current one.

  Raises:
    InputError: if it is missing or is not a manifest of rsjax.
  """
  if not manifest_path(path).exists() and not files.local(path).exists():
    raise InputError(f"there is no result file {path}")
  if files.local(path).is_dir():
    raise InputError(f"{path} is a folder: give a result file")
  if files.local(path).is_file() and str(path).endswith(".tsv.json"):
    raise InputError(f"{path} is a manifest: give its result file, {str(path).removesuffix('.json')}")
  if files.local(path).is_file() and not manifest_path(path).exists():
    raise InputError(
      f"{path} has no manifest {manifest_path(path).name} beside it: only analyze reads files without "
      "one, if they have the paper's columns"
    )
  try:
    manifest = json.loads(manifest_path(path).read_text(), object_pairs_hook=_object)
  except OSError as error:
    raise InputError(f"{manifest_path(path)}, the manifest of {path}, cannot be read: {error}") from error
  except ValueError as error:
    what = f"not JSON ({error})" if manifest_path(path).stat().st_size else "empty"
    raise InputError(
      f"{manifest_path(path)}, the manifest of {path}, is {what}: restore it from a copy, or run the command "
      "again with another path"
    ) from error
  if (
    not isinstance(manifest, dict)
    or manifest.get("format") not in (FORMAT, *_EARLIER)
    or {key: type(manifest.get(key)) for key in _KINDS} != _KINDS
  ):
    raise InputError(f"{manifest_path(path)} is not a manifest of this version ({FORMAT})")
  odd = [
    f"{name} cannot be {json.dumps(manifest[part][name])[:40]}"
    for part, known in (("settings", _SETTINGS), ("about", _ABOUT))
    for name, fits in known.items()
    if manifest[part].get(name) is not None and not fits(manifest[part][name])
  ]
  if manifest["settings"].get("command") == "attack" and not manifest["settings"].get("radii"):
    odd.append("an attack has radii")
  if not all(isinstance(session, dict) for session in manifest["sessions"]):
    odd.append("a session must be an object")
  if manifest["format"] in _EARLIER and manifest["settings"].get("noise") is not None:
    odd.append(f"{manifest['format']} names no noise, which was always Gaussian")
  if odd:
    raise InputError(f"{manifest_path(path)}, the manifest of {path}, is damaged: {'; '.join(odd)}")
  if manifest["format"] in _EARLIER:
    manifest["settings"] = manifest["settings"] | {"noise": "gaussian"}
    manifest["format"] = FORMAT  # it may be saved again
  return manifest


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  """An object of JSON, whose names must differ, with its text made harmless."""
  names = [name for name, _ in pairs]
  if len(set(names)) < len(names):
    twice = next(name for name in names if names.count(name) > 1)
    raise ValueError(f"it names {twice[:40]!r} twice")
  return {harmless(name): _harmless(value) for name, value in pairs}


def _harmless(value: Any) -> Any:
  """A value with its text made harmless; of objects, that was done before."""
  if isinstance(value, list):
    return [_harmless(one) for one in value]
  return harmless(value) if isinstance(value, str) else value


def _is_count(value: Any) -> bool:
  return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST


def _is_number(value: Any) -> bool:
  return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _MOST


def _is_description(said: dict[str, Any]) -> bool:
  """Whether what tables say of a checkpoint can be said."""
  return all(
    value is None or fits(value)
    for value, fits in ((said.get("noise_sd"), _is_number), (said.get("arch"), lambda v: isinstance(v, str)))
  )


def write_manifest(path: str | pathlib.Path, manifest: Manifest) -> None:
  """Writes a `Manifest`, whole or not at all; adds its session to those of an earlier one."""
  target = manifest_path(path)
  sessions = read_manifest(path)["sessions"] if target.exists() else []
  write_content(path, manifest.content(sessions))


def write_content(path: str | pathlib.Path, content: dict[str, Any]) -> None:
  """Writes a manifest's dict, whole or not at all."""
  with files.whole(manifest_path(path)) as file:
    json.dump(content, file, indent=1)
    file.write("\n")

"""The manifest beside a result file: what the file is of, and how many rows it should have."""

import contextlib
import dataclasses
import json
import os
import pathlib

from rsjax.errors import InputError

FORMAT = "rsjax-results-1"
_KINDS = {"expected": int, "settings": dict, "about": dict, "sessions": list}  # of the values in the file


@dataclasses.dataclass(frozen=True)
class Manifest:
  """What a result file is of.

  Attributes:
    settings: what fixes the rows, JSON values; a file is continued only if all of them are equal.
    indices: the image indices of the rows, in order, as the settings fix them.
    about: what else is worth knowing: names, metadata of the checkpoint.
    session: versions, devices and the like of this run; the manifest lists those of every run.
  """

  settings: dict
  indices: list[int]
  about: dict
  session: dict


def manifest_path(path):
  return pathlib.Path(f"{path}.json")


def read_manifest(path):
  """The manifest's dict, of the result file at `path`.

  Raises:
    InputError: where it is missing or not one of this version.
  """
  try:
    manifest = json.loads(manifest_path(path).read_text())
  except (OSError, ValueError) as error:
    raise InputError(f"{manifest_path(path)}, the manifest of {path}, cannot be read: {error}") from error
  if (
    not isinstance(manifest, dict)
    or manifest.get("format") != FORMAT
    or {key: type(manifest.get(key)) for key in _KINDS} != _KINDS
  ):
    raise InputError(f"{manifest_path(path)} is not a manifest of this version ({FORMAT})")
  return manifest


def write_manifest(path, manifest):
  """Writes a `Manifest`, whole or not at all; adds its session to those of an earlier one."""
  target = manifest_path(path)
  sessions = read_manifest(path)["sessions"] if target.exists() else []
  content = {
    "format": FORMAT,
    "expected": len(manifest.indices),
    "settings": manifest.settings,
    "about": manifest.about,
    "sessions": [*sessions, manifest.session],
  }
  new = target.with_name(f".{target.name}.new")
  with open(new, "w") as file:
    json.dump(content, file, indent=1)
    file.write("\n")
    file.flush()
    os.fsync(file.fileno())
  new.replace(target)
  sync_folder(target)


def sync_folder(path):
  """Makes the name of a file that was just made outlast a loss of power, where the system can."""
  with contextlib.suppress(OSError):
    folder = os.open(pathlib.Path(path).parent, os.O_RDONLY)
    try:
      os.fsync(folder)
    finally:
      os.close(folder)

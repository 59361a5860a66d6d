"""The manifest beside a result file: what the file is of, and how many rows it should have."""

import dataclasses
import json
import pathlib
from typing import Any

from rsjax import files
from rsjax.errors import InputError

FORMAT = "rsjax-results-2"
_EARLIER = ("rsjax-results-1",)  # without a noise, which was always Gaussian
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
  """Where the manifest of the result file at `path` is."""
  return pathlib.Path(f"{files.local(path)}.json")


def read_manifest(path: str | pathlib.Path) -> dict[str, Any]:
  """The manifest's dict, of the result file at `path`; an earlier format's in the form of today's.

  Raises:
    InputError: where it is missing or none of rsjax.
  """
  try:
    manifest = json.loads(manifest_path(path).read_text())
  except (OSError, ValueError) as error:
    raise InputError(f"{manifest_path(path)}, the manifest of {path}, cannot be read: {error}") from error
  if (
    not isinstance(manifest, dict)
    or manifest.get("format") not in (FORMAT, *_EARLIER)
    or {key: type(manifest.get(key)) for key in _KINDS} != _KINDS
  ):
    raise InputError(f"{manifest_path(path)} is not a manifest of this version ({FORMAT})")
  if manifest["format"] in _EARLIER:
    manifest["settings"] = manifest["settings"] | {"noise": "gaussian"}
  return manifest


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

"""What every format returns, and what the formats share."""

import dataclasses
import hashlib
import io
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from rsjax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Examples:
  """One split in its original order.

  Attributes:
    keys: what TFDS shuffles the split by.
    size: about how many bytes its images take.
    identity: what distinguishes these images from others, besides their files.
    example: example(i) is TFDS's features of image i, the image as the bytes of a file.
  """

  keys: Sequence
  size: int
  example: Callable[[int], dict]
  identity: str = ""

  def __len__(self) -> int:
    return len(self.keys)


@dataclasses.dataclass(frozen=True)
class Originals:
  """`splits` by TFDS's names; `names` of the classes of each label; the `files` that were read."""

  splits: dict[str, Examples]
  files: list[pathlib.Path]
  names: dict[str, list[str]] = dataclasses.field(default_factory=dict)


def png(array: np.ndarray) -> bytes:
  """A uint8[h, w, c] image as PNG bytes."""
  from PIL import Image

  file = io.BytesIO()
  Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array).save(file, "PNG")
  return file.getvalue()


def first_of(folder: pathlib.Path, names: Sequence[str], what: str) -> pathlib.Path:
  """The first of these files that the folder holds."""
  for name in names:
    if (folder / name).is_file():
      return folder / name
  raise InputError(f"{folder} does not hold the {what}: download one of {', '.join(names)} into it")


def verify(path: pathlib.Path, checksums: dict[str, str] | None) -> None:
  """Refuses a file that is not byte for byte the published one; files without a checksum are accepted."""
  if checksums is None or path.name not in checksums:
    return
  wanted = checksums[path.name]
  with open(path, "rb") as file:
    found = hashlib.file_digest(file, "md5" if len(wanted) == 32 else "sha256").hexdigest()
  if found != wanted:
    raise InputError(
      f"{path} is not the published file (digest {found[:12]}..., expected {wanted[:12]}...): download it "
      "again, or give `unverified` to use it as it is"
    )

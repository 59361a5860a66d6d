"""Test images that are training images, too: what is certified on them says nothing of new images."""

import hashlib
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np


def told(images: np.ndarray, training: Iterable[bytes]) -> str | None:
  """A sentence if some test images are training images, byte for byte; else None.

  Args:
    images: the test images, an array.
    training: the bytes of each training image.
  """
  seen = {_digest(image) for image in training}
  repeated = [i for i, image in enumerate(images) if _digest(image.tobytes()) in seen] if seen else []
  return _sentence(repeated, len(images))


def told_of_files(files: Sequence[pathlib.Path], training: Iterable[pathlib.Path]) -> str | None:
  """The same for files: of the training files, only those are read that have the size of a test file."""
  sizes = [file.stat().st_size for file in files]
  asked = set(sizes)
  alike = {file: size for file in training if (size := file.stat().st_size) in asked}
  seen, wanted = {_digest(file.read_bytes()) for file in alike}, {*alike.values()}
  return _sentence(
    [i for i, file in enumerate(files) if sizes[i] in wanted and _digest(file.read_bytes()) in seen], len(files)
  )


def _digest(content: bytes) -> bytes:
  return hashlib.blake2b(content, digest_size=16).digest()


def _sentence(repeated: list[int], count: int) -> str | None:
  if not repeated:
    return None
  are, say = ("is a training image", "it says") if len(repeated) == 1 else ("are training images", "they say")
  return (
    f"{len(repeated)} of {count} test images {are}, too, the first of them image {repeated[0]}: {say} nothing "
    "about new images"
  )

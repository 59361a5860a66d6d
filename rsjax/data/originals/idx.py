"""MNIST and Fashion-MNIST: four idx files, gzipped or not (http://yann.lecun.com/exdb/mnist)."""

import gzip
import math
import pathlib
import zlib

import numpy as np

from rsjax.data.originals.files import Examples, Originals, first_of, png, verify
from rsjax.errors import InputError

_PREFIX = {"train": "train", "test": "t10k"}

# Both data sets have files of the same names and sizes; unpacked, these labels tell them apart.
_FIRST_LABELS = {
  "mnist": {"train": [5, 0, 4, 1, 9, 2, 1, 3, 1, 4], "test": [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]},
  "fashion_mnist": {"train": [9, 0, 0, 3, 0, 2, 7, 2, 5, 5], "test": [9, 2, 1, 1, 6, 1, 4, 6, 5, 7]},
}


def find(name: str, folder: pathlib.Path, checksums: dict[str, str] | None) -> Originals:
  splits, files = {}, []
  for split, prefix in _PREFIX.items():
    images, image_file = _read(folder, f"{prefix}-images", 3, checksums)
    labels, label_file = _read(folder, f"{prefix}-labels", 1, checksums)
    files += [image_file, label_file]
    if len(images) != len(labels) or images.shape[1:] != (28, 28):
      raise InputError(
        f"{image_file} has shape {images.shape} and {label_file} has shape {labels.shape}: expected n 28x28 "
        "images and n labels"
      )
    if checksums is not None and labels[:10].tolist() != _FIRST_LABELS[name][split]:
      raise InputError(
        f"{label_file} is not {name}'s: its first labels are {labels[:10].tolist()}, expected "
        f"{_FIRST_LABELS[name][split]}; give `unverified` to use it as it is"
      )
    splits[split] = _examples(images, labels)
  return Originals(splits, files)


def _examples(images, labels):
  def example(i):
    return {"image": png(images[i][..., None]), "label": int(labels[i])}

  return Examples(range(len(images)), images.size, example)


def _read(folder, stem, dimensions, checksums):
  """(uint8 array, path) of an idx file."""
  names = [f"{stem}{dot}idx{dimensions}-ubyte{end}" for dot in "-." for end in (".gz", "")]
  path = first_of(folder, names, f"{stem} file")
  verify(path, checksums)
  try:
    content = path.read_bytes()
    if path.suffix == ".gz":
      content = gzip.decompress(content)
  except (OSError, EOFError, zlib.error) as error:
    raise InputError(f"{path} cannot be read as gzip: {error}") from error
  start = 4 + 4 * dimensions
  shape = [int(n) for n in np.frombuffer(content[4 : len(content[:start]) // 4 * 4], ">u4")]
  if content[:4] != bytes([0, 0, 8, dimensions]) or len(content) != start + math.prod(shape):
    raise InputError(f"{path} is not an idx file of {dimensions}-dimensional bytes, or is truncated")
  return np.frombuffer(content, np.uint8, offset=start).reshape(shape), path

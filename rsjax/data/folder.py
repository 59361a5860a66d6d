"""Folders of image files: DIR/{train,test}/<class>/*.{png,jpg,jpeg}."""

import hashlib
import pathlib
from collections.abc import Sequence

import numpy as np

from rsjax.data.dataset import Dataset
from rsjax.errors import InputError

_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


def folder(name: str, path: pathlib.Path, split: str) -> Dataset:
  """DIR/{train,test}/<class>/*.{png,jpg,jpeg}; val/ counts as test. Order: class, then file name."""
  roots = [path / s for s in (("test", "val") if split == "test" else ("train",)) if (path / s).is_dir()]
  if len(roots) != 1:
    found = "both" if roots else "neither"
    wanted = "either test/ or val/" if split == "test" else "train/"
    raise InputError(f"{name} must hold {wanted}" + (f", it has {found}" if split == "test" else ""))
  others = [path / s for s in ("train", "test", "val") if (path / s).is_dir()]
  folders = [d for root in others for d in root.iterdir() if d.is_dir() and not d.name.startswith(".")]
  classes = sorted({d.name for d in folders})
  files, labels = [], []
  for label, class_name in enumerate(classes):
    here = sorted(f for f in (roots[0] / class_name).glob("[!.]*") if f.suffix.lower() in _IMAGE_SUFFIXES)
    files += here
    labels += [label] * len(here)
  if not files:
    raise InputError(f"{roots[0]} holds no <class>/*.png or *.jpg")
  images = ImageFiles(files)
  digest = hashlib.sha256(repr((classes, labels, images.shape)).encode())
  for file in files:
    digest.update(file.name.encode(errors="surrogateescape") + b"\0" + _file_digest(file))
  return Dataset(
    name, split, images, np.array(labels, np.int64), len(classes), tuple(classes), digest.hexdigest()
  )


def _file_digest(path):
  with open(path, "rb") as file:
    return hashlib.file_digest(file, "sha256").digest()


class ImageFiles(Sequence):
  """Image files of one size, decoded on access to uint8[h, w, c]; c = 1 if all are grey, else 3."""

  def __init__(self, files):
    from PIL import Image

    self._files, self._open = files, Image.open
    sizes, modes = {}, set()
    for file in files:
      try:
        with Image.open(file) as image:  # reads the header only
          sizes.setdefault(image.size, file)
          mode = image.mode
      except Exception as error:  # Pillow raises many kinds for damaged files
        raise InputError(f"{file} is not a readable image: {error}") from error
      modes.add(mode)
      if mode[0] in "IF":
        raise InputError(f"{file} has more than 8 bits a channel (mode {mode}): convert it to 8 bits first")
      if len(sizes) > 1:
        (a, first), (b, other) = sizes.items()
        raise InputError(
          f"images must be of one size: {first} is {a[0]}x{a[1]}, {other} is {b[0]}x{b[1]}; resize them first"
        )
    self._mode = "L" if modes <= {"L", "1"} else "RGB"
    width, height = next(iter(sizes))
    self.shape = (len(files), height, width, 1 if self._mode == "L" else 3)

  def __len__(self):
    return len(self._files)

  def __getitem__(self, i):
    try:
      with self._open(self._files[i]) as image:
        return np.asarray(image.convert(self._mode)).reshape(self.shape[1:])
    except Exception as error:
      raise InputError(f"{self._files[i]} cannot be decoded: {error}") from error

  def check(self, i: int) -> None:
    """Decodes image i: whether a file can be decoded shows only then."""
    self[i]

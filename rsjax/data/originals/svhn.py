"""SVHN, cropped digits: train_32x32.mat, test_32x32.mat and, if there, extra_32x32.mat
(http://ufldl.stanford.edu/housenumbers)."""

import pathlib

import numpy as np
import scipy.io

from rsjax.data.originals.files import Examples, Originals, first_of, png, verify
from rsjax.errors import InputError


def find(name: str, folder: pathlib.Path, checksums: dict[str, str] | None) -> Originals:
  del name
  splits, files = {}, []
  for split in ("train", "test", "extra"):
    file_name = f"{split}_32x32.mat"
    if split == "extra" and not (folder / file_name).exists():
      continue
    path = first_of(folder, [file_name], f"{split} images of SVHN")
    verify(path, checksums)
    splits[split] = _read(path, split)
    files.append(path)
  return Originals(splits, files)


def _read(path, split):
  try:
    content = scipy.io.loadmat(path)
    images, labels = content["X"], np.asarray(content["y"]).reshape(-1)
    if images.dtype != np.uint8 or images.shape != (32, 32, 3, len(labels)):
      raise ValueError(f"X is {images.dtype}{list(images.shape)}, y has {len(labels)} labels")
    if labels.min() < 1 or labels.max() > 10:
      raise ValueError(f"labels are {labels.min()}..{labels.max()}, expected 1..10")
  except Exception as error:  # SciPy raises many kinds for damaged files
    raise InputError(f"{path} is not as published: {error}") from error

  def example(i):
    return {
      "id": f"{split}_{i:06d}",
      "image": png(np.ascontiguousarray(images[..., i])),
      "label": int(labels[i]) % 10,  # the digit 0 is stored as 10
    }

  return Examples(range(len(labels)), images.size, example)

"""The published files of data sets, as users download them.

    found = originals.find("cifar10", "downloads", checksums)
    found.splits["test"].example(0)     # {"id": "test_00000", "image": PNG bytes, "label": 3}

Each format has one file, with a function (name, folder, checksums) -> `Originals`. Nothing is unpacked to disk,
and nothing in a file is executed.
"""

import pathlib

from rsjax.data.originals import cifar, idx, imagenet, svhn
from rsjax.data.originals.files import Examples, Originals

__all__ = ["Examples", "Originals", "find"]

_FORMATS = {
  "cifar10": cifar.find,
  "cifar100": cifar.find,
  "svhn_cropped": svhn.find,
  "mnist": idx.find,
  "fashion_mnist": idx.find,
  "imagenet": imagenet.find,
}


def find(name: str, folder: pathlib.Path, checksums: dict[str, str] | None) -> Originals:
  """The originals of data set `name` in a folder.

  Args:
    name: a key of `data.named.SETS`.
    folder: a pathlib.Path.
    checksums: file name -> SHA-256 of what TFDS downloads; None: nothing is verified.

  Raises:
    InputError: if they are missing, damaged or not the published ones.
  """
  return _FORMATS[name](name, folder, checksums)

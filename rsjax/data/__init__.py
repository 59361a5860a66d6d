"""Data sets by name or path: uint8 images and labels in the data set's original order.

  >>> data.load("digits", "test").images[0].shape
  (8, 8, 1)

The name may be that of a set in tensorflow-datasets, such as "cifar10", which rsjax.prepare wrote; a path such
as "photos.npz", with x_train, y_train, x_test and y_test; or a folder such as "photos", with
photos/{train,test}/CLASS/NAME.png.

Index i is the position in the original order, which published results refer to. Images are never
augmented here. A new kind of data set is one function that returns a `Dataset`; add it to `load`.
"""

import pathlib

from rsjax import files
from rsjax.data import arrays, folder, named
from rsjax.data.dataset import Dataset
from rsjax.data.selection import Selection
from rsjax.errors import InputError

__all__ = ["SPLITS", "Dataset", "Selection", "load"]

SPLITS = ("train", "test")


def load(name: str | pathlib.Path, split: str, data_dir: str | pathlib.Path | None = None) -> Dataset:
  """The split of a data set.

  Args:
    name: "digits", a key of `named.SETS`, the path of a .npz file, or of a folder.
    split: "train" or "test" (of ImageNet the validation images).
    data_dir: where tensorflow-datasets keeps its data sets; None: its default, ~/tensorflow_datasets.

  Raises:
    InputError: for an unknown name or split, or data that is not as described.
  """
  if split not in SPLITS:
    raise InputError(f"unknown split {split!r}: give one of {', '.join(SPLITS)}")
  path, name = files.local(name), str(name)
  if data_dir is not None:
    files.local(data_dir)
  if name == "digits":
    return arrays.digits(split)
  if name in named.SETS:
    return named.load(name, split, data_dir)
  try:
    if path.is_file() and path.suffix == ".npz":
      return arrays.npz(name, path, split)
    if name and path.is_dir():
      return folder.folder(name, path, split)
  except PermissionError as error:
    raise files.unreadable(error.filename or path, error) from error
  raise InputError(
    f"unknown data set {name!r}: give digits, {', '.join(named.SETS)}, an existing .npz file, or a folder "
    "with train/ and test/ that hold one folder per class"
  )

"""The vote shares of a classifier on its training set, from a result file, for objectives that need them."""

import pathlib

import numpy as np
from numpy.typing import NDArray

from rsjax import files, results
from rsjax.data import Dataset
from rsjax.errors import InputError

_FIT = "certify or predict the whole training split with a fixed number of draws (--split train, and --fixed)"


def read_shares(path: str | pathlib.Path, train_set: Dataset) -> NDArray[np.float32]:
  """float32[images, classes], the share of an image's draws that voted for each class.

  Args:
    path: a result file of certify or predict on the training split, in any order, with a fixed number of draws.
    train_set: the training set.

  Raises:
    InputError: if the file is not of this training set, not complete, or not of a fixed number of draws.
  """
  found = results.read(files.local(path))
  if results.command_of(found.columns) == "attack":
    raise InputError(f"`votes`: {path} is of rsjax.attack, whose votes are for perturbed images: {_FIT}")
  split, digest = found.settings.get("split"), found.settings.get("dataset")
  if split != "train" or digest != train_set.digest:
    named = "" if split != "train" else " of another data set"
    raise InputError(f"`votes`: {path} is a result file of the {split} split{named}: {_FIT}")
  columns, size = found.columns, len(train_set)
  order = np.argsort(columns["idx"], kind="stable")
  if not np.array_equal(columns["idx"][order], np.arange(size)):
    raise InputError(
      f"`votes`: {path} has {len(found)} rows, not one for each of {size} training images: {_FIT}"
    )
  if len(set(columns["n"].tolist())) != 1:
    raise InputError(f"`votes`: {path} has between {columns['n'].min()} and {columns['n'].max()} draws: {_FIT}")
  if not np.array_equal(columns["label"][order], train_set.labels):
    raise InputError(f"`votes`: {path} has other labels than the training set")
  counts = results.parse_column(columns["votes"][order].tolist())
  if len(counts.classes) and counts.classes.max() >= train_set.num_classes:
    raise InputError(f"`votes`: {path} has votes for class {counts.classes.max()} of {train_set.num_classes}")
  shares = np.zeros((size, train_set.num_classes), np.float32)
  for row, (first, last) in enumerate(zip(counts.starts.tolist(), counts.ends.tolist())):
    shares[row, counts.classes[first:last]] = counts.votes[first:last]
  total = shares.sum(1, keepdims=True)
  if not total.all():
    raise InputError(f"`votes`: {path} has images without a single vote")
  return shares / total

"""What a training is given besides data, objective and recipe; refused where it does not fit.

That is the network by its name, weights to begin with, votes, and a classifier for which to train a denoiser.
"""

import pathlib
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rsjax import data
from rsjax.classifiers import checkpoint, denoiser
from rsjax.classifiers.classifier import Classifier, Spec
from rsjax.classifiers.denoiser import Denoiser
from rsjax.errors import InputError
from rsjax.models import dncnn
from rsjax.runs import split
from rsjax.runs.votes import read_shares
from rsjax.training import Objective
from rsjax.training.objectives import DENOISING, denoises, needs_classifier, needs_votes

Network: TypeAlias = Classifier | Denoiser
NetworkSpec: TypeAlias = Spec | denoiser.Spec


def check_network(arch: str, objective: Objective) -> None:
  """Raises InputError unless the objective is for networks of this kind; reads nothing."""
  named = dncnn.find(arch) is not None
  if denoises(objective) and not named:
    raise InputError(
      f"the objective {objective.name} trains a denoiser: give arch dncnn, or dncnnD or dncnnD_F for D >= 3 "
      f"convolutions of F channels, not {arch}"
    )
  if named and not denoises(objective):
    raise InputError(
      f"{arch} is a denoiser: give `objective` {' or '.join(DENOISING)}, not {objective.name}, which trains a "
      "classifier"
    )
  if denoises(objective) and not objective.noise_sd > 0:
    raise InputError(f"the objective {objective.name} needs noise: give `noise_sd` above 0, such as 0.25")


def check_classes(train_set: data.Dataset, objective: Objective) -> None:
  """Raises InputError if all training images are of one class, and a classifier is to be trained."""
  there = np.unique(train_set.labels)
  if len(there) == 1 and not denoises(objective):
    name = "" if train_set.classes is None else f", {train_set.classes[there[0]]}"
    raise InputError(
      f"{train_set.name}: all {len(train_set):,} training images are of one class{name}: give images of two or "
      "more classes"
    )


def spec_of(
  train_set: data.Dataset, arch: str, init_from: str | pathlib.Path | None
) -> tuple[NetworkSpec, Network | None]:
  """(what is trained, the network whose weights to begin with); refuses weights that do not fit."""
  denoising = dncnn.find(arch) is not None
  begin_with: Network | None = None
  if init_from is not None:
    begin_with = denoiser.load(init_from) if denoising else checkpoint.load(init_from)
  has: Any = begin_with and begin_with.spec
  spec: NetworkSpec
  if denoising:
    spec = denoiser.Spec(arch, train_set.image_shape)
  else:
    mean, std = (has.mean, has.std) if has else train_set.channel_statistics()
    std = tuple(s or 1.0 for s in std)
    spec = Spec(arch, train_set.num_classes, train_set.image_shape, tuple(mean), std)
  for name in ("arch", "num_classes", "image_shape"):
    if has and hasattr(has, name) and getattr(has, name) != getattr(spec, name):
      raise InputError(
        f"`init_from`: the checkpoint's {name} is {getattr(has, name)}, but {getattr(spec, name)} is needed"
      )
  return spec, begin_with


def shares_of(
  objective: Objective, votes: str | pathlib.Path | None, train_set: data.Dataset
) -> NDArray[np.float32] | None:
  """The vote shares that an objective needs; refuses a file that it does not use, and the lack of one."""
  if needs_votes(objective) != (votes is not None):
    if votes is not None:
      raise InputError(f"`votes` is not used by the objective {objective.name}")
    raise InputError(
      f"the objective {objective.name} needs `votes`: a result file of the training split, from rsjax.predict "
      "with --split train --fixed and a classifier that was trained before"
    )
  return None if votes is None else read_shares(votes, train_set)


def classifier_of(
  objective: Objective, path: str | pathlib.Path | None, train_set: data.Dataset
) -> Classifier | None:
  """The classifier that an objective needs; refuses one that is not used or does not fit, and none."""
  if needs_classifier(objective) != (path is not None):
    if path is not None:
      raise InputError(f"`classifier` is not used by the objective {objective.name}")
    raise InputError(
      f"the objective {objective.name} needs `classifier`: a checkpoint of the classifier that will be behind "
      "the denoiser"
    )
  if path is None:
    return None
  found = checkpoint.load(path)
  try:
    split.check_match(train_set, found)
  except InputError as error:
    raise InputError(f"`classifier`: {error}") from error
  return found

"""Ensembles: several base classifiers that answer as one, with the mean of their logits for a noisy image.

  ensemble = load(["out/first", "out/second", "out/third"])
  apply, variables = ensemble.inference("float32")

An ensemble is a base classifier like any other, and its certificates are too. Its members may be of different
architectures, and each normalises its input as it does alone. The order in which they are given does not
matter: they are kept in the order of their digests, because sums of floating-point numbers depend on the order.

Source: Horvath et al. 2022, "Boosting randomized smoothing with variance reduced classifiers".
"""

import dataclasses
import functools
import hashlib
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from rsjax.classifiers import checkpoint
from rsjax.classifiers.classifier import Classifier
from rsjax.errors import InputError

Apply: TypeAlias = Callable[[Any, jax.Array], jax.Array]

MEAN = "mean of logits"
_COMMON = ("num_classes", "image_shape", "classes", "noise_sd")  # in its metadata where all members agree


@dataclasses.dataclass(frozen=True)
class Ensemble:
  """Two base classifiers or more, for images of one shape and with the same classes.

  Attributes:
    members: in the order of their digests.
  """

  members: tuple[Classifier, ...]

  @property
  def digest(self) -> str:
    """SHA-256 of the members' digests and of how they answer together."""
    return hashlib.sha256(json.dumps([MEAN, self._digests()]).encode()).hexdigest()

  @property
  def metadata(self) -> dict[str, Any]:
    """What the members' metadata have in common, and those of each member, with its digest."""
    told = [member.metadata for member in self.members]
    common = {
      name: told[0].get(name) for name in _COMMON if all(t.get(name) == told[0].get(name) for t in told)
    }
    return {
      "arch": " + ".join(t["arch"] for t in told),
      **{name: value for name, value in common.items() if value is not None},
      "members": [{"digest": member.digest, **member.metadata} for member in self.members],
    }

  @property
  def settings(self) -> dict[str, Any]:
    """What identifies it in a manifest, besides its digest."""
    return {"aggregate": MEAN, "members": self._digests()}

  def inference(self, dtype: str) -> tuple[Apply, Any]:
    """(apply, variables) to certify it with, see `models.inference`; variables has one part per member."""
    parts = [member.inference(dtype) for member in self.members]
    return mean_of(tuple(apply for apply, _ in parts)), tuple(variables for _, variables in parts)

  def _digests(self) -> list[str]:
    return [member.digest for member in self.members]


Loaded: TypeAlias = Classifier | Ensemble


@functools.cache
def mean_of(applies: tuple[Apply, ...]) -> Apply:
  """The function from (variables of each member, images) to the mean of the members' logits, in float32.

  The same members give the same function, so that a program compiled for one is reused.
  """

  def mean(variables: Any, images: jax.Array) -> jax.Array:
    logits = [apply(own, images).astype(jnp.float32) for apply, own in zip(applies, variables, strict=True)]
    return sum(logits[1:], logits[0]) / len(logits)

  return mean


def several(paths: str | pathlib.Path | Sequence[str | pathlib.Path]) -> list[str | pathlib.Path]:
  """One path or several as a list; what is neither is left for the check of paths."""
  return list(paths) if isinstance(paths, list | tuple) else [paths]  # type: ignore[list-item]


def load(paths: str | pathlib.Path | Sequence[str | pathlib.Path]) -> Loaded:
  """The classifier at a path, or the ensemble of the classifiers at several.

  Args:
    paths: one or several paths, as for `checkpoint.load`.

  Raises:
    InputError: as for `checkpoint.load`; for members that are for other images or classes; and for a classifier
      that is given twice, also under two normalisations.
  """
  if not (places := several(paths)):
    raise InputError("give at least one checkpoint, got none")
  loaded = [checkpoint.load(path) for path in places]
  for later, member in enumerate(loaded):
    for before in range(later):
      _check_pair(places[before], loaded[before], places[later], member)
  return loaded[0] if len(loaded) == 1 else Ensemble(tuple(sorted(loaded, key=lambda member: member.digest)))


def _same_weights(one: Any, other: Any) -> bool:
  """Whether two trees of one architecture hold the same arrays."""
  ours, theirs = (dict(jax.tree_util.tree_leaves_with_path(tree)) for tree in (one, other))
  return ours.keys() == theirs.keys() and all(np.array_equal(ours[place], theirs[place]) for place in ours)


def _check_pair(path: Any, one: Classifier, other_path: Any, other: Classifier) -> None:
  """Raises InputError unless two classifiers can be members of one ensemble."""
  if one.digest == other.digest:
    raise InputError(f"{path} and {other_path} are the same classifier: give each member of an ensemble once")
  if one.spec.arch == other.spec.arch and _same_weights(one.variables, other.variables):
    raise InputError(
      f"{path} and {other_path} have the same weights under different normalisations, and were trained with "
      "one of them: give each member of an ensemble once"
    )
  pairs = {
    "images of [height, width, channels]": (one.spec.image_shape, other.spec.image_shape),
    "classes": (one.spec.num_classes, other.spec.num_classes),
  }
  for what, (a, b) in pairs.items():
    if a != b:
      shown = [list(v) if isinstance(v, tuple) else v for v in (a, b)]
      raise InputError(
        f"members of an ensemble must have the same {what}: {path} has {shown[0]}, {other_path} has {shown[1]}"
      )
  names, other_names = one.metadata.get("classes"), other.metadata.get("classes")
  if names and other_names and names != other_names:
    label = next(i for i, (a, b) in enumerate(zip(names, other_names)) if a != b)
    raise InputError(
      f"members of an ensemble must have the same classes: class {label} is {names[label]!r} in {path}, but "
      f"{other_names[label]!r} in {other_path}"
    )

"""A base classifier: the settings that fix its function, and its weights."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from rsjax import models
from rsjax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Spec:
  """What fixes the function that weights compute.

  Attributes:
    arch: as for `models.create`.
    num_classes: how many logits it gives.
    image_shape: (h, w, c) of its input.
    mean, std: per channel, of its input's normalisation, in units of [0, 1] pixels.
  """

  arch: str
  num_classes: int
  image_shape: tuple[int, int, int]
  mean: tuple[float, ...]
  std: tuple[float, ...]

  @classmethod
  def from_metadata(cls, metadata: dict[str, Any]) -> "Spec":
    """The spec within a checkpoint's metadata.

    Raises:
      InputError: if something is missing.
    """
    names = [field.name for field in dataclasses.fields(cls)]
    missing = [name for name in names if name not in metadata]
    if missing:
      raise InputError(f"its metadata lacks {', '.join(missing)}")
    fixed: dict[str, Any] = {}
    for name in names:
      value = metadata[name]
      fixed[name] = tuple(value) if isinstance(value, list) else value
    return cls(**fixed)

  def metadata(self) -> dict[str, Any]:
    """The same as JSON values, for a checkpoint's metadata."""
    values = dataclasses.asdict(self)
    return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

  def model(self, dtype: str) -> nn.Module:
    """The Flax module, computing in `dtype`."""
    return models.create(self.arch, num_classes=self.num_classes, mean=self.mean, std=self.std, dtype=dtype)

  def variables_shapes(self) -> Any:
    """The tree of the variables' shapes and dtypes."""
    model = self.model("float32")
    return jax.eval_shape(lambda: models.init(model, jax.random.key(0), self.image_shape))


@dataclasses.dataclass(frozen=True)
class Classifier:
  """A base classifier as loaded.

  Attributes:
    variables: the tree of NumPy arrays.
    metadata: what its checkpoint says, the spec included.
    digest: SHA-256 of the weights and of what fixes the function they compute.
  """

  variables: Any
  metadata: dict[str, Any]
  digest: str

  @property
  def spec(self) -> Spec:
    """What fixes its function, but for the weights."""
    return Spec.from_metadata(self.metadata)

  @property
  def members(self) -> tuple["Classifier", ...]:
    """Itself: an `ensemble.Ensemble` has several."""
    return (self,)

  @property
  def settings(self) -> dict[str, Any]:
    """What identifies it in a manifest, besides its digest."""
    return {}

  def model(self, dtype: str) -> nn.Module:
    """The Flax module, computing in `dtype`."""
    return self.spec.model(dtype)

  def inference(self, dtype: str) -> tuple[Callable[[Any, jax.Array], jax.Array], Any]:
    """(apply, variables) to certify it with, see `models.inference`."""
    return models.inference(self.model(dtype), self.variables)


def make(variables: Any, metadata: dict[str, Any]) -> Classifier:
  """The classifier of these weights.

  Raises:
    InputError: if the weights do not fit the spec within the metadata or are not finite, or a variance is
      below 0.
  """
  spec = Spec.from_metadata(metadata)
  check_weights(variables, spec.variables_shapes(), spec.arch)
  return Classifier(
    variables, metadata, digest_of(variables, [metadata[f.name] for f in dataclasses.fields(Spec)])
  )


def check_weights(variables: Any, shapes: Any, network: str) -> None:
  """Raises InputError unless weights have a network's names and shapes, finite, and variances at least 0."""
  wanted, found = named_leaves(shapes), named_leaves(variables)
  wrong = [
    name
    for name in sorted(wanted.keys() | found.keys())
    if name not in wanted or name not in found or wanted[name].shape != found[name].shape
  ]
  if wrong:
    raise InputError(f"{len(wrong)} weights do not fit {network}: {some(wrong)}")
  bad = [name for name, leaf in found.items() if not np.isfinite(leaf).all()]
  if bad:
    raise InputError(f"weights are not finite: {some(bad)}")
  below = [name for name, leaf in found.items() if _is_variance(name) and np.min(leaf) < 0]
  if below:
    raise InputError(f"variances of batch norm must be at least 0, these are not: {some(below)}")


def named_leaves(tree: Any) -> dict[str, Any]:
  """{path: leaf} of a tree; the parts of a path are joined by slashes."""
  leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
  return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def _is_variance(name: str) -> bool:
  return name.startswith("batch_stats/") and name.endswith("/var")


def some(names: Sequence[str], most: int = 5) -> str:
  """The first few of some names, as text, and how many more there are."""
  return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def digest_of(variables: Any, identity: list[Any]) -> str:
  """SHA-256 of weights, and of the JSON values that fix the function that they compute."""
  digest = hashlib.sha256(json.dumps(identity).encode())
  for name, leaf in sorted(named_leaves(variables).items()):
    digest.update(f"{name} {leaf.dtype} {leaf.shape}".encode())
    digest.update(np.ascontiguousarray(leaf).tobytes())
  return digest.hexdigest()

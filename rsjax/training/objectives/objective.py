"""The interface of every objective: what it is given, and what it returns."""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Protocol

import jax


class Batch(NamedTuple):
  """The input of a step.

  Attributes:
    images: float32[b, h, w, c] in [0, 1], augmented, without noise.
    labels: int32[b].
    indices: int32[b], which images of the training set they are.
    key: the key of all randomness in the objective; it differs in each step.
    step: int32[], steps of training before this one.
    epoch: int32[], epochs before this one.
  """

  images: jax.Array
  labels: jax.Array
  indices: jax.Array
  key: jax.Array
  step: jax.Array
  epoch: jax.Array


class Network(NamedTuple):
  """The network with the weights of the step; gradients flow into them, unless they are stopped.

  Attributes:
    train: (images, batch_stats) -> (logits, batch_stats): normalises by the images' own statistics, and
      updates the running ones. Several passes hand the statistics on from one to the next.
    evaluate: images -> logits, by the running statistics from before the step; for attacks and the like.
    batch_stats: the running statistics from before the step.
  """

  train: Callable[[jax.Array, Any], tuple[jax.Array, Any]]
  evaluate: Callable[[jax.Array], jax.Array]
  batch_stats: Any


class Loss(NamedTuple):
  """What an objective returns.

  Attributes:
    value: float32[], what is minimised.
    logits: float32[b, classes], from which the training accuracy is computed.
    batch_stats: the running statistics after its passes.
    statistics: {name: float32[]} for the log, with the names that the objective declares.
  """

  value: jax.Array
  logits: jax.Array
  batch_stats: Any
  statistics: dict[str, jax.Array] = {}  # noqa: RUF012  (never changed)


class Objective(Protocol):
  """A frozen dataclass with its own settings.

  Attributes:
    name: its name in commands and checkpoints.
    statistics: the names of the values that it logs, averaged over each epoch.
    noise_sd: standard deviation of its Gaussian noise, in units of [0, 1] pixels; evaluation uses it, too.
  """

  name: ClassVar[str]
  statistics: ClassVar[tuple[str, ...]]

  def __hash__(self) -> int: ...

  @property
  def noise_sd(self) -> float: ...

  def __call__(self, network: Network, batch: Batch) -> Loss:
    """The loss of a batch; runs within the jitted step, and may not depend on anything else."""
    ...

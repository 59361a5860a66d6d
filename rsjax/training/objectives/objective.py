"""The interface of every objective: what it is given, and what it returns."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

if TYPE_CHECKING:
  import jax

from rsjax.noise import Gaussian, Noise


class Batch(NamedTuple):
  """The input of a step.

  Attributes:
    images: float32[b, h, w, c] in [0, 1], augmented, without noise.
    labels: int32[b].
    indices: int32[b], which images of the training set they are.
    key: the key of all randomness in the objective; it differs in each step.
    step: int32[], steps of training before this one.
    epoch: int32[], epochs before this one.
    votes: float32[b, classes], the share of noisy copies of each image that a trained classifier puts into each
      class; None unless the objective declares `needs_votes`.
    classifier: images -> logits of a classifier that stays as it is, in evaluation mode; None unless the
      objective declares `needs_classifier`.
  """

  images: "jax.Array"
  labels: "jax.Array"
  indices: "jax.Array"
  key: "jax.Array"
  step: "jax.Array"
  epoch: "jax.Array"
  votes: Any = None
  classifier: Any = None


class Network(NamedTuple):
  """The network with the weights of the step.

  Images may have any number of axes before (h, w, c), and logits have the same ones before the classes. A
  network that denoises gives images in place of logits.

  Attributes:
    train: (images, batch_stats) -> (logits, batch_stats): normalises by the images' own statistics, and
      updates the running ones. Several passes hand the statistics on from one to the next.
    evaluate: (images, batch_stats) -> logits, by these running statistics; for attacks and the like. Weights
      and statistics are constants to it, so that an attack computes the gradient of its images alone.
    batch_stats: the running statistics from before the step.
  """

  train: "Callable[[jax.Array, Any], tuple[jax.Array, Any]]"
  evaluate: "Callable[[jax.Array, Any], jax.Array]"
  batch_stats: Any


class Loss(NamedTuple):
  """What an objective returns.

  Attributes:
    value: float32[], what is minimised.
    logits: float32[b, classes], or of m copies of each image float32[b, m, classes], from which the training
      accuracy is computed; None if there are none (`classifies`).
    batch_stats: the running statistics after its passes.
    statistics: {name: float32[]} for the log, with the names that the objective declares.
  """

  value: "jax.Array"
  logits: "jax.Array | None"
  batch_stats: Any
  statistics: "dict[str, jax.Array]" = {}  # noqa: RUF012  (never changed)


class Objective(Protocol):
  """A frozen dataclass with its own settings.

  Attributes:
    name: its name in commands and checkpoints.
    statistics: the names of the values that it logs, averaged over each epoch.
    noise_sd: standard deviation of its noise, in units of [0, 1] pixels; evaluation uses it, too.

  It may also declare `noise`, if that is not Gaussian noise of `noise_sd` (`noise_of`); `chunks`, in how many
  parts each batch of the recipe is cut, every part with an update of its own (`chunks_of`);
  `needs_votes = True`, if it uses `Batch.votes`; and `needs_classifier = True`, if it uses `Batch.classifier`.

  With a method `sampling(epoch, weights, count)` it chooses the images of each epoch: it returns
  float32[images], the weights with which they are drawn with replacement; all 0: each comes once. `weights` are
  those of the epoch before, and count(n) -> int[images] says how many of n new noisy copies of each image are
  classified right; it runs the network.

  One that trains a network which estimates images declares `denoises = True`. It has a static method
  `score(outputs, images, labels, classifier)`, by which such a network is evaluated: a loss for each image, and
  whether the answer is right, as `score_logits` has them for a classifier.
  """

  name: ClassVar[str]
  statistics: ClassVar[tuple[str, ...]]

  def __hash__(self) -> int: ...

  @property
  def noise_sd(self) -> float: ...

  def __call__(self, network: Network, batch: Batch) -> Loss:
    """The loss of a batch; runs within the jitted step, and may not depend on anything else."""
    ...


def noise_of(objective: Objective) -> Noise:
  """The noise that an objective trains under."""
  return getattr(objective, "noise", None) or Gaussian(objective.noise_sd)


def chunks_of(objective: Objective) -> int:
  """In how many parts an objective cuts each batch of the recipe; every part has an update of its own.

  Objectives with m noisy copies of each image cut a batch into m parts, so that a step computes about as many
  rows as the batch has images.
  """
  return getattr(objective, "chunks", 1)


def needs_votes(objective: Objective) -> bool:
  """Whether an objective uses `Batch.votes`."""
  return getattr(objective, "needs_votes", False)


def needs_classifier(objective: Objective) -> bool:
  """Whether an objective uses `Batch.classifier`."""
  return getattr(objective, "needs_classifier", False)


def denoises(objective: Objective) -> bool:
  """Whether an objective trains a network that estimates images, not a classifier."""
  return getattr(objective, "denoises", False)


def classifies(objective: Objective) -> bool:
  """Whether an objective has logits: of its network, or of the classifier that it is given."""
  return not denoises(objective) or needs_classifier(objective)


def score_of(objective: Objective) -> "Callable[..., tuple[jax.Array, jax.Array]]":
  """What evaluation computes of the network's outputs for noisy images, see `Objective`."""
  return getattr(objective, "score", score_logits)


def score_logits(
  logits: "jax.Array", images: "jax.Array", labels: "jax.Array", classifier: Any
) -> "tuple[jax.Array, jax.Array]":
  """(cross-entropy, whether the answer is right) of logits [b, classes]; labels below 0 are never right."""
  import jax.numpy as jnp
  import optax

  del images, classifier
  loss = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.maximum(labels, 0))
  return loss, logits.argmax(-1) == labels


def chooses_images(objective: Objective) -> bool:
  """Whether an objective chooses the images of each epoch."""
  return hasattr(objective, "sampling")

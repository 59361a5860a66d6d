"""Consistency regularisation: the predictions on an image's noisy copies should agree."""

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from rsjax.errors import InputError
from rsjax.training.objectives.objective import Batch, Loss, Network
from rsjax.training.objectives.settings import Settings, setting

if TYPE_CHECKING:
  import jax

FORMS = ("default", "xent", "kl", "mse")


@dataclasses.dataclass(frozen=True)
class Consistency(Settings):
  """mean_i CE(f(x + e_i), y) + lbd * mean_i KL(pbar, p(x + e_i)) + eta * H(pbar), pbar = mean_i p(x + e_i).

  The gradient flows through pbar, too.

  Source: Jeong and Shin 2020; jh-jeong/smoothing-consistency, consistency.py and train_consistency.py.
  """

  lbd: float = setting(20.0, "weight of the regularisation", least=0, source="CIFAR-10 at sigma 0.25")
  eta: float = setting(0.5, "weight of the entropy of the mean prediction", least=0)
  noise_vectors: int = setting(2, "noisy copies of each image; as many updates per batch", least=1)
  form: str = setting(
    "default",
    "of the regularisation: default, xent (lbd weighs the entropy, too), kl (without entropy), or mse "
    "(of the first two copies' probabilities)",
    choices=FORMS,
  )

  name: ClassVar[str] = "consistency"
  any_noise: ClassVar[bool] = True
  statistics: ClassVar[tuple[str, ...]] = ("xent", "kl", "entropy")

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.form == "mse" and self.noise_vectors < 2:
      raise InputError("form mse needs at least 2 noise_vectors")

  @property
  def chunks(self) -> int:
    """Updates per batch of the recipe."""
    return self.noise_vectors

  def __call__(self, network: Network, batch: Batch) -> Loss:
    from rsjax.training.objectives.terms import noisy_copies

    return self.loss(network, batch, noisy_copies(self.noise, batch.key, batch.images, self.noise_vectors))

  def loss(self, network: Network, batch: Batch, noisy: "jax.Array") -> Loss:
    """The loss for given noisy copies [b, m, h, w, c]."""
    logits, batch_stats = network.train(noisy, network.batch_stats)
    value, statistics = consistency_loss(logits, batch.labels, self.lbd, self.eta, self.form)
    return Loss(value, logits, batch_stats, statistics)


def consistency_loss(
  logits: "jax.Array", labels: "jax.Array", lbd: float, eta: float, form: str = "default"
) -> "tuple[jax.Array, dict[str, jax.Array]]":
  """(the loss, its terms without their weights) of logits [b, m, classes] and labels int32[b]."""
  import jax
  import jax.numpy as jnp

  from rsjax.training.objectives.terms import cross_entropy, divergence, entropy, mean_probabilities

  xent = cross_entropy(logits, labels).mean()
  pbar = mean_probabilities(logits)
  kl, h = divergence(pbar, logits).mean(), entropy(pbar).mean()
  terms = {"xent": xent, "kl": kl, "entropy": h}
  if form == "xent":
    return xent + lbd * (kl + h), terms
  if form == "kl":
    return xent + lbd * kl, terms
  if form == "mse":
    p = jax.nn.softmax(logits)
    return xent + lbd * jnp.square(p[:, 0] - p[:, 1]).sum(-1).mean(), terms
  return xent + lbd * kl + eta * h, terms

"""Stability training: the prediction on noisy images should be that on clean ones."""

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from rsjax.noise import perturb_for_training
from rsjax.training.objectives.objective import Batch, Loss, Network
from rsjax.training.objectives.settings import Settings, setting

if TYPE_CHECKING:
  import jax


@dataclasses.dataclass(frozen=True)
class Stability(Settings):
  """CE(f(x), y) + lbd * H(softmax f(x), softmax f(x + e)), H the cross-entropy (Li et al. 2019).

  The gradient flows through both predictions. Both passes update the running statistics, the clean one first.

  Source: jh-jeong/smoothing-consistency, train_stab.py.
  """

  lbd: float = setting(2.0, "weight of the regularisation", least=0, source="CIFAR-10 at sigma 0.25 and 0.5")

  name: ClassVar[str] = "stability"
  any_noise: ClassVar[bool] = True
  statistics: ClassVar[tuple[str, ...]] = ("xent", "stability")

  def __call__(self, network: Network, batch: Batch) -> Loss:
    return self.loss(network, batch, perturb_for_training(self.noise, batch.key, batch.images))

  def loss(self, network: Network, batch: Batch, noisy_images: "jax.Array") -> Loss:
    """The loss for given noisy images [b, h, w, c]."""
    import jax

    from rsjax.training.objectives.terms import cross_entropy

    clean, batch_stats = network.train(batch.images, network.batch_stats)
    noisy, batch_stats = network.train(noisy_images, batch_stats)
    xent = cross_entropy(clean[:, None], batch.labels).mean()
    stability = -(jax.nn.softmax(clean) * jax.nn.log_softmax(noisy)).sum(-1).mean()
    statistics = {"xent": xent, "stability": stability}
    return Loss(xent + self.lbd * stability, clean, batch_stats, statistics)

"""Consistency regularisation on adversarial images of the smoothed classifier."""

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from rsjax.training.objectives.consistency import consistency_loss
from rsjax.training.objectives.objective import Batch, Loss, Network
from rsjax.training.objectives.settings import Settings, setting

if TYPE_CHECKING:
  import jax


@dataclasses.dataclass(frozen=True)
class SmoothAdvConsistency(Settings):
  """The loss of `Consistency` on x + d + e_i, d the change within epsilon that maximises -log mean_i p_y.

  The attack is not that of `SmoothAdv`: see `attacks.pgd_clipped_last`.

  Source: Jeong and Shin 2020; jh-jeong/smoothing-consistency, train_consistency.py with --adv-training.
  """

  lbd: float = setting(2.0, "weight of the regularisation", least=0, source="CIFAR-10 at sigma 0.25")
  eta: float = setting(0.5, "weight of the entropy of the mean prediction", least=0)
  noise_vectors: int = setting(
    4, "noisy copies of each image; as many updates per batch", least=1, source="CIFAR-10 at sigma 0.25"
  )
  epsilon: float = setting(
    255.0,
    "radius of the attack, in 1/256: 64 is 0.25 in pixels of [0, 1]",
    least=0,
    source="CIFAR-10 at sigma 0.25",
  )
  steps: int = setting(10, "steps of the attack", least=1)
  warmup: int = setting(10, "epochs in which epsilon grows to its value", least=1)

  name: ClassVar[str] = "smoothadv_consistency"
  statistics: ClassVar[tuple[str, ...]] = ("epsilon", "xent", "kl", "entropy")

  @property
  def chunks(self) -> int:
    """Updates per batch of the recipe."""
    return self.noise_vectors

  def __call__(self, network: Network, batch: Batch) -> Loss:
    from rsjax.training.objectives.terms import noise_copies

    return self.loss(network, batch, noise_copies(self.noise_sd, batch.key, batch.images, self.noise_vectors))

  def loss(self, network: Network, batch: Batch, noise: "jax.Array") -> Loss:
    """The loss for given noise [b, m, h, w, c]."""
    import jax

    from rsjax import attacks
    from rsjax.training.objectives.terms import warmed_up

    def attacked_loss(images):  # the mean over images matters: it is what `unit` adds 1e-8 to
      logits = network.evaluate(images[:, None] + noise, network.batch_stats)
      return attacks.log_loss(logits, batch.labels).mean()

    radius = warmed_up(self.epsilon / 256, batch, self.warmup)
    attacked = attacks.pgd_clipped_last(jax.grad(attacked_loss), batch.images, radius, self.steps)
    logits, batch_stats = network.train(attacked[:, None] + noise, network.batch_stats)
    value, terms = consistency_loss(logits, batch.labels, self.lbd, self.eta)
    return Loss(value, logits, batch_stats, {"epsilon": radius, **terms})

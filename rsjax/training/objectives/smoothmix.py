"""SmoothMix: mixes images with adversarial ones, and trains less confidence between them."""

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from rsjax.training.objectives.objective import Batch, Loss, Network
from rsjax.training.objectives.settings import Settings, setting

if TYPE_CHECKING:
  import jax


@dataclasses.dataclass(frozen=True)
class SmoothMix(Settings):
  """mean_i CE(f(x0 + e_i), y) + eta * w * mean_i r KL(t, p(x_mix + e_i)).

  x_mix = (1 - lam) x0 + lam x~ and t = (1 - lam) pbar(x0) + lam / classes, with lam uniform in [0, 1/2) for
  each image. x~ is where the unprojected attack ends. x0 = x, or with `mix_step` an early iterate of the attack
  within a radius that is warmed up, as is the weight w. r = 1 where argmax pbar is the label; the mean counts
  the others, too. The gradient flows through pbar. Both passes update the running statistics.

  Source: Jeong et al. 2021; jh-jeong/smoothmix, train.py.
  """

  eta: float = setting(5.0, "weight of the mixed images", least=0)
  noise_vectors: int = setting(2, "noisy copies of each image; as many updates per batch", least=1)
  alpha: float = setting(
    0.5,
    "length of a step of the attack, pixels in [0, 1]; not the alpha of certify",
    least=0,
    source="CIFAR-10 at sigma 0.25",
  )
  steps: int = setting(4, "steps of the attack", least=1)
  mix_step: int = setting(
    0, "step of the attack whose images replace the clean ones; 0: none (1: the one-step adversary)", least=0
  )
  maxnorm: float | None = setting(None, "radius that the attack is projected into", least=0)
  warmup: int = setting(10, "epochs in which the weight of mixed images grows to its value", least=1)

  name: ClassVar[str] = "smoothmix"
  statistics: ClassVar[tuple[str, ...]] = ("xent", "mix", "weight")

  @property
  def chunks(self) -> int:
    """Updates per batch of the recipe."""
    return self.noise_vectors

  def __call__(self, network: Network, batch: Batch) -> Loss:
    import jax
    import jax.numpy as jnp

    from rsjax.training.objectives.terms import noise_copies

    noise_key, mix_key = jax.random.split(batch.key)
    noise = noise_copies(self.noise_sd, noise_key, batch.images, self.noise_vectors)
    return self.loss(network, batch, noise, jax.random.uniform(mix_key, batch.labels.shape, jnp.float32) / 2)

  def loss(self, network: Network, batch: Batch, noise: "jax.Array", lam: "jax.Array") -> Loss:
    """The loss for given noise [b, m, h, w, c] and shares of the adversarial image [b]."""
    from rsjax.training.objectives.terms import cross_entropy, divergence, mean_probabilities, warmed_up

    warm = warmed_up(1.0, batch, self.warmup)
    x0, adversarial = self._attack(network, batch, noise, warm)
    logits, batch_stats = network.train(x0[:, None] + noise, network.batch_stats)
    pbar = mean_probabilities(logits)
    right = (pbar.argmax(-1) == batch.labels).astype(logits.dtype)

    share = lam[:, None, None, None]
    mixed = (1 - share) * x0 + share * adversarial
    target = (1 - lam[:, None]) * pbar + lam[:, None] / pbar.shape[-1]
    mixed_logits, batch_stats = network.train(mixed[:, None] + noise, batch_stats)

    xent = cross_entropy(logits, batch.labels).mean()
    mix = (right[:, None] * divergence(target, mixed_logits)).mean()
    weight = self.eta * warm
    return Loss(xent + weight * mix, logits, batch_stats, {"xent": xent, "mix": mix, "weight": weight})

  def _attack(self, network, batch, noise, warm):
    """(x0, x~), images [b, h, w, c]."""
    import jax

    from rsjax import attacks

    images = batch.images

    def attacked_loss(attacked):
      logits = network.evaluate(attacked[:, None] + noise, network.batch_stats)
      return attacks.log_loss(logits, batch.labels).sum()

    def ascend(start, steps):
      within = lambda attacked: images + attacks.project(attacked - images, self.maxnorm)
      limits = {} if self.maxnorm is None else {"limit": within}
      return attacks.ascend(jax.grad(attacked_loss), start, self.alpha, steps, **limits)

    if not 0 < self.mix_step < self.steps:
      return images, ascend(images, self.steps)
    early = ascend(images, self.mix_step)
    near = attacks.project(early - images, warm * self.alpha * self.mix_step)
    return attacks.clip_to_pixels(images + near), ascend(early, self.steps - self.mix_step)

"""CAT-RS: adversarial noise for the images that the network is sure of, fewer noisy copies of the others."""

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from rsjax.training.objectives.objective import Batch, Loss, Network
from rsjax.training.objectives.settings import Settings, setting

if TYPE_CHECKING:
  import jax


@dataclasses.dataclass(frozen=True)
class CatRs(Settings):
  """mean_b [ (1/m) sum of the K smallest CE(f(x + e_i), y) + lbd * 1[K = m] * max_i KL(pi, p(x + n_i)) ].

  K = max(1, Bin(m, share of the m noisy answers that are y)). pi are the vote shares of a classifier that was
  trained before (`Batch.votes`). n_i maximises mean_i KL(pi, p(x + n_i)) within epsilon of e_i, and keeps the
  mean and the root mean square of e_i. Both passes update the running statistics; the attack uses those of the
  first.

  Source: Jeong et al. 2023; alinlab/smoothing-catrs, train_catrs.py.
  """

  lbd: float = setting(0.5, "weight of the worst noise", least=0, source="CIFAR-10 at sigma 0.25")
  noise_vectors: int = setting(4, "noisy copies of each image; as many updates per batch", least=1)
  epsilon: float = setting(
    256.0, "radius of the attack on the noise, in 1/256: 64 is 0.25 in pixels of [0, 1]", least=0
  )
  steps: int = setting(4, "steps of the attack", least=1)
  doubled_from: int | None = setting(None, "epoch from which epsilon is doubled", least=0)
  confidence_mask: bool = setting(False, "draw K from the vote share of the label")

  name: ClassVar[str] = "catrs"
  statistics: ClassVar[tuple[str, ...]] = ("low", "high", "sure")
  needs_votes: ClassVar[bool] = True

  @property
  def chunks(self) -> int:
    """Updates per batch of the recipe."""
    return self.noise_vectors

  def __call__(self, network: Network, batch: Batch) -> Loss:
    import jax
    import jax.numpy as jnp

    from rsjax.training.objectives.terms import noise_copies

    noise_key, key = jax.random.split(batch.key)
    noise = noise_copies(self.noise_sd, noise_key, batch.images, self.noise_vectors)
    return self.loss(network, batch, noise, jax.random.uniform(key, noise.shape[:2], jnp.float32))

  def loss(self, network: Network, batch: Batch, noise: "jax.Array", uniform: "jax.Array") -> Loss:
    """The loss for given noise [b, m, h, w, c] and numbers [b, m] in [0, 1), from which K is drawn."""
    import jax.numpy as jnp

    from rsjax.training.objectives.terms import cross_entropy, divergence

    logits, batch_stats = network.train(batch.images[:, None] + noise, network.batch_stats)
    attacked = self._attack(network, batch, noise, batch_stats)
    worst_logits, batch_stats = network.train(batch.images[:, None] + attacked, batch_stats)

    m = self.noise_vectors
    k = jnp.maximum((uniform < self._sure(batch, logits)[:, None]).sum(1, dtype=jnp.int32), 1)
    smallest = jnp.sort(cross_entropy(logits, batch.labels), 1)
    low = jnp.where(jnp.arange(m, dtype=jnp.int32)[None] < k[:, None], smallest, 0).mean(1)
    kl = divergence(batch.votes, worst_logits)
    high = jnp.take_along_axis(kl, kl.argmax(1)[:, None], 1)[:, 0]  # of equal ones the first has the gradient
    sure = (k == m).astype(kl.dtype)
    statistics = {"low": low.mean(), "high": (sure * high).mean(), "sure": sure.mean()}
    return Loss((low + self.lbd * sure * high).mean(), logits, batch_stats, statistics)

  def _sure(self, batch, logits):
    """[b], the probability of each of the binomial's trials."""
    import jax.numpy as jnp

    if self.confidence_mask:
      return jnp.take_along_axis(batch.votes, batch.labels[:, None], 1)[:, 0]
    return (logits.argmax(-1) == batch.labels[:, None]).mean(1, dtype=logits.dtype)

  def _attack(self, network, batch, noise, batch_stats):
    """Noise [b, m, h, w, c]."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    from rsjax import attacks
    from rsjax.training.objectives.terms import divergence

    times = 1 if self.doubled_from is None else jnp.where(batch.epoch >= self.doubled_from, 2, 1)
    radius = self.epsilon / 256 * jnp.asarray(times, noise.dtype)
    mean, size = noise.mean(attacks.AXES, keepdims=True), _root_mean_square(noise)

    def attacked_loss(n):
      kl = divergence(batch.votes, network.evaluate(batch.images[:, None] + n, batch_stats))
      return kl.sum() / self.noise_vectors

    def step(_, n):
      n = n + 2 * radius / self.steps * attacks.unit(jax.grad(attacked_loss)(n))
      n = noise + attacks.project(n - noise, radius)
      now = _root_mean_square(n)
      return mean + (n - n.mean(attacks.AXES, keepdims=True)) * size / jnp.where(now == 0, 1, now)

    return lax.fori_loop(0, self.steps, step, noise)


def _root_mean_square(v: "jax.Array") -> "jax.Array":
  """[b, m, 1, 1, 1], about zero."""
  import jax.numpy as jnp

  from rsjax import attacks

  return jnp.sqrt(jnp.square(v).mean(attacks.AXES, keepdims=True))

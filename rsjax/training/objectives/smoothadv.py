"""SmoothAdv: cross-entropy on adversarial images of the smoothed classifier."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from rsjax.errors import InputError
from rsjax.training.objectives.objective import Batch, Loss, Network
from rsjax.training.objectives.settings import Settings, setting

if TYPE_CHECKING:
  import jax


@dataclasses.dataclass(frozen=True)
class SmoothAdv(Settings):
  """mean CE(f(x + d + e_i), y), d the change within epsilon that maximises -log mean_i p_y(x + d + e_i).

  The attack and the loss use the same noise. The attack runs in evaluation mode, with weights frozen.

  Source: Salman et al. 2019; Hadisalman/smoothing-adversarial, train_pgd.py.
  """

  epsilon: float = setting(
    256.0,
    "radius of the attack, in 1/256: 64 is 0.25 in pixels of [0, 1]",
    least=0,
    source="CIFAR-10 at sigma 0.25 and 0.5",
  )
  steps: int = setting(10, "steps of the attack", least=1)
  noise_vectors: int = setting(
    4, "noisy copies of each image; as many updates per batch", least=1, source="CIFAR-10 at sigma 0.25"
  )
  warmup: int = setting(10, "epochs in which epsilon grows to its value", least=1)
  attack: str = setting("pgd", "pgd or ddn", choices=("pgd", "ddn"))
  first_noise_only: bool = setting(
    False, "train on the first noisy copy of each image only, in one update per batch"
  )
  no_grad_attack: bool = setting(False, "estimate the attack's gradient from the probabilities alone")

  name: ClassVar[str] = "smoothadv"
  statistics: ClassVar[tuple[str, ...]] = ("epsilon", "perturbation")

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.no_grad_attack and (self.attack != "pgd" or self.noise_vectors == 1):
      raise InputError("no_grad_attack needs attack pgd and at least 2 noise_vectors")

  @property
  def chunks(self) -> int:
    """Updates per batch of the recipe."""
    return 1 if self.first_noise_only else self.noise_vectors

  def __call__(self, network: Network, batch: Batch) -> Loss:
    import jax
    import jax.numpy as jnp

    from rsjax.training.objectives.terms import noise_copies

    noise_key, key = jax.random.split(batch.key)
    noise = noise_copies(self.noise_sd, noise_key, batch.images, self.noise_vectors)
    direction = lambda t: jax.random.normal(jax.random.fold_in(key, t), batch.images.shape, jnp.float32)
    return self.loss(network, batch, noise, direction)

  def loss(
    self, network: Network, batch: Batch, noise: "jax.Array", direction: "Callable[[jax.Array], jax.Array]"
  ) -> Loss:
    """The loss for given noise [b, m, h, w, c] and random directions: step of the attack -> [b, h, w, c]."""
    from rsjax import attacks
    from rsjax.training.objectives.terms import cross_entropy, warmed_up

    radius = warmed_up(self.epsilon / 256, batch, self.warmup)
    change = self._attack(network, batch, noise, direction, radius)
    used = noise[:, :1] if self.first_noise_only else noise
    logits, batch_stats = network.train((batch.images + change)[:, None] + used, network.batch_stats)
    value = cross_entropy(logits, batch.labels).mean()
    statistics = {"epsilon": radius, "perturbation": attacks.lengths(change).mean()}
    return Loss(value, logits, batch_stats, statistics)

  def _attack(self, network, batch, noise, direction, radius):
    import jax

    from rsjax import attacks
    from rsjax.training.objectives.terms import cross_entropy

    images, labels = batch.images, batch.labels
    if self.no_grad_attack:
      gradient = lambda images: _estimated_gradient(network, images, labels, noise)
      return attacks.pgd(gradient, images, radius, self.steps, direction)

    def attacked_loss(images):
      logits = network.evaluate(images[:, None] + noise, network.batch_stats)
      if self.noise_vectors == 1:
        return cross_entropy(logits, labels).sum(), logits
      return attacks.log_loss(logits, labels).mean(), logits

    gradient = jax.grad(attacked_loss, has_aux=True)
    # The authors' code descends along the gradient of log p_y, so what stands in for it goes backwards, too.
    back = lambda t: -direction(t)
    if self.attack == "ddn":
      return attacks.ddn(gradient, images, labels, radius, self.steps, back)
    return attacks.pgd(lambda images: gradient(images)[0], images, radius, self.steps, back)


def _estimated_gradient(
  network: Network, images: "jax.Array", labels: "jax.Array", noise: "jax.Array"
) -> "jax.Array":
  """mean_i -p_y(x + e_i) e_i: by Stein's lemma along the gradient of -mean_i p_y, without a backward pass."""
  import jax
  import jax.numpy as jnp

  p = jax.nn.softmax(network.evaluate(images[:, None] + noise, network.batch_stats))
  p_label = jnp.take_along_axis(p, labels[:, None, None], -1)
  return (-p_label[..., None, None] * noise).mean(1)

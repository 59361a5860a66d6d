"""Training on easy images: hard ones are dropped, others drawn by their radius, and their noise is attacked."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rsjax.errors import InputError
from rsjax.training.objectives.objective import Batch, Loss, Network
from rsjax.training.objectives.settings import Settings, setting

if TYPE_CHECKING:
  import jax

_DROPPING, _WEIGHING = 100, 16  # noisy copies of each image by which it is dropped, and weighted
_LEAST, _LEVEL = 12, 0.1  # right answers of the latter that count at least; of the lower bound


@dataclasses.dataclass(frozen=True)
class Reweighted(Settings):
  """mean_i CE(f(x + n_i), y), from epoch `easy_from` on with easy images, and with attacked noise n_i.

  Until then n_i = e_i, and each image comes once per epoch. In that epoch, images with less than `threshold`
  right answers of 100 are dropped. The others are drawn with replacement, as many as the set has, with weights
  Phi^-1(lower bound of level 0.9 of k of 16), k right answers, at least 12; they are counted again every
  `reweigh_every` epochs. n_i is the first misclassified iterate of the attack, e_i included, or else the last:
  each step goes `alpha` along the gradient of the cross-entropy, and then returns to the length of e_i.

  Source: Sun et al. 2025, "Average Certified Radius is a Poor Metric for Randomized Smoothing";
  eth-sri/acr-weakness, train.py. They count on randomly cropped and flipped copies, this on the images.
  """

  noise_vectors: int = setting(4, "noisy copies of each image; as many updates per batch", least=1)
  alpha: float = setting(
    0.25,
    "length of a step of the attack, pixels in [0, 1]; not the alpha of certify",
    least=0,
    source="CIFAR-10 at sigma 0.25",
  )
  steps: int = setting(3, "steps of the attack", least=1, source="CIFAR-10 at sigma 0.25")
  easy_from: int = setting(
    60, "epoch from which on easy images are trained on, with attacked noise", least=0, source="CIFAR-10"
  )
  threshold: float = setting(
    0.5,
    "share of right noisy answers below which an image is dropped",
    least=0,
    below=1,
    source="CIFAR-10 at sigma 0.25",
  )
  reweigh_every: int = setting(10, "epochs between weighings of the images", least=1)

  name: ClassVar[str] = "reweighted"
  statistics: ClassVar[tuple[str, ...]] = ("found",)

  @property
  def chunks(self) -> int:
    """Updates per batch of the recipe."""
    return self.noise_vectors

  def __call__(self, network: Network, batch: Batch) -> Loss:
    from rsjax.training.objectives.terms import noise_copies

    return self.loss(network, batch, noise_copies(self.noise_sd, batch.key, batch.images, self.noise_vectors))

  def loss(self, network: Network, batch: Batch, noise: "jax.Array") -> Loss:
    """The loss for given noise [b, m, h, w, c]."""
    import jax.numpy as jnp
    from jax import lax

    from rsjax.training.objectives.terms import cross_entropy

    attacked, found = lax.cond(
      batch.epoch >= self.easy_from,
      lambda: self._attack(network, batch, noise),
      lambda: (noise, jnp.zeros(noise.shape[:2], bool)),
    )
    logits, batch_stats = network.train(batch.images[:, None] + attacked, network.batch_stats)
    value = cross_entropy(logits, batch.labels).mean()
    return Loss(value, logits, batch_stats, {"found": found.mean(dtype=value.dtype)})

  def _attack(self, network, batch, noise):
    """(noise [b, m, h, w, c], whether it was found to be misclassified [b, m])."""
    import jax
    import jax.numpy as jnp
    from jax import lax

    from rsjax import attacks
    from rsjax.training.objectives.terms import cross_entropy

    length = attacks.lengths(noise)

    def attacked_loss(n):
      logits = network.evaluate(batch.images[:, None] + n, network.batch_stats)
      return cross_entropy(logits, batch.labels).sum() / self.noise_vectors, logits

    def step(_, carry):
      n, first, found = carry
      gradient, logits = jax.grad(attacked_loss, has_aux=True)(n)
      wrong = logits.argmax(-1) != batch.labels[:, None]
      first = jnp.where((wrong & ~found)[..., None, None, None], n, first)
      n = n + self.alpha * attacks.unit(gradient)
      return attacks.unit(n) * length, first, found | wrong

    n, first, found = lax.fori_loop(0, self.steps, step, (noise, noise, jnp.zeros(noise.shape[:2], bool)))
    return jnp.where(found[..., None, None, None], first, n), found

  def sampling(
    self, epoch: int, weights: NDArray[np.float32], count: Callable[[int], NDArray[Any]]
  ) -> NDArray[np.float32]:
    """The weights of the images in an epoch; see `Objective`.

    Raises:
      InputError: if every image would be dropped.
    """
    from scipy.special import ndtri

    from rsjax.bounds import lower_confidence_bound

    since = epoch - self.easy_from
    if since < 0 or since % self.reweigh_every:
      return weights
    kept = weights > 0 if since else count(_DROPPING) / _DROPPING >= self.threshold
    if not kept.any():
      raise InputError(
        f"epoch {epoch}: for no image are {self.threshold:g} of the noisy answers right: "
        "give a smaller `threshold`, or a later `easy_from`"
      )
    right = np.clip(count(_WEIGHING), _LEAST, _WEIGHING)
    return np.where(kept, ndtri(lower_confidence_bound(right, _WEIGHING, _LEVEL)), 0).astype(np.float32)

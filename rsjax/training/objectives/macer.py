"""MACER: maximises the certified radius of a soft smoothed classifier, without an attack."""

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from rsjax.training.objectives.objective import Batch, Loss, Network
from rsjax.training.objectives.settings import Settings, setting

if TYPE_CHECKING:
  import jax

_ADDED = 1e-10  # to the mean probability of the label


@dataclasses.dataclass(frozen=True)
class Macer(Settings):
  """(1/b) [ sum -log(pbar_y + 1e-10) + lbd * sigma / 2 * sum over S of (hinge - xi) ].

  xi = Phi^-1(q_1) - Phi^-1(q_2) for the two largest entries of q = mean_i softmax(beta f(x + e_i)). S are the
  images whose largest entry is the label's and whose xi is finite and at most `hinge`. One update per batch,
  on noise_vectors rows for each of its images.

  Source: Zhai et al. 2020; RuntianZ/macer, macer.py. For `deferred`:
  jh-jeong/smoothing-consistency, train_macer.py.
  """

  lbd: float = setting(12.0, "weight of the robustness term", least=0, source="CIFAR-10 at sigma 0.25 and 1")
  hinge: float = setting(8.0, "largest xi that is still increased (gamma in the paper)", least=0)
  beta: float = setting(16.0, "inverse temperature of the soft smoothed classifier", least=0)
  noise_vectors: int = setting(16, "noisy copies of each image (k in the paper)", least=1)
  deferred: int = setting(0, "epochs before lbd counts", least=0)

  name: ClassVar[str] = "macer"
  statistics: ClassVar[tuple[str, ...]] = ("classification", "robustness")

  def __call__(self, network: Network, batch: Batch) -> Loss:
    from rsjax.training.objectives.terms import noise_copies

    return self.loss(network, batch, noise_copies(self.noise_sd, batch.key, batch.images, self.noise_vectors))

  def loss(self, network: Network, batch: Batch, noise: "jax.Array") -> Loss:
    """The loss for given noise [b, k, h, w, c]."""
    import jax.numpy as jnp

    from rsjax.training.objectives.terms import mean_probabilities

    logits, batch_stats = network.train(batch.images[:, None] + noise, network.batch_stats)
    pbar = jnp.take_along_axis(mean_probabilities(logits), batch.labels[:, None], 1)
    classification = -jnp.log(pbar + _ADDED).mean()
    short = _shortfall(mean_probabilities(self.beta * logits), batch.labels, self.hinge)
    robustness = self.noise_sd / 2 * short.mean()
    lbd = self.lbd * (batch.epoch >= self.deferred).astype(logits.dtype)
    statistics = {"classification": classification, "robustness": robustness}
    return Loss(classification + lbd * robustness, logits, batch_stats, statistics)


def _shortfall(q: "jax.Array", labels: "jax.Array", hinge: float) -> "jax.Array":
  """[b], hinge - xi for the images of S, 0 for the others; q [b, classes]."""
  import jax
  import jax.numpy as jnp
  from jax.scipy.special import ndtri

  top, _ = jax.lax.top_k(q, 2)
  xi = ndtri(top[:, 0]) - ndtri(top[:, 1])
  chosen = jax.lax.stop_gradient((q.argmax(-1) == labels) & jnp.isfinite(xi) & (xi <= hinge))
  # Chosen first: an infinite quantile that is only masked afterwards would still have a NaN gradient.
  top = jnp.where(chosen[:, None], top, 0.5)
  return jnp.where(chosen, hinge - (ndtri(top[:, 0]) - ndtri(top[:, 1])), 0)

"""Training a denoiser: its estimates should be near the images, by their mean squared error."""

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from rsjax.noise import perturb_for_training
from rsjax.training.objectives.objective import Batch, Loss, Network
from rsjax.training.objectives.settings import Settings

if TYPE_CHECKING:
  import jax


@dataclasses.dataclass(frozen=True)
class Denoise(Settings):
  """mean (D(x + e) - x)^2 over pixels, channels and images, for a network D that estimates images.

  Labels are not used. There are no logits, and so no accuracy.

  Source: Salman et al. 2020; microsoft/denoised-smoothing, train_denoiser.py, objective denoising.
  """

  name: ClassVar[str] = "denoise"
  denoises: ClassVar[bool] = True
  statistics: ClassVar[tuple[str, ...]] = ()

  def __call__(self, network: Network, batch: Batch) -> Loss:
    return self.loss(network, batch, perturb_for_training(self.noise, batch.key, batch.images))

  def loss(self, network: Network, batch: Batch, noisy: "jax.Array") -> Loss:
    """The loss for given noisy images [b, h, w, c]."""
    estimates, batch_stats = network.train(noisy, network.batch_stats)
    return Loss(squared_errors(estimates, batch.images).mean(), None, batch_stats)

  @staticmethod
  def score(
    estimates: "jax.Array", images: "jax.Array", labels: "jax.Array", classifier: Any
  ) -> "tuple[jax.Array, jax.Array]":
    """(the mean squared error of each estimate, False): as for `Objective`."""
    import jax.numpy as jnp

    del classifier
    return squared_errors(estimates, images), jnp.zeros(labels.shape, bool)


def squared_errors(estimates: "jax.Array", images: "jax.Array") -> "jax.Array":
  """float32[b], the mean squared error of each of the estimates [b, h, w, c]."""
  import jax.numpy as jnp

  return jnp.square(estimates - images).mean((1, 2, 3))

"""Training a denoiser for a classifier: the answer for its estimate should be that for the image."""

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from rsjax.noise import perturb_for_training
from rsjax.training.objectives.denoise import squared_errors
from rsjax.training.objectives.objective import Batch, Loss, Network, score_logits
from rsjax.training.objectives.settings import Settings

if TYPE_CHECKING:
  import jax


@dataclasses.dataclass(frozen=True)
class DenoiseStability(Settings):
  """CE(F(D(x + e)), argmax F(x)), for a network D that estimates images and a classifier F that stays as it is.

  F is in evaluation mode, and has no gradient of its own. Labels only count for accuracies, which are of F(D).

  Source: Salman et al. 2020; microsoft/denoised-smoothing, train_denoiser.py, objective stability.
  """

  name: ClassVar[str] = "denoise_stability"
  denoises: ClassVar[bool] = True
  needs_classifier: ClassVar[bool] = True
  statistics: ClassVar[tuple[str, ...]] = ("mse",)

  def __call__(self, network: Network, batch: Batch) -> Loss:
    return self.loss(network, batch, perturb_for_training(self.noise, batch.key, batch.images))

  def loss(self, network: Network, batch: Batch, noisy: "jax.Array") -> Loss:
    """The loss for given noisy images [b, h, w, c]."""
    import jax

    from rsjax.training.objectives.terms import cross_entropy

    estimates, batch_stats = network.train(noisy, network.batch_stats)
    logits = batch.classifier(estimates)
    answers = batch.classifier(batch.images).argmax(-1)
    mse = jax.lax.stop_gradient(squared_errors(estimates, batch.images).mean())
    return Loss(cross_entropy(logits[:, None], answers).mean(), logits, batch_stats, {"mse": mse})

  @staticmethod
  def score(
    estimates: "jax.Array", images: "jax.Array", labels: "jax.Array", classifier: Any
  ) -> "tuple[jax.Array, jax.Array]":
    """(the cross-entropy behind the denoiser, whether the answer there is right): as for `Objective`."""
    return score_logits(classifier(estimates), images, labels, None)

"""The paper's objective: cross-entropy under noise, which is Gaussian unless another is given."""

import dataclasses
from typing import TYPE_CHECKING, ClassVar

from rsjax.noise import perturb_for_training
from rsjax.training.objectives.objective import Batch, Loss, Network
from rsjax.training.objectives.settings import Settings, setting

if TYPE_CHECKING:
  import jax


@dataclasses.dataclass(frozen=True)
class Gaussian(Settings):
  """Cross-entropy under one draw of noise per image (Cohen et al. 2019, section 3.3).

  Attributes:
    noise_sd, noise: as for `Settings`.
    label_smoothing: share of the target that is spread over all classes.
  """

  label_smoothing: float = setting(0.0, "share of the target that is spread over all classes", least=0, below=1)

  name: ClassVar[str] = "gaussian"
  any_noise: ClassVar[bool] = True
  statistics: ClassVar[tuple[str, ...]] = ()

  def __call__(self, network: Network, batch: Batch) -> Loss:
    return self.loss(network, batch, perturb_for_training(self.noise, batch.key, batch.images))

  def loss(self, network: Network, batch: Batch, noisy: "jax.Array") -> Loss:
    """The loss for given noisy images [b, h, w, c]."""
    import jax
    import optax

    logits, batch_stats = network.train(noisy, network.batch_stats)
    labels = jax.nn.one_hot(batch.labels, logits.shape[-1], dtype=logits.dtype)
    targets = optax.smooth_labels(labels, self.label_smoothing)
    return Loss(optax.softmax_cross_entropy(logits, targets).mean(), logits, batch_stats)

"""The paper's objective: cross-entropy under Gaussian noise."""

import dataclasses
from typing import ClassVar

import jax
import numpy as np
import optax

from rsjax.errors import InputError
from rsjax.noise import Gaussian as GaussianNoise
from rsjax.noise import make_plain
from rsjax.training.objectives.objective import Batch, Loss, Network


@dataclasses.dataclass(frozen=True)
class Gaussian:
  """Cross-entropy under one draw of Gaussian noise per image (Cohen et al. 2019, section 3.3).

  Attributes:
    noise_sd: standard deviation of the noise, in units of [0, 1] pixels.
    label_smoothing: share of the target that is spread over all classes.

  Raises:
    InputError: for values out of range.
  """

  noise_sd: float = 0.0
  label_smoothing: float = 0.0

  name: ClassVar[str] = "gaussian"
  statistics: ClassVar[tuple[str, ...]] = ()

  def __post_init__(self) -> None:
    make_plain(self)
    if not (np.isfinite(self.noise_sd) and self.noise_sd >= 0):
      raise InputError(f"noise_sd must be a number >= 0, got {self.noise_sd}")
    if not 0 <= self.label_smoothing < 1:
      raise InputError(f"label_smoothing must be in [0, 1), got {self.label_smoothing}")

  def __call__(self, network: Network, batch: Batch) -> Loss:
    noise = GaussianNoise(self.noise_sd).sample(batch.key, batch.images.shape)
    logits, batch_stats = network.train(batch.images + noise, network.batch_stats)
    labels = jax.nn.one_hot(batch.labels, logits.shape[-1], dtype=logits.dtype)
    targets = optax.smooth_labels(labels, self.label_smoothing)
    return Loss(optax.softmax_cross_entropy(logits, targets).mean(), logits, batch_stats)

"""Accuracy of a base classifier on some images, clean and under the noise of certification."""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from rsjax import devices, models
from rsjax.noise import Noise, images_and_valid, threefry


def hits(
  model: nn.Module,
  variables: Any,
  images: np.ndarray,
  labels: ArrayLike,
  indices: Sequence[int],
  noise: Noise,
  batch: int = 50,
) -> tuple[int, int]:
  """How many images the base classifier gets right: (without noise, under one draw of noise per image).

  Args:
    model, variables: from `models.create` and a checkpoint.
    images: uint8[count, h, w, c].
    labels: int[count].
    indices: the images' indices, which with seed 0 and draw 0 fix the noise.
    noise: the noise of certification.
    batch: images per step.
  """
  apply, folded = models.inference(model, variables)

  @devices.jit
  def answers(variables, x, index):
    x = x.astype(jnp.float32) / 255
    perturbed = noise.perturb(noise.parameters(), threefry.base_key(0), index, jnp.zeros_like(index), x)
    noisy, _ = images_and_valid(perturbed)
    return jnp.stack([apply(variables, x).argmax(-1), apply(variables, noisy).argmax(-1)])

  index, right = np.asarray(indices, np.uint32), np.zeros(2, int)
  for start in range(0, len(images), batch):
    part = slice(start, start + batch)
    found = np.asarray(answers(folded, images[part], index[part]))
    right += (found == np.asarray(labels)[None, part]).sum(1)
  return int(right[0]), int(right[1])

"""Accuracy of a base classifier on some images, clean and under the noise of certification."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from rsjax import devices, models
from rsjax.models.normalize import normalize
from rsjax.noise import Noise, images_and_valid, threefry


def hits(
  model: nn.Module,
  variables: Any,
  images: np.ndarray,
  labels: ArrayLike,
  indices: Sequence[int],
  noise: Noise,
  normalizations: Iterable[tuple[Sequence[float], Sequence[float]]],
  batch: int = 50,
) -> Iterator[tuple[int, int]]:
  """For each normalisation, how many images are answered rightly: (without noise, under one draw of it each).

  One program is compiled for all of them.

  Args:
    model, variables: from `models.create`, with a mean of 0 and a standard deviation of 1, and a checkpoint.
    images: uint8[count, h, w, c].
    labels: int[count].
    indices: the images' indices, which with seed 0 and draw 0 fix the noise.
    noise: the noise of certification.
    normalizations: (mean, standard deviation) of the channels, each.
    batch: images per step.
  """
  apply, folded = models.inference(model, variables)

  @devices.jit
  def answers(variables, x, index, mean, std):
    x = x.astype(jnp.float32) / 255
    perturbed = noise.perturb(noise.parameters(), threefry.base_key(0), index, jnp.zeros_like(index), x)
    noisy, _ = images_and_valid(perturbed)
    both = normalize(jnp.concatenate([x, noisy]), mean, std)
    return apply(variables, both).argmax(-1).reshape(2, -1)

  index, labels, count = np.asarray(indices, np.uint32), np.asarray(labels), len(images)
  for mean, std in np.asarray([*normalizations], np.float32):
    right = np.zeros(2, int)
    for start in range(0, count, batch):
      places = np.minimum(np.arange(start, start + batch), count - 1)  # the last batch is filled up
      found = np.asarray(answers(folded, images[places], index[places], mean, std))
      right += (found == labels[places])[:, : count - start].sum(1)
    yield int(right[0]), int(right[1])

"""Accuracy of a base classifier on some images, clean and under the noise of certification."""

import jax.numpy as jnp
import numpy as np

from rsjax import devices, models, noise


def hits(model, variables, images, labels, indices, sigma, batch=50):
  """How many images the base classifier gets right: (without noise, under one draw of noise an image).

  Args:
    model, variables: from `models.create` and a checkpoint.
    images: uint8[count, h, w, c].
    labels: int[count].
    indices: the images' indices, which with seed 0 and draw 0 fix the noise.
    sigma: of the noise, in units of [0, 1] pixels.
    batch: images a step.
  """
  apply, folded = models.inference(model, variables)

  @devices.jit
  def answers(variables, x, index):
    z = noise.standard_normal(noise.base_key(0), index, jnp.zeros_like(index), x.shape[1:])
    x = x.astype(jnp.float32) / 255
    return jnp.stack([apply(variables, x).argmax(-1), apply(variables, x + np.float32(sigma) * z).argmax(-1)])

  indices, right = np.asarray(indices, np.uint32), np.zeros(2, int)
  for start in range(0, len(images), batch):
    part = slice(start, start + batch)
    found = np.asarray(answers(folded, images[part], indices[part]))
    right += (found == np.asarray(labels)[None, part]).sum(1)
  return int(right[0]), int(right[1])

"""The normalisation layer that every base classifier starts with."""

import jax.numpy as jnp


def normalize(images, mean, std):
  """(images - mean) / std per channel, in float32; images float32[b, h, w, c]."""
  mean, std = (jnp.asarray(v, jnp.float32).reshape(1, 1, 1, -1) for v in (mean, std))
  return (images - mean) / std

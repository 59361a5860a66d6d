"""The normalisation layer that every base classifier starts with."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp


def normalize(images: jax.Array, mean: Sequence[float], std: Sequence[float]) -> jax.Array:
  """(images - mean) / std per channel, in float32; images float32[b, h, w, c]."""
  center, scale = (jnp.asarray(v, jnp.float32).reshape(1, 1, 1, -1) for v in (mean, std))
  return (images - center) / scale

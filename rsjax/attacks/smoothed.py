"""What attacks on a smoothed classifier maximise: its loss, estimated from a few draws of noise."""

import jax
import jax.numpy as jnp

SMALLEST = 1e-20  # below it a probability is a constant, so that its logarithm has no gradient


def log_loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """-log of the mean probability of the label, for each image.

  Args:
    logits: [b, m, classes], of m noisy copies of each image.
    labels: int32[b].

  Returns:
    [b].

  Source: Salman et al. 2019, equation (6).
  """
  mean = jax.nn.softmax(logits).mean(1)
  return -jnp.log(jnp.maximum(jnp.take_along_axis(mean, labels[:, None], 1)[:, 0], SMALLEST))

"""The terms that losses are made of, with gradients that are finite wherever they are defined.

Logits are [b, m, classes]: of m noisy copies of each of b images.
"""

import jax
import jax.numpy as jnp

from rsjax.noise import Gaussian, Noise, perturb_for_training
from rsjax.training.objectives.objective import Batch

_SMALLEST = 1e-20  # of a probability in an entropy


def noise_copies(noise_sd: float, key: jax.Array, images: jax.Array, copies: int) -> jax.Array:
  """float32[b, m, h, w, c], m draws of Gaussian noise for each image."""
  b, *shape = images.shape
  return Gaussian(noise_sd).sample(key, (b, copies, *shape))


def noisy_copies(noise: Noise, key: jax.Array, images: jax.Array, copies: int) -> jax.Array:
  """float32[b, m, h, w, c], each image under m draws of the noise."""
  b, *shape = images.shape
  return perturb_for_training(noise, key, jnp.broadcast_to(images[:, None], (b, copies, *shape)))


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """[b, m], -log p_y of each copy; labels int32[b]."""
  chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None, None], -1)
  return -chosen[..., 0]


def mean_probabilities(logits: jax.Array) -> jax.Array:
  """[b, classes], the mean of the copies' probabilities."""
  return jax.nn.softmax(logits).mean(1)


def divergence(target: jax.Array, logits: jax.Array) -> jax.Array:
  """[b, m], KL(t || softmax(logits)) of each copy, for a target [b, classes] that its copies share.

  Classes with t = 0 count nothing, and have no gradient (PyTorch from 1.13 on has NaN there).
  """
  t = jnp.broadcast_to(target[:, None], logits.shape)
  there = t > 0
  log_t = jnp.log(jnp.where(there, t, 1))
  return jnp.where(there, t * (log_t - jax.nn.log_softmax(logits)), 0).sum(-1)


def entropy(p: jax.Array) -> jax.Array:
  """[b], -sum p log p of probabilities [b, classes]."""
  return -(p * jnp.log(jnp.maximum(p, _SMALLEST))).sum(-1)


def warmed_up(value: float, batch: Batch, warmup: int) -> jax.Array:
  """min(value, value * (epoch + 1) / warmup), for epochs from 0; of the images' dtype."""
  share = jnp.minimum(1, (batch.epoch + 1) / warmup)
  return value * share.astype(batch.images.dtype)

"""Lengths of images and of what is added to them: norms, unit vectors, projections.

An image is the last three axes (h, w, c) of an array; there may be any number of axes before them.
"""

import jax
import jax.numpy as jnp

AXES = (-3, -2, -1)


def lengths(v: jax.Array) -> jax.Array:
  """The Euclidean norm of each image: [..., 1, 1, 1]."""
  return jnp.sqrt(jnp.square(v).sum(AXES, keepdims=True))


def unit(v: jax.Array) -> jax.Array:
  """v / (|v| + 1e-8) for each image; zero stays zero."""
  return v / (lengths(v) + 1e-8)


def exact_unit(v: jax.Array, instead: jax.Array) -> jax.Array:
  """v / |v| for each image; `instead`, as it is, where |v| is exactly zero."""
  length = lengths(v)
  zero = length == 0
  return jnp.where(zero, instead, v / jnp.where(zero, 1, length))


def project(v: jax.Array, radius: jax.Array | float) -> jax.Array:
  """Shortens each image that is longer than the radius to v * radius / (|v| + 1e-7)."""
  length = lengths(v)
  return jnp.where(length > radius, v * radius / (length + 1e-7), v)


def clip_to_pixels(images: jax.Array) -> jax.Array:
  """The images with pixels in [0, 1]."""
  return jnp.clip(images, 0, 1)

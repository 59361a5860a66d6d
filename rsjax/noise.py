"""The one definition of the noise of (seed, image index, draw number).

  >>> from rsjax import noise
  >>> a = noise.standard_normal(noise.base_key(0), jnp.uint32([7]), jnp.uint32([3]), (32, 32, 3))

Draw j of image i is a pure function of (seed, i, j): the same float32 array for every number of
rows, devices and hosts, for every order and after every interruption. It does not depend on the
classifier's dtype: noise is drawn and added in float32 and only the sum is cast.

The generator is named, so that JAX's own defaults, which users can change, do not change a
certificate. JAX's float32 normal reaches about 5.4 standard deviations; the mass beyond is 1.2e-7
a coordinate.
"""

import jax
import jax.numpy as jnp

from rsjax.errors import InputError

WORD = 2**32  # seeds, image indices and draw numbers are below it: each is folded in as one word


def base_key(seed):
  """The key from which all noise of a seed is derived; seed is a uint32 scalar."""
  return jax.random.key(jnp.asarray(seed, jnp.uint32), impl="threefry2x32")


def check_seed(seed):
  if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < WORD:
    raise InputError(f"seed must be an integer from 0 to 2**32 - 1, got {seed}")


def standard_normal(key, index, draw, shape):
  """The standard normal noise of some rows.

  Args:
    key: `base_key(seed)`.
    index: uint32[rows], each row's image index.
    draw: uint32[rows], each row's draw number.
    shape: (h, w, c) of an image.

  Returns:
    float32[rows, h, w, c], to be multiplied by sigma.
  """

  def one(i, j):
    return jax.random.normal(jax.random.fold_in(jax.random.fold_in(key, i), j), shape, jnp.float32)

  with jax.threefry_partitionable(True):  # of the two ways to number a generator's words, always this one
    return jax.vmap(one)(index, draw)

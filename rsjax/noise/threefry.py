"""The one definition of the randomness of (seed, image index, draw number).

  >>> a = standard_normal(base_key(0), jnp.uint32([7]), jnp.uint32([3]), (32, 32, 3))
  >>> a.shape, a.dtype
  ((1, 32, 32, 3), dtype('float32'))

Draw j of image i is a pure function of (seed, i, j): the same float32 array for every number of
rows, devices and hosts, for every order and after every interruption. It does not depend on the
classifier's dtype: noise is drawn and added in float32 and only the sum is cast.

The noise is that of `jax.random.normal` with two fold-ins into a Threefry key, op by op, bit for bit (a test
compares them). It is written out here, so that JAX's defaults and later versions cannot change a certificate,
and because JAX's own is three times slower on CPU. float32 normals reach about 5.4 standard deviations; the
mass beyond is 1.2e-7 per coordinate.

Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (Threefry-2x32, 20 rounds).
"""

import jax
import jax.numpy as jnp
import numpy as np


def base_key(seed: int | jax.Array | np.uint32) -> jax.Array:
  """The key from which all noise of a seed is derived; seed is a uint32 scalar."""
  words = jnp.stack([jnp.uint32(0), jnp.asarray(seed, jnp.uint32)])  # as jax.random.key, but for its settings
  return jax.random.wrap_key_data(words, impl="threefry2x32")


def standard_normal(key: jax.Array, index: jax.Array, draw: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """The standard normal noise of some rows.

  Args:
    key: `base_key(seed)`.
    index: uint32[rows], each row's image index.
    draw: uint32[rows], each row's draw number.
    shape: (h, w, c) of an image.

  Returns:
    float32[rows, h, w, c], to be multiplied by sigma.
  """
  return _normal(random_bits(key, index, draw, int(np.prod(shape)))).reshape(-1, *shape)


def random_bits(key: jax.Array, index: jax.Array, draw: jax.Array, size: int) -> jax.Array:
  """The random words of some rows, from which every noise is made.

  Args:
    key, index, draw: as for `standard_normal`.
    size: how many words each row needs.

  Returns:
    uint32[rows, size].
  """
  return jnp.concatenate([x ^ y for x, y in _halves(key, index, draw, size)], axis=1)


def random_pairs(key: jax.Array, index: jax.Array, draw: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
  """64 random bits for each of `size` places of some rows: two arrays of words, uint32[rows, size] each.

  Both words of a Threefry block are used, so that they cost what `random_bits` costs.

  Args:
    key, index, draw: as for `standard_normal`.
    size: how many pairs each row needs.
  """
  halves = _halves(key, index, draw, size)
  return tuple(jnp.concatenate(words, axis=1) for words in zip(*halves))  # type: ignore[return-value]


def _halves(key, index, draw, size):
  """The blocks of some rows, two words of uint32[rows, part] each, in two parts.

  In two parts, because XLA:CPU fuses what is not concatenated with what follows, to a loop four times slower.
  """
  words = jax.random.key_data(key)
  first, second = (word[:, None] for word in _fold_in(_fold_in((words[0], words[1]), index), draw))
  counter = jnp.arange(size, dtype=jnp.uint32)[None]
  return [_threefry(first, second, jnp.zeros_like(c), c) for c in jnp.split(counter, [size // 2], axis=1)]


def _fold_in(key, number):
  """The key, two words of uint32[rows], for each number uint32[rows]; from two words of [] or [rows]."""
  return _threefry(*(jnp.broadcast_to(word, number.shape) for word in key), jnp.zeros_like(number), number)


def _threefry(key0, key1, x0, x1):
  """Two words of Threefry-2x32 for the counter (x0, x1), uint32 all."""
  keys = (key0, key1, key0 ^ key1 ^ np.uint32(0x1BD11BDA))
  x0, x1 = x0 + keys[0], x1 + keys[1]
  for group in range(5):
    for rotation in ((13, 15, 26, 6), (17, 29, 16, 24))[group % 2]:
      x0 = x0 + x1
      x1 = x0 ^ ((x1 << np.uint32(rotation)) | (x1 >> np.uint32(32 - rotation)))
    x0 = x0 + keys[(group + 1) % 3]
    x1 = x1 + keys[(group + 2) % 3] + np.uint32(group + 1)
  return x0, x1


def _normal(bits):
  """Standard normals from 23 of each word's bits, by the inverse of the distribution function."""
  one, low = np.float32(1), np.nextafter(np.float32(-1), np.float32(0))
  uniform = jax.lax.bitcast_convert_type((bits >> np.uint32(9)) | np.uint32(0x3F800000), jnp.float32) - one
  uniform = jnp.maximum(low, uniform * (one - low) + low)
  # The barrier keeps the product in this order: XLA 0.12 folds it into the series of erf_inv in some programs
  # and not in others, by their size, and the noise would differ in its last bit.
  return np.float32(np.sqrt(2)) * jax.lax.optimization_barrier(jax.lax.erf_inv(uniform))

"""The noise of (seed, image, draw): JAX's normal, bit for bit, whatever is drawn beside it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from rsjax import devices, noise
from rsjax.errors import InputError
from rsjax.noise import threefry

SHAPE = (4, 4, 3)


@functools.partial(devices.jit, static_argnums=3)
def compiled(seed, index, draw, shape):
  return threefry.standard_normal(threefry.base_key(seed), index, draw, shape)


def draws(index, draw, seed=0, shape=SHAPE):
  """The noise as programs draw it: compiled."""
  return np.asarray(compiled(jnp.uint32(seed), jnp.uint32(index), jnp.uint32(draw), shape))


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 3, 3), (5, 5, 3), (9, 7, 2), (32, 32, 3)])
def test_a_draw_does_not_depend_on_how_many_are_drawn(shape):
  """Programs of other sizes, whose loops end elsewhere, give the same bits."""
  draw = np.arange(65)
  together = draws(np.full(65, 5), draw, shape=shape)
  for batch in (1, 8, 31):
    parts = np.split(draw, range(batch, 65, batch))
    assert np.array_equal(np.concatenate([draws(np.full(len(d), 5), d, shape=shape) for d in parts]), together)


def test_a_draw_does_not_depend_on_its_companions():
  draw = np.arange(64)
  together = draws(np.full(64, 5), draw)
  assert together.dtype == np.float32
  for batch in (1, 3, 7):
    apart = np.concatenate([draws(np.full(len(d), 5), d) for d in np.split(draw, range(batch, 64, batch))])
    assert np.array_equal(apart, together)
  mixed = draws(np.arange(64), draw)
  assert np.array_equal(mixed[5], together[5])


@pytest.mark.parametrize("shape", [SHAPE, (1, 1, 1), (5, 3, 1), (32, 32, 3)])
def test_it_is_jaxs_own_normal_bit_for_bit(shape):
  """The definition by JAX's public functions, op by op as `jax.random.normal` has it.

  Compiled as one, XLA 0.12 computes JAX's own in another order in some programs, and its last bit differs.
  """
  rng = np.random.default_rng(0)
  index, draw = (rng.integers(0, 2**32, 20, np.uint32) for _ in range(2))
  with jax.threefry_partitionable(True):
    fold = lambda i, j: jax.random.fold_in(jax.random.fold_in(threefry.base_key(7), i), j)
    low = np.nextafter(np.float32(-1), np.float32(0))
    uniform = jax.vmap(lambda i, j: jax.random.uniform(fold(i, j), shape, jnp.float32, low, 1))(index, draw)
  wanted = np.float32(np.sqrt(2)) * np.asarray(jax.lax.erf_inv(uniform.reshape(20, -1)))
  assert np.array_equal(draws(index, draw, seed=7, shape=shape), wanted.reshape(20, *shape))


def test_compiled_is_eager():
  index, draw = jnp.uint32(np.arange(9)), jnp.uint32(np.arange(9) ** 5)
  eager = threefry.standard_normal(threefry.base_key(0), index, draw, SHAPE)
  np.testing.assert_array_equal(draws(index, draw), eager)


def test_seed_index_and_draw_each_matter():
  base = draws([1], [2], seed=3)
  for other in (draws([1], [3], seed=3), draws([2], [2], seed=3), draws([1], [2], seed=4)):
    assert not np.any(base == other)
  assert not np.any(base == draws([2], [1], seed=3))


def test_largest_words_are_distinct():
  assert not np.any(draws([2**32 - 1], [0]) == draws([0], [2**32 - 1]))
  assert not np.any(draws([2**32 - 1], [2**32 - 1]) == draws([2**32 - 1], [2**31 - 1]))


def test_the_users_default_generator_does_not_change_it():
  base = draws([1], [2])
  with jax.default_prng_impl("rbg"):
    assert np.array_equal(draws([1], [2]), base)


def test_it_is_standard_normal_and_near_misses_are_rejected():
  z = draws(np.full(20_000, 3), np.arange(20_000)).ravel().astype(np.float64)
  p_value = lambda sample: stats.kstest(sample, "norm").pvalue
  assert p_value(z) > 0.01
  assert p_value(1.01 * z) < 1e-3
  assert p_value(z + 0.005) < 1e-3
  low_precision = jax.random.normal(jax.random.key(0), z.shape, jnp.bfloat16)
  assert p_value(np.asarray(low_precision, np.float64)) < 1e-3
  assert np.abs(z).max() > 4.5


def test_coordinates_and_draws_are_uncorrelated():
  z = draws(np.full(20_000, 3), np.arange(20_000)).reshape(20_000, -1)
  correlation = np.corrcoef(np.c_[z, np.roll(z, 1, axis=0)].T) - np.eye(2 * z.shape[1])
  assert np.abs(correlation).max() < 5.5 / np.sqrt(20_000)


@pytest.mark.parametrize("seed", [-1, 2**32, 0.5, True, "0"])
def test_bad_seeds_are_refused(seed):
  with pytest.raises(InputError, match="seed"):
    noise.check_seed(seed)


def test_the_users_way_of_numbering_words_does_not_change_it():
  base = draws([1, 1], [2, 3])
  with jax.threefry_partitionable(False):
    assert np.array_equal(draws([1, 1], [2, 3]), base)
    jitted = jax.jit(lambda i, j: threefry.standard_normal(threefry.base_key(0), i, j, SHAPE))
    np.testing.assert_allclose(jitted(jnp.uint32([1, 1]), jnp.uint32([2, 3])), base, rtol=0, atol=1e-6)


def test_the_seed_alone_decides_the_key():
  """JAX's setting of an offset for all seeds changes no certificate."""
  wanted = jax.random.key_data(jax.random.key(5, impl="threefry2x32"))
  before = jax.config.jax_random_seed_offset
  jax.config.update("jax_random_seed_offset", 1)
  try:
    assert not np.array_equal(jax.random.key_data(jax.random.key(5, impl="threefry2x32")), wanted)
    np.testing.assert_array_equal(jax.random.key_data(threefry.base_key(5)), wanted)
  finally:
    jax.config.update("jax_random_seed_offset", before)

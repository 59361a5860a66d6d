"""Attacks stay within their bounds, whatever the gradient; tests/training compares them with published code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsjax import attacks

RNG = np.random.default_rng(0)
IMAGES = jnp.asarray(RNG.uniform(0, 1, (5, 4, 4, 3)), jnp.float32)
NORMAL = jnp.asarray(RNG.normal(size=(5, 4, 4, 3)), jnp.float32)


def length(v):
  return np.sqrt(np.square(np.asarray(v, np.float64)).sum((-3, -2, -1)))


def test_projections_and_units():
  projected = attacks.project(NORMAL, 0.5)
  np.testing.assert_allclose(length(projected), 0.5, rtol=1e-5)
  np.testing.assert_array_equal(attacks.project(0.01 * NORMAL, 5.0), 0.01 * NORMAL)
  np.testing.assert_allclose(length(attacks.unit(NORMAL)), 1, rtol=1e-5)
  assert not np.any(attacks.unit(jnp.zeros_like(NORMAL)))
  copies = jnp.stack([NORMAL, 2 * NORMAL], 1)  # an image is the last three axes
  np.testing.assert_allclose(length(attacks.project(copies, 0.5)), 0.5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["zero", "linear", "of one image only"])
def test_changes_stay_within_radius_and_pixels(kind):
  factor = {"zero": 0.0, "linear": 1.0, "of one image only": jnp.float32([1, 0, 0, 0, 0])[:, None, None, None]}
  gradient = lambda images: jnp.zeros_like(images) + factor[kind] * NORMAL
  change = attacks.pgd(gradient, IMAGES, 0.7, 3, lambda step: -NORMAL)
  last = attacks.pgd_clipped_last(gradient, IMAGES, 0.7, 3) - IMAGES
  for found in (change, last):
    assert np.all(length(found) <= 0.7 + 1e-5)
    assert np.all((IMAGES + found >= -1e-6) & (IMAGES + found <= 1 + 1e-6))
  assert np.all(length(change) > 0.3)  # also where the gradient is zero
  assert np.any(length(last) == 0) == (kind != "linear")  # there, the other one stands still


def test_ddn_changes_only_images_whose_answer_it_can_change():
  """A classifier whose answer is 1 where the first pixel is above 0.6."""
  images = jnp.full((3, 4, 4, 1), 0.5).at[:, 0, 0, 0].set(jnp.float32([0.5, 0.9, 0.1]))
  labels = jnp.int32([0, 0, 0])  # the second is wrong as it is; the third is too far away

  def logits(images):
    score = images[:, 0, 0, 0] - 0.6
    return jnp.stack([-score, score], 1)[:, None]

  loss = lambda images: (-jax.nn.log_softmax(logits(images))[:, 0, 0].sum(), logits(images))
  change = attacks.ddn(
    jax.grad(loss, has_aux=True), images, labels, 0.2, 8, lambda step: jnp.zeros_like(images)
  )
  assert 0.1 < length(change)[0] < 0.2 * 1.02
  assert np.all(length(change)[1:] == 0)

"""Projected gradient ascent with steps of a fixed length, in the three forms that published objectives use."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from rsjax.attacks.geometry import clip_to_pixels, exact_unit, project, unit

Gradient = Callable[[jax.Array], jax.Array]  # images [b, h, w, c] -> gradients of the same shape


def pgd(
  gradient: Gradient,
  images: jax.Array,
  radius: jax.Array | float,
  steps: int,
  instead: Callable[[jax.Array], jax.Array],
) -> jax.Array:
  """The change within `radius` that SmoothAdv trains on.

  Each step goes 2 radius / steps along the gradient's direction, clips the pixels, and then projects.

  Args:
    gradient: images -> gradients, of what is maximised.
    images: float[b, h, w, c] in [0, 1].
    radius: in units of [0, 1] pixels.
    steps: how many.
    instead: number of the step -> [b, h, w, c], the directions for images whose gradient is exactly zero.

  Returns:
    [b, h, w, c], to be added to the images.

  Source: Salman et al. 2019; their code's attacks.py, PGD_L2.
  """

  def step(t, change):
    direction = exact_unit(gradient(images + change), instead(t))
    change = change + 2 * radius / steps * direction
    return project(clip_to_pixels(images + change) - images, radius)

  return lax.fori_loop(0, steps, step, jnp.zeros_like(images))


def pgd_clipped_last(gradient: Gradient, images: jax.Array, radius: jax.Array | float, steps: int) -> jax.Array:
  """The images that consistency regularisation with SmoothAdv trains on.

  Each step goes 2 radius / steps along `unit` of the gradient, projects, and then clips the pixels. So an image
  whose gradient is zero stands still, and one whose pixels are clipped ends within the radius.

  Args:
    gradient, images, radius, steps: as for `pgd`.

  Returns:
    [b, h, w, c] in [0, 1].

  Source: Jeong and Shin 2020; their code's train_consistency.py, SmoothAdv_PGD.
  """

  def step(_, attacked):
    attacked = attacked + 2 * radius / steps * unit(gradient(attacked))
    return clip_to_pixels(images + project(attacked - images, radius))

  return lax.fori_loop(0, steps, step, images)


def ascend(
  gradient: Gradient,
  start: jax.Array,
  length: float,
  steps: int,
  limit: Callable[[jax.Array], jax.Array] = lambda attacked: attacked,
) -> jax.Array:
  """The images after some steps of a fixed length along `unit` of the gradient; pixels are clipped.

  Args:
    gradient: as for `pgd`.
    start: float[b, h, w, c] in [0, 1].
    length: of a step, in units of [0, 1] pixels.
    steps: how many.
    limit: applied after each step, before pixels are clipped.

  Returns:
    [b, h, w, c] in [0, 1].

  Source: Jeong et al. 2021 (SmoothMix); their code's train.py, SmoothMix_PGD.
  """

  def step(_, attacked):
    return clip_to_pixels(limit(attacked + length * unit(gradient(attacked))))

  return lax.fori_loop(0, steps, step, start)

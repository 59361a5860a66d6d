"""DDN: gradient ascent that decouples the direction from the norm (Rony et al. 2019), on noisy copies."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from rsjax.attacks.geometry import clip_to_pixels, exact_unit, lengths, project

_GREY = 255  # images are quantised to this many steps
_NORM_CHANGE = 0.05  # how much the norm shrinks or grows in a step


def ddn(
  gradient: Callable[[jax.Array], tuple[jax.Array, jax.Array]],
  images: jax.Array,
  labels: jax.Array,
  radius: jax.Array | float,
  steps: int,
  instead: Callable[[jax.Array], jax.Array],
) -> jax.Array:
  """The smallest change found that changes most of the noisy answers, at most `radius` long.

  An image whose first noisy answer is wrong is not changed, nor is one for which nothing is found. The last
  iterate is not looked at. The result is quantised last, which may make it longer than `radius`.

  Args:
    gradient: images -> (gradients, logits [b, m, classes] of the noisy copies).
    images: float[b, h, w, c] in [0, 1].
    labels: int32[b].
    radius: the norm to begin with, and the longest; in units of [0, 1] pixels.
    steps: how many.
    instead: number of the step -> [b, h, w, c], the directions for images whose gradient is exactly zero.

  Returns:
    [b, h, w, c], to be added to the images.

  Source: Salman et al. 2019; their code's attacks.py, DDN. Its option for the first norm has no effect, because
  train_pgd.py sets that norm to the radius of the epoch, too.
  """
  longest = lengths(jnp.maximum(images, 1 - images))

  def step(t, carry):
    change, norm, best, best_norm = carry
    rate = 0.01 + 0.99 * (1 + jnp.cos(jnp.pi * (t + 1) / steps)) / 2
    gradients, logits = gradient(images + change)
    length, wrong = lengths(change), (_answer(logits) != labels)[:, None, None, None]
    better = wrong & (length < best_norm)
    best, best_norm = jnp.where(better, change, best), jnp.where(better, length, best_norm)
    change = change + rate.astype(images.dtype) * exact_unit(gradients, instead(t))
    norm = jnp.minimum(norm * jnp.where(wrong, 1 - _NORM_CHANGE, 1 + _NORM_CHANGE), longest)
    change = norm * exact_unit(change, change)
    return clip_to_pixels(_quantised(images + change)) - images, norm, best, best_norm

  none = jnp.zeros_like(images)
  norm = jnp.full_like(longest, 1) * radius
  _, _, best, _ = lax.fori_loop(0, steps, step, (none, norm, none, longest))
  return _quantised(project(best, radius))


def _answer(logits: jax.Array) -> jax.Array:
  """int32[b], the class that most of an image's noisy copies get; of several, the first."""
  votes = jax.nn.one_hot(logits.argmax(-1), logits.shape[-1], dtype=jnp.int32).sum(1)
  return votes.argmax(-1)


def _quantised(v: jax.Array) -> jax.Array:
  return jnp.round(_GREY * v) / _GREY

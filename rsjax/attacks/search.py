"""The compiled program that searches adversarial examples of a smoothed classifier, for many images at once.

Each lane of it holds one image with its own label and radius, and the same number of noisy copies. So no other
program is compiled for other images or radii.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from rsjax import devices
from rsjax.attacks.ddn import ddn
from rsjax.attacks.geometry import clip_to_pixels, exact_unit
from rsjax.attacks.pgd import pgd
from rsjax.attacks.smoothed import log_loss
from rsjax.noise import threefry


@functools.lru_cache(maxsize=8)
def make_search(
  apply: Callable[[Any, jax.Array], jax.Array],
  perturb: Callable[..., jax.Array],
  methods: Sequence[str],
  iterations: int,
  noise_vectors: int,
  first_draw: int,
  mesh: Mesh,
) -> Any:
  """search(variables, seed, parameters, images, labels, index, radius) -> points, compiled once.

  Each point is within its image's radius, up to rounding, and has pixels in [0, 1].

  Args:
    apply: the base classifier (variables, images) -> logits.
    perturb: of the noise (see `noise.Noise`), which must be added to the images.
    methods: "pgd", which maximises -log of the mean probability of the label over the noisy copies; "ddn",
      whose direction of the smallest change is followed up to the radius.
    iterations: of each method.
    noise_vectors: noisy copies of each image; their noise is the same in all iterations.
    first_draw: number of the noise's first draw.
    mesh: of the devices that share the lanes, whose number is a multiple of theirs.

  Returns:
    A function of variables; seed uint32[]; parameters of the noise; images float32[lanes, h, w, c] in [0, 1];
    labels int32[lanes]; index uint32[lanes] of the images in the noise; radius float32[lanes]. It returns
    float32[methods, lanes, h, w, c].
  """

  def search(variables, seed, parameters, images, labels, index, radius):
    lanes, *shape = images.shape
    key, radius = threefry.base_key(seed), radius.reshape(-1, 1, 1, 1)
    draw = jnp.tile(jnp.uint32(first_draw) + jnp.arange(noise_vectors, dtype=jnp.uint32), lanes)
    nothing = jnp.zeros((lanes * noise_vectors, *shape), jnp.float32)
    noise = perturb(parameters, key, jnp.repeat(index, noise_vectors), draw, nothing)
    noise = noise.reshape(lanes, noise_vectors, *shape)

    def loss(points):
      noisy = (points[:, None] + noise).reshape(-1, *shape)
      logits = apply(variables, noisy).astype(jnp.float32).reshape(lanes, noise_vectors, -1)
      return log_loss(logits, labels).sum(), logits

    def gradient(points):
      found, logits = jax.grad(loss, has_aux=True)(points)
      return jnp.where(jnp.isfinite(found), found, 0), logits

    def instead(t):  # random directions, of draws that follow those of the noise
      number = jnp.uint32(first_draw + noise_vectors) + jnp.asarray(t).astype(jnp.uint32)
      return -threefry.standard_normal(key, index, jnp.full((lanes,), number), tuple(shape))

    found = []
    for method in methods:
      if method == "pgd":
        change = pgd(lambda points: gradient(points)[0], images, radius, iterations, instead)
      else:
        change = ddn(gradient, images, labels, radius, iterations, instead)
        change = radius * exact_unit(change, jnp.zeros_like(change))
      found.append(clip_to_pixels(images + change))
    return jnp.stack(found)

  return devices.jit(search, mesh.devices.flat[0], out_shardings=NamedSharding(mesh, P()))

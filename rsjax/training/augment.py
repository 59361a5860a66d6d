"""Training augmentation, inside the jitted step. Certification never uses it.

"resized-crop-flip" (the paper's, for ImageNet) needs the full photographs: `rsjax.data.streaming` applies it
while it decodes them.
"""

import jax
import jax.numpy as jnp

from rsjax.errors import InputError

PAD = 4

AUGMENTATIONS = ("none", "crop", "crop-flip", "resized-crop-flip")


def augment(name: str | None, key: jax.Array, images: jax.Array) -> jax.Array:
  """Augments each image on its own.

  Args:
    name: "none"; "crop": a random crop after padding by 4 zero pixels on each side; "crop-flip":
      then also a left-right flip of every second image at random (the paper's, for CIFAR-10);
      "resized-crop-flip": nothing here, see above.
    key: a JAX key.
    images: float32[b, h, w, c].

  Returns:
    float32[b, h, w, c].
  """
  if name not in AUGMENTATIONS:
    raise InputError(f"augmentation must be one of {', '.join(AUGMENTATIONS)}, got {name!r}")
  if name in ("none", "resized-crop-flip"):
    return images
  crop_key, flip_key = jax.random.split(key)
  images = _crop(crop_key, images)
  if name == "crop-flip":
    flip = jax.random.bernoulli(flip_key, jnp.float32(0.5), (len(images), 1, 1, 1))
    images = jnp.where(flip, images[:, :, ::-1], images)
  return images


def _crop(key: jax.Array, images: jax.Array) -> jax.Array:
  padded = jnp.pad(images, ((0, 0), (PAD, PAD), (PAD, PAD), (0, 0)))
  corners = jax.random.randint(key, (len(images), 2), 0, 2 * PAD + 1, jnp.int32)
  cut = lambda image, corner: jax.lax.dynamic_slice(image, (corner[0], corner[1], 0), images.shape[1:])
  return jax.vmap(cut)(padded, corners)

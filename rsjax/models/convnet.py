"""A small convolutional network for digits and MNIST-size images."""

from collections.abc import Mapping
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from rsjax.models.normalize import normalize


class ConvNet(nn.Module):
  """Three 3x3 convolutions without batch norm, global average pooling and a linear layer."""

  num_classes: int
  mean: tuple[float, ...]
  std: tuple[float, ...]
  dtype: jnp.dtype = jnp.float32
  features: tuple[int, ...] = (16, 32, 64)
  strides: tuple[int, ...] = (2, 1, 2)

  CONVOLUTIONS: ClassVar[Mapping[str, str | None]] = {"conv1": None, "conv2": None, "conv3": None}

  @nn.compact
  def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
    del train  # nothing in it differs between training and evaluation
    x = normalize(images, self.mean, self.std).astype(self.dtype)
    for i, (features, stride) in enumerate(zip(self.features, self.strides), start=1):
      x = nn.Conv(features, (3, 3), (stride, stride), padding=1, dtype=self.dtype, name=f"conv{i}")(x)
      x = nn.relu(x)
    x = x.astype(jnp.float32).mean((1, 2))
    return nn.Dense(self.num_classes, name="fc")(x)

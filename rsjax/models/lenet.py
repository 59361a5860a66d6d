"""LeNet as published for robust training on MNIST: two convolutions, two linear layers, 431,080 parameters.

Layers, their names and first weights are those of jh-jeong/smoothing-consistency, archs/lenet.py. Features
go into fc1 channel by channel, so that its weights mean the same as there.
"""

from collections.abc import Mapping
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from rsjax.errors import InputError
from rsjax.models.layers import uniform_fan_in
from rsjax.models.normalize import normalize

SMALLEST = 16  # side of an image of which a single feature per channel is left


class LeNet(nn.Module):
  """For images of any size from 16x16 on; of 28x28 ones, 4x4 features of 50 channels are left."""

  num_classes: int
  mean: tuple[float, ...]
  std: tuple[float, ...]
  dtype: jnp.dtype = jnp.float32

  CONVOLUTIONS: ClassVar[Mapping[str, str | None]] = {"conv1": None, "conv2": None, "fc1": None}

  @nn.compact
  def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
    del train  # nothing in it differs between training and evaluation
    if min(images.shape[1:3]) < SMALLEST:
      height, width = images.shape[1:3]
      raise InputError(
        f"lenet needs images of at least {SMALLEST}x{SMALLEST} pixels, got {height}x{width}: give arch convnet"
      )
    x = normalize(images, self.mean, self.std).astype(self.dtype)
    for name, features in (("conv1", 20), ("conv2", 50)):
      init = uniform_fan_in(25 * x.shape[-1])
      conv = nn.Conv(
        features, (5, 5), padding="VALID", kernel_init=init, bias_init=init, dtype=self.dtype, name=name
      )
      x = nn.max_pool(nn.relu(conv(x)), (2, 2), (2, 2))
    x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
    init = uniform_fan_in(x.shape[-1])
    x = nn.relu(nn.Dense(500, kernel_init=init, bias_init=init, dtype=self.dtype, name="fc1")(x))
    init = uniform_fan_in(500)
    return nn.Dense(self.num_classes, kernel_init=init, bias_init=init, name="fc2")(x.astype(jnp.float32))

"""The residual network for photographs: ResNet-50 as torchvision has it ("v1.5").

He et al. 2016, table 1, with the stride of a bottleneck in its 3x3 convolution. Convolutions are drawn
from N(0, 2 / (k^2 C_out)). Variables are named as there: conv1, bn1, layer1/0/conv1, ...,
layer1/0/downsample/conv, ..., fc.
"""

from collections.abc import Mapping
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from rsjax.models.layers import CONVOLUTIONS, Layer, Shortcut, conv_norm, head, relu
from rsjax.models.normalize import normalize

EXPANSION = 4  # a bottleneck's outputs over its inner width


class Bottleneck(nn.Module):
  features: int
  stride: int
  dtype: jnp.dtype
  folded: bool

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    y = relu(conv_norm(x, train, self.features, 1, 1, ("conv1", "bn1"), self))
    y = relu(conv_norm(y, train, self.features, 3, self.stride, ("conv2", "bn2"), self))
    y = conv_norm(y, train, EXPANSION * self.features, 1, 1, ("conv3", "bn3"), self)
    if self.stride != 1 or x.shape[-1] != EXPANSION * self.features:
      features = EXPANSION * self.features
      x = Shortcut(features, self.stride, self.dtype, self.folded, name="downsample")(x, train)
    return relu(y + x)


class ResNet50(nn.Module):
  num_classes: int
  mean: tuple[float, ...]
  std: tuple[float, ...]
  dtype: jnp.dtype = jnp.float32
  folded: bool = False
  remat: bool = False

  CONVOLUTIONS: ClassVar[Mapping[str, str | None]] = CONVOLUTIONS

  @nn.compact
  def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
    x = normalize(images, self.mean, self.std).astype(self.dtype)
    x = relu(conv_norm(x, train, 64, 7, 2, ("conv1", "bn1"), self))
    x = nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
    for i, (blocks, features, stride) in enumerate(
      ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2)), start=1
    ):
      layer = Layer(Bottleneck, blocks, features, stride, self.dtype, self.folded, self.remat, name=f"layer{i}")
      x = layer(x, train)
    return head(x, self.num_classes)

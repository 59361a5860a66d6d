"""The paper's residual networks for 32x32 images: depth 6n + 2, basic blocks, widths 16, 32, 64.

He et al. 2016, section 4.2, in the variant of the paper's code: projection shortcuts (a 1x1
convolution and batch norm) where the shape changes, convolutions drawn from N(0, 2 / (k^2 C_out)).
Variables are named as there: conv1, bn1, layer1/0/conv1, ..., layer2/0/downsample/conv, ..., fc.
"""

from collections.abc import Mapping
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from rsjax.models.layers import CONVOLUTIONS, Layer, Shortcut, conv_norm, head, relu
from rsjax.models.normalize import normalize


class Block(nn.Module):
  features: int
  stride: int
  dtype: jnp.dtype
  folded: bool

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    y = relu(conv_norm(x, train, self.features, 3, self.stride, ("conv1", "bn1"), self))
    y = conv_norm(y, train, self.features, 3, 1, ("conv2", "bn2"), self)
    if self.stride != 1 or x.shape[-1] != self.features:
      x = Shortcut(self.features, self.stride, self.dtype, self.folded, name="downsample")(x, train)
    return relu(y + x)


class CifarResNet(nn.Module):
  depth: int
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
    x = relu(conv_norm(x, train, 16, 3, 1, ("conv1", "bn1"), self))
    for i, (features, stride) in enumerate(((16, 1), (32, 2), (64, 2)), start=1):
      blocks = (self.depth - 2) // 6
      layer = Layer(Block, blocks, features, stride, self.dtype, self.folded, self.remat, name=f"layer{i}")
      x = layer(x, train)
    return head(x, self.num_classes)

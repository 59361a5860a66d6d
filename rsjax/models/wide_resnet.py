"""Wide residual networks for 32x32 images: depth 6n + 4, pre-activation blocks, widths 16 k, 32 k, 64 k.

Zagoruyko and Komodakis 2016, in the variant that robustness benchmarks publish: a 1x1 convolution where the
shape changes, which reads the activated input. Convolutions are drawn from N(0, 2 / (k^2 C_out)). Variables are
named as there: conv1, block1/0/bn1, block1/0/conv1, ..., block2/0/convShortcut, ..., bn1, fc.
"""

from collections.abc import Mapping
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from rsjax.models.layers import Layer, conv, conv_norm, head, norm, relu
from rsjax.models.normalize import normalize


class Block(nn.Module):
  features: int
  stride: int
  dtype: jnp.dtype
  folded: bool

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    active = relu(norm(x, train, "bn1", self))
    y = relu(conv_norm(active, train, self.features, 3, self.stride, ("conv1", "bn2"), self))
    y = conv(y, self.features, 3, 1, "conv2", self)
    if self.stride != 1 or x.shape[-1] != self.features:
      x = conv(active, self.features, 1, self.stride, "convShortcut", self)
    return y + x


class WideResNet(nn.Module):
  depth: int
  widen: int
  num_classes: int
  mean: tuple[float, ...]
  std: tuple[float, ...]
  dtype: jnp.dtype = jnp.float32
  folded: bool = False
  remat: bool = False

  # Within a block the second norm is applied to the first convolution directly; the first norm comes before it.
  CONVOLUTIONS: ClassVar[Mapping[str, str | None]] = {"conv1": "bn2", "conv2": None, "convShortcut": None}

  @nn.compact
  def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
    x = normalize(images, self.mean, self.std).astype(self.dtype)
    x = conv(x, 16, 3, 1, "conv1", self)
    for i, (features, stride) in enumerate(((16, 1), (32, 2), (64, 2)), start=1):
      blocks, width = (self.depth - 4) // 6, features * self.widen
      x = Layer(Block, blocks, width, stride, self.dtype, self.folded, self.remat, name=f"block{i}")(x, train)
    return head(relu(norm(x, train, "bn1", self)), self.num_classes)

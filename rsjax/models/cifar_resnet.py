"""The paper's residual networks for 32x32 images: depth 6n + 2, basic blocks, widths 16, 32, 64.

He et al. 2016, section 4.2, in the variant of the paper's code: projection shortcuts (a 1x1
convolution and batch norm) where the shape changes, convolutions drawn from N(0, 2 / (k^2 C_out)).
Variables are named as there: conv1, bn1, layer1/0/conv1, ..., layer2/0/downsample/conv, ..., fc.
"""

import flax.linen as nn
import jax.numpy as jnp

from rsjax.models.layers import Layer, Shortcut, batch_norm, conv, head
from rsjax.models.normalize import normalize


class Block(nn.Module):
  features: int
  stride: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x, train):
    y = conv(self.features, 3, self.stride, self.dtype, "conv1")(x)
    y = nn.relu(batch_norm(y, train, "bn1"))
    y = conv(self.features, 3, 1, self.dtype, "conv2")(y)
    y = batch_norm(y, train, "bn2")
    if self.stride != 1 or x.shape[-1] != self.features:
      x = Shortcut(self.features, self.stride, self.dtype, name="downsample")(x, train)
    return nn.relu(y + x)


class CifarResNet(nn.Module):
  depth: int
  num_classes: int
  mean: tuple[float, ...]
  std: tuple[float, ...]
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images, train=False):
    x = normalize(images, self.mean, self.std).astype(self.dtype)
    x = conv(16, 3, 1, self.dtype, "conv1")(x)
    x = nn.relu(batch_norm(x, train, "bn1"))
    for i, (features, stride) in enumerate(((16, 1), (32, 2), (64, 2)), start=1):
      x = Layer(Block, (self.depth - 2) // 6, features, stride, self.dtype, name=f"layer{i}")(x, train)
    return head(x, self.num_classes)

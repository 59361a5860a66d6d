"""The residual network for photographs: ResNet-50 as torchvision has it ("v1.5").

He et al. 2016, table 1, with the stride of a bottleneck in its 3x3 convolution. Convolutions are drawn
from N(0, 2 / (k^2 C_out)). Variables are named as there: conv1, bn1, layer1/0/conv1, ...,
layer1/0/downsample/conv, ..., fc.
"""

import flax.linen as nn
import jax.numpy as jnp

from rsjax.models.layers import Layer, Shortcut, batch_norm, conv, head
from rsjax.models.normalize import normalize

EXPANSION = 4  # a bottleneck's outputs over its inner width


class Bottleneck(nn.Module):
  features: int
  stride: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x, train):
    y = conv(self.features, 1, 1, self.dtype, "conv1")(x)
    y = nn.relu(batch_norm(y, train, "bn1"))
    y = conv(self.features, 3, self.stride, self.dtype, "conv2")(y)
    y = nn.relu(batch_norm(y, train, "bn2"))
    y = conv(EXPANSION * self.features, 1, 1, self.dtype, "conv3")(y)
    y = batch_norm(y, train, "bn3")
    if self.stride != 1 or x.shape[-1] != EXPANSION * self.features:
      x = Shortcut(EXPANSION * self.features, self.stride, self.dtype, name="downsample")(x, train)
    return nn.relu(y + x)


class ResNet50(nn.Module):
  num_classes: int
  mean: tuple[float, ...]
  std: tuple[float, ...]
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images, train=False):
    x = normalize(images, self.mean, self.std).astype(self.dtype)
    x = conv(64, 7, 2, self.dtype, "conv1")(x)
    x = nn.relu(batch_norm(x, train, "bn1"))
    x = nn.max_pool(x, (3, 3), (2, 2), padding=((1, 1), (1, 1)))
    for i, (blocks, features, stride) in enumerate(
      ((3, 64, 1), (4, 128, 2), (6, 256, 2), (3, 512, 2)), start=1
    ):
      x = Layer(Bottleneck, blocks, features, stride, self.dtype, name=f"layer{i}")(x, train)
    return head(x, self.num_classes)

"""The paper's residual networks for 32x32 images: depth 6n + 2, basic blocks, widths 16, 32, 64.

He et al. 2016, section 4.2, in the variant of the paper's code: projection shortcuts (a 1x1
convolution and batch norm) where the shape changes, convolutions drawn from N(0, 2 / (k^2 C_out)).
Variables are named as there: conv1, bn1, layer1/0/conv1, ..., layer2/0/downsample/conv, ..., fc.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from rsjax.models.normalize import normalize

_he_fan_out = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


def _uniform_fan_in(fan_in):
  """U(-1/sqrt(fan_in), 1/sqrt(fan_in)): how the paper's framework draws a linear layer."""
  bound = fan_in**-0.5
  return lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound)


def _conv(features, kernel, stride, dtype, name):
  pad = kernel // 2
  return nn.Conv(
    features,
    (kernel, kernel),
    (stride, stride),
    padding=((pad, pad), (pad, pad)),
    use_bias=False,
    kernel_init=_he_fan_out,
    dtype=dtype,
    name=name,
  )


def _batch_norm(x, train, name):
  """Batch norm in float32, whatever x is computed in; call it within a module's __call__."""
  norm = nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, dtype=jnp.float32, name=name)
  return norm(x.astype(jnp.float32)).astype(x.dtype)


class Shortcut(nn.Module):
  features: int
  stride: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x, train):
    x = _conv(self.features, 1, self.stride, self.dtype, "conv")(x)
    return _batch_norm(x, train, "bn")


class Block(nn.Module):
  features: int
  stride: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x, train):
    y = _conv(self.features, 3, self.stride, self.dtype, "conv1")(x)
    y = nn.relu(_batch_norm(y, train, "bn1"))
    y = _conv(self.features, 3, 1, self.dtype, "conv2")(y)
    y = _batch_norm(y, train, "bn2")
    if self.stride != 1 or x.shape[-1] != self.features:
      x = Shortcut(self.features, self.stride, self.dtype, name="downsample")(x, train)
    return nn.relu(y + x)


class Layer(nn.Module):
  """`blocks` blocks, the first with `stride`."""

  blocks: int
  features: int
  stride: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x, train):
    for i in range(self.blocks):
      stride = self.stride if i == 0 else 1
      x = Block(self.features, stride, self.dtype, name=str(i))(x, train)
    return x


class CifarResNet(nn.Module):
  depth: int
  num_classes: int
  mean: tuple[float, ...]
  std: tuple[float, ...]
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images, train=False):
    x = normalize(images, self.mean, self.std).astype(self.dtype)
    x = _conv(16, 3, 1, self.dtype, "conv1")(x)
    x = nn.relu(_batch_norm(x, train, "bn1"))
    for i, (features, stride) in enumerate(((16, 1), (32, 2), (64, 2)), start=1):
      x = Layer((self.depth - 2) // 6, features, stride, self.dtype, name=f"layer{i}")(x, train)
    x = x.astype(jnp.float32).mean((1, 2))
    init = _uniform_fan_in(x.shape[-1])
    return nn.Dense(self.num_classes, kernel_init=init, bias_init=init, name="fc")(x)

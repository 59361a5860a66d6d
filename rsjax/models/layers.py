"""What the residual networks share: layers as the paper's framework has them, and their names."""

import flax.linen as nn
import jax
import jax.numpy as jnp

he_fan_out = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


def _uniform_fan_in(fan_in):
  """U(-1/sqrt(fan_in), 1/sqrt(fan_in)): how the paper's framework draws a linear layer."""
  bound = fan_in**-0.5
  return lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound)


def conv(features, kernel, stride, dtype, name):
  pad = kernel // 2
  return nn.Conv(
    features,
    (kernel, kernel),
    (stride, stride),
    padding=((pad, pad), (pad, pad)),
    use_bias=False,
    kernel_init=he_fan_out,
    dtype=dtype,
    name=name,
  )


def batch_norm(x, train, name):
  """Batch norm in float32, whatever x is computed in; call it within a module's __call__."""
  norm = nn.BatchNorm(not train, momentum=0.9, epsilon=1e-5, dtype=jnp.float32, name=name)
  return norm(x.astype(jnp.float32)).astype(x.dtype)


class Shortcut(nn.Module):
  features: int
  stride: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x, train):
    x = conv(self.features, 1, self.stride, self.dtype, "conv")(x)
    return batch_norm(x, train, "bn")


class Layer(nn.Module):
  """`blocks` blocks of a kind, the first with `stride`."""

  block: type[nn.Module]
  blocks: int
  features: int
  stride: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x, train):
    for i in range(self.blocks):
      stride = self.stride if i == 0 else 1
      x = self.block(self.features, stride, self.dtype, name=str(i))(x, train)
    return x


def head(x, num_classes):
  """Global average pooling and the linear layer, in float32; call it within a module's __call__."""
  x = x.astype(jnp.float32).mean((1, 2))
  init = _uniform_fan_in(x.shape[-1])
  return nn.Dense(num_classes, kernel_init=init, bias_init=init, name="fc")(x)

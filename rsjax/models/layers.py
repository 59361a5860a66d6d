"""What the residual networks share: layers as in the paper's framework, and their names."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from rsjax.models import cpu

EPSILON = 1e-5  # of batch norm


class Norm(NamedTuple):
  """Settings of batch norms; a module whose norms have others declares them as `NORM`."""

  momentum: float = 0.9  # the share of the running statistics that an update leaves
  epsilon: float = EPSILON


def norm_of(like: Any) -> Norm:
  """The settings of a module's batch norms."""
  return getattr(like, "NORM", Norm())


# What the residual networks' modules call their convolutions, and the norm that is applied to each directly.
CONVOLUTIONS = {"conv1": "bn1", "conv2": "bn2", "conv3": "bn3", "conv": "bn"}

he_fan_out = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


def uniform_fan_in(fan_in: int) -> Any:
  """U(-1/sqrt(fan_in), 1/sqrt(fan_in)): how the paper's framework draws a linear layer."""
  bound = fan_in**-0.5
  return lambda key, shape, dtype: jax.random.uniform(key, shape, dtype, -bound, bound)


def conv(
  x: jax.Array,
  features: int,
  kernel: int,
  stride: int,
  name: str,
  like: Any,
  bias: bool = False,
  init: Any = he_fan_out,
) -> jax.Array:
  """A convolution padded by kernel // 2, in x's dtype; call it within a module's __call__. See `conv_norm`."""
  if not bias and _for_cpu(x, like):
    return cpu.Conv(features, kernel, stride, init, name=name)(x)
  pad = (kernel // 2, kernel // 2)
  return nn.Conv(
    features,
    (kernel, kernel),
    (stride, stride),
    padding=(pad, pad),
    use_bias=bias,
    kernel_init=init,
    dtype=x.dtype,
    name=name,
  )(x)


def norm(x: jax.Array, train: bool, name: str, like: Any) -> jax.Array:
  """A batch norm, which computes in float32 whatever the dtype; call it within a module's __call__."""
  momentum, epsilon = norm_of(like)
  if train and _for_cpu(x, like):
    return cpu.BatchNorm(momentum, epsilon, name=name)(x)
  made = nn.BatchNorm(not train, momentum=momentum, epsilon=epsilon, dtype=jnp.float32, name=name)
  return made(x.astype(jnp.float32)).astype(x.dtype)


def conv_norm(
  x: jax.Array,
  train: bool,
  features: int,
  kernel: int,
  stride: int,
  names: tuple[str, str],
  like: Any,
  init: Any = he_fan_out,
) -> jax.Array:
  """A convolution and the batch norm of its output; call it within a module's __call__.

  Args:
    x: [b, h, w, c].
    train: whether the norm uses the batch's own statistics.
    features, kernel, stride: of the convolution.
    names: of the convolution and of the norm, a pair of the module's CONVOLUTIONS.
    like: the calling module, for its `dtype`, its `folded` and its `NORM`. If the norm is folded, it is the
      convolution's bias instead (see `folding`).
    init: draws the convolution's first weights.
  """
  x = conv(x, features, kernel, stride, names[0], like, like.folded, init)
  return x if like.folded else norm(x, train, names[1], like)


def _for_cpu(x: jax.Array, like: Any) -> bool:
  return cpu.wanted() and not like.folded and x.dtype == like.dtype and x.dtype in (jnp.float32, jnp.bfloat16)


def relu(x: jax.Array) -> jax.Array:
  """max(x, 0)."""
  return cpu.relu(x) if cpu.wanted() and x.dtype == jnp.bfloat16 else nn.relu(x)


class Shortcut(nn.Module):
  features: int
  stride: int
  dtype: jnp.dtype
  folded: bool

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    return conv_norm(x, train, self.features, 1, self.stride, ("conv", "bn"), self)


class Layer(nn.Module):
  """`blocks` blocks of a kind, the first with `stride`.

  With `remat`, gradients keep only what goes into each block, and compute the rest of it again.
  """

  block: type[nn.Module]
  blocks: int
  features: int
  stride: int
  dtype: jnp.dtype
  folded: bool
  remat: bool = False

  @nn.compact
  def __call__(self, x: jax.Array, train: bool) -> jax.Array:
    block = nn.remat(self.block, static_argnums=(2,)) if self.remat else self.block  # 2: train
    for i in range(self.blocks):
      stride = self.stride if i == 0 else 1
      x = block(self.features, stride, self.dtype, self.folded, name=str(i))(cpu.held(x), train)
    return x


def head(x: jax.Array, num_classes: int) -> jax.Array:
  """Global average pooling and the linear layer, in float32; call it within a module's __call__."""
  x = x.astype(jnp.float32).mean((1, 2))
  init = uniform_fan_in(x.shape[-1])
  return nn.Dense(num_classes, kernel_init=init, bias_init=init, name="fc")(x)

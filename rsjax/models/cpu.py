"""Convolution and batch norm whose gradients XLA compiles well for one CPU; docs/training.md says why.

    with cpu.gradients():  # around what is traced for a CPU
      logits, updates = model.apply(variables, x, train=True, mutable=["batch_stats"])

The functions are those of Flax's layers, and so are the variables' names. Only the computation of gradients
differs: XLA:CPU recomputes batch norm and ReLU inside each weight gradient unless a barrier prevents it,
turns sums over images into slow window reductions unless they are made in stages, has no good program for
the gradients of strided convolutions, gives oneDNN no convolution by a reversed kernel in bfloat16, and makes
no vector instructions of a ReLU in bfloat16. Shapes that do not suit are computed in the usual way.
"""

import contextlib
import functools
import math
from collections.abc import Iterator
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

_STAGE = 32  # terms of a sum's first stage: few enough that XLA:CPU makes no window reduction of it
_CACHED = 2**20  # bytes that stay in the second cache of a core, beside as many
_LAYOUT = ("NHWC", "HWIO", "NHWC")

_wanted = [False, False]  # whether the layers below are taken, and whether oneDNN computes convolutions


@contextlib.contextmanager
def gradients(onednn: bool = False) -> Iterator[None]:
  """Within the context, `layers.conv_norm` and `layers.relu` use the layers of this file.

  In evaluation mode, as in attacks, only the convolution differs.

  Args:
    onednn: whether the program's convolutions are oneDNN's, for which another weight gradient is faster.
  """
  before = tuple(_wanted)
  _wanted[:] = True, onednn
  try:
    yield
  finally:
    _wanted[:] = before


def wanted() -> bool:
  """Whether the layers of this file are to be used."""
  return _wanted[0]


def held(x: jax.Array) -> jax.Array:
  """The same array; if the layers of this file are wanted, it is made once and not again by every reader."""
  return lax.optimization_barrier(x) if wanted() else x


class Conv(nn.Module):
  """`nn.Conv` without bias, padded by kernel // 2, in x's dtype; the weights are float32."""

  features: int
  kernel: int
  stride: int
  kernel_init: Any

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    shape = (self.kernel, self.kernel, x.shape[-1], self.features)
    return convolution(x, self.param("kernel", self.kernel_init, shape, jnp.float32), self.stride, _wanted[1])


class BatchNorm(nn.Module):
  """`nn.BatchNorm` by the batch's own statistics, which updates the running ones; computes in float32."""

  momentum: float
  epsilon: float

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    features = (x.shape[-1],)
    mean = self.variable("batch_stats", "mean", jnp.zeros, features, jnp.float32)
    var = self.variable("batch_stats", "var", jnp.ones, features, jnp.float32)
    scale = self.param("scale", nn.initializers.ones, features, jnp.float32)
    bias = self.param("bias", nn.initializers.zeros, features, jnp.float32)
    y, batch_mean, batch_var = batch_norm(x, scale, bias, self.epsilon)
    if not self.is_initializing():
      mean.value = self.momentum * mean.value + (1 - self.momentum) * lax.stop_gradient(batch_mean)
      var.value = self.momentum * var.value + (1 - self.momentum) * lax.stop_gradient(batch_var)
    return y


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def convolution(x: jax.Array, kernel: jax.Array, stride: int, onednn: bool) -> jax.Array:
  """The convolution of [b, h, w, c] with [k, k, c, o], padded by k // 2, in x's dtype."""
  del onednn
  return _plain(x, kernel.astype(x.dtype), stride)


def _convolution_forward(x, kernel, stride, onednn):
  # What is saved may hold arrays only: None, or (), says whether the kernel has a gradient.
  saved = x.value, kernel.value, () if kernel.perturbed else None
  return convolution(x.value, kernel.value, stride, onednn), saved


def _convolution_backward(stride, onednn, saved, dy):
  x, kernel, trained = saved
  dtype, kernel = kernel.dtype, kernel.astype(x.dtype)
  if trained is None:  # within an attack; a weight gradient that others wait for would be computed in vain
    return _input_gradient(x, kernel, stride, lax.optimization_barrier(dy)), None
  x, dy = lax.optimization_barrier((x, dy))  # made once, not again within each gradient
  size, even = kernel.shape[0], x.shape[1] % 2 == 0 and x.shape[2] % 2 == 0
  if size == 1:
    to_kernel = _pointwise_weight_gradient(x, dy, stride)
  elif onednn and size == 3 and (stride == 1 or even):
    to_kernel = _weight_gradient(x, dy, stride)
    dy, to_kernel = lax.optimization_barrier((dy, to_kernel))  # one after the other, each on all cores
  else:
    (to_kernel,) = jax.linear_transpose(lambda kernel: _plain(x, kernel, stride), kernel)(dy)
  return _input_gradient(x, kernel, stride, dy), to_kernel.astype(dtype)


convolution.defvjp(_convolution_forward, _convolution_backward, symbolic_zeros=True)


def _plain(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
  pad = ((kernel.shape[0] // 2,) * 2,) * 2
  return lax.conv_general_dilated(x, kernel, (stride, stride), pad, dimension_numbers=_LAYOUT)


def _input_gradient(x: jax.Array, kernel: jax.Array, stride: int, dy: jax.Array) -> jax.Array:
  """For x of this shape and dtype; its values do not matter."""
  size, even = kernel.shape[0], x.shape[1] % 2 == 0 and x.shape[2] % 2 == 0
  if size == 1:
    to_seen = _plain(dy, kernel.transpose(0, 1, 3, 2), 1)
    edges = [x.shape[i] - ((dy.shape[i] - 1) * stride + 1) for i in (1, 2)]
    pads = ((0, 0, 0), *((0, edge, stride - 1) for edge in edges), (0, 0, 0))
    return lax.pad(to_seen, jnp.zeros((), dy.dtype), pads)
  if size == 3 and stride == 1:
    return _plain(dy, _turned(kernel), 1)
  if size == 3 and stride == 2 and even:
    return _input_gradient_by_blocks(kernel, dy)
  (to_x,) = jax.linear_transpose(lambda x: _plain(x, kernel, stride), x)(dy)
  return to_x


def _turned(kernel: jax.Array) -> jax.Array:
  """[k, k, c, o] as [k, k, o, c] with the taps in reverse order, made so that XLA sees no reversal."""
  k, _, c, o = kernel.shape
  taps = kernel.transpose(0, 1, 3, 2).reshape(k * k, o, c)
  return jnp.concatenate([taps[i : i + 1] for i in reversed(range(k * k))]).reshape(k, k, o, c)


def _input_gradient_by_blocks(kernel: jax.Array, dy: jax.Array) -> jax.Array:
  """Of a 3x3 convolution of stride 2 and even h and w, which is one of 2x2 on blocks of 2x2 pixels."""
  (b, h, w, _), c = dy.shape, kernel.shape[2]
  padded = jnp.pad(kernel, ((1, 0), (1, 0), (0, 0), (0, 0)))  # tap 2 t + p of pixel p in block t
  taps = padded.reshape(2, 2, 2, 2, c, -1).transpose(0, 2, 1, 3, 4, 5).reshape(2, 2, 4 * c, -1)
  ends = ((0, 1), (0, 1))
  blocks = lax.conv_general_dilated(dy, _turned(taps), (1, 1), ends, dimension_numbers=_LAYOUT)
  return blocks.reshape(b, h, w, 2, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(b, 2 * h, 2 * w, c)


def _pointwise_weight_gradient(x: jax.Array, dy: jax.Array, stride: int) -> jax.Array:
  """Of a 1x1 convolution: a product of matrices."""
  seen = lax.optimization_barrier(x[:, ::stride, ::stride]) if stride > 1 else x
  of_rows = (((0,), (0,)), ((), ()))
  return lax.dot_general(seen.reshape(-1, x.shape[3]), dy.reshape(-1, dy.shape[3]), of_rows)[None, None]


def _weight_gradient(x: jax.Array, dy: jax.Array, stride: int) -> jax.Array:
  """Of a 3x3 convolution, summed over parts of the batch that stay in a core's cache, one after the other."""
  b, part = len(x), _part(x.shape, x.dtype.itemsize)
  xs, dys = x.reshape(-1, part, *x.shape[1:]), dy.reshape(-1, part, *dy.shape[1:])
  total = _weight_gradient_at_once(xs[0], dys[0], stride)
  for i in range(1, b // part):
    xs, dys, total = lax.optimization_barrier((xs, dys, total))
    total += _weight_gradient_at_once(xs[i], dys[i], stride)
  return total


def _part(shape: tuple[int, ...], itemsize: int) -> int:
  """How many images of a batch [b, h, w, c] are taken at a time: at most a megabyte, but 16 or more."""
  b, *image = shape
  parts = [n for n in range(16, b + 1) if b % n == 0] or [b]
  return max((n for n in parts if itemsize * n * math.prod(image) <= _CACHED), default=parts[0])


def _weight_gradient_at_once(x: jax.Array, dy: jax.Array, stride: int) -> jax.Array:
  """As one dilated convolution whose output rows hold 3 x 8 columns, which suits oneDNN."""
  b, h, w, c = x.shape
  m = 8 if c % 8 == 0 else c
  high = 2 - stride
  columns = x.reshape(b, h, w, c // m, m).transpose(3, 1, 2, 4, 0).reshape(c // m, h, w * m, b)
  y = lax.conv_general_dilated(
    columns,
    dy.transpose(1, 2, 0, 3),
    (1, 1),
    ((1, high), (m, high * m)),
    rhs_dilation=(stride, stride * m),
    dimension_numbers=_LAYOUT,
  )
  y = y.astype(_exact(y))  # the parts are added in it
  return y.reshape(c // m, 3, 3, m, -1).transpose(1, 2, 0, 3, 4).reshape(3, 3, c, -1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def batch_norm(
  x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """(normalised, mean, biased variance) by the batch's statistics; mean and variance carry no gradient."""
  return _norm_forward(x, scale, bias, epsilon)[0]


def _norm_forward(given, scale, bias, epsilon):
  x = given.astype(_exact(given))
  n = x.size // x.shape[-1]
  total, squares = _sums(x, x * x)
  mean = total / n
  var = jnp.maximum(0.0, squares / n - mean * mean)
  inverse = lax.rsqrt(var + epsilon)
  slope = scale * inverse
  y = x * _wide(slope) + _wide(bias - mean * slope)
  return (y.astype(given.dtype), mean, var), (given, scale, mean, inverse)


def _norm_backward(epsilon, saved, cotangents):
  del epsilon
  given, scale, mean, inverse = saved
  x, g = given.astype(_exact(given)), lax.optimization_barrier(cotangents[0]).astype(_exact(given))
  n = x.size // x.shape[-1]
  to_bias, products = _sums(g, g * x)
  to_scale = (products - mean * to_bias) * inverse
  slope = scale * inverse
  by_x = -slope * inverse * to_scale / n
  constant = -slope * to_bias / n - by_x * mean
  to_x = g * _wide(slope) + (x * _wide(by_x) + _wide(constant))
  return to_x.astype(given.dtype), to_scale, to_bias


batch_norm.defvjp(_norm_forward, _norm_backward)


@jax.custom_vjp
def relu(x: jax.Array) -> jax.Array:
  """max(x, 0), computed in float32 if x is bfloat16."""
  return jnp.maximum(x.astype(_exact(x)), 0).astype(x.dtype)


def _relu_forward(x):
  y = relu(x)
  return y, y


def _relu_backward(y, g):
  return (jnp.where(y.astype(_exact(y)) > 0, g.astype(_exact(y)), 0).astype(g.dtype),)


relu.defvjp(_relu_forward, _relu_backward)


def _exact(x: jax.Array) -> Any:
  """The dtype of sums and norms: that of x, but float32 for bfloat16."""
  return jnp.float32 if x.dtype == jnp.bfloat16 else x.dtype


def _wide(values: jax.Array) -> jax.Array:
  """[c] as [1, 1, 1, c]."""
  return values.reshape(1, 1, 1, -1)


def _sums(*arrays: jax.Array) -> list[jax.Array]:
  """The sum of each [b, h, w, c] per channel, in stages."""
  b, h, w, c = arrays[0].shape
  if b * h % _STAGE:
    return [x.sum((0, 1, 2)) for x in arrays]
  stages = lax.optimization_barrier(tuple(x.reshape(-1, _STAGE, w * c).sum(1) for x in arrays))
  return [(jnp.ones((1, len(part)), part.dtype) @ part).reshape(-1, c).sum(0) for part in stages]

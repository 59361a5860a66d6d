"""Convolution and batch norm whose gradients XLA compiles well for one CPU; docs/training.md says why.

    with cpu.gradients():  # around what is traced for a CPU
      logits, updates = model.apply(variables, x, train=True, mutable=["batch_stats"])

The functions are those of Flax's layers, and so are the variables' names. Only the computation of gradients
differs: XLA:CPU recomputes batch norm and ReLU inside each weight gradient unless a barrier prevents it,
turns sums over images into slow window reductions unless they are made in stages, and has no good program for
the gradients of strided convolutions. Shapes that do not suit are computed in the usual way.
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
  """Within the context, `layers.conv_norm` uses the layers of this file in float32.

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
  """`nn.Conv` without bias, padded by kernel // 2, in float32."""

  features: int
  kernel: int
  stride: int
  kernel_init: Any

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    shape = (self.kernel, self.kernel, x.shape[-1], self.features)
    return convolution(x, self.param("kernel", self.kernel_init, shape, jnp.float32), self.stride, _wanted[1])


class BatchNorm(nn.Module):
  """`nn.BatchNorm` by the batch's own statistics, in float32, which updates the running ones."""

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
  """The convolution of [b, h, w, c] with [k, k, c, o], padded by k // 2."""
  del onednn
  return _plain(x, kernel, stride)


def _convolution_forward(x, kernel, stride, onednn):
  # What is saved may hold arrays only: None, or (), says whether the kernel has a gradient.
  saved = x.value, kernel.value, () if kernel.perturbed else None
  return convolution(x.value, kernel.value, stride, onednn), saved


def _convolution_backward(stride, onednn, saved, dy):
  x, kernel, trained = saved
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
  return _input_gradient(x, kernel, stride, dy), to_kernel


convolution.defvjp(_convolution_forward, _convolution_backward, symbolic_zeros=True)


def _plain(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
  pad = ((kernel.shape[0] // 2,) * 2,) * 2
  return lax.conv_general_dilated(x, kernel, (stride, stride), pad, dimension_numbers=_LAYOUT)


def _by_blocks(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """A 3x3 convolution of stride 2 as one of 2x2 and stride 1 on blocks of 2x2 pixels; h and w even."""
  b, h, w, c = x.shape
  blocks = x.reshape(b, h // 2, 2, w // 2, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(b, h // 2, w // 2, 4 * c)
  padded = jnp.pad(kernel, ((1, 0), (1, 0), (0, 0), (0, 0)))  # tap 2 t + p of pixel p in block t
  taps = padded.reshape(2, 2, 2, 2, c, -1).transpose(0, 2, 1, 3, 4, 5).reshape(2, 2, 4 * c, -1)
  return lax.conv_general_dilated(blocks, taps, (1, 1), ((1, 0), (1, 0)), dimension_numbers=_LAYOUT)


def _input_gradient(x: jax.Array, kernel: jax.Array, stride: int, dy: jax.Array) -> jax.Array:
  """For x of this shape and dtype; its values do not matter."""
  size, even = kernel.shape[0], x.shape[1] % 2 == 0 and x.shape[2] % 2 == 0
  if size == 1:
    to_seen = _plain(dy, kernel.transpose(0, 1, 3, 2), 1)
    edges = [x.shape[i] - ((dy.shape[i] - 1) * stride + 1) for i in (1, 2)]
    pads = ((0, 0, 0), *((0, edge, stride - 1) for edge in edges), (0, 0, 0))
    return lax.pad(to_seen, jnp.zeros((), dy.dtype), pads)
  forward = _by_blocks if size == 3 and stride == 2 and even else functools.partial(_plain, stride=stride)
  (to_x,) = jax.linear_transpose(lambda x: forward(x, kernel), x)(dy)
  return to_x


def _pointwise_weight_gradient(x: jax.Array, dy: jax.Array, stride: int) -> jax.Array:
  """Of a 1x1 convolution: a product of matrices."""
  seen = lax.optimization_barrier(x[:, ::stride, ::stride]) if stride > 1 else x
  of_rows = (((0,), (0,)), ((), ()))
  return lax.dot_general(seen.reshape(-1, x.shape[3]), dy.reshape(-1, dy.shape[3]), of_rows)[None, None]


def _weight_gradient(x: jax.Array, dy: jax.Array, stride: int) -> jax.Array:
  """Of a 3x3 convolution, summed over parts of the batch that stay in a core's cache, one after the other."""
  b, part = len(x), _part(x.shape)
  xs, dys = x.reshape(-1, part, *x.shape[1:]), dy.reshape(-1, part, *dy.shape[1:])
  total = _weight_gradient_at_once(xs[0], dys[0], stride)
  for i in range(1, b // part):
    xs, dys, total = lax.optimization_barrier((xs, dys, total))
    total += _weight_gradient_at_once(xs[i], dys[i], stride)
  return total


def _part(shape: tuple[int, ...]) -> int:
  """How many images of a batch [b, h, w, c] are taken at a time: at most a megabyte, but 16 or more."""
  b, *image = shape
  parts = [n for n in range(16, b + 1) if b % n == 0] or [b]
  return max((n for n in parts if 4 * n * math.prod(image) <= _CACHED), default=parts[0])


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
  return y.reshape(c // m, 3, 3, m, -1).transpose(1, 2, 0, 3, 4).reshape(3, 3, c, -1)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def batch_norm(
  x: jax.Array, scale: jax.Array, bias: jax.Array, epsilon: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """(normalised, mean, biased variance) by the batch's statistics; mean and variance carry no gradient."""
  return _norm_forward(x, scale, bias, epsilon)[0]


def _norm_forward(x, scale, bias, epsilon):
  n = x.size // x.shape[-1]
  total, squares = _sums(x, x * x)
  mean = total / n
  var = jnp.maximum(0.0, squares / n - mean * mean)
  inverse = lax.rsqrt(var + epsilon)
  slope = scale * inverse
  return (x * _wide(slope) + _wide(bias - mean * slope), mean, var), (x, scale, mean, inverse)


def _norm_backward(epsilon, saved, cotangents):
  del epsilon
  x, scale, mean, inverse = saved
  g = lax.optimization_barrier(cotangents[0])
  n = x.size // x.shape[-1]
  to_bias, products = _sums(g, g * x)
  to_scale = (products - mean * to_bias) * inverse
  slope = scale * inverse
  by_x = -slope * inverse * to_scale / n
  constant = -slope * to_bias / n - by_x * mean
  return g * _wide(slope) + (x * _wide(by_x) + _wide(constant)), to_scale, to_bias


batch_norm.defvjp(_norm_forward, _norm_backward)


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

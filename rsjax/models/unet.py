"""The U-Nets of diffusion models that denoise images, with attention and an embedding of the timestep.

Nichol and Dhariwal 2021 (improved diffusion), and Dhariwal and Nichol 2021 (guided diffusion, whose resampling
is within residual blocks). Variables are named as in the published files, except that the number of a layer
within a block follows an underscore: input_blocks/1/0/in_layers_2 is input_blocks.1.0.in_layers.2 there.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from rsjax.errors import InputError

GROUPS, EPSILON = 32, 1e-5  # of group norm
_LONGEST_PERIOD = 10_000  # of the embedding of the timestep


@dataclasses.dataclass(frozen=True)
class Layout:
  """What fixes the layers of a U-Net.

  Attributes:
    width: channels of the first level, a multiple of 32.
    multiples: channels of each level, in units of `width`; each level but the first has half the sides of the
      level before.
    blocks: residual blocks of each level on the way down; there is one more on the way up.
    attention: levels with attention after each residual block, from 0; the lowest has it in its middle anyway.
    heads: of attention; None: as many as have `head_width` channels each.
    head_width: channels of a head, if `heads` is None.
    residual: whether sides are halved and doubled within residual blocks, instead of by convolutions alone.
    out_channels: 3 for the noise, and 3 more if the variance is learned.
  """

  width: int
  multiples: tuple[int, ...]
  blocks: int
  attention: tuple[int, ...]
  heads: int | None = None
  head_width: int = 64
  residual: bool = False
  out_channels: int = 6

  @property
  def divisor(self) -> int:
    """What the sides of images must be multiples of."""
    return 2 ** (len(self.multiples) - 1)

  def heads_of(self, channels: int) -> int:
    """How many heads attention over this many channels has."""
    return channels // self.head_width if self.heads is None else self.heads


# The published files cifar10_uncond_50M_500K.pt and 256x256_diffusion_uncond.pt.
CIFAR10 = Layout(128, (1, 2, 2, 2), 3, (1, 2), heads=4)
IMAGENET = Layout(256, (1, 1, 2, 2, 4, 4), 2, (3, 4, 5), head_width=64, residual=True)


class Part(NamedTuple):
  """A layer: its kind (conv, residual, attention, half or double), its channels, and how it resamples."""

  kind: str
  channels: int
  resample: str = ""  # of a residual block: half, double or nothing


def parts_of(layout: Layout) -> tuple[list[list[Part]], list[list[Part]]]:
  """(input blocks, output blocks), each block's layers in their order."""
  inputs = [[Part("conv", layout.width * layout.multiples[0])]]
  outputs: list[list[Part]] = []
  last = len(layout.multiples) - 1
  for level, multiple in enumerate(layout.multiples):
    channels = layout.width * multiple
    attend = [Part("attention", channels)] if level in layout.attention else []
    inputs += [[Part("residual", channels), *attend] for _ in range(layout.blocks)]
    if level < last:
      inputs.append([_resampling(layout, channels, "half")])
    rising = [[Part("residual", channels), *attend] for _ in range(layout.blocks + 1)]
    if level:
      rising[-1].append(_resampling(layout, channels, "double"))
    outputs = rising + outputs
  return inputs, outputs


def _resampling(layout: Layout, channels: int, how: str) -> Part:
  return Part("residual", channels, how) if layout.residual else Part(how, channels)


def embedding(timesteps: jax.Array, width: int) -> jax.Array:
  """float32[b, width], width even: cosines, then sines, of timesteps (float32[b]) at falling frequencies."""
  half = width // 2
  frequencies = jnp.exp(-jnp.log(jnp.float32(_LONGEST_PERIOD)) * jnp.arange(half, dtype=jnp.float32) / half)
  angles = timesteps.astype(jnp.float32)[:, None] * frequencies[None]
  return jnp.concatenate([jnp.cos(angles), jnp.sin(angles)], axis=1)


def double(x: jax.Array) -> jax.Array:
  """Each pixel four times."""
  return x.repeat(2, axis=1).repeat(2, axis=2)


def half(x: jax.Array) -> jax.Array:
  """The means of 2 x 2 pixels."""
  b, h, w, c = x.shape
  return x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))


_RESAMPLE: Any = {"": lambda x: x, "half": half, "double": double}


def _norm(x: jax.Array, name: str) -> jax.Array:
  """Group norm, in float32 whatever the dtype, whose result is float32."""
  norm = nn.GroupNorm(GROUPS, epsilon=EPSILON, dtype=jnp.float32, use_fast_variance=False, name=name)
  return norm(x.astype(jnp.float32))


def _conv(
  channels: int, dtype: Any, name: str, *, side: int = 3, stride: int = 1, zero: bool = False
) -> nn.Conv:
  pad = (side // 2, side // 2)
  init = nn.initializers.zeros_init() if zero else nn.initializers.lecun_normal()
  return nn.Conv(
    channels, (side, side), (stride, stride), padding=(pad, pad), dtype=dtype, kernel_init=init, name=name
  )


class Residual(nn.Module):
  """A residual block, whose second norm is scaled and shifted by the embedding of the timestep."""

  channels: int
  resample: str
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array, embedded: jax.Array) -> jax.Array:
    resample, of = _RESAMPLE[self.resample], self.channels
    y = resample(nn.silu(_norm(x, "in_layers_0")).astype(self.dtype))
    x = resample(x)
    y = _conv(of, self.dtype, "in_layers_2")(y)
    both = nn.Dense(2 * of, dtype=self.dtype, name="emb_layers_1")(nn.silu(embedded))
    scale, shift = jnp.split(both.astype(jnp.float32)[:, None, None], 2, axis=-1)
    y = nn.silu(_norm(y, "out_layers_0") * (1 + scale) + shift).astype(self.dtype)
    y = _conv(of, self.dtype, "out_layers_3", zero=True)(y)
    return y + (x if x.shape[-1] == of else _conv(of, self.dtype, "skip_connection", side=1)(x))


class Attention(nn.Module):
  """Self-attention between all pixels; heads are the outer part of the channels of qkv."""

  heads: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    b, h, w, channels = x.shape
    y = _norm(x, "norm").reshape(b, h * w, channels).astype(self.dtype)
    qkv = nn.Dense(3 * channels, dtype=self.dtype, name="qkv")(y)
    query, key, value = jnp.split(qkv.reshape(b, h * w, self.heads, -1), 3, axis=-1)
    scores = jnp.einsum("bqhc,bkhc->bhqk", query, key, preferred_element_type=jnp.float32)
    weights = jax.nn.softmax(scores * (channels // self.heads) ** -0.5).astype(self.dtype)
    y = jnp.einsum("bhqk,bkhc->bqhc", weights, value).reshape(b, h * w, channels)
    zero = nn.initializers.zeros_init()
    y = nn.Dense(channels, dtype=self.dtype, kernel_init=zero, name="proj_out")(y)
    return x + y.reshape(x.shape)


class Halved(nn.Module):
  channels: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    return _conv(self.channels, self.dtype, "op", stride=2)(x)


class Doubled(nn.Module):
  channels: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    return _conv(self.channels, self.dtype, "conv")(double(x))


class Block(nn.Module):
  """Layers one after the other, named by their numbers."""

  parts: tuple[Part, ...]
  layout: Layout
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array, embedded: jax.Array) -> jax.Array:
    for i, part in enumerate(self.parts):
      name = str(i)
      if part.kind == "residual":
        x = Residual(part.channels, part.resample, self.dtype, name=name)(x, embedded)
      elif part.kind == "attention":
        x = Attention(self.layout.heads_of(part.channels), self.dtype, name=name)(x)
      elif part.kind == "conv":
        x = _conv(part.channels, self.dtype, name)(x)
      else:
        x = {"half": Halved, "double": Doubled}[part.kind](part.channels, self.dtype, name=name)(x)
    return x


class Inputs(nn.Module):
  """The way down; returns what each block gives."""

  blocks: tuple[tuple[Part, ...], ...]
  layout: Layout
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array, embedded: jax.Array) -> list[jax.Array]:
    kept = []
    for i, parts in enumerate(self.blocks):
      x = Block(parts, self.layout, self.dtype, name=str(i))(x, embedded)
      kept.append(x)
    return kept


class Outputs(nn.Module):
  """The way up; each block also takes what the block at its place on the way down gave."""

  blocks: tuple[tuple[Part, ...], ...]
  layout: Layout
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array, kept: Sequence[jax.Array], embedded: jax.Array) -> jax.Array:
    for i, (parts, beside) in enumerate(zip(self.blocks, reversed(kept), strict=True)):
      x = jnp.concatenate([x, beside], axis=-1)
      x = Block(parts, self.layout, self.dtype, name=str(i))(x, embedded)
    return x


class UNet(nn.Module):
  """float32[b, h, w, 3] in about [-1, 1] and timesteps float32[b] to float32[b, h, w, out_channels].

  Norms, softmax and the last convolution compute in float32 whatever the dtype.
  """

  layout: Layout
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: jax.Array, timesteps: jax.Array) -> jax.Array:
    layout, divisor = self.layout, self.layout.divisor
    if images.shape[1] % divisor or images.shape[2] % divisor:
      sides = f"{images.shape[1]} x {images.shape[2]}"
      raise InputError(f"the sides of images for this U-Net must be multiples of {divisor}, got {sides}")
    inputs, outputs = (tuple(map(tuple, blocks)) for blocks in parts_of(layout))
    dense = lambda name: nn.Dense(4 * layout.width, dtype=self.dtype, name=name)
    embedded = dense("time_embed_0")(embedding(timesteps, layout.width).astype(self.dtype))
    embedded = dense("time_embed_2")(nn.silu(embedded))
    kept = Inputs(inputs, layout, self.dtype, name="input_blocks")(images.astype(self.dtype), embedded)
    middle = Part("residual", layout.width * layout.multiples[-1])
    parts = (middle, Part("attention", middle.channels), middle)
    x = Block(parts, layout, self.dtype, name="middle_block")(kept[-1], embedded)
    x = Outputs(outputs, layout, self.dtype, name="output_blocks")(x, kept, embedded)
    x = nn.silu(_norm(x, "out_0"))
    return _conv(layout.out_channels, jnp.float32, "out_2", zero=True)(x)


def init(layout: Layout, key: jax.Array, channels: int = 3) -> Any:
  """Random variables {"params": ...} of a U-Net for images of this many channels, float32."""
  side = layout.divisor
  return UNet(layout).init(key, jnp.zeros((1, side, side, channels), jnp.float32), jnp.zeros(1, jnp.float32))

"""Vision transformers: patches, a class token, learned positions, pre-norm blocks, exact GELU, no dropout.

Dosovitskiy et al. 2021, table 1; tiny and small are those of Touvron et al. 2021 (DeiT). Weights are drawn from
a normal distribution of standard deviation 0.02, cut at two of them. Variables are named as in timm: cls_token,
pos_embed, patch_embed/proj, blocks/0/norm1, blocks/0/attn/qkv, ..., norm, head.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from rsjax.errors import InputError
from rsjax.models.normalize import normalize

EPSILON = 1e-6  # of layer norm


class Size(NamedTuple):
  """Width of a token, blocks, and heads of attention."""

  width: int
  depth: int
  heads: int


SIZES = {"tiny": Size(192, 12, 3), "small": Size(384, 12, 6), "base": Size(768, 12, 12)}
MLP_RATIO = 4

_init = nn.initializers.truncated_normal(0.02)


def _dense(features: int, dtype: jnp.dtype, name: str) -> nn.Dense:
  return nn.Dense(features, dtype=dtype, kernel_init=_init, name=name)


def _norm(x: jax.Array, name: str) -> jax.Array:
  """Layer norm, which computes in float32 whatever the dtype."""
  return nn.LayerNorm(EPSILON, dtype=jnp.float32, name=name)(x.astype(jnp.float32)).astype(x.dtype)


class Attention(nn.Module):
  heads: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    b, tokens, width = x.shape
    qkv = _dense(3 * width, self.dtype, "qkv")(x).reshape(b, tokens, 3, self.heads, width // self.heads)
    query, key, value = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
    scores = jnp.einsum("bqhc,bkhc->bhqk", query, key, preferred_element_type=jnp.float32)
    weights = jax.nn.softmax(scores * (width // self.heads) ** -0.5).astype(self.dtype)
    mixed = jnp.einsum("bhqk,bkhc->bqhc", weights, value)
    return _dense(width, self.dtype, "proj")(mixed.reshape(b, tokens, width))


class Mlp(nn.Module):
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    y = _dense(MLP_RATIO * x.shape[-1], self.dtype, "fc1")(x)
    return _dense(x.shape[-1], self.dtype, "fc2")(nn.gelu(y, approximate=False))


class Block(nn.Module):
  heads: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    x = x + Attention(self.heads, self.dtype, name="attn")(_norm(x, "norm1"))
    return x + Mlp(self.dtype, name="mlp")(_norm(x, "norm2"))


class Blocks(nn.Module):
  depth: int
  heads: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    for i in range(self.depth):
      x = Block(self.heads, self.dtype, name=str(i))(x)
    return x


class Patches(nn.Module):
  """Tokens of patches: a convolution whose stride is its kernel."""

  patch: int
  width: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    side = (self.patch, self.patch)
    x = nn.Conv(self.width, side, side, padding="VALID", dtype=self.dtype, kernel_init=_init, name="proj")(x)
    return x.reshape(x.shape[0], -1, self.width)


class ViT(nn.Module):
  size: Size
  patch: int
  num_classes: int
  mean: tuple[float, ...]
  std: tuple[float, ...]
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
    width, depth, heads = self.size
    if images.shape[1] % self.patch or images.shape[2] % self.patch:
      sides = f"{images.shape[1]} x {images.shape[2]}"
      raise InputError(f"patches of {self.patch} x {self.patch} pixels do not tile images of {sides}")
    x = normalize(images, self.mean, self.std).astype(self.dtype)
    x = Patches(self.patch, width, self.dtype, name="patch_embed")(x)
    token = self.param("cls_token", nn.initializers.normal(1e-6), (1, 1, width))
    positions = self.param("pos_embed", _init, (1, x.shape[1] + 1, width))
    x = jnp.concatenate([jnp.broadcast_to(token, (x.shape[0], 1, width)).astype(x.dtype), x], axis=1)
    x = Blocks(depth, heads, self.dtype, name="blocks")(x + positions.astype(x.dtype))
    x = _norm(x, "norm")[:, 0].astype(jnp.float32)
    return nn.Dense(self.num_classes, kernel_init=_init, name="head")(x)

"""Folding is by declaration: names alone do not tell which norm follows a convolution."""

from collections.abc import Mapping
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsjax import models
from rsjax.models.folding import fold
from rsjax.models.layers import EPSILON, conv_norm


class PreActivation(nn.Module):
  """Two blocks in which norm and ReLU come before the convolution of the same number: nothing may be folded."""

  num_classes: int = 3
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x, train=False):
    for block in ("block1", "block2"):
      x = Block(name=block)(x, train)
    return nn.Dense(self.num_classes)(x.mean((1, 2)))


class Block(nn.Module):
  @nn.compact
  def __call__(self, x, train):
    for i in (1, 2):
      y = nn.BatchNorm(not train, epsilon=EPSILON, name=f"bn{i}")(x)
      x = nn.Conv(x.shape[-1], (3, 3), use_bias=False, name=f"conv{i}")(nn.relu(y))
    return x


class Half(nn.Module):
  """A declared pair beside a norm that is not declared, and a declared convolution with a bias of its own."""

  dtype: jnp.dtype = jnp.float32
  folded: bool = False

  CONVOLUTIONS: ClassVar[Mapping[str, str | None]] = {"conv1": "bn1", "conv2": "bn2", "conv3": None}

  @nn.compact
  def __call__(self, x, train=False):
    x = nn.relu(conv_norm(x, train, 4, 3, 1, ("conv1", "bn1"), self))
    x = nn.relu(nn.BatchNorm(not train, epsilon=EPSILON, name="bn")(x))
    y = nn.Conv(4, (3, 3), name="conv2")(x)
    x = y if self.folded else nn.BatchNorm(not train, epsilon=EPSILON, name="bn2")(y)
    return nn.Conv(3, (3, 3), name="conv3")(x).mean((1, 2))


def trained(model, shape=(6, 6, 2)):
  """Variables whose norms are not neutral."""
  rng = np.random.default_rng(0)
  variables = model.init(jax.random.key(0), jnp.zeros((1, *shape)))
  draw = {"scale": (0.5, 1.5), "bias": (-0.5, 0.5), "mean": (-0.5, 0.5), "var": (0.3, 3.0)}

  def change(path, leaf):
    return rng.uniform(*draw[path[-1].key], leaf.shape).astype(np.float32) if path[-1].key in draw else leaf

  return jax.tree_util.tree_map_with_path(change, variables)


X = np.random.default_rng(1).normal(size=(5, 6, 6, 2)).astype(np.float32)


@pytest.mark.parametrize("model", [PreActivation(), Half()], ids=["pre-activation", "half declared"])
def test_the_function_stays_the_same(model):
  variables = trained(model)
  apply, folded = models.inference(model, variables)
  np.testing.assert_allclose(apply(folded, X), model.apply(variables, X), rtol=1e-4, atol=1e-5)


def test_the_toy_would_be_folded_wrongly_by_its_names():
  """The test above can fail: taking bn1 for the norm after conv1 changes the function."""
  model = PreActivation()
  variables = trained(model)
  wrong = fold(variables, {"conv1": "bn1", "conv2": "bn2"})
  assert set(wrong["params"]["block1"]) == {"conv1", "conv2"}
  assert "batch_stats" not in wrong


def test_what_is_not_declared_is_left_as_it_is():
  variables = trained(PreActivation())
  _, left = models.inference(PreActivation(), variables)
  assert left is variables
  folded = fold(trained(Half()), Half.CONVOLUTIONS)
  assert sorted(folded["params"]) == ["bn", "conv1", "conv2", "conv3"]
  assert sorted(folded["batch_stats"]) == ["bn"]

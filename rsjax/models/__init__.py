"""Base classifiers by name.

  >>> model = models.create("convnet", num_classes=10, mean=(0.5,), std=(0.25,), dtype="float32")
  >>> variables = models.init(model, jax.random.key(0), (8, 8, 1))
  >>> models.apply(model)(variables, jnp.zeros((2, 8, 8, 1))).shape
  (2, 10)
  >>> apply, variables = models.inference(model, variables)  # the same function, at its fastest

A model is a Flax Linen module called as `model(images, train)`: float32[b, h, w, c] in [0, 1] to
float32[b, classes]. It normalises its input itself, because noise is added to pixels in [0, 1].
Variables are float32, named as in the paper's networks; the model computes in `dtype`, except for
normalisation of the input, batch statistics and the last layer, which are float32.

Each family has one file with a module class, listed in `create`. It declares in CONVOLUTIONS what may be
folded.
"""

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from rsjax.errors import InputError
from rsjax.models.cifar_resnet import CifarResNet
from rsjax.models.convnet import ConvNet
from rsjax.models.folding import cast_convolutions, fold
from rsjax.models.layers import norm_of
from rsjax.models.lenet import LeNet
from rsjax.models.resnet import ResNet50
from rsjax.models.vit import SIZES, ViT
from rsjax.models.wide_resnet import WideResNet

# The usual ones, and what other names there are.
ARCHITECTURES = (
  "convnet",
  "lenet",
  "cifar_resnet20",
  "cifar_resnet110",
  "wide_resnet28_10",
  "resnet50",
  "vit_small_patch4",
  "vit_base_patch16",
)
OTHERS = (
  "cifar_resnetD for any depth D = 6n + 2, wide_resnetD_K for D = 6n + 4 and any width K, "
  "vit_{tiny,small,base}_patchP for images whose sides P divides"
)
DTYPES = ("float32", "bfloat16")


def create(
  arch: str, *, num_classes: int, mean: Sequence[float], std: Sequence[float], dtype: str = "float32"
) -> nn.Module:
  """The module of an architecture.

  Args:
    arch: one of ARCHITECTURES, or of OTHERS.
    num_classes: the number of classes of the data set.
    mean, std: the input's normalisation, per channel, in units of [0, 1] pixels.
    dtype: the dtype that it computes in, "float32" or "bfloat16".

  Raises:
    InputError: for an unknown arch or dtype.
  """
  if dtype not in DTYPES:
    raise InputError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype}")
  common: dict[str, Any] = dict(
    num_classes=num_classes, mean=tuple(mean), std=tuple(std), dtype=jnp.dtype(dtype)
  )
  if arch == "convnet":
    return ConvNet(**common)
  if arch == "lenet":
    return LeNet(**common)
  if arch == "resnet50":
    return ResNet50(**common)
  resnet = re.fullmatch(r"cifar_resnet(\d+)", arch)
  if resnet and int(resnet[1]) >= 8 and (int(resnet[1]) - 2) % 6 == 0:
    return CifarResNet(depth=int(resnet[1]), **common)
  wide = re.fullmatch(r"wide_resnet(\d+)_(\d+)", arch)
  if wide and int(wide[1]) >= 10 and (int(wide[1]) - 4) % 6 == 0 and int(wide[2]) >= 1:
    return WideResNet(depth=int(wide[1]), widen=int(wide[2]), **common)
  vit = re.fullmatch(r"vit_([a-z]+)_patch([1-9]\d*)", arch)
  if vit and vit[1] in SIZES:
    return ViT(size=SIZES[vit[1]], patch=int(vit[2]), **common)
  raise InputError(f"unknown architecture {arch!r}: give one of {', '.join(ARCHITECTURES)} (also {OTHERS})")


def init(model: nn.Module, key: jax.Array, image_shape: Sequence[int]) -> Any:
  """Random variables {"params": ..., "batch_stats": ...} for images of (h, w, c), float32."""
  return model.init(key, jnp.zeros((1, *image_shape), jnp.float32), train=False)


@functools.cache
def apply(model: nn.Module) -> Callable[[Any, jax.Array], jax.Array]:
  """The pure function (variables, images) -> logits of a model in evaluation.

  Equal models give the same function, so that a program compiled for one is reused for the other.
  """

  def evaluate(variables: Any, images: jax.Array) -> Any:
    return model.apply(variables, images, train=False)

  return evaluate


def inference(model: nn.Module, variables: Any) -> tuple[Callable[[Any, jax.Array], jax.Array], Any]:
  """(apply, variables) to certify a model with: declared batch norms folded into the convolutions before them.

  The function is the same up to rounding in the model's dtype; `variables` are those of `init` or a checkpoint.
  The declared convolutions' weights are already in the dtype, so that no step converts them. A model that
  declares nothing is left as it is.
  """
  convolutions = getattr(model, "CONVOLUTIONS", None)
  if convolutions is None:
    return apply(model), variables
  as_given: Any = model
  if any(convolutions.values()):
    as_given, variables = as_given.clone(folded=True), fold(variables, convolutions, norm_of(model).epsilon)
  return apply(as_given), cast_convolutions(variables, convolutions, as_given.dtype)


def recomputing(model: nn.Module) -> nn.Module:
  """The same function, whose gradients keep only what goes into each residual block, to save memory.

  Raises:
    InputError: for a model that does not offer it, by a field `remat`.
  """
  if not hasattr(model, "remat"):
    raise InputError(f"`remat` is for convolutional residual networks, not for {type(model).__name__}")
  return model.clone(remat=True)


def parameter_count(variables: Any) -> int:
  """The number of trained parameters."""
  return sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))

"""DnCNN: a convolutional network that estimates the image in a noisy image, for noise of one sigma.

  >>> network = find("dncnn5")
  >>> network.depth, network.features
  (5, 64)

It computes x - R(x). R is a 3x3 convolution with bias and ReLU, then convolutions without bias, each with batch
norm and ReLU, then one more convolution. Variables are named by the numbers of the layers in published files:
0, then 2 and its norm 3, then 5 and 6, and so on.

Source: Zhang et al. 2017, "Beyond a Gaussian denoiser"; microsoft/denoised-smoothing, archs/dncnn.py (Salman et
al. 2020), whose norms and first weights these are. An update leaves a twentieth of the running statistics.
First weights are orthogonal, but those of the last convolution 0: training begins with the identity.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp

from rsjax.models import cpu
from rsjax.models.layers import Norm, conv, conv_norm, relu

_orthogonal = nn.initializers.orthogonal()


class DnCNN(nn.Module):
  """float32[b, h, w, c] around [0, 1] to estimates of the same shape, which are not clipped.

  The last convolution and the difference are computed in float32 whatever the dtype.
  """

  depth: int
  features: int
  dtype: jnp.dtype = jnp.float32
  folded: bool = False

  NORM: ClassVar[Norm] = Norm(momentum=0.05, epsilon=1e-4)

  @property
  def CONVOLUTIONS(self) -> Mapping[str, str | None]:
    """Those that compute in the dtype, each with its norm, see `folding`."""
    return {"0": None, **{str(3 * i - 1): str(3 * i) for i in range(1, self.depth - 1)}}

  @nn.compact
  def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
    x = images.astype(self.dtype)
    for name, norm in self.CONVOLUTIONS.items():
      if norm is None:
        x = conv(x, self.features, 3, 1, name, self, bias=True, init=_orthogonal)
      else:
        x = conv_norm(cpu.held(x), train, self.features, 3, 1, (name, norm), self, init=_orthogonal)
      x = relu(x)
    last = str(3 * (self.depth - 1) - 1)
    x = cpu.held(x).astype(jnp.float32)
    zeros = nn.initializers.zeros_init()
    return images - conv(x, images.shape[-1], 3, 1, last, self, init=zeros)


@dataclasses.dataclass(frozen=True)
class Layout:
  """What fixes the layers of a DnCNN.

  Attributes:
    depth: convolutions, at least 3.
    features: channels between them.
  """

  depth: int = 17
  features: int = 64

  divisor: ClassVar[int] = 1  # of the sides of images: any will do

  @property
  def name(self) -> str:
    """Its name, as for `find`."""
    return "dncnn" if self == Layout() else f"dncnn{self.depth}_{self.features}"

  def model(self, dtype: str) -> DnCNN:
    """The Flax module, computing in `dtype`."""
    return DnCNN(self.depth, self.features, jnp.dtype(dtype))

  def timestep(self, sigma: float) -> None:
    """None: it is told nothing about the noise, but is at its best for the noise that it was trained under."""
    del sigma

  def variables_shapes(self, channels: int) -> Any:
    """The tree of the variables' shapes and dtypes, for images of this many channels."""
    images = jax.ShapeDtypeStruct((1, 3, 3, channels), jnp.float32)
    return jax.eval_shape(self.model("float32").init, jax.random.key(0), images)


def find(arch: str) -> Layout | None:
  """The DnCNN of a name: dncnn (17 convolutions, 64 features), dncnnD or dncnnD_F; None for another network."""
  found = re.fullmatch(r"dncnn(?:([1-9]\d*)(?:_([1-9]\d*))?)?", arch)
  if found is None or int(found[1] or 17) < 3:
    return None
  return Layout(int(found[1] or 17), int(found[2] or 64))

"""Denoising in one step with a diffusion model, for noise of a known sigma.

  >>> from rsjax.models import unet
  >>> process = Diffusion(unet.Layout(32, (1, 2), 1, ()), "linear", 1000)
  >>> process.timestep(0.25)
  145

Pixels x in [0, 1] with Gaussian noise of sigma are 2x - 1 in the range of the model, with noise of 2 sigma. At
the first timestep with that much noise, the model's prediction of the noise gives the image in one step. No
other noise is drawn.

Source: Carlini et al. 2022, "(Certified!!) adversarial robustness for free!".
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from rsjax.errors import InputError
from rsjax.models.unet import Layout, UNet

SCHEDULES = ("cosine", "linear")
_MOST_BETA = 0.999  # of the cosine schedule


@dataclasses.dataclass(frozen=True)
class Diffusion:
  """A U-Net, and the noise that it was trained to predict.

  Attributes:
    layout: of the U-Net; the first channels of its output, as many as an image has, are the noise.
    schedule: "cosine" (Nichol and Dhariwal 2021) or "linear" (Ho et al. 2020): how much noise a timestep has.
    steps: the number of timesteps.
    rescaled: whether the U-Net is told timesteps in thousandths of `steps`.
  """

  layout: Layout
  schedule: str
  steps: int
  rescaled: bool = False

  @property
  def divisor(self) -> int:
    """What the sides of images must be multiples of."""
    return self.layout.divisor

  def remaining(self) -> NDArray[np.float64]:
    """[steps]: the share of the image in the variance of each timestep, often called alpha bar."""
    return _remaining(self.schedule, self.steps)

  def timestep(self, sigma: float) -> int:
    """The first timestep with at least the noise of `sigma`, in units of [0, 1] pixels.

    Raises:
      InputError: for a sigma that no timestep has.
    """
    share = self.remaining()
    levels = np.sqrt((1 - share) / share) / 2
    if not levels[-1] >= sigma > 0:
      raise InputError(f"sigma must be above 0 and at most {levels[-1]:.6g} for this denoiser, got {sigma:g}")
    return int(np.argmax(levels >= sigma))

  def denoiser(self, sigma: float, dtype: str) -> Callable[[Any, jax.Array], jax.Array]:
    """The pure function (variables, images) to images in [0, 1]; both are float32[b, h, w, c].

    Args:
      sigma: of the noise in the images that it is given, in units of [0, 1] pixels.
      dtype: what the U-Net computes in, "float32" or "bfloat16".

    Raises:
      InputError: as for `timestep`.
    """
    return _denoiser(self, self.timestep(sigma), dtype)


def _remaining(schedule: str, steps: int) -> NDArray[np.float64]:
  if schedule == "linear":
    betas = np.linspace(0.1 / steps, 20 / steps, steps, dtype=np.float64)
  else:
    share = np.array([math.cos((i / steps + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(steps + 1)])
    betas = np.minimum(1 - share[1:] / share[:-1], _MOST_BETA)
  return np.cumprod(1 - betas, dtype=np.float64)


@functools.cache
def _denoiser(process: Diffusion, timestep: int, dtype: str) -> Callable[[Any, jax.Array], jax.Array]:
  """The same function for the same arguments, so that a program compiled for one is reused."""
  share = float(process.remaining()[timestep])
  told = timestep * 1000 / process.steps if process.rescaled else timestep
  signal, noise = math.sqrt(share), math.sqrt(1 - share)
  network = UNet(process.layout, jnp.dtype(dtype))

  def denoise(variables: Any, images: jax.Array) -> jax.Array:
    x = signal * (2 * images.astype(jnp.float32) - 1)
    predicted: Any = network.apply(variables, x, jnp.full(len(x), told, jnp.float32))
    clean = (x - noise * predicted[..., : x.shape[-1]]) / signal
    return (jnp.clip(clean, -1, 1) + 1) / 2

  return denoise

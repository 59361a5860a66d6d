"""A classifier, or an ensemble, behind a denoiser, which gives it an estimate of the image for a noisy image.

  behind = load("out/classifier", "out/denoiser", Gaussian(0.25))
  apply, variables = behind.inference("float32")

The two together are a base classifier like any other, and so are its certificates. The classifier need not have
been trained with noise. Sigma is fixed, because it decides what a diffusion model is told about the noise.

Source: Salman et al. 2020, "Denoised smoothing: a provable defense for pretrained classifiers"; Carlini et al.
2022, "(Certified!!) adversarial robustness for free!".
"""

import dataclasses
import functools
import hashlib
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from rsjax import files
from rsjax.classifiers import denoiser, ensemble
from rsjax.classifiers.classifier import Classifier
from rsjax.classifiers.denoiser import Denoiser
from rsjax.classifiers.ensemble import Loaded
from rsjax.errors import InputError
from rsjax.noise import Gaussian, GridGaussian, Noise, called

Apply: TypeAlias = Callable[[Any, jax.Array], jax.Array]
Paths: TypeAlias = str | pathlib.Path | Sequence[str | pathlib.Path]


@dataclasses.dataclass(frozen=True)
class Denoised:
  """A denoiser in front of a classifier, for noise of one sigma.

  Attributes:
    classifier: takes images of its own size; what is denoised is resized to it.
    denoiser: for images with as many channels.
    sigma: of the noise, in units of [0, 1] pixels.
  """

  classifier: Loaded
  denoiser: Denoiser
  sigma: float

  @property
  def members(self) -> tuple[Classifier, ...]:
    """The classifiers behind the denoiser."""
    return self.classifier.members

  @property
  def digest(self) -> str:
    """SHA-256 of the digests of both, and of what the denoiser is told about the noise."""
    parts = ["denoised", self.denoiser.digest, self._timestep, self.sigma, self.classifier.digest]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

  @property
  def metadata(self) -> dict[str, Any]:
    """The classifier's metadata, and under "denoiser" those of the denoiser."""
    own = self.classifier.metadata
    told = {"digest": self.denoiser.digest, **self.denoiser.metadata}
    return {**own, "arch": f"{self.denoiser.metadata['denoiser']} denoiser + {own['arch']}", "denoiser": told}

  @property
  def settings(self) -> dict[str, Any]:
    """What identifies it in a manifest, besides its digest."""
    return {
      **self.classifier.settings,
      "denoiser": self.denoiser.digest,
      **({} if self._timestep is None else {"denoiser_timestep": self._timestep}),
      "classifier": self.classifier.digest,
    }

  def inference(self, dtype: str) -> tuple[Apply, Any]:
    """(apply, variables) to certify it with, see `models.inference`; variables has one part for each."""
    apply, variables = self.classifier.inference(dtype)
    denoise, own = self.denoiser.inference(self.sigma, dtype)
    return _behind(denoise, apply, self.members[0].spec.image_shape[:2]), (own, variables)

  def check_images(self, shape: tuple[int, ...]) -> None:
    """Raises InputError unless it can classify images of (h, w, c)."""
    h, w, c = shape
    divisor, channels = self.denoiser.process.divisor, self.denoiser.channels
    if c != channels or h % divisor or w % divisor:
      sides = f", and for heights and widths that are multiples of {divisor}" if divisor > 1 else ""
      raise InputError(
        f"images are {h}x{w}x{c} (height x width x channels), but the denoiser is for {channels} channels"
        + sides
      )

  def notes(self, shape: tuple[int, ...]) -> list[str]:
    """What is allowed for images of (h, w, c), but may be a mistake."""
    trained = tuple(self.denoiser.metadata["image_shape"])
    sizes = ["x".join(str(side) for side in one[:2]) for one in (trained, shape)]
    return [] if sizes[0] == sizes[1] else [f"the denoiser was trained on images of {sizes[0]}, not {sizes[1]}"]

  @property
  def _timestep(self) -> int | None:
    return self.denoiser.process.timestep(self.sigma)


Base: TypeAlias = Loaded | Denoised


@functools.cache
def _behind(denoise: Apply, apply: Apply, sides: tuple[int, int]) -> Apply:
  """The function from ((variables of both), images) to logits; the same parts give the same function."""

  def classify(variables: Any, images: jax.Array) -> jax.Array:
    clean = denoise(variables[0], images)
    if clean.shape[1:3] != sides:
      shape = (len(clean), *sides, clean.shape[3])
      clean = jax.image.resize(clean, shape, "cubic", antialias=True).astype(jnp.float32)
    return apply(variables[1], clean)

  return classify


def load(paths: Paths, denoiser_path: str | pathlib.Path | None, noise: Noise) -> Base:
  """The classifier at a path, or the ensemble of those at several; behind a denoiser if there is a path of one.

  Args:
    paths: as for `ensemble.load`.
    denoiser_path: a directory that `rsjax.train` or `rsjax.convert` wrote; None: no denoiser.
    noise: that is to be certified.

  Raises:
    InputError: as for `ensemble.load` and `denoiser.load`; for noise other than Gaussian; and if the two
      do not fit each other.
  """
  if denoiser_path is None:
    return ensemble.load(paths)
  files.local(denoiser_path)
  loaded = ensemble.load(paths)
  if not isinstance(noise, Gaussian | GridGaussian):
    raise InputError(f"a denoiser is for Gaussian noise, not for {called(noise.name)}")
  found = denoiser.load(denoiser_path)
  channels = loaded.members[0].spec.image_shape[2]
  if found.channels != channels:
    raise InputError(
      f"the denoiser {denoiser_path} is for images of {found.channels} channels, the classifier for {channels}"
    )
  found.process.timestep(noise.sigma)  # refuses a sigma that is too large
  return Denoised(loaded, found, noise.sigma)

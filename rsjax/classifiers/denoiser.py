"""A denoiser: a network that estimates images from noisy images, as a checkpoint holds it.

denoiser = load("out/denoiser")
denoise, variables = denoiser.inference(0.25, "float32")
images = denoise(variables, noisy)

There are two kinds: the U-Net of a diffusion model, for noise of any sigma, and a DnCNN, for the noise that it
was trained under.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any, TypeAlias

import flax.linen as nn
import jax

from rsjax import models
from rsjax.classifiers import checkpoint, classifier
from rsjax.errors import InputError
from rsjax.models import dncnn, unet
from rsjax.models.diffusion import SCHEDULES, Diffusion

KIND, DNCNN = "diffusion", "dncnn"  # in metadata, under "denoiser"

Process: TypeAlias = Diffusion | dncnn.Layout


@dataclasses.dataclass(frozen=True)
class Spec:
  """What fixes the function that a DnCNN's weights compute.

  Attributes:
    arch: as for `dncnn.find`.
    image_shape: (h, w, c) of the images that it is trained with; others of c channels will do.
  """

  arch: str
  image_shape: tuple[int, int, int]

  def metadata(self) -> dict[str, Any]:
    """The same as JSON values, for a checkpoint's metadata."""
    return {"denoiser": DNCNN, "arch": self.arch, "image_shape": list(self.image_shape)}

  def model(self, dtype: str) -> nn.Module:
    """The Flax module, computing in `dtype`."""
    return _dncnn(self.arch).model(dtype)


@dataclasses.dataclass(frozen=True)
class Denoiser:
  """A denoiser as loaded.

  Attributes:
    variables: the tree of NumPy arrays.
    process: what fixes its function, but for the weights.
    metadata: what its checkpoint says.
    digest: SHA-256 of the weights and of what fixes the function that they compute.
  """

  variables: Any
  process: Process
  metadata: dict[str, Any]
  digest: str

  @property
  def channels(self) -> int:
    """Channels of its images."""
    return int(self.metadata["image_shape"][2])

  @property
  def spec(self) -> Spec:
    """What training needs to know of it."""
    return Spec(self.metadata.get("arch", KIND), tuple(self.metadata["image_shape"]))

  def inference(self, sigma: float, dtype: str) -> tuple[Callable[[Any, jax.Array], jax.Array], Any]:
    """(the function from (variables, noisy images) to their estimates, its variables).

    Args:
      sigma: of the noise in the images, in units of [0, 1] pixels.
      dtype: what the network computes in, "float32" or "bfloat16".
    """
    if isinstance(self.process, Diffusion):
      return self.process.denoiser(sigma, dtype), self.variables
    return models.inference(self.process.model(dtype), self.variables)


def metadata_of(process: Diffusion, image_shape: tuple[int, int, int]) -> dict[str, Any]:
  """The metadata of a checkpoint: the process, and the (h, w, c) of the images that it was trained with."""
  facts = dataclasses.asdict(process)
  layout: dict[str, Any] = {k: list(v) if isinstance(v, tuple) else v for k, v in facts.pop("layout").items()}
  return {"denoiser": KIND, "image_shape": list(image_shape), "layout": layout, **facts}


def make(variables: Any, metadata: dict[str, Any]) -> Denoiser:
  """The denoiser of these weights.

  Raises:
    InputError: if the metadata is of something else, or if the weights do not fit it or are not finite.
  """
  process = _process(metadata)
  channels = int(metadata["image_shape"][2])
  if isinstance(process, Diffusion):
    shapes, name = jax.eval_shape(lambda: unet.init(process.layout, jax.random.key(0), channels)), "the U-Net"
  else:
    shapes, name = process.variables_shapes(channels), metadata["arch"]
  classifier.check_weights(variables, shapes, name)
  identity = [metadata["denoiser"], metadata["image_shape"], dataclasses.asdict(process)]
  return Denoiser(variables, process, metadata, classifier.digest_of(variables, identity))


def load(path: str | pathlib.Path) -> Denoiser:
  """The denoiser in a directory that `rsjax.train` or `rsjax.convert` wrote.

  Raises:
    InputError: if there is none, or it cannot be used.
  """
  metadata, variables = checkpoint.read(path)
  try:
    return make(variables, metadata)
  except InputError as error:
    raise InputError(f"{path} cannot be used as a denoiser: {error}") from error


def _process(metadata: dict[str, Any]) -> Process:
  """What a checkpoint's metadata says about the process."""
  if "denoiser" not in metadata:
    arch = f", but a classifier, {metadata['arch']}" if "arch" in metadata else ""
    raise InputError(
      f"it is no denoiser{arch}: give a directory that rsjax.convert made of a denoiser's file, or rsjax.train "
      "wrote with `objective` denoise"
    )
  names = {KIND: ("image_shape", "layout", "schedule", "steps", "rescaled"), DNCNN: ("image_shape", "arch")}
  if metadata["denoiser"] not in names:
    raise InputError(
      f"its kind must be {' or '.join(names)}, got {metadata['denoiser']!r}: it may be of a later version"
    )
  missing = [name for name in names[metadata["denoiser"]] if name not in metadata]
  if missing:
    raise InputError(f"its metadata lacks {', '.join(missing)}")
  if metadata["denoiser"] == DNCNN:
    return _dncnn(metadata["arch"])
  if metadata["schedule"] not in SCHEDULES:
    raise InputError(f"its schedule must be one of {', '.join(SCHEDULES)}, got {metadata['schedule']!r}")
  layout: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in metadata["layout"].items()}
  return Diffusion(unet.Layout(**layout), metadata["schedule"], metadata["steps"], metadata["rescaled"])


def _dncnn(arch: str) -> dncnn.Layout:
  layout = dncnn.find(arch)
  if layout is None:
    raise InputError(f"a DnCNN's name must be dncnn, dncnnD or dncnnD_F, such as dncnn5_32, got {arch!r}")
  return layout

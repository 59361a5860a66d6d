"""A denoiser: a network that estimates images from noisy images, as a checkpoint holds it.

denoiser = load("out/denoiser")
denoise = denoiser.process.denoiser(0.25, "float32")
images = denoise(denoiser.variables, noisy)
"""

import dataclasses
import pathlib
from typing import Any

import jax

from rsjax.classifiers import checkpoint, classifier
from rsjax.errors import InputError
from rsjax.models import unet
from rsjax.models.diffusion import SCHEDULES, Diffusion

KIND = "diffusion"  # in metadata, under "denoiser"


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
  process: Diffusion
  metadata: dict[str, Any]
  digest: str

  @property
  def channels(self) -> int:
    """Channels of its images."""
    return int(self.metadata["image_shape"][2])


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
  shapes = jax.eval_shape(lambda: unet.init(process.layout, jax.random.key(0), channels))
  classifier.check_weights(variables, shapes, "the U-Net")
  identity = [KIND, metadata["image_shape"], dataclasses.asdict(process)]
  return Denoiser(variables, process, metadata, classifier.digest_of(variables, identity))


def load(path: str | pathlib.Path) -> Denoiser:
  """The denoiser in a directory that `rsjax.convert` wrote.

  Raises:
    InputError: if there is none, or it cannot be used.
  """
  metadata, variables = checkpoint.read(path)
  try:
    return make(variables, metadata)
  except InputError as error:
    raise InputError(f"{path} cannot be used as a denoiser: {error}") from error


def _process(metadata: dict[str, Any]) -> Diffusion:
  """What a checkpoint's metadata says about the process."""
  if "denoiser" not in metadata:
    arch = f", but a classifier, {metadata['arch']}" if "arch" in metadata else ""
    raise InputError(f"it is no denoiser{arch}: give a directory that rsjax.convert made of a U-Net's file")
  if metadata["denoiser"] != KIND:
    raise InputError(f"its kind must be {KIND}, got {metadata['denoiser']!r}: it may be of a later version")
  missing = [
    name for name in ("image_shape", "layout", "schedule", "steps", "rescaled") if name not in metadata
  ]
  if missing:
    raise InputError(f"its metadata lacks {', '.join(missing)}")
  if metadata["schedule"] not in SCHEDULES:
    raise InputError(f"its schedule must be one of {', '.join(SCHEDULES)}, got {metadata['schedule']!r}")
  layout: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in metadata["layout"].items()}
  return Diffusion(unet.Layout(**layout), metadata["schedule"], metadata["steps"], metadata["rescaled"])

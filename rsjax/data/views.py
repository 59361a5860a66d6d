"""Decodes images, and gives evaluation's view of photographs of any size."""

import io
from typing import Any

import numpy as np

from rsjax.errors import InputError

RESIZE, CROP = 256, 224


def decode(encoded: bytes, mode: str = "RGB") -> Any:
  """The PIL image of a file's bytes, converted to `mode` ("RGB" or "L"), as torchvision's loader does."""
  from PIL import Image

  try:
    with Image.open(io.BytesIO(encoded)) as image:
      return image.convert(mode)
  except Exception as error:  # Pillow raises many kinds for damaged files
    raise InputError(f"an image cannot be decoded: {error}") from error


def pixels(image: Any) -> np.ndarray:
  """uint8[h, w, c] of a PIL image."""
  array = np.asarray(image)
  return array[..., None] if array.ndim == 2 else array


def resize_and_center_crop(image: Any) -> np.ndarray:
  """ImageNet's evaluation view of a PIL image: uint8[224, 224, c].

  The shorter side is resized to 256, bilinearly with antialiasing (PIL's BILINEAR, whose support grows with the
  reduction), and the longer side's length is truncated to a whole number; then the middle 224x224 is cropped.

  Source: torchvision's Resize(256) and CenterCrop(224) of PIL images (the paper's code, datasets.py).
  """
  from PIL import Image

  width, height = image.size
  short = min(width, height)
  size = (RESIZE, int(RESIZE * height / width)) if width <= height else (int(RESIZE * width / height), RESIZE)
  if short != RESIZE:
    image = image.resize(size, Image.Resampling.BILINEAR)
  left, top = (round((side - CROP) / 2) for side in image.size)
  return pixels(image.crop((left, top, left + CROP, top + CROP)))

"""Pictures of noisy images, as the base classifier sees them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from rsjax.noise import threefry
from rsjax.noise.gaussian import Gaussian

if TYPE_CHECKING:
  from PIL.Image import Image


def noisy(
  image: np.ndarray, index: int, sigmas: Sequence[float], seed: int = 0, draw: int = 0
) -> "list[Image]":
  """PIL images of uint8[h, w, c] with Gaussian noise of each sigma, clipped to [0, 1]; the same draw for all.

  The noise is that of certification for this seed, index and draw; a sigma of 0 is the image itself.
  """
  from PIL import Image

  key, rows = threefry.base_key(seed), (jnp.uint32([index]), jnp.uint32([draw]))
  x = jnp.asarray(image.astype(np.float32) / 255)[None]
  pictures = []
  for sigma in sigmas:
    noise = Gaussian(sigma)
    perturbed = np.asarray(noise.perturb(noise.parameters(), key, *rows, x)[0])
    pixels = np.rint(255 * np.clip(perturbed, 0, 1)).astype(np.uint8)
    pictures.append(Image.fromarray(pixels[..., 0] if image.shape[-1] == 1 else pixels))
  return pictures


def contact_sheet(rows: "Sequence[Sequence[Image]]", heads: Sequence[str], side: int) -> "Image":
  """One PIL image of rows of equal-sized pictures, enlarged by an integer factor to at least `side` pixels."""
  from PIL import Image, ImageDraw

  width, height = rows[0][0].size
  factor = -(-side // height)
  width, height, gap, line = factor * width, factor * height, 8, 24
  size = (gap + (width + gap) * len(heads), line + gap + (height + gap) * len(rows))
  sheet = Image.new("RGB", size, "white")
  draw = ImageDraw.Draw(sheet)
  for column, head in enumerate(heads):
    x = gap + (width + gap) * column
    draw.text((x + width // 2, line // 2 + 2), head, fill="black", anchor="mm")
    for row, pictures in enumerate(rows):
      enlarged = pictures[column].convert("RGB").resize((width, height), Image.Resampling.NEAREST)
      sheet.paste(enlarged, (x, line + gap + (height + gap) * row))
  return sheet

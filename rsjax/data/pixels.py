"""Whether the pixels of images are on another scale than the one they are taken for.

>>> list(odd_pixels(np.full((2, 8, 8, 1), 13, np.uint8)))
['no uint8 pixel is above 13, but pixels are taken as 0..255: have they another scale?']
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

DARK = 16  # the largest grey level of raw sets such as scikit-learn's digits
_ROWS, _WIDE = 10, 100  # rows, from which on their columns are compared, and ratio of deviations that is told
_HIDES = 10  # sigma in deviations, above which nothing of a column is left
_SMALLEST = 8  # height and width from which on arrays with 1 or 3 channels look like images


def odd_pixels(images: Sequence[np.ndarray]) -> Iterator[str]:
  """What is odd about images, uint8[h, w, c] or float32[h, w, c] in [0, 1], as images."""
  first = images[0]
  axes = tuple(range(1, 1 + first.ndim))
  each = images.max(axes) if isinstance(images, np.ndarray) else np.array([image.max() for image in images])
  brightest = each.max()
  if first.dtype == np.uint8 and brightest <= 1:
    yield "no uint8 pixel is above 1, but pixels are taken as 0..255: are they 0 and 1, or divided by 255?"
  elif first.dtype == np.uint8 and brightest <= DARK:
    yield f"no uint8 pixel is above {brightest}, but pixels are taken as 0..255: have they another scale?"
  if first.dtype == np.float32 and brightest <= 1.01 / 255:
    yield "no float32 pixel is above 1/255: were they divided by 255 twice?"
  elif first.dtype == np.float32 and brightest <= DARK / 255:
    yield f"no float32 pixel is above {brightest:.3g}, but pixels are taken as [0, 1]: have they another scale?"
  yield from _two_scales(each)
  if first.shape[0] <= 4 < first.shape[2]:
    yield f"images are {list(first.shape)}, which looks like channels before height and width"


def _two_scales(brightest: np.ndarray) -> Iterator[str]:
  """A sentence if many of the images, but not all, are dark; given the largest value of each."""
  dark = int((brightest <= (DARK if brightest.dtype == np.uint8 else DARK / 255)).sum())
  if len(brightest) >= _ROWS and len(brightest) / 4 <= dark < len(brightest):
    yield f"{dark} of {len(brightest)} images are dark, and the others are not: have all of them one scale?"


def odd_arrays(arrays: Sequence[np.ndarray], sigma: float | None) -> Iterator[str]:
  """What is odd about arrays, float32[...], that are said to be no images; sigma: of the noise, in their units.

  >>> list(odd_arrays([np.full((32, 32, 3), 200, np.float32)], 0.25))
  ['arrays of [32, 32, 3], from 200 to 200, look like images with pixels in 0..255: sigma and radii are in...']
  """
  shape = arrays[0].shape
  if len(shape) == 1:
    yield from _odd_columns(np.stack(arrays), sigma)
  if len(shape) != 3 or shape[-1] not in (1, 3) or min(shape[:2]) < _SMALLEST:
    return
  lowest, highest = (float(extreme([extreme(array) for array in arrays])) for extreme in (np.min, np.max))
  scale, width = "units of their own, such as normalised ones", None
  grey = math.ceil(highest) if highest <= DARK else 255  # as raw sets have them, such as digits in 0..16
  for called, least, most in ((f"0..{grey}", 0, grey), ("[-1, 1]", -1, 1), ("[0, 1]", 0, 1)):
    if least <= lowest and highest <= most:
      scale, width = called, most - least
  told = f"arrays of {list(shape)}, from {lowest:.3g} to {highest:.3g}, look like images with pixels in {scale}"
  if scale == "[0, 1]":
    yield f'{told}: leave out inputs="arrays"'
    return
  told += ": sigma and radii are in these units, and published ones in units of [0, 1] pixels"
  if width is not None and sigma is not None:
    unsure = f", if no pixel can be above {width}" if width <= DARK and lowest >= 0 else ""
    told += f" (there this sigma is {sigma / width:.3g}{unsure})"
  yield told


def _odd_columns(rows: np.ndarray, sigma: float | None) -> Iterator[str]:
  """A sentence if columns of a table, of some rows, have very different scales, or sigma is not on theirs."""
  deviations = rows.std(0, dtype=np.float64)
  deviations = deviations[deviations > 0]
  if len(rows) < _ROWS or not len(deviations):
    return
  if sigma and not deviations.min() / _WIDE <= sigma <= deviations.max() * _HIDES:
    does = "hides" if sigma > deviations.max() else "hardly changes"
    yield (
      f"sigma = {sigma:g} {does} the columns, whose standard deviations are from {deviations.min():.3g} to "
      f"{deviations.max():.3g}: sigma is in their units"
    )
  if deviations.max() > _WIDE * deviations.min():
    yield (
      f"the columns have standard deviations from {deviations.min():.3g} to {deviations.max():.3g}, but "
      "the same sigma is for all, and hardly changes the widest: divide each column by its standard deviation"
    )

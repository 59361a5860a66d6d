"""Whether the pixels of images are on another scale than the one they are taken for.

>>> list(odd_pixels(np.full((2, 8, 8, 1), 13, np.uint8)))
['no uint8 pixel is above 13, but pixels are taken as 0..255: have they another scale?']
"""

from collections.abc import Iterator, Sequence

import numpy as np

DARK = 16  # the largest grey level of raw sets such as scikit-learn's digits


def odd_pixels(images: Sequence[np.ndarray]) -> Iterator[str]:
  """What is odd about images, uint8[h, w, c] or float32[h, w, c] in [0, 1], as images."""
  first = images[0]
  brightest = images.max() if isinstance(images, np.ndarray) else max(image.max() for image in images)
  if first.dtype == np.uint8 and brightest <= 1:
    yield "no uint8 pixel is above 1, but pixels are taken as 0..255: are they 0 and 1, or divided by 255?"
  elif first.dtype == np.uint8 and brightest <= DARK:
    yield f"no uint8 pixel is above {brightest}, but pixels are taken as 0..255: have they another scale?"
  if first.dtype == np.float32 and brightest <= 1 / 255:
    yield "no float32 pixel is above 1/255: were they divided by 255 twice?"
  if first.shape[0] <= 4 < first.shape[2]:
    yield f"images are {list(first.shape)}, which looks like channels before height and width"

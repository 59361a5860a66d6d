"""What a base classifier takes, images or other arrays, and the check of each.

  >>> checked((0, np.zeros((8, 8, 1), np.uint8)))[1].shape
  (8, 8, 1)
  >>> checked((0, np.float32([-3.0, 12.0])), of=ARRAYS)[1].shape
  (2,)

That inputs are no images is said, never guessed: a batch of grey pictures without channels, or of normalised
images, would pass as arrays and be certified at another sigma.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from rsjax.data.pixels import DARK
from rsjax.errors import InputError
from rsjax.noise import WORD

Inputs: TypeAlias = Literal["images", "arrays"]
Example: TypeAlias = tuple[int, np.ndarray]  # (index, image or array)

IMAGES: Inputs = "images"  # uint8[h, w, c] in 0..255, or float32[h, w, c] in [0, 1]
ARRAYS: Inputs = "arrays"  # float32 of any shape, finite
_ROUNDING = 1e-2  # by which pixels may be out of [0, 1] after a resize or an augmentation


def check_kind(of: str) -> None:
  """Raises InputError for what is neither images nor arrays."""
  if of not in (IMAGES, ARRAYS):
    raise InputError(f'inputs must be "images" or "arrays", got {of!r}')


def checked(example: Example, kind: np.ndarray | None = None, of: Inputs = IMAGES) -> Example:
  """The example with its array copied, so that the one given may be changed.

  Args:
    example: (index, array), the index from 0 to 2**32 - 1.
    kind: an earlier array, of the same shape and dtype; None: this is the first.
    of: what the array is.

  Raises:
    InputError: if it cannot be used, or is of another kind than the earlier one.
  """
  try:
    index, array = example
  except (TypeError, ValueError) as error:
    raise InputError("examples must be (index, image) pairs: give enumerate(images)") from error
  name = "image" if of == IMAGES else "array"
  array = _copied(f"{name} {index}", array)
  if not 0 <= index < WORD:
    raise InputError(f"an image's index must be from 0 to 2**32 - 1, got {index}")
  (_check_image if of == IMAGES else _check_array)(f"{name} {index}", array)
  if kind is not None and (array.shape != kind.shape or array.dtype != kind.dtype):
    raise InputError(
      f"{name}s must be of one shape and dtype: the first is {kind.dtype}{list(kind.shape)}, but "
      f"{name} {index} is {array.dtype}{list(array.shape)}"
    )
  return index, array


def _copied(name: str, given: Any) -> np.ndarray:
  """A copy as an array; what NumPy cannot take, such as a pair of image and label, is refused with the mend."""
  try:
    return np.array(np.asarray(given))  # np.array alone warns of tensors of PyTorch
  except Exception as error:  # of NumPy, or of a framework's array
    why = "if it is a pair of image and label, give images and labels apart"
    if not isinstance(given, tuple | list):
      why = (str(error).splitlines() or ["no reason is given"])[0]  # PyTorch says what to do
    raise InputError(f"{name}, a {type(given).__name__}, cannot be converted to an array: {why}") from error


def check_shape(given: Sequence[int], due: Sequence[int]) -> None:
  """Refuses inputs of another shape than that of a classifier's.

  Args:
    given, due: shapes of one input, without the batch.

  Raises:
    InputError: if they differ; it names both.
  """
  given, due = list(given), list(due)
  if given == due:
    return
  if len(due) != 3:
    raise InputError(f"inputs must be {due} for this classifier, got {given}")
  mend = ""
  if given == [due[2], *due[:2]]:
    mend = ": give channels last, by np.moveaxis(images, 1, -1)"
  raise InputError(f"images must be {due} (height, width, channels) for this classifier, got {given}{mend}")


def _check_image(name: str, image: np.ndarray) -> None:
  if image.ndim != 3 or image.dtype not in (np.uint8, np.float32):
    raise InputError(
      f"images must be uint8[h, w, c] or float32[h, w, c] in [0, 1], but {name} is "
      f"{image.dtype}{list(image.shape)}{_mend(image)}"
    )
  if image.dtype == np.float32 and not (np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1):
    raise InputError(f"{name} is float32 and {_scale(image)}")


def _scale(image: np.ndarray) -> str:
  """On which scale an image is that is not within [0, 1], and what to do."""
  lowest, highest = float(image.min()), float(image.max())
  if not np.isfinite(image).all():
    return "holds NaN or infinite values: leave it out"
  told = f"from {lowest:.9g} to {highest:.9g}, not within [0, 1]: give"
  if lowest >= -_ROUNDING and highest <= 1 + _ROUNDING:
    mend = "np.clip(images, 0, 1), if rounding took them out of it"
  elif lowest >= 0 and highest <= DARK:
    mend = f"images divided by the largest value that a pixel can have, such as {math.ceil(highest)}"
  elif lowest >= 0 and highest <= 255:
    mend = "images / 255, and multiply by 255 within the classifier if it was trained on 0..255"
  elif lowest >= -1 and highest <= 1:
    mend = "(images + 1) / 2, and apply 2 * x - 1 within the classifier"
  else:
    mend = "pixels before normalisation, and normalise within the classifier"
  return f'{told} {mend}; for inputs that are no images, give inputs="arrays": sigma is then in their units'


def _mend(image: np.ndarray) -> str:
  """What to do with an image of another dtype or number of axes."""
  if image.dtype.kind in "fb" and image.dtype != np.float32:
    return ": give .astype(np.float32)"
  if image.dtype.kind in "iu" and image.dtype != np.uint8 and image.max(initial=0) > 255:
    of_16_bits = "np.rint(image / 257).astype(np.uint8) if its values are 0 to 65,535"
    return f": give {of_16_bits}" if image.dtype == np.uint16 else ": scale its values to 0..255, as uint8"
  if image.dtype.kind in "iu" and image.dtype != np.uint8:
    return ": give .astype(np.uint8) if its values are 0 to 255"
  if image.ndim == 2:
    return ': give image[..., None] if channels are missing, and inputs="arrays" if it is no image'
  if image.ndim == 4:
    return ": this seems to be a batch of images, where one is expected: give batch[0]"
  return '; for inputs that are no images, give inputs="arrays"' if image.ndim != 3 else ""


def _check_array(name: str, array: np.ndarray) -> None:
  if array.ndim < 1 or array.size < 1 or array.dtype != np.float32:
    raise InputError(
      f'arrays must be float32 with at least one axis (inputs="arrays"), but {name} is '
      f"{array.dtype}{list(array.shape)}" + (": give .astype(np.float32)" if array.dtype != np.float32 else "")
    )
  if not np.isfinite(array).all():
    raise InputError(f"{name} holds values that are not finite: leave it out")

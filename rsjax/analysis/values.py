"""Bounds of a median-smoothed function near some images, as a value to look at.

>>> one, two = np.array([0.25, 0.5]), np.array([0, 0])
>>> FoundValues(two, one, one, one, two, {"epsilon": 0.1, "alpha": 0.001, "n": 1000})
medians of 2 images within l2 distance 0.1: n = 1,000, alpha = 0.001
"""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rsjax.errors import InputError
from rsjax.results import plural

if TYPE_CHECKING:
  import pandas


@dataclasses.dataclass(frozen=True, repr=False)
class FoundValues:
  """Bounds of some images' medians, in the images' order: [images], or [images, outputs] of several outputs.

  Attributes:
    idx: int64[images], the images' positions.
    lower, upper: float64, the bounds; infinite where too many outputs were not finite.
    median: float64, the median of the finite outputs that were drawn, NaN if there are none: an estimate of the
      median-smoothed function at the image itself, between the bounds.
    invalid: int64, draws whose output was not finite, or not known.
    settings: what fixed the bounds: noise, sigma, epsilon, n, alpha, seed.
  """

  idx: NDArray[np.int64]
  lower: NDArray[np.float64]
  median: NDArray[np.float64]
  upper: NDArray[np.float64]
  invalid: NDArray[np.int64]
  settings: dict[str, Any]

  def __len__(self) -> int:
    return len(self.idx)

  def to_pandas(self) -> "pandas.DataFrame":
    """A pandas.DataFrame with one row per image, or per image and output, if there are several.

    Raises:
      InputError: if pandas is missing; the message gives the command that installs it.
    """
    try:
      import pandas
    except ImportError as error:
      raise InputError("to_pandas needs pandas: pip install pandas") from error
    names = ("lower", "median", "upper", "invalid")
    columns = {name: getattr(self, name).reshape(-1) for name in names}
    if self.median.ndim == 1:
      return pandas.DataFrame({"idx": self.idx, **columns})
    images, outputs = self.median.shape
    places = {"idx": np.repeat(self.idx, outputs), "output": np.tile(np.arange(outputs), images)}
    return pandas.DataFrame({**places, **columns})

  def __repr__(self) -> str:
    s = self.settings
    each = "" if self.median.ndim == 1 else f" ({plural(self.median.shape[1], 'output')} each)"
    return (
      f"medians of {plural(len(self), 'image')}{each} within l2 distance {s['epsilon']:g}: n = {s['n']:,}, "
      f"alpha = {s['alpha']:g}"
    )

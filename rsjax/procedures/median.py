"""Median smoothing: from a fixed number of a real function's noisy outputs to bounds of their median."""

import dataclasses
from collections.abc import Generator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from rsjax import bounds
from rsjax.noise import Noise
from rsjax.procedures.fixed import check_draws


@dataclasses.dataclass(frozen=True)
class MedianBounds:
  """What median smoothing found for one image.

  Attributes:
    lower, upper: float64[outputs], between which the median is wherever the bounds hold; they may be infinite.
    median: float64[outputs], that of the finite outputs drawn, an estimate; NaN if there are none.
    invalid: int64[outputs], draws whose output was not finite, or not known.
  """

  lower: NDArray[np.float64]
  median: NDArray[np.float64]
  upper: NDArray[np.float64]
  invalid: NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class CertifyMedian:
  """Bounds of the median within a distance, from n draws.

  Attributes:
    epsilon: the l2 distance, in units of [0, 1] pixels.
    n: draws.
    alpha: probability, per image, with which a bound may be wrong; the outputs of an image share it equally.

  Raises:
    InputError: for values out of range.

  Source: Chiang et al. 2020, see `bounds.median`.
  """

  epsilon: float
  n: int = 10_000
  alpha: float = 0.001

  n_varies: ClassVar[bool] = False

  def __post_init__(self) -> None:
    bounds.check_distance(self.epsilon)
    object.__setattr__(self, "epsilon", float(self.epsilon))
    check_draws(self, "n")

  @property
  def most_draws(self) -> int:
    return self.n

  def settings(self) -> dict[str, Any]:
    return {"epsilon": self.epsilon, "norm": "l2", "n": self.n, "alpha": self.alpha}

  def ranks(self, noise: Noise, outputs: int) -> tuple[int, int]:
    """Which outputs in increasing order are the bounds, see `bounds.median_ranks`.

    Raises:
      InputError: for noise under which no median is bounded, or if n is too small.
    """
    return bounds.median_ranks(self.n, self.epsilon, noise, self.alpha / outputs)

  def steps(self, noise: Noise) -> Generator[tuple[int, ...], tuple[list[NDArray[Any]], ...], MedianBounds]:
    """Asks for n draws, and is sent their outputs, [count, outputs] arrays of n rows in all."""
    (parts,) = yield (self.n,)
    found = np.concatenate(parts)
    ranks = self.ranks(noise, found.shape[1])
    return MedianBounds(*bounds.median_bounds(found, ranks), (~np.isfinite(found)).sum(0))

"""Gaussian noise rounded to the 1/255 grid of 8-bit images, drawn exactly: its certificates hold as they stand.

The pixel x of an 8-bit image is k/255. Rounding x + N(0, sigma^2) to the grid gives (k + K)/255, where K is
the nearest integer to 255 N(0, sigma^2). The rounding is a part of the classifier, so Cohen's theorem holds for
the real noise, and K is what is drawn. No sum is rounded, and the classifier sees nothing but k + K.

K comes from 64 random bits: a sign, and an integer m from 0 to 2**63 - 1. It has |K| >= j where m < T(j), for
T(j) = 2**64 Phi(-(2j - 1) / (510 sigma)). T is computed in exact arithmetic as an integer that is off by less
than 1 (`thresholds`). Where m is within `GUARD` of a threshold, K is not known. Where m < `LEAST`, |K| would be
8.1 sigma or more, beyond the table. Such draws are void: they vote for nobody but count in n. A pixel makes a
draw void with a probability below `VOID`. K and -K are equally probable, so that the mean is exactly 0.

The thresholds next to m are found in a table by the leading bits of m. They are compared as integers.

Source: Voracek and Hein, "Sound randomized smoothing in floating-point arithmetic" (ICLR 2023).
"""

import bisect
import dataclasses
import functools
import itertools
import math
from fractions import Fraction
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rsjax.errors import InputError
from rsjax.noise.gaussian import ABSURD_SIGMA, Gaussian
from rsjax.noise.noise import Drawn
from rsjax.noise.thresholds import tail

BITS = 64  # of randomness per pixel
GUARD = 1  # each threshold is off by less
_LEAST_BITS = 12
LEAST = 2**_LEAST_BITS  # the smallest m of which the table knows K
_EXPONENTS = 63 - _LEAST_BITS  # of m from LEAST on
VOID = 2.0**-47  # at least the probability that a pixel makes a draw void, for every sigma
MOST_PIXELS = 2**22  # of an image, channels included
_STEP = 510  # twice the grid: thresholds are halfway between its points
_SMALLEST = 0.001  # sigma, a quarter of a grid step
_SMALL = 2**7  # upper words of m below it are joined with bits of the lower one, to keep leading bits


@dataclasses.dataclass(frozen=True)
class GridGaussian:
  """N(0, sigma^2) on each pixel, independently, rounded to multiples of 1/255; for uint8 images.

  Attributes:
    sigma: standard deviation before rounding, in units of [0, 1] pixels.
  """

  sigma: float

  name: ClassVar[str] = "grid"
  norm: ClassVar[str] = "l2"
  void: ClassVar[float] = VOID * MOST_PIXELS  # at least the probability that a draw is void

  def __post_init__(self) -> None:
    object.__setattr__(self, "sigma", Gaussian(self.sigma).sigma)
    if self.sigma and not _SMALLEST <= self.sigma <= ABSURD_SIGMA:
      raise InputError(
        f"sigma of grid noise must be from {_SMALLEST:g} to {ABSURD_SIGMA:g}, in units of [0, 1] pixels, "
        f"got {self.sigma:g}"
      )

  @classmethod
  def from_settings(cls, settings: dict[str, Any]) -> "GridGaussian":
    """The noise that `settings` describe.

    Raises:
      InputError: for noise drawn from other bits or with another guard.
    """
    made = cls(settings["sigma"])
    for name, value in made.settings().items():
      if settings.get(name) != value:
        raise InputError(f"grid noise must have {name} = {value}, got {settings.get(name)!r}")
    return made

  def settings(self) -> dict[str, Any]:
    """The values that describe it in a manifest."""
    return {"noise": self.name, "sigma": self.sigma, "noise_bits": BITS, "noise_guard": GUARD}

  def check_image(self, image: NDArray[Any]) -> None:
    """Raises InputError unless the image is uint8, and no larger than `MOST_PIXELS`."""
    if image.dtype != np.uint8:
      raise InputError(f"grid noise is for 8-bit images: images must be uint8, got {image.dtype}")
    if image.size > MOST_PIXELS:
      raise InputError(f"grid noise is for at most {MOST_PIXELS:,} pixels, got {image.size:,}")

  def parameters(self) -> "Table":
    """The first argument of `perturb`: the thresholds; arrays, whose size depends on sigma."""
    return table(self.sigma)

  @staticmethod
  def perturb(parameters: Any, key: Any, index: Any, draw: Any, images: Any) -> Drawn:
    """The images with the noise of their (seed, index, draw), see `Noise`, and which draws are valid."""
    import jax.numpy as jnp

    from rsjax.noise import threefry

    words = threefry.random_pairs(key, index, draw, int(np.prod(images.shape[1:])))
    steps, known = grid_steps(parameters, *words)
    # In integers, so that what the classifier sees is a function of their sum alone.
    levels = jnp.rint(images * 255).astype(jnp.int32) + steps.reshape(images.shape)
    return Drawn(levels.astype(jnp.float32) / 255, known.all(axis=1))

  def sample(self, key: Any, shape: tuple[int, ...]) -> Any:
    """float32[shape] of noise from a JAX key, for training; no certificate depends on it."""
    import jax.numpy as jnp

    return jnp.rint(255 * Gaussian(self.sigma).sample(key, shape)) / 255


@functools.lru_cache(maxsize=8)
def thresholds(sigma: float) -> tuple[int, ...]:
  """T(1), T(2), ... of the module's docstring, as far as they are above `LEAST`: falling integers."""
  found: list[int] = []
  exact = Fraction(sigma)
  while True:
    t = tail(Fraction(2 * len(found) + 1) / (_STEP * exact), BITS)
    if t + GUARD <= LEAST:
      return tuple(found)
    found.append(t)


class Table(NamedTuple):
  """Where the thresholds are, by the leading bits of m: `bucket_starts` has the buckets.

  Attributes:
    first: int32[buckets]: how many thresholds are above every m of the bucket.
    high, low: uint32[width, buckets]: upper and lower word of T - GUARD for each further threshold that an m of
      the bucket may be near or below; 0 where there are fewer.
  """

  first: NDArray[np.int32]
  high: NDArray[np.uint32]
  low: NDArray[np.uint32]


@functools.lru_cache(maxsize=8)
def table(sigma: float) -> Table:
  """The table of a sigma; small sigmas need fewer leading bits to have few thresholds in each bucket."""
  leading = max(5, math.ceil(5 + math.log2(8 * sigma)))
  starts = bucket_starts(leading)
  begins = [t - GUARD for t in reversed(thresholds(sigma))]  # rising; m is near from here on, 2 * GUARD long
  ends = [b + 2 * GUARD for b in begins]
  here = [
    begins[bisect.bisect_right(ends, start) : bisect.bisect_left(begins, stop)]
    for start, stop in itertools.pairwise(starts)
  ]
  first = [len(begins) - bisect.bisect_left(begins, stop) for stop in starts[1:]]
  padded = np.array(list(itertools.zip_longest(*here, fillvalue=0)), np.uint64).reshape(-1, len(here))
  return Table(np.array(first, np.int32), *(part.astype(np.uint32) for part in np.divmod(padded, 2**32)))


def bucket_starts(leading: int) -> list[int]:
  """The smallest m of each bucket, and 2**63; a bucket has all m with the same `leading` bits after the first.

  Of m below 2**39 the last 8 bits do not count, and of others the last 32: buckets may be empty.
  """
  starts = []
  for bucket in range(_EXPONENTS << leading):
    exponent, fraction = divmod(bucket, 1 << leading)
    start = ((1 << leading) + fraction << exponent + _LEAST_BITS) >> leading
    unit = 2**8 if start < _SMALL << 32 else 2**32
    starts.append(-(-start // unit) * unit)
  return [*starts, 2**63]


def grid_steps(table: Table, high: Any, low: Any) -> tuple[Any, Any]:
  """(K, whether it is known), int32 and bool, of random words, uint32[...] each: a sign bit, then m."""
  import jax
  import jax.numpy as jnp

  word = np.uint32
  m_high = high & word(2**31 - 1)
  small = m_high < _SMALL
  leading_word = jnp.where(small, m_high << word(24) | low >> word(8), m_high)
  # At most 24 bits, so that the conversion is exact on every device, whatever its rounding.
  leading_word = jnp.where(leading_word < 2**24, leading_word, leading_word & word(2**32 - 2**7))
  as_float = jax.lax.bitcast_convert_type(leading_word.astype(jnp.float32), jnp.int32)
  leading = (table.first.shape[0] // _EXPONENTS).bit_length() - 1
  bucket = (as_float >> (23 - leading)) - ((127 + _LEAST_BITS - 8) << leading)
  bucket = jnp.maximum(bucket + jnp.where(small, 0, 24 << leading), 0)
  take = lambda values: values.at[bucket].get(mode="promise_in_bounds")
  steps = take(table.first)
  known = (m_high > 0) | (low >= LEAST)
  for upper, lower in zip(table.high, table.low):
    t_high, t_low = take(upper), take(lower)
    rest = low - t_low
    above = m_high - t_high - (low < t_low).astype(jnp.uint32)  # m - (T - GUARD), in two words
    steps = steps + (above >> word(31)).astype(jnp.int32)
    known &= (above != 0) | (rest >= 2 * GUARD)
  return jnp.where(high >> word(31) == 1, -steps, steps), known

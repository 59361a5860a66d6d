"""Radii in other norms, from the radius that a noise proves in its own; NumPy only.

  >>> float(in_norm(0.5, Gaussian(0.25), "linf", 3072))
  0.009021

An l1 ball of radius r lies in the l2 ball of radius r, and an l-infinity ball in the l2 ball of radius
r sqrt(d), for the d numbers of an image. So the l2 radius of Gaussian noise is an l1 radius, and divided by
sqrt(d) an l-infinity radius. For one class against all others, nothing larger holds in l-infinity for every
classifier: a half-space whose normal is (1, ..., 1) attains it.

The cubes of two images under uniform noise share the part (1 - r / (2 lambda))^d, if every pixel differs by r.
This must be above 3/2 - p, which gives 2 lambda (1 - (3/2 - p)^(1/d)) in l-infinity; and p is 1/2 plus the l1
radius divided by 2 lambda (Yang et al. 2020).

All of it is float64, elementwise, and rounded down.
"""

import math
import numbers
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rsjax.bounds.radii import RADIUS_DIGITS, round_down
from rsjax.errors import InputError
from rsjax.noise import Gaussian, GridGaussian, Laplace, Noise, Uniform

NORMS = ("l1", "l2", "linf")
_Ways: TypeAlias = dict[
  str, Callable[[NDArray[np.float64], Any, int], NDArray[np.float64]]
]  # from the own radius

_SAFETY = 1e-12  # see `radii`


def in_norm(radius: ArrayLike, noise: Noise, norm: str, dimension: int | None = None) -> NDArray[np.float64]:
  """The certified radius in a norm, rounded down, from that in the norm of the noise; 0 stays 0.

  The smoothed classifier is constant within the OPEN ball of this radius.

  Args:
    radius: certified radius, in the norm of the noise and units of [0, 1] pixels.
    noise: the noise that proves it.
    norm: one of `NORMS`.
    dimension: how many numbers an image has, height times width times channels; only "linf" needs it.

  Returns:
    float64, in units of [0, 1] pixels, a multiple of 10**-RADIUS_DIGITS.

  Raises:
    InputError: for a norm of which the noise proves nothing, or a dimension that is missing.
  """
  given = np.asarray(radius, np.float64)
  known = _NORMS.get(type(noise), {noise.norm: _same})
  if norm not in known:
    raise InputError(f"{noise.name} noise proves radii in {' and '.join(known)}, not in {norm!r}")
  if known[norm] is _same:
    return given
  if not (isinstance(dimension, numbers.Integral) and dimension >= 1):
    raise InputError(f"radii in {norm} need the number of an image's pixels, times channels, got {dimension}")
  return round_down(np.maximum(known[norm](given, noise, int(dimension)) * (1 - _SAFETY), 0.0), RADIUS_DIGITS)


def l2_distance(one: ArrayLike, other: ArrayLike) -> float:
  """The l2 distance of two arrays, as if computed exactly and then rounded up to `RADIUS_DIGITS` decimals.

  Args:
    one, other: of one shape and float32, whose differences and squares float64 holds to 2**-52.
  """
  difference = np.asarray(one, np.float64) - np.asarray(other, np.float64)
  distance = math.sqrt(math.fsum(np.square(difference).ravel())) * (1 + _SAFETY)  # fsum rounds once
  return float(-round_down(-distance, RADIUS_DIGITS))


def _same(radius: NDArray[np.float64], noise: Any, dimension: int) -> NDArray[np.float64]:
  return radius


def _by_root(radius: NDArray[np.float64], noise: Any, dimension: int) -> NDArray[np.float64]:
  return radius / np.sqrt(dimension)


def _of_cubes(radius: NDArray[np.float64], noise: Any, dimension: int) -> NDArray[np.float64]:
  share = radius / (2 * noise.reach)  # at most p - 1/2
  return -2 * noise.reach * np.expm1(np.log1p(-share) / dimension)


_FROM_L2: _Ways = {"l2": _same, "l1": _same, "linf": _by_root}
_NORMS: dict[type, _Ways] = {
  Gaussian: _FROM_L2,
  GridGaussian: _FROM_L2,
  Uniform: {"l1": _same, "linf": _of_cubes},
  Laplace: {"l1": _same},
}

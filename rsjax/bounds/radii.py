"""From lower bounds of the top class's probability to certified radii, by noise; NumPy and SciPy only.

Everything is float64, elementwise, and rounded down: a radius is never above the one that exact arithmetic
gives. The radius of a new noise is added here, with a line in `_RADII`.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from rsjax.errors import InputError
from rsjax.noise import Gaussian, GridGaussian, Laplace, Noise, Uniform, is_exact, is_number

RADIUS_DIGITS = 6  # decimals kept of a radius: a millionth of a pixel's range

# SciPy's inverse normal is right to a few 1e-16 relative; see `binomial`.
_SAFETY = 1e-12


def radius(p_lower: ArrayLike, noise: Noise) -> NDArray[np.float64]:
  """The certified radius of a classifier smoothed with `noise`, rounded down; 0 if nothing is certified.

  Args:
    p_lower: lower bound(s) of the top class's probability, in [0, 1).
    noise: the noise as drawn: noise is drawn in float32, and if float32 rounds sigma down, the radius is that
      of the smaller sigma.

  Returns:
    float64, in the norm of the noise and units of [0, 1] pixels.

  Raises:
    InputError: for noise that certifies nothing, or a p_lower outside [0, 1).
  """
  if is_exact(noise):
    raise InputError(f"{noise.name} noise has exact certificates, not those of a bound of a probability")
  check_noise(noise)
  return _RADII[type(noise)](p_lower, noise)


def certified_radius(p_lower: ArrayLike, sigma: float) -> NDArray[np.float64]:
  """The certified l2 radius sigma * Phi^-1(p_lower), rounded down; 0 if p_lower <= 1/2.

  The smoothed classifier is constant within the OPEN ball of this radius.

  Args:
    p_lower: lower bound(s) of the top class's probability, in [0, 1).
    sigma: standard deviation of the Gaussian noise, in units of [0, 1] pixels, > 0.

  Returns:
    float64, in the same units, a multiple of 10**-RADIUS_DIGITS.

  Raises:
    InputError: for a sigma that is not a positive number, or a p_lower outside [0, 1).

  Source: Cohen et al. 2019, theorem 1 with p_B = 1 - p_A (CERTIFY).
  """
  check_sigma(sigma)
  p = _probability(p_lower)
  distance = sigma * special.ndtri(np.maximum(p, 0.5)) * (1 - _SAFETY)
  return round_down(np.maximum(distance, 0.0), RADIUS_DIGITS)


def abstains(p_lower: ArrayLike) -> NDArray[np.bool_]:
  """Whether CERTIFY abstains: the top class is not shown to have more than half the probability."""
  return np.asarray(p_lower) <= 0.5


def round_down(x: ArrayLike, digits: int) -> NDArray[np.float64]:
  """The largest multiple(s) of 10**-digits not above x, in float64; rounding twice changes nothing."""
  x = np.asarray(x, np.float64)
  scale = 10.0**digits
  nearest = np.rint(x * scale)
  return np.where(nearest / scale > x, (nearest - 1) / scale, nearest / scale)


def check_noise(noise: Noise) -> None:
  """Raises InputError unless `noise` is one whose radius is known, with a sigma above 0."""
  if is_exact(noise):
    return
  if type(noise) not in _RADII:
    raise InputError(f"noise must be a noise of rsjax.noise, got {noise!r}: give Gaussian(sigma)")
  _RADII[type(noise)](0.5, noise)


def check_sigma(sigma: float) -> None:
  """Raises InputError unless sigma is a positive number that float32, in which noise is drawn, can hold."""
  limits = np.finfo(np.float32)
  if not (is_number(sigma) and float(limits.tiny) <= sigma <= float(limits.max)):
    raise InputError(f"sigma must be a number > 0 (in units of [0, 1] pixels), got {sigma!r}")


def drawn_sigma(noise: Gaussian | GridGaussian) -> float:
  """The sigma of which a radius is: the smaller of that given and its float32, which scales the noise.

  Grid noise is drawn by thresholds of the very sigma that is given.
  """
  check_sigma(noise.sigma)
  if isinstance(noise, GridGaussian):
    return noise.sigma
  return min(noise.sigma, float(np.float32(noise.sigma)))


def _gaussian(p_lower: ArrayLike, noise: Gaussian | GridGaussian) -> NDArray[np.float64]:
  return certified_radius(p_lower, drawn_sigma(noise))


def _uniform(p_lower: ArrayLike, noise: Uniform) -> NDArray[np.float64]:
  """2 lambda (p - 1/2), in l1: the cubes of x and y share at least 1 - |x - y|_1 / (2 lambda) (Yang 2020)."""
  check_sigma(noise.sigma)
  distance = 2 * noise.reach * (_probability(p_lower) - 0.5) * (1 - _SAFETY)
  return round_down(np.maximum(distance, 0.0), RADIUS_DIGITS)


def _laplace(p_lower: ArrayLike, noise: Laplace) -> NDArray[np.float64]:
  """-b ln(2 (1 - p)), in l1 (Teng et al. 2020)."""
  check_sigma(noise.sigma)
  distance = -noise.scale * np.log(2 * (1 - np.maximum(_probability(p_lower), 0.5))) * (1 - _SAFETY)
  return round_down(np.maximum(distance, 0.0), RADIUS_DIGITS)


def _probability(p_lower: ArrayLike) -> NDArray[np.float64]:
  p = np.asarray(p_lower, np.float64)
  if not np.all((p >= 0) & (p < 1)):
    raise InputError(f"p_lower must be in [0, 1), got {p}")
  return p


_RADII: dict[type, Callable[[ArrayLike, Any], NDArray[np.float64]]] = {
  Gaussian: _gaussian,
  GridGaussian: _gaussian,  # rounding to the grid is a part of the classifier
  Uniform: _uniform,
  Laplace: _laplace,
}

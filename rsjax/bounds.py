"""Vote counts to confidence bounds, certified radii and abstention; NumPy and SciPy only.

  >>> from rsjax import bounds
  >>> p = bounds.lower_confidence_bound(99_000, 100_000, alpha=0.001)
  >>> round(float(p), 6)
  0.988989
  >>> float(bounds.certified_radius(p, sigma=0.5))
  1.144999

Everything is float64 and works elementwise on arrays. Every error of rounding is made toward
safety: a bound is never above, and a radius never above, the value that exact arithmetic gives.

The bounds hold for one look at a number of draws that was fixed beforehand. They are not valid
when the votes decide when to stop.
"""

import math

import numpy as np
from scipy import special

from rsjax.errors import InputError

RADIUS_DIGITS = 6  # decimals kept of a radius: a millionth of a pixel's range

# SciPy's inverse beta is right to about 1e-15 relative, its inverse normal to a few 1e-16. Taking off
# a thousand times more keeps every bound on the safe side and costs nothing visible.
_SAFETY = 1e-12


def lower_confidence_bound(k, n, alpha):
  """One-sided Clopper-Pearson lower bound of a binomial proportion, of level 1 - alpha.

  Args:
    k: successes, integer array, 0 <= k <= n.
    n: draws, integer array, n >= 1, broadcast against `k`.
    alpha: failure probability, in (0, 1).

  Returns:
    float64, the broadcast shape: p with P(true proportion < p) <= alpha. It is 0 where k = 0, and
    alpha**(1/n) where k = n.

  Raises:
    InputError: for counts or an alpha outside these ranges.

  Source: Clopper and Pearson 1934; LOWERCONFBOUND in Cohen et al. 2019, section 3.2.2.
  """
  k, n = _counts(k, n)
  check_alpha(alpha)
  lower = special.betaincinv(np.maximum(k, 1), n - k + 1, alpha)
  return np.where(k > 0, lower * (1 - _SAFETY), 0.0)


def interval(k, n, confidence):
  """Two-sided Clopper-Pearson interval of a binomial proportion.

  Args:
    k, n: as for `lower_confidence_bound`.
    confidence: in (0, 1): the proportion is outside with probability at most 1 - confidence.

  Returns:
    (low, high), float64 of the broadcast shape.
  """
  k, n = np.asarray(k), np.asarray(n)
  alpha = (1 - confidence) / 2
  return lower_confidence_bound(k, n, alpha), 1 - lower_confidence_bound(n - k, n, alpha)


def certify_votes(n_a, n, alpha, sigma):
  """CERTIFY's answer for the selected class's votes among the n that estimate: (p_lower, abstains, radius).

  Arguments as for `lower_confidence_bound` and `certified_radius`; elementwise. sigma is that of the noise
  as it is drawn, in float32, where that is less.

  Source: CERTIFY in Cohen et al. 2019, section 3.2.2.
  """
  check_sigma(sigma)
  p_lower = lower_confidence_bound(n_a, n, alpha)
  return p_lower, abstains(p_lower), certified_radius(p_lower, min(sigma, float(np.float32(sigma))))


def certified_radius(p_lower, sigma):
  """The certified l2 radius sigma * Phi^-1(p_lower), rounded down; 0 where p_lower <= 1/2.

  The smoothed classifier is constant within the OPEN ball of this radius.

  Args:
    p_lower: lower bound(s) of the top class's probability, in [0, 1).
    sigma: standard deviation of the noise, in units of [0, 1] pixels, > 0.

  Returns:
    float64, in the same units, a multiple of 10**-RADIUS_DIGITS.

  Raises:
    InputError: for a sigma that is not a positive number, or a p_lower outside [0, 1).

  Source: Cohen et al. 2019, theorem 1 with p_B = 1 - p_A (CERTIFY).
  """
  check_sigma(sigma)
  p = np.asarray(p_lower, np.float64)
  if not np.all((p >= 0) & (p < 1)):
    raise InputError(f"p_lower must be in [0, 1), got {p_lower}")
  radius = sigma * special.ndtri(np.maximum(p, 0.5)) * (1 - _SAFETY)
  return round_down(np.maximum(radius, 0.0), RADIUS_DIGITS)


def abstains(p_lower):
  """Whether CERTIFY abstains: the top class is not shown to have more than half the probability."""
  return np.asarray(p_lower) <= 0.5


def binomial_p_value(k, n):
  """p-value of the two-sided exact test that a binomial proportion is 1/2.

  Args:
    k: successes, integer array, 0 <= k <= n.
    n: draws, integer array, n >= 0, broadcast against `k`; with no draws the p-value is 1.

  Returns:
    float64 in [0, 1], the broadcast shape.

  Source: BINOMPVALUE in Cohen et al. 2019, section 3.2.1 (PREDICT; Hung and Fithian 2019). At 1/2
  the binomial is symmetric, so the test is twice the smaller tail.
  """
  k, n = _counts(k, n, smallest_n=0)
  fewer = np.minimum(k, n - k)
  tail = special.betainc(np.maximum(n - fewer, 1), fewer + 1, 0.5)  # P(Binomial(n, 1/2) <= fewer)
  return np.where((n == 0) | (2 * k == n), 1.0, np.minimum(1.0, 2 * tail))


def smallest_n_to_certify(alpha):
  """Fewest draws with which a unanimous vote certifies at this alpha: alpha**(1/n) > 1/2."""
  check_alpha(alpha)
  n = max(1, math.floor(-math.log2(alpha)))
  while lower_confidence_bound(n, n, alpha) <= 0.5:
    n += 1
  return n


def smallest_n_to_predict(alpha):
  """Fewest draws with which a unanimous vote is an answer of PREDICT: 2 * 2**-n <= alpha."""
  check_alpha(alpha)
  n = max(1, math.floor(-math.log2(alpha)))
  while binomial_p_value(n, n) > alpha:
    n += 1
  return n


def round_down(x, digits):
  """The largest multiple(s) of 10**-digits not above x, in float64; a second rounding changes nothing."""
  x = np.asarray(x, np.float64)
  scale = 10.0**digits
  nearest = np.rint(x * scale)
  return np.where(nearest / scale > x, (nearest - 1) / scale, nearest / scale)


def check_sigma(sigma):
  """Raises InputError unless sigma is a positive number that float32, in which noise is drawn, can hold."""
  limits = np.finfo(np.float32)
  if not (np.isscalar(sigma) and float(limits.tiny) <= sigma <= float(limits.max)):
    raise InputError(f"sigma must be a number > 0 (in units of [0, 1] pixels), got {sigma}")


def check_alpha(alpha):
  if not (np.isscalar(alpha) and 0 < alpha < 1):
    raise InputError(f"alpha must be a number between 0 and 1, got {alpha}")


def _counts(k, n, smallest_n=1):
  k, n = np.asarray(k), np.asarray(n)
  for name, array in (("k", k), ("n", n)):
    if not np.issubdtype(array.dtype, np.integer):
      raise InputError(f"{name} must be integer counts, got {array.dtype}")
  if not np.all((n >= smallest_n) & (k >= 0) & (k <= n)):
    raise InputError(f"counts must have n >= {smallest_n} and 0 <= k <= n, got k = {k}, n = {n}")
  return np.broadcast_arrays(k.astype(np.float64), n.astype(np.float64))

"""Tail probabilities of the normal distribution as integers with a proved error; Python's integers only.

  >>> tail(Fraction(1), bits=64) / 2**64
  0.15865525393145705

The value is computed in interval arithmetic on integers: each quantity is a pair (low, high) of integers in
units of 2**-256, and every operation rounds low down and high up. No floating point takes part.

  Phi(-x) = 1/2 - 1/sqrt(2 pi) * sum over k of (-1)^k x^(2k+1) / (2^k k! (2k+1))
  pi = 16 arctan(1/5) - 4 arctan(1/239)

Both series alternate. Once their terms fall, what is left out is at most the first term left out.
"""

import functools
import math
from fractions import Fraction

_BITS = 256  # of the fraction; for x <= 10 the largest term is below 2**73, and few hundred terms are needed
_ONE = 1 << _BITS
MOST = 10  # the largest x

Interval = tuple[int, int]  # (low, high) in units of 2**-_BITS: the number is between them


def tail(x: Fraction, bits: int) -> int:
  """An integer within 1 of 2**bits * Phi(-x); it is nearest, unless two integers are nearly as near.

  Args:
    x: exact, from 0 to `MOST`.
    bits: at most 64.
  """
  if not (0 <= x <= MOST and 0 < bits <= 64):
    raise ValueError(f"x must be from 0 to {MOST} and bits from 1 to 64, got {x} and {bits}")
  low, high = _product(_series(x), _inverse_root_of_two_pi())
  low, high = _ONE // 2 - high, _ONE // 2 - low
  shift = _BITS - bits
  nearest = (low + high + (1 << shift)) >> (shift + 1)
  if not ((nearest - 1) << shift < low <= high < (nearest + 1) << shift):
    raise ArithmeticError(f"Phi(-{x}) is only known to be from {low} to {high}, times 2**-{_BITS}")
  return nearest


def _series(x: Fraction) -> Interval:
  """The sum over k of (-1)^k x^(2k+1) / (2^k k! (2k+1))."""
  square = _of(x * x)
  term, k = _of(x), 0  # x^(2k+1) / (2^k k!)
  low = high = 0
  while True:
    part = (term[0] // (2 * k + 1), -(-term[1] // (2 * k + 1)))
    falling = square[1] < 2 * (k + 1) * _ONE  # this term and all later ones are larger than the next
    if falling and part[1] <= 2:
      return low - part[1], high + part[1]
    if k % 2:
      part = (-part[1], -part[0])
    low, high = low + part[0], high + part[1]
    k += 1
    term = _product(term, square)
    term = (term[0] // (2 * k), -(-term[1] // (2 * k)))


@functools.cache
def _inverse_root_of_two_pi() -> Interval:
  fifth, last = _arctan_of_inverse(5), _arctan_of_inverse(239)
  pi = (16 * fifth[0] - 4 * last[1], 16 * fifth[1] - 4 * last[0])
  # 1 / sqrt(2 pi) = sqrt(1 / (2 pi)), and the root of v / 2**256 is sqrt(v * 2**256) / 2**256
  low, high = _ONE * _ONE // (2 * pi[1]), -(-_ONE * _ONE // (2 * pi[0]))
  return math.isqrt(low << _BITS), math.isqrt(high << _BITS) + 1


def _arctan_of_inverse(n: int) -> Interval:
  """arctan(1/n), n > 1."""
  low = high = k = 0
  power = _of(Fraction(1, n))
  while power[1] > 1:
    part = (power[0] // (2 * k + 1), -(-power[1] // (2 * k + 1)))
    low, high = (low - part[1], high - part[0]) if k % 2 else (low + part[0], high + part[1])
    power, k = (power[0] // n**2, -(-power[1] // n**2)), k + 1
  return low - 1, high + 1


def _of(x: Fraction) -> Interval:
  low = x.numerator * _ONE // x.denominator
  return low, low + 1


def _product(a: Interval, b: Interval) -> Interval:
  """The product of two numbers that are not negative."""
  return a[0] * b[0] >> _BITS, -(-a[1] * b[1] >> _BITS)

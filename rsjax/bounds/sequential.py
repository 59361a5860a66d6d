"""Bounds that hold at several looks at the votes at once; NumPy and SciPy only.

  >>> plan = default_plan(100_000, alpha=0.001)
  >>> plan.looks[:3], len(plan.looks)
  ((100, 126, 158), 31)
  >>> round(float(lower_bound_at_look(99, 100, plan)), 6)
  0.843535

A plan is fixed before any draw is made: looks, the numbers of draws n_1 < ... < n_K at which the votes may be
looked at, and a share a_k of alpha for each. At look k the bound is Clopper and Pearson's at level a_k, from
all n_k draws; if all n_k draws agree, it is the one at level A_k = a_1 + ... + a_k, which is A_k**(1/n_k).

For every probability p, P(any look's bound > p) <= alpha. So the bound of one look holds whatever chose the
look: a rule that sees the votes, an interrupt, a time budget. Proof: if not all draws agree, the bound
exceeds p iff P(S_k >= s) < a_k, for the s votes observed. If all agree, it does iff p**n_k < A_k. Because
p**n_k falls and A_k grows with k, that holds from one look q on, and all agree at a later look only if they
did at q. So all errors lie in {S_q >= min(c_q, n_q)} and {S_k >= c_k} for k > q, where c_k is the fewest votes
with P(S_k >= c_k) < a_k. Their probabilities are at most A_q and a_k; the sum is alpha.

Source: repeated confidence intervals, Jennison and Turnbull 1989, and this rule for draws that all agree.
"""

import dataclasses
import functools
import hashlib
import json
import math
import numbers
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rsjax.bounds.binomial import binomial_p_value, check_alpha, lower_bound_at_level
from rsjax.bounds.radii import radius
from rsjax.errors import InputError
from rsjax.noise import Noise

_PER_DECADE = 10  # looks
_LAST_GAP = 0.891  # of n_max: no look comes less than half a step, 10**0.05, before the last
_LAST_SHARE = 0.8  # of alpha, for the last look


@dataclasses.dataclass(frozen=True)
class Plan:
  """The numbers of draws at which the votes may be looked at, and each look's share of alpha.

  Attributes:
    looks: n_1 < ... < n_K, numbers of draws.
    alphas: a_1, ..., a_K > 0; their sum, < 1, is the probability with which any of the bounds may fail.

  Raises:
    InputError: for other values.
  """

  looks: tuple[int, ...]
  alphas: tuple[float, ...]

  def __post_init__(self) -> None:
    if not all(isinstance(n, numbers.Integral) for n in self.looks):
      raise InputError(f"looks must be integers, got {self.looks}")
    if not all(isinstance(a, numbers.Real) for a in self.alphas):
      raise InputError(f"alphas must be numbers, got {self.alphas}")
    object.__setattr__(self, "looks", tuple(int(n) for n in self.looks))
    object.__setattr__(self, "alphas", tuple(float(a) for a in self.alphas))
    if not self.looks or self.looks[0] < 1 or not all(np.diff(self.looks) > 0):
      raise InputError(f"looks must be increasing numbers of draws of at least 1, got {self.looks}")
    if len(self.alphas) != len(self.looks):
      raise InputError(f"alphas must be one for each of the {len(self.looks)} looks, got {len(self.alphas)}")
    if not (all(a > 0 for a in self.alphas) and math.fsum(self.alphas) < 1):
      raise InputError(f"alphas must be > 0 and their sum < 1, got {self.alphas}")
    check_alpha(min(self.alphas))

  @property
  def alpha(self) -> float:
    """The probability with which the bound of any look may fail: the sum of all alphas."""
    return math.fsum(self.alphas)

  @functools.cached_property
  def cumulative(self) -> tuple[float, ...]:
    """A_k, the sum of the alphas up to each look: the level if all draws agree."""
    return tuple(math.fsum(self.alphas[: k + 1]) for k in range(len(self.alphas)))

  @functools.cached_property
  def plan_id(self) -> str:
    """The name of the plan: 16 hexadecimal digits, a digest of the looks and of the bits of the alphas."""
    text = json.dumps([self.looks, [a.hex() for a in self.alphas]])
    return hashlib.sha256(text.encode()).hexdigest()[:16]

  def settings(self) -> dict[str, Any]:
    """What a manifest says of it: JSON values, the alphas as hexadecimal floats, which keep every bit."""
    return {"id": self.plan_id, "looks": list(self.looks), "alphas": [a.hex() for a in self.alphas]}

  @classmethod
  def from_settings(cls, settings: dict[str, Any]) -> "Plan":
    """The plan that `settings` describe.

    Raises:
      InputError: for settings that do not describe a plan, or whose id is that of another plan.
    """
    try:
      plan = cls(tuple(settings["looks"]), tuple(float.fromhex(a) for a in settings["alphas"]))
      said = settings["id"]
    except (KeyError, TypeError, ValueError) as error:
      raise InputError(f"a plan must have an id, looks and alphas, got {settings!r}: {error}") from error
    if said != plan.plan_id:
      raise InputError(f"the plan is called {said!r}, but its looks and alphas are those of {plan.plan_id!r}")
    return plan

  def scaled(self, share: float) -> "Plan":
    """The plan of the same looks with this share, in (0, 1], of each alpha: any of its bounds fails with less.

    Raises:
      InputError: for a share out of range, or alphas that get too small.
    """
    if not (isinstance(share, numbers.Real) and 0 < share <= 1):
      raise InputError(f"share must be a number above 0 and at most 1, got {share!r}")
    return Plan(self.looks, tuple(share * a for a in self.alphas))

  def index(self, n: ArrayLike) -> NDArray[np.intp]:
    """The number of the look that has n draws, from 0 on; elementwise.

    Raises:
      InputError: for an n that is not a look.
    """
    looks, draws = np.array(self.looks), np.asarray(n)
    k = np.minimum(np.searchsorted(looks, draws), len(looks) - 1)
    if not np.all(looks[k] == draws):
      other = np.extract(looks[k] != draws, draws)[0]
      raise InputError(f"n must be one of the plan's looks, {', '.join(map(str, self.looks))}, got {other}")
    return k

  def level(self, k: ArrayLike, n: ArrayLike) -> NDArray[np.float64]:
    """The level at the look of n draws with k votes: a_k, or A_k if all draws agree; elementwise."""
    look = self.index(n)
    return np.where(np.equal(k, n), np.array(self.cumulative)[look], np.array(self.alphas)[look])


def default_plan(n_max: int, alpha: float, first: int = 100) -> Plan:
  """The plan of looks at `first` draws, ten in each decade, and n_max.

  The last look has 0.8 alpha; the earlier ones share the rest in proportion to the square roots of their
  draws. If no look comes well before n_max, n_max is the only look, with all of alpha.

  Args:
    n_max: draws of the last look, >= 1.
    alpha: failure probability, in (0, 1), of all looks together.
    first: draws of the first look, >= 1.

  Raises:
    InputError: for values out of range.
  """
  check_alpha(alpha)
  for name, value in (("n_max", n_max), ("first", first)):
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
      raise InputError(f"{name} must be an integer of at least 1, got {value!r}")
  looks: list[int] = []
  step = 0
  while (n := round(first * 10 ** (step / _PER_DECADE))) < _LAST_GAP * n_max:
    if not looks or n > looks[-1]:
      looks.append(n)
    step += 1
  if not looks:
    return Plan((n_max,), (alpha,))
  weights = [math.sqrt(n) for n in looks]
  unit = (1 - _LAST_SHARE) * alpha / math.fsum(weights)
  return Plan((*looks, n_max), (*(unit * w for w in weights), _LAST_SHARE * alpha))


def lower_bound_at_look(k: ArrayLike, n: ArrayLike, plan: Plan) -> NDArray[np.float64]:
  """Lower bound of a binomial proportion at a look of a plan; it does not fall as k grows.

  Args:
    k: successes, integer array, 0 <= k <= n.
    n: draws, integer array of looks of the plan, broadcast against `k`.
    plan: fixed before the draws were made.

  Returns:
    float64, the broadcast shape. With probability at least 1 - plan.alpha the bounds of all looks at growing
    numbers of the same draws are at or below the true proportion.

  Raises:
    InputError: for counts outside their range, or an n that is not a look.
  """
  return lower_bound_at_level(k, n, plan.level(k, n))


def votes_to_certify(r: float, plan: Plan, noise: Noise) -> NDArray[np.int64]:
  """The fewest votes at each look whose radius, as recorded, is larger than r.

  Args:
    r: radius, >= 0, in units of [0, 1] pixels.
    plan: the looks.
    noise: the noise that the radius is for.

  Returns:
    int64[looks]; n_k + 1 if even n_k votes are not enough.
  """
  looks = np.array(plan.looks)
  return _fewest(looks, lambda k: radius(lower_bound_at_look(k, looks, plan), noise) > r)


def votes_to_predict(n: ArrayLike, level: ArrayLike) -> NDArray[np.int64]:
  """The fewest of n votes for one of two classes with which a two-sided test is significant at `level`.

  Args:
    n: int64[rows], votes for either class.
    level: float or float64[rows].

  Returns:
    int64[rows]; n + 1 if even n votes are not enough.
  """
  draws = np.atleast_1d(np.asarray(n, np.int64))
  return _fewest(draws, lambda k: (2 * k > draws) & (binomial_p_value(k, draws) <= np.asarray(level)))


def answers_at_look(first: ArrayLike, second: ArrayLike, n: ArrayLike, plan: Plan) -> NDArray[np.bool_]:
  """Whether PREDICT answers at a look of a plan, with the class of most votes.

  It does if the two-sided test of the two leading classes is significant at level a_k, or at A_k if all draws
  agree. The probability that any look answers a class that is not the most probable one is at most plan.alpha:
  for one look by Hung and Fithian 2019; the probability that all n_k draws agree on such a class is at most
  2 * 2**-n_k; and the looks add up as for `lower_bound_at_look`.

  Args:
    first, second: the largest and the second largest count, integer arrays.
    n: draws, integer array of looks of the plan; all are broadcast.
    plan: fixed before the draws were made.
  """
  return binomial_p_value(first, np.add(first, second)) <= plan.level(first, n)


def _fewest(
  draws: NDArray[np.int64], enough: Callable[[NDArray[np.int64]], NDArray[np.bool_]]
) -> NDArray[np.int64]:
  """The fewest k >= 1 that are enough, for each number of draws; draws + 1 where none is."""
  low, high = np.zeros_like(draws), draws + 1
  while np.any(high - low > 1):
    middle = (low + high) // 2
    found = enough(middle)
    low, high = np.where(found, low, middle), np.where(found, middle, high)
  return high

"""CERTIFY and PREDICT by looks: drawing stops when an answer is settled; the answer is always valid. No JAX.

  >>> from rsjax.procedures import Radii, end_now
  >>> procedure = CertifyByLooks(n=100_000, stop=Radii((0.25,)))
  >>> steps = procedure.steps(Gaussian(0.25))
  >>> next(steps)  # draws to select with, and those of the first look
  (100, 100)
  >>> steps.send((np.array([97, 3]), np.array([88, 12])))  # not settled: 26 more, for the second look
  (26,)
  >>> end_now(steps).n  # whoever draws may end it at any time
  100

The draws of an image are numbered in the order in which they are asked for: first those of the selection, then
those of the estimation. A look counts the first n_k estimation draws, so that its votes do not depend on when
or where it happened, and are those that a run of n_k draws would have counted.
"""

import dataclasses
import functools
import itertools
import math
from typing import Any, ClassVar, Literal, cast

import numpy as np
from numpy.typing import NDArray

from rsjax import bounds
from rsjax.bounds import MULTI, ONE_SIDED, BoundKind, Plan
from rsjax.errors import InputError
from rsjax.noise import WORD, Noise, make_plain
from rsjax.procedures.counts import Counts
from rsjax.procedures.exact import check_random
from rsjax.procedures.fixed import certificates, check_draws, check_enough, multiclass_certificates
from rsjax.procedures.outcomes import ABSTAIN, Certificate, Certificates, Prediction, Predictions
from rsjax.procedures.procedure import EndNow, Procedure, Steps
from rsjax.procedures.stopping import GIVE_UP, Anytime, StopRule, check_give_up, hopeless

AUTO: Literal["auto"] = "auto"  # n0 that the selection votes choose
_FIRST, _MORE, _CLOSE = 100, 900, 3.0  # its draws, and when there are more: see `is_close`


@dataclasses.dataclass(frozen=True)
class CertifyByLooks:
  """CERTIFY that looks at the votes repeatedly, and stops by a rule.

  A class is selected with n0 draws. At each look of a plan that alpha, n and `first` fix, its probability is
  bounded from all other draws so far; the bounds of all looks hold together.

  Attributes:
    n0: draws to select the class with; or "auto": 100, and 900 more if the two leading classes are close.
    n: draws to estimate with, at most.
    alpha: probability, per image, with which the answer may be wrong, whatever stops the draws.
    stop: when to stop before n draws.
    first: draws of the first look.
    bound: "one-sided" or "multi", as for `Certify`; the rule for stopping goes by the radius of this bound.

  Raises:
    InputError: for values out of range, an n with which no vote could certify at this alpha, or a rule for
      stopping if there is only one look.
  """

  n0: int | Literal["auto"] = 100
  n: int = 100_000
  alpha: float = 0.001
  stop: StopRule = dataclasses.field(default_factory=Anytime)
  first: int = 100
  bound: BoundKind = ONE_SIDED

  command: ClassVar[str] = "certify"
  n_varies: ClassVar[bool] = True

  def __post_init__(self) -> None:
    make_plain(self)
    if isinstance(self.n0, str) and self.n0 != AUTO:
      raise InputError(f"n0 must be a number of draws or {AUTO!r}, got {self.n0!r}")
    check_draws(self, *(["n"] if self.n0 == AUTO else ["n0", "n"]))
    check_draws(self, "first")
    if self.most_draws > WORD:
      raise InputError(f"n0 + n must be at most 2**32, got {self.most_draws}")
    check_enough(self)
    if len(self.plan.looks) == 1 and not isinstance(self.stop, Anytime):
      raise InputError(
        f"n = {self.n} draws leave no look before the last one, where a rule could stop (the first is at "
        f"{self.first} draws): give a larger `n`, or leave out the rule for stopping"
      )

  @functools.cached_property
  def plan(self) -> Plan:
    """The looks, and their shares of alpha."""
    return bounds.default_plan(self.n, self.alpha, self.first)

  @property
  def most_draws(self) -> int:
    return (_FIRST + _MORE if self.n0 == AUTO else cast(int, self.n0)) + self.n

  def settings(self) -> dict[str, Any]:
    auto = {"n0_auto": {"first": _FIRST, "more": _MORE, "close": _CLOSE}} if self.n0 == AUTO else {}
    own = {"n0": self.n0, "n": self.n, "alpha": self.alpha, **bounds.bound_settings(self.bound)}
    return {**own, **auto, "plan": self.plan.settings(), "stop": self.stop.settings()}

  def check(self, noise: Noise) -> None:
    """Raises InputError if the rule for stopping asks for what n draws of this noise cannot give.

    This includes a noise that is certified exactly, or whose multi-class radius is not known.
    """
    check_random(self, noise)
    if self.bound == MULTI:
      bounds.check_multiclass_noise(noise)
    self.stop.check(self.plan, noise, self.bound)

  def steps(self, noise: Noise) -> Steps:
    """As in `Procedure`; the noise is checked at once, before the first `next`."""
    self.check(noise)
    return self._steps(noise)

  def _steps(self, noise: Noise) -> Steps:
    looks = self.plan.looks
    if self.n0 != AUTO:
      n0 = self.n0
      votes0, votes = yield n0, looks[0]
    else:
      n0 = _FIRST
      (votes0,) = yield (n0,)
      if is_close(votes0):
        n0 += _MORE
        more, votes = yield _MORE, looks[0]
        votes0 = votes0 + more
      else:
        (votes,) = yield (looks[0],)
    selected = int(np.argmax(votes0))
    for look, (n, following) in enumerate(itertools.pairwise(looks)):
      other = strongest_other(votes, selected, n) if self.bound == MULTI else None
      if self.stop.stops(look, int(votes[selected]), self.plan, noise, other):
        return self.outcome(votes0, n0, votes, n, noise)
      try:
        (more,) = yield (following - n,)
      except EndNow:
        return self.outcome(votes0, n0, votes, n, noise)
      votes = votes + more
    return self.outcome(votes0, n0, votes, self.n, noise)

  def outcome(
    self, votes0: NDArray[np.int64], n0: int, votes: NDArray[np.int64], n: int, noise: Noise
  ) -> Certificate:
    """The certificate of a look, whether the rule stops there or not.

    Args:
      votes0: int64[classes], votes of the n0 selection draws.
      votes: int64[classes], votes of the first n estimation draws; n is one of the plan's looks.
    """
    counts0, counts = Counts.of_one(votes0, n0), Counts.of_one(votes, n)
    found = certify_at_looks(counts0, counts, self.plan, noise, self.bound)
    return Certificate.of_one(found, votes0, n0, votes, n)


@dataclasses.dataclass(frozen=True)
class PredictByLooks:
  """PREDICT that looks at the votes repeatedly, until the test is significant or hardly ever will be.

  Attributes:
    n: draws per image, at most.
    alpha: probability, per image, with which the answer may be wrong.
    give_up: probability, in [0, 0.5), that the draws saved would still have given an answer; 0: it gives up
      only if no further votes can give one.
    first: draws of the first look.

  Raises:
    InputError: for values out of range, or an n with which even a unanimous vote gives no answer at this alpha.
  """

  n: int = 100_000
  alpha: float = 0.001
  give_up: float = GIVE_UP
  first: int = 10

  command: ClassVar[str] = "predict"
  n_varies: ClassVar[bool] = True

  def __post_init__(self) -> None:
    make_plain(self)
    check_draws(self, "n")
    check_draws(self, "first")
    check_give_up(self)
    smallest = bounds.smallest_n_to_predict(self.alpha)
    if self.n < smallest:
      raise InputError(f"n = {self.n} draws can never answer at alpha = {self.alpha}: give n >= {smallest}")

  @functools.cached_property
  def plan(self) -> Plan:
    """The looks, and their shares of alpha."""
    return bounds.default_plan(self.n, self.alpha, self.first)

  @property
  def most_draws(self) -> int:
    return self.n

  def settings(self) -> dict[str, Any]:
    stop = {"rule": "answer", "give_up": self.give_up}
    return {"n": self.n, "alpha": self.alpha, "plan": self.plan.settings(), "stop": stop}

  def check(self, noise: Noise) -> None:
    """Raises InputError for a noise that is certified exactly."""
    check_random(self, noise)

  def steps(self, noise: Noise) -> Steps:
    self.check(noise)
    looks = self.plan.looks
    (votes,) = yield (looks[0],)
    for n, following in itertools.pairwise(looks):
      outcome = self.outcome(votes, n)
      if outcome.prediction != ABSTAIN or self.gives_up(votes, n):
        return outcome
      try:
        (more,) = yield (following - n,)
      except EndNow:
        return outcome
      votes = votes + more
    return self.outcome(votes, self.n)

  def gives_up(self, votes: NDArray[np.int64], n: int) -> bool:
    """Whether after n draws an answer at the last look is too unlikely, going by the two leading classes."""
    first, second = _leading(votes)
    if not self.give_up:
      best = first + self.n - n  # all further votes for the leader
      return not bounds.answers_at_look(best, second, self.n, self.plan)
    either = first + second
    expected = either * self.n / n  # votes for either of them
    excess = self._needed - self.n / 2  # over one half, if all n votes were for them
    needed = expected / 2 + excess * (expected / self.n) ** 0.5
    return either == 0 or bool(hopeless(first, either, expected, needed, self.give_up))

  @functools.cached_property
  def _needed(self) -> int:
    """The votes that the last look needs where there are two classes."""
    return int(bounds.votes_to_predict(self.n, self.plan.alphas[-1])[0])

  def outcome(self, votes: NDArray[np.int64], n: int) -> Prediction:
    """The prediction of a look: of the int64[classes] votes of the first n draws."""
    return Prediction.of_one(predict_at_looks(Counts.of_one(votes, n), self.plan), votes, n)


def certify_at_looks(
  votes0: Counts, votes: Counts, plan: Plan, noise: Noise, bound: BoundKind = ONE_SIDED
) -> Certificates:
  """CERTIFY's answers from votes, for each row at the look of its number of draws, whatever chose the look."""
  if bound == MULTI:
    both = lambda k, m, n: bounds.multiclass_bounds_at_look(k, m, n, plan)
    return multiclass_certificates(votes0, votes, both, noise)
  return certificates(votes0, votes, lambda k, n: bounds.lower_bound_at_look(k, n, plan), noise)


def predict_at_looks(votes: Counts, plan: Plan) -> Predictions:
  """PREDICT's answers from votes, for each row at the look of its number of draws, whatever chose the look."""
  first, second = votes.largest()
  answers = bounds.answers_at_look(first, second, votes.draws(), plan)
  return Predictions(
    np.where(answers, votes.leaders(), ABSTAIN), bounds.binomial_p_value(first, first + second)
  )


def strongest_other(votes: NDArray[np.int64], selected: int, n: int) -> int:
  """The largest count besides the selected class's, of int64[classes] votes of n draws; the invalid are one."""
  return max(n - int(votes.sum()), int(np.delete(votes, selected).max(initial=0)))


def is_anytime(procedure: Procedure) -> bool:
  """Whether it has no rule for stopping, so that its run may be ended at any time."""
  return isinstance(procedure, CertifyByLooks) and isinstance(procedure.stop, Anytime)


def is_close(votes0: NDArray[np.int64]) -> bool:
  """Whether selection votes leave two classes close: they differ by 3 square roots of their sum at most."""
  first, second = _leading(votes0)
  return bool(first - second <= _CLOSE * math.sqrt(first + second))


def _leading(votes: NDArray[np.int64]) -> tuple[int, int]:
  """The largest and the second largest of int64[classes] votes; 0 where there is no second class."""
  ordered = np.sort(votes)[::-1]
  return int(ordered[0]), int(ordered[1]) if len(ordered) > 1 else 0

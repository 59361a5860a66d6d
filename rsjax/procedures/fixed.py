"""CERTIFY and PREDICT with a number of draws that is fixed beforehand (Cohen et al. 2019, section 3.2).

`certify` and `predict` turn votes into answers, for any number of rows at once. Certification, reanalysis of
stored votes and checks of a file against its votes all use them.
"""

import dataclasses
import numbers
from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rsjax import bounds
from rsjax.bounds import MULTI, ONE_SIDED, BoundKind
from rsjax.errors import InputError
from rsjax.noise import WORD, Noise, make_plain
from rsjax.procedures.counts import Counts
from rsjax.procedures.exact import check_random
from rsjax.procedures.outcomes import ABSTAIN, Certificate, Certificates, Prediction, Predictions
from rsjax.procedures.procedure import Steps

# Of votes int64[rows] for a class and draws int64[rows]: lower bounds float64[rows] of its probability.
Bound: TypeAlias = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float64]]
# Of votes int64[rows] for a class, for the strongest other one, and draws: lower bounds float64[rows] of the
# first's probability, and upper bounds of every other's.
Bounds: TypeAlias = Callable[
  [NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]], tuple[NDArray[np.float64], NDArray[np.float64]]
]


@dataclasses.dataclass(frozen=True)
class Certify:
  """CERTIFY: a class is selected with n0 draws, and its probability bounded with n others.

  Attributes:
    n0: draws to select the class with.
    n: draws to estimate with.
    alpha: probability, per image, with which the answer may be wrong.
    bound: "one-sided", of the selected class's votes, as in the paper; or "multi", the multi-class radius, of
      those of the strongest other class, too (`bounds.multiclass`). It is chosen before any votes are seen.

  Raises:
    InputError: for values out of range, or an n with which no vote could certify at this alpha.
  """

  n0: int = 100
  n: int = 100_000
  alpha: float = 0.001
  bound: BoundKind = ONE_SIDED

  command: ClassVar[str] = "certify"
  n_varies: ClassVar[bool] = False

  def __post_init__(self) -> None:
    make_plain(self)
    check_draws(self, "n0", "n")
    check_enough(self)

  @property
  def most_draws(self) -> int:
    return self.n0 + self.n

  def settings(self) -> dict[str, Any]:
    return {"n0": self.n0, "n": self.n, "alpha": self.alpha, **bounds.bound_settings(self.bound)}

  def check(self, noise: Noise) -> None:
    """Raises InputError for a noise that is certified exactly, or whose multi-class radius is not known."""
    check_random(self, noise)
    if self.bound == MULTI:
      bounds.check_multiclass_noise(noise)

  def steps(self, noise: Noise) -> Steps:
    self.check(noise)
    votes0, votes = yield self.n0, self.n
    return self.outcome(votes0, votes, noise)

  def outcome(self, votes0: NDArray[np.int64], votes: NDArray[np.int64], noise: Noise) -> Certificate:
    """The certificate that int64[classes] selection and estimation votes give."""
    found = certify(Counts.of_one(votes0, self.n0), Counts.of_one(votes, self.n), self.alpha, noise, self.bound)
    return Certificate.of_one(found, votes0, self.n0, votes, self.n)


@dataclasses.dataclass(frozen=True)
class Predict:
  """PREDICT: the class of most votes, if the two-sided test against the next one is significant.

  Attributes:
    n: draws per image.
    alpha: probability, per image, with which the answer may be wrong.

  Raises:
    InputError: for values out of range, or an n with which even a unanimous vote gives no answer at this alpha.
  """

  n: int = 1000
  alpha: float = 0.001

  command: ClassVar[str] = "predict"
  n_varies: ClassVar[bool] = False

  def __post_init__(self) -> None:
    make_plain(self)
    check_draws(self, "n")
    smallest = bounds.smallest_n_to_predict(self.alpha)
    if self.n < smallest:
      raise InputError(f"n = {self.n} draws can never answer at alpha = {self.alpha}: give n >= {smallest}")

  @property
  def most_draws(self) -> int:
    return self.n

  def settings(self) -> dict[str, Any]:
    return {"n": self.n, "alpha": self.alpha}

  def check(self, noise: Noise) -> None:
    """Raises InputError for a noise that is certified exactly."""
    check_random(self, noise)

  def steps(self, noise: Noise) -> Steps:
    self.check(noise)
    (votes,) = yield (self.n,)
    return self.outcome(votes)

  def outcome(self, votes: NDArray[np.int64]) -> Prediction:
    """The prediction that int64[classes] votes give."""
    return Prediction.of_one(predict(Counts.of_one(votes, self.n), self.alpha), votes, self.n)


def certify(
  votes0: Counts, votes: Counts, alpha: float, noise: Noise, bound: BoundKind = ONE_SIDED
) -> Certificates:
  """CERTIFY's answers from selection and estimation votes, for each row at its own number of draws.

  Each row's bound holds with probability at least 1 - alpha if its number of draws did not depend on the votes.

  Source: CERTIFY in Cohen et al. 2019, section 3.2.2; for the multi-class bound see `bounds.multiclass`.
  """
  if bound == MULTI:
    both = lambda k, m, n: bounds.multiclass_bounds(k, m, n, alpha)
    return multiclass_certificates(votes0, votes, both, noise)
  return certificates(votes0, votes, lambda k, n: bounds.lower_confidence_bound(k, n, alpha), noise)


def certificates(votes0: Counts, votes: Counts, bound: Bound, noise: Noise) -> Certificates:
  """What a lower bound certifies from the selected class's votes, row by row.

  The class of most selection votes is selected: the lowest at a tie, class 0 if there are no votes. Draws that
  voted for no class count as votes against it.
  """
  selected = np.maximum(votes0.leaders(), 0)
  n_a = votes.of(selected)
  p_lower = bound(n_a, votes.draws())
  prediction = np.where(bounds.abstains(p_lower), ABSTAIN, selected)
  return Certificates(prediction, bounds.radius(p_lower, noise), selected, n_a, p_lower)


def multiclass_certificates(votes0: Counts, votes: Counts, both: Bounds, noise: Noise) -> Certificates:
  """The same with an upper bound of every other class, made of the votes of the strongest of them.

  It answers where the lower bound is above the upper one, also where it is below 1/2.
  """
  selected = np.maximum(votes0.leaders(), 0)
  n_a = votes.of(selected)
  lower, upper = both(n_a, votes.strongest_other(selected), votes.draws())
  prediction = np.where(bounds.shows_more(lower, upper), selected, ABSTAIN)
  return Certificates(prediction, bounds.multiclass_radius(lower, upper, noise), selected, n_a, lower)


def predict(votes: Counts, alpha: float) -> Predictions:
  """PREDICT's answers from votes, for each row at its own number of draws.

  Source: PREDICT in Cohen et al. 2019, section 3.2.1.
  """
  first, second = votes.largest()
  p_value = bounds.binomial_p_value(first, first + second)
  return Predictions(np.where(p_value <= alpha, votes.leaders(), ABSTAIN), p_value)


def check_draws(procedure: Any, *names: str) -> None:
  """Makes the named numbers of draws Python integers, and alpha a float, which NumPy's need not be."""
  for name in names:
    value = getattr(procedure, name)
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
      raise InputError(f"{name} must be an integer of at least 1, got {value!r}")
    object.__setattr__(procedure, name, int(value))
  total = sum(getattr(procedure, name) for name in names)
  if total > WORD:
    raise InputError(f"{' + '.join(names)} must be at most 2**32, got {total}")
  object.__setattr__(procedure, "alpha", checked_alpha(procedure.alpha))


def checked_alpha(alpha: float) -> float:
  """Alpha as a Python number; raises InputError if it is none, or above one half, as a confidence is."""
  bounds.check_alpha(alpha)
  if alpha > 0.5:
    raise InputError(
      f"alpha is the probability that an answer is wrong, at most 0.5, got {alpha:g}: for a confidence of "
      f"{alpha:g}, give {1 - alpha:.6g}"
    )
  return float(alpha)


def check_enough(procedure: Any) -> None:
  """Raises InputError for an unknown bound, or where even a unanimous vote of n draws would not certify."""
  bounds.check_bound(procedure.bound)
  n, alpha = procedure.n, procedure.alpha
  smallest = bounds.smallest_n_to_certify(bounds.LOWER_SHARE * alpha if procedure.bound == MULTI else alpha)
  if n < smallest:
    raise InputError(f"n = {n} draws can never certify at alpha = {alpha}: give n >= {smallest}")

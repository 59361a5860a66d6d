"""The outcomes of procedures, for one image and for many at once."""

import dataclasses
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

ABSTAIN = -1


@dataclasses.dataclass(frozen=True)
class Certificates:
  """CERTIFY's answers for some rows, one array element per row.

  Attributes:
    prediction: int64, class of the smoothed classifier, or ABSTAIN (-1).
    radius: float64, certified radius, rounded down; 0 if it abstains.
    selected: int64, the class whose probability was bounded, even if it abstains.
    n_a: int64, estimation draws that voted for it.
    p_lower: float64, lower confidence bound of its probability.
  """

  prediction: NDArray[np.int64]
  radius: NDArray[np.float64]
  selected: NDArray[np.int64]
  n_a: NDArray[np.int64]
  p_lower: NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Predictions:
  """PREDICT's answers for some rows: prediction int64 (ABSTAIN: -1), p_value float64."""

  prediction: NDArray[np.int64]
  p_value: NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Certificate:
  """What CERTIFY found for one image.

  Attributes:
    prediction: class of the smoothed classifier, or ABSTAIN (-1).
    radius: certified radius, for Gaussian noise l2, in units of [0, 1] pixels, rounded down; 0 if it
      abstains. The prediction is constant within the open ball of this radius.
    selected: the class whose probability was bounded, even if it abstains.
    n: estimation draws.
    n_a: how many of them voted for it.
    p_lower: lower confidence bound of its probability.
    votes0, votes: int64[classes], the selection's and the estimation's votes.
    invalid0, invalid: draws among them whose logits were not finite; they voted for no class.
  """

  prediction: int
  radius: float
  selected: int
  n: int
  n_a: int
  p_lower: float
  votes0: NDArray[np.int64]
  votes: NDArray[np.int64]
  invalid0: int
  invalid: int

  @classmethod
  def of_one(
    cls, found: Certificates, votes0: NDArray[np.int64], n0: int, votes: NDArray[np.int64], n: int
  ) -> "Certificate":
    """What was found for one row, from its votes of n0 and n draws."""
    return cls(
      prediction=int(found.prediction[0]),
      radius=float(found.radius[0]),
      selected=int(found.selected[0]),
      n=n,
      n_a=int(found.n_a[0]),
      p_lower=float(found.p_lower[0]),
      votes0=votes0,
      votes=votes,
      invalid0=n0 - int(votes0.sum()),
      invalid=n - int(votes.sum()),
    )


@dataclasses.dataclass(frozen=True)
class Prediction:
  """What PREDICT found for one image.

  Attributes:
    prediction: class of the smoothed classifier, or ABSTAIN (-1).
    p_value: p-value of the two-sided test that the two leading classes are equally likely.
    n: draws.
    votes: int64[classes].
    invalid: draws whose logits were not finite; they voted for no class.
  """

  prediction: int
  p_value: float
  n: int
  votes: NDArray[np.int64]
  invalid: int

  @classmethod
  def of_one(cls, found: Predictions, votes: NDArray[np.int64], n: int) -> "Prediction":
    """What was found for one row, from its votes of n draws."""
    return cls(int(found.prediction[0]), float(found.p_value[0]), n, votes, n - int(votes.sum()))


Outcome: TypeAlias = Certificate | Prediction

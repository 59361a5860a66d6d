"""The exact certificate of a noise that has finitely many draws: each votes once, and there is no alpha.

>>> from rsjax.noise import Columns
>>> procedure = Exact.of(Columns(2), (8, 8, 1))
>>> next(procedure.steps(Columns(2)))
(8,)
"""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from rsjax import bounds
from rsjax.errors import InputError
from rsjax.noise import Noise, is_exact, make_plain
from rsjax.procedures.counts import Counts
from rsjax.procedures.outcomes import ABSTAIN, Certificate, Certificates
from rsjax.procedures.procedure import Steps

EXACT = "exact"  # the `procedure` of a manifest


@dataclasses.dataclass(frozen=True)
class Exact:
  """Every draw of a noise votes once, and the margin between the classes gives the radius.

  Attributes:
    n: how many draws the noise has for images of this shape; `of` knows it.
  """

  n: int

  command: ClassVar[str] = "certify"
  n_varies: ClassVar[bool] = False

  def __post_init__(self) -> None:
    make_plain(self)

  @classmethod
  def of(cls, noise: Noise, image_shape: tuple[int, ...]) -> "Exact":
    """The procedure for a noise and images of (h, w, c).

    Raises:
      InputError: for a noise without exact certificates, or one that cannot certify images of this shape.
    """
    bounds.check_exact_noise(noise)
    return cls(noise.passes(image_shape))  # type: ignore[attr-defined]

  @property
  def most_draws(self) -> int:
    return self.n

  def settings(self) -> dict[str, Any]:
    return {"procedure": EXACT, "n": self.n}

  def check(self, noise: Noise) -> None:
    """Raises InputError for a noise without exact certificates."""
    bounds.check_exact_noise(noise)

  def steps(self, noise: Noise) -> Steps:
    self.check(noise)
    (votes,) = yield (self.n,)
    found = certify_exactly(Counts.of_one(votes, self.n), noise)
    return Certificate.of_one(found, np.zeros_like(votes), 0, votes, self.n)


def certify_exactly(votes: Counts, noise: Noise) -> Certificates:
  """The answers and exact radii of votes, each row's of all draws of the noise.

  A draw that voted for no class, because its logits were not finite, may be anybody's: it counts for every
  other class. A row abstains only where such draws leave open which class leads. `p_lower` is the share of the
  leading class, which is exact.
  """
  leaders = votes.leaders()
  selected = np.maximum(leaders, 0)
  n_a, n = votes.of(selected), votes.draws()
  spare = bounds.votes_to_spare(n_a, votes.strongest_rival(selected))
  prediction = np.where((spare >= 0) & (leaders >= 0), selected, ABSTAIN)
  return Certificates(prediction, bounds.exact_radius(spare, noise), selected, n_a, n_a / np.maximum(n, 1))


def check_random(procedure: Any, noise: Noise) -> None:
  """Refuses a procedure that draws at random for a noise whose certificates are exact.

  Raises:
    InputError: then.
  """
  if is_exact(noise):
    raise InputError(
      f"{noise.name} noise is certified exactly, from all of its draws: {type(procedure).__name__}, for draws "
      "that are random, does not apply; certify gives the class, too"
    )

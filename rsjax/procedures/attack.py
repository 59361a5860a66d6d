"""An attack on the smoothed classifier: its settings, how each point that it finds is verified, its outcome.

  >>> attack = Attack((0.25, 0.5), method="both")
  >>> attack.verifications  # the image itself, and two points for each radius
  5
  >>> attack.verification.alpha == attack.alpha / 5
  True

A point counts as an adversarial example only if PREDICT answers a class other than the label there, from draws
that the attack did not see. Several points of an image are verified, so that they share alpha: with probability
at least 1 - alpha, none of an image's verified answers is wrong.
"""

import dataclasses
import functools
import math
from collections.abc import Iterable
from typing import Any, ClassVar, Literal

from rsjax.bounds import RADIUS_DIGITS
from rsjax.errors import InputError
from rsjax.noise import WORD, Noise, is_number, make_plain
from rsjax.procedures.fixed import check_draws
from rsjax.procedures.outcomes import Prediction
from rsjax.procedures.procedure import Steps
from rsjax.procedures.sequential import CertifyByLooks, PredictByLooks

METHODS = ("pgd", "ddn")
NONE = math.inf  # the distance of an image for which no adversarial example was found
FIRST_DRAW = 2**31  # the number of the first draw of the attack; verification's numbers are below it
_MOST = 2**20  # gradient steps, and noisy copies
_FIRST_LOOK = CertifyByLooks.first  # draws; few points are settled by less, at a share of alpha


@dataclasses.dataclass(frozen=True)
class Attack:
  """For each radius in turn, a point within it is searched, and verified, until one is an adversarial example.

  Attributes:
    radii: l2 radii, increasing, in units of [0, 1] pixels, with at most six decimals.
    method: "pgd", "ddn", or "both".
    iterations: gradient steps at each radius.
    noise_vectors: draws of noise over which the attack takes its gradient; the same in all iterations.
    n: draws with which PREDICT verifies a point, at most.
    alpha: probability, per image, with which a verified answer may be wrong.

  Raises:
    InputError: for values out of range, or an n with which no vote could verify a point.
  """

  radii: tuple[float, ...]
  method: Literal["pgd", "ddn", "both"] = "pgd"
  iterations: int = 20
  noise_vectors: int = 64
  n: int = 10_000
  alpha: float = 0.001

  command: ClassVar[str] = "attack"
  norm: ClassVar[str] = "l2"
  n_varies: ClassVar[bool] = True

  def __post_init__(self) -> None:
    make_plain(self)
    if not isinstance(self.radii, Iterable) or isinstance(self.radii, str):
      raise InputError(f"radii must be numbers, got {self.radii!r}")
    radii = tuple(self.radii)
    if not radii or not all(is_number(r) and 0 < r < math.inf for r in radii):
      raise InputError(f"radii must be numbers above 0, got {list(radii)}")
    radii = tuple(map(float, radii))
    if list(radii) != sorted(set(radii)):
      raise InputError(f"radii must increase, got {list(radii)}")
    if odd := [r for r in radii if round(r, RADIUS_DIGITS) != r]:
      raise InputError(f"radii must have at most {RADIUS_DIGITS} decimals, got {odd[0]!r}")
    object.__setattr__(self, "radii", radii)
    if self.method not in (*METHODS, "both"):
      raise InputError(f"method must be pgd, ddn or both, got {self.method!r}")
    for name in ("iterations", "noise_vectors"):
      value = getattr(self, name)
      if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST:
        raise InputError(f"`{name}` must be an integer from 1 to {_MOST:,}, got {value!r}")
    check_draws(self, "n")
    if self.n > FIRST_DRAW:
      raise InputError(f"n must be at most 2**31, from which on the attack's draws are numbered, got {self.n}")
    self.verification  # noqa: B018  (it checks n and alpha)

  @property
  def methods(self) -> tuple[str, ...]:
    """The attacks, by their names."""
    return METHODS if self.method == "both" else (self.method,)

  @property
  def verifications(self) -> int:
    """How many points of an image are verified, at most."""
    return 1 + len(self.radii) * len(self.methods)

  @functools.cached_property
  def verification(self) -> PredictByLooks:
    """What verifies one point."""
    return PredictByLooks(self.n, self.alpha / self.verifications, first=_FIRST_LOOK)

  @property
  def gradient_draws(self) -> int:
    """Draws of which a gradient is taken for one radius."""
    return self.iterations * self.noise_vectors * len(self.methods)

  @property
  def most_draws(self) -> int:
    """Draws of an image at most; one with a gradient counts as three, which is about what it takes."""
    return min(WORD, self.verifications * self.n + 3 * len(self.radii) * self.gradient_draws)

  def settings(self) -> dict[str, Any]:
    return {
      **self.verification.settings(),  # its plan of looks, whose alphas are shared
      "alpha": self.alpha,
      "norm": self.norm,
      "radii": list(self.radii),
      "method": self.method,
      "iterations": self.iterations,
      "noise_vectors": self.noise_vectors,
      "verifications": self.verifications,
    }

  def check(self, noise: Noise) -> None:
    """Raises InputError for a noise that is certified exactly."""
    self.verification.check(noise)

  def steps(self, noise: Noise) -> Steps:
    """PREDICT at one point."""
    return self.verification.steps(noise)


@dataclasses.dataclass(frozen=True)
class Attacked(Prediction):
  """What the attack found for one image: PREDICT's answer at a point, and how far that point is.

  The point is the adversarial example. Where there is none, it is the image itself.

  Attributes:
    epsilon: the smallest radius at which an adversarial example was verified; 0 if the answer for the image
      itself is not the label; `NONE` if there is none.
    norm: the example's l2 distance from the image, rounded up; 0 or `NONE` as for epsilon.
    draws: all draws of this image: of gradients, and of every verification.
  """

  epsilon: float
  norm: float
  draws: int

  @classmethod
  def at(cls, answer: Prediction, epsilon: float, norm: float, draws: int) -> "Attacked":
    """The outcome whose point has this answer."""
    return cls(**vars(answer), epsilon=epsilon, norm=norm, draws=draws)

"""Rules for when to stop drawing copies of an image; they see its votes at the looks of a plan. No JAX.

  >>> plan = bounds.default_plan(100_000, 0.001)
  >>> bool(Radii((0.25,)).stops(0, 99, plan, Gaussian(0.25)))  # 99 of 100 votes: its radius is above 0.25
  True
  >>> bool(Radii((0.25, 0.5)).stops(0, 99, plan, Gaussian(0.25)))  # whether it is above 0.5 is open
  False

A rule changes how many draws are made and how large the certified radius gets, never whether it is right: the
bounds of a plan hold under every rule. Rules look at the votes of the one look alone, so that a row of a result
file, with its n and its votes, says whether it was decided.

A rule is a frozen dataclass with the members of `StopRule`. An image is given up if the votes that may still
come reach what the last look needs with probability `give_up` at most, by a normal approximation with the share
of votes so far.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Hashable, Iterable
from typing import Any, ClassVar, Protocol, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from rsjax import bounds
from rsjax.bounds import MULTI, ONE_SIDED, BoundKind, Plan
from rsjax.errors import InputError
from rsjax.noise import Noise, is_number
from rsjax.procedures import prospects

GIVE_UP = 0.01


class StopRule(Protocol):
  """A frozen dataclass of a rule's numbers, which are checked when it is made.

  Attributes:
    name: the name of the rule in manifests.
  """

  name: ClassVar[str]

  def settings(self) -> dict[str, Any]:
    """The JSON values that describe it in a manifest, including its name as `rule`."""
    ...

  def check(self, plan: Plan, noise: Noise, bound: BoundKind = ONE_SIDED) -> None:
    """Raises InputError if the rule asks for what this plan and noise cannot give."""
    ...

  def stops(
    self, look: int, votes: ArrayLike, plan: Plan, noise: Noise, other: ArrayLike | None = None
  ) -> NDArray[np.bool_]:
    """Whether to stop at a look of the plan that is not the last; elementwise.

    Args:
      look: the number of the look, from 0 on.
      votes: integer array, how many of all draws so far voted for the selected class.
      other: integer array, the largest count among the other classes, where the rule is to go by the
        multi-class radius; None: by the one-sided one.
    """
    ...


@dataclasses.dataclass(frozen=True)
class Anytime:
  """No rule: the plan's last look decides, or an earlier one if the run is ended before it."""

  name: ClassVar[str] = "anytime"

  def settings(self) -> dict[str, Any]:
    return {"rule": self.name}

  def check(self, plan: Plan, noise: Noise, bound: BoundKind = ONE_SIDED) -> None:
    bounds.check_noise(noise)

  def stops(
    self, look: int, votes: ArrayLike, plan: Plan, noise: Noise, other: ArrayLike | None = None
  ) -> NDArray[np.bool_]:
    return np.zeros(np.shape(votes), np.bool_)


@dataclasses.dataclass(frozen=True)
class Radii:
  """Stops when it is known which of some radii are certified; radii that are given up count as not certified.

  An image's own radius is then a lower bound: an image that passes the largest radius is not followed further.

  Attributes:
    radii: increasing, each >= 0, in units of [0, 1] pixels.
    give_up: probability, in [0, 0.5), that the draws saved would still have certified the next radius; 0: it
      gives up only what no further votes can certify.

  Raises:
    InputError: for other values.
  """

  radii: tuple[float, ...]
  give_up: float = GIVE_UP

  name: ClassVar[str] = "radii"

  def __post_init__(self) -> None:
    radii = tuple(self.radii) if isinstance(self.radii, Iterable) else ()
    if not radii or not all(is_number(r) and 0 <= r < math.inf for r in radii):
      raise InputError(f"radii must be numbers >= 0 (in units of [0, 1] pixels), got {self.radii!r}")
    if not all(a < b for a, b in itertools.pairwise(radii)):
      raise InputError(f"radii must be increasing, got {', '.join(map(str, radii))}")
    object.__setattr__(self, "radii", tuple(float(r) for r in radii))
    check_give_up(self)

  def settings(self) -> dict[str, Any]:
    return {"rule": self.name, "radii": list(self.radii), "give_up": self.give_up}

  def check(self, plan: Plan, noise: Noise, bound: BoundKind = ONE_SIDED) -> None:
    """Raises InputError for a radius that no votes certify, naming the largest."""
    n = plan.looks[-1]
    if bound == MULTI:
      largest = float(prospects.radius(n, 0, n, plan, noise))
    else:
      largest = float(bounds.radius(bounds.lower_bound_at_look(n, n, plan), noise))
    if self.radii[-1] >= largest:
      raise InputError(
        f"radii must be below {largest}, which {n:,} unanimous draws certify with this noise, got "
        f"{self.radii[-1]}: give smaller radii, or a larger `n`"
      )

  def stops(
    self, look: int, votes: ArrayLike, plan: Plan, noise: Noise, other: ArrayLike | None = None
  ) -> NDArray[np.bool_]:
    s, n, n_max = np.asarray(votes), plan.looks[look], plan.looks[-1]
    if other is not None:
      radii = np.array(self.radii)
      certified = np.sum(prospects.radius(s, other, n, plan, noise)[..., None] > radii, axis=-1)
      following = radii[np.minimum(certified, len(radii) - 1)]
      ended = prospects.hopeless(s, other, n, plan, noise, following, self.give_up)
      return (certified == len(radii)) | ended
    needed = _needed(self.radii, plan, cast(Hashable, noise))
    certified = np.sum(s[..., None] >= needed[look], axis=-1)
    next_radius = np.minimum(certified, len(self.radii) - 1)
    return (certified == len(self.radii)) | hopeless(s, n, n_max, needed[-1][next_radius], self.give_up)


@dataclasses.dataclass(frozen=True)
class Tolerance:
  """Stops when the radius is within a tolerance of what all n draws are expected to certify.

  The expected radius is that of the same share of votes in n draws, with n fixed beforehand. The tolerance is
  relative, and at least the floor. It holds on average, not image by image: both radii are random.

  Attributes:
    relative: share of the expected radius, in [0, 1).
    floor: least tolerance, >= 0, in units of sigma of Gaussian noise; one of the two is positive.
    give_up: as in `Radii`, for radius 0: an image that is expected to abstain is given up.

  Raises:
    InputError: for other values.
  """

  relative: float = 0.05
  floor: float = 0.02
  give_up: float = GIVE_UP

  name: ClassVar[str] = "tolerance"

  def __post_init__(self) -> None:
    if not (is_number(self.relative) and 0 <= self.relative < 1):
      raise InputError(f"the tolerance must be a share of the radius below 1, got {self.relative!r}")
    if not (is_number(self.floor) and 0 <= self.floor < math.inf):
      raise InputError(f"the tolerance's floor must be a number >= 0 (in units of sigma), got {self.floor!r}")
    if self.relative == self.floor == 0:
      raise InputError("a tolerance of 0 never stops drawing: give a larger one, or no rule for stopping")
    for name in ("relative", "floor"):
      object.__setattr__(self, name, float(getattr(self, name)))
    check_give_up(self)

  def settings(self) -> dict[str, Any]:
    return {"rule": self.name, "relative": self.relative, "floor": self.floor, "give_up": self.give_up}

  def check(self, plan: Plan, noise: Noise, bound: BoundKind = ONE_SIDED) -> None:
    bounds.check_noise(noise)
    if noise.norm != "l2":
      raise InputError(f"tolerance is for Gaussian and grid noise only, not for {noise.name} noise: give radii")

  def stops(
    self, look: int, votes: ArrayLike, plan: Plan, noise: Noise, other: ArrayLike | None = None
  ) -> NDArray[np.bool_]:
    s, n, n_max = np.asarray(votes), plan.looks[look], plan.looks[-1]
    now, expected = self.distances(s, n, plan) if other is None else prospects.distances(s, other, n, plan)
    close = now >= expected - np.maximum(self.floor, self.relative * expected)
    if other is not None:
      return np.where(now > 0, close, prospects.hopeless(s, other, n, plan, noise, 0.0, self.give_up))
    needed = _needed((0.0,), plan, cast(Hashable, noise))[-1, 0]
    return np.where(now > 0, close, hopeless(s, n, n_max, needed, self.give_up))

  @staticmethod
  def distances(votes: ArrayLike, n: int, plan: Plan) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The bound now, and the one expected after all draws, as quantiles of the normal distribution."""
    s, n_max = np.asarray(votes), plan.looks[-1]
    x = np.maximum(s, 1) * n_max / n
    expected = special.betaincinv(x, n_max - x + 1, plan.cumulative[-1])
    return special.ndtri(bounds.lower_bound_at_look(s, n, plan)), special.ndtri(expected)


def hopeless(
  votes: ArrayLike, n: ArrayLike, n_max: ArrayLike, needed: ArrayLike, give_up: float
) -> NDArray[np.bool_]:
  """Whether too few further votes are expected to reach what is needed; elementwise.

  Args:
    votes: votes for the class so far.
    n: draws so far, >= 1.
    n_max: draws of the last look.
    needed: votes that the last look needs.
    give_up: probability, in [0, 0.5), of reaching them that is not worth the draws; 0: only if they cannot be
      reached.
  """
  s, draws, last, target = (np.asarray(x) for x in (votes, n, n_max, needed))
  more = last - draws
  impossible = np.asarray(target > s + more)
  if not give_up:
    return impossible
  q = (s + 0.5) / (draws + 1)
  lacking = target - 0.5 - s - more * q
  spread = np.sqrt(more * q * (1 - q) * last / draws)
  return impossible | (lacking > -special.ndtri(give_up) * spread)


@functools.lru_cache(maxsize=32)
def _needed(radii: tuple[float, ...], plan: Plan, noise: Any) -> NDArray[np.int64]:
  """int64[looks, radii]: the fewest votes that certify each radius at each look."""
  return np.stack([bounds.votes_to_certify(r, plan, noise) for r in radii], axis=1)


def check_give_up(rule: Any) -> None:
  """Makes `give_up` a float; refuses anything but a probability below one half."""
  if not (is_number(rule.give_up) and 0 <= float(rule.give_up) < 0.5):
    raise InputError(f"give_up must be a probability of at least 0 and below 0.5, got {rule.give_up!r}")
  object.__setattr__(rule, "give_up", float(rule.give_up))

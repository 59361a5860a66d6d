"""The interface of every procedure."""

from collections.abc import Generator
from typing import Any, ClassVar, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rsjax.noise import Noise
from rsjax.procedures.outcomes import Outcome

# Yields how many fresh draws it wants, in one or several groups; is sent each group's int64[classes] votes.
Steps: TypeAlias = Generator[tuple[int, ...], tuple[NDArray[np.int64], ...], Outcome]


class EndNow(Exception):
  """Thrown into `Steps` that wait for votes: they return the outcome of their last look, or let it through."""


def end_now(steps: Steps) -> Outcome | None:
  """Ends steps that wait for votes, because no more votes will come; the steps must not be used again.

  Returns:
    The outcome of the last look, which is as valid as that of any other; None if there was none, because no
    look has been passed or the number of draws is fixed.
  """
  try:
    steps.throw(EndNow())
  except StopIteration as end:
    return end.value
  except EndNow:
    pass
  return None


class Procedure(Protocol):
  """A frozen dataclass of settings, which are checked when it is made.

  Attributes:
    command: "certify" or "predict": which kind of outcome, and of result file.
    n_varies: whether images may end after different numbers of draws.
    most_draws: how many draws an image takes at most, selection included.

  A method `check(noise)` refuses a noise that the procedure is not for, before anything is drawn.
  """

  command: ClassVar[str]
  n_varies: ClassVar[bool]

  @property
  def most_draws(self) -> int: ...

  def settings(self) -> dict[str, Any]:
    """The JSON values that describe it in a manifest and fix its answers."""
    ...

  def steps(self, noise: Noise) -> Steps:
    """The procedure for one image.

    Each `yield` asks for fresh draws: `votes0, votes = yield n0, n` receives the votes of n0 draws and of n
    others. A draw whose logits are not finite votes for no class, so a group's votes may sum to less. If images
    may end after different numbers of draws, `end_now` ends the steps at the last look that was passed.
    """
    ...

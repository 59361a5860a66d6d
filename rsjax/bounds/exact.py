"""Exact certified radii, from how many votes may change; NumPy only. No probability is involved.

  >>> float(exact_radius(255, Splitting(3.5))), float(exact_radius(5, Columns(4)))
  (1.0, 2.0)

The smoothed classifier answers the class for which most of all draws of the noise vote, the lowest at a tie.
If it is ahead of every other class by 2 k votes, and of lower classes by one more, then no k votes that change
make another class lead.

The radius is that of the CLOSED ball: an image at exactly this distance has the same answer, too.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rsjax.bounds.radii import RADIUS_DIGITS, round_down
from rsjax.errors import InputError
from rsjax.noise import Columns, Noise, Splitting
from rsjax.noise.splitting import LEVELS


def votes_to_spare(votes: ArrayLike, rival: ArrayLike) -> NDArray[np.int64]:
  """How many votes may change without another class leading; -1 if another leads, or may lead, already.

  Args:
    votes: int64 array, those of the leading class.
    rival: int64 array, the most of any other class, and one more if it wins a tie.
  """
  ahead = np.asarray(votes, np.int64) - np.asarray(rival, np.int64)
  return np.where(ahead >= 0, ahead // 2, -1)


def exact_radius(spare: ArrayLike, noise: Noise) -> NDArray[np.float64]:
  """The certified radius where `spare` votes may change, rounded down; 0 if there are none to spare.

  Args:
    spare: int64 array, from `votes_to_spare`.
    noise: an exact noise, all draws of which voted.

  Returns:
    float64: for splitting noise the l1 radius, in units of [0, 1] pixels; for column ablation the width of the
    widest patch, in pixels.

  Raises:
    InputError: for another noise.
  """
  check_exact_noise(noise)
  return _RADII[type(noise)](np.maximum(np.asarray(spare, np.int64), 0), noise)


def check_exact_noise(noise: Noise) -> None:
  """Raises InputError unless `noise` is one whose certificates are exact."""
  if type(noise) not in _RADII:
    raise InputError(f"{noise.name} noise has no exact certificates: give Splitting(sigma) or Columns(band)")


def _splitting(spare: NDArray[np.int64], noise: Splitting) -> NDArray[np.float64]:
  """A grey level of a pixel is one vote."""
  return round_down(spare / LEVELS, RADIUS_DIGITS)


def _columns(spare: NDArray[np.int64], noise: Columns) -> NDArray[np.float64]:
  """A patch of m columns meets m + band - 1 bands."""
  return np.maximum(spare - noise.band + 1, 0).astype(np.float64)


_RADII: dict[type, Callable[[NDArray[np.int64], Any], NDArray[np.float64]]] = {
  Splitting: _splitting,
  Columns: _columns,
}

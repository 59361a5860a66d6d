"""The votes of many rows, stored sparsely: only classes that have votes take space."""

import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray


@dataclasses.dataclass(frozen=True)
class Counts:
  """Votes of some rows, each for some classes.

  Attributes:
    classes, votes: int64[k], the pairs of all rows, one row after another, each row's classes ascending.
    ends: int64[rows], where each row's pairs end.
    invalid: int64[rows], draws that voted for no class.
  """

  classes: NDArray[np.int64]
  votes: NDArray[np.int64]
  ends: NDArray[np.int64]
  invalid: NDArray[np.int64]

  @classmethod
  def of_one(cls, votes: NDArray[np.int64], draws: int) -> "Counts":
    """One row, from its int64[classes] votes and the number of draws made."""
    classes = np.flatnonzero(votes)
    invalid = np.array([draws - int(votes.sum())], np.int64)
    return cls(classes, votes[classes], np.array([len(classes)], np.int64), invalid)

  def __len__(self) -> int:
    return len(self.ends)

  @functools.cached_property
  def starts(self) -> NDArray[np.int64]:
    """int64[rows], where each row's pairs begin."""
    return np.concatenate([np.zeros(1, np.int64), self.ends])[:-1]

  @functools.cached_property
  def _row(self) -> NDArray[np.int64]:
    """int64[k], the row of each pair."""
    return np.repeat(np.arange(len(self)), self.ends - self.starts)

  def draws(self) -> NDArray[np.int64]:
    """int64[rows], the number of draws of each row, including invalid ones."""
    total = self.invalid.copy()
    np.add.at(total, self._row, self.votes)
    return total

  def of(self, classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64[rows], each row's votes for its own one of `classes`, int64[rows]."""
    found = np.zeros(len(self), np.int64)
    chosen = self.classes == classes[self._row]
    found[self._row[chosen]] = self.votes[chosen]
    return found

  def strongest_other(self, classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64[rows], the largest count of each row besides its own one of `classes`; the invalid are one, too."""
    found = self.invalid.copy()
    others = self.classes != classes[self._row]
    np.maximum.at(found, self._row[others], self.votes[others])
    return found

  def strongest_rival(self, classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64[rows], how many votes each row's own one of `classes` needs for no other class to lead.

    This is the largest count of the others, and one more for a lower class, which wins a tie, even without any
    votes. Invalid draws count for the others.
    """
    found = (classes > 0).astype(np.int64)
    own = classes[self._row]
    others = self.classes != own
    np.maximum.at(found, self._row[others], (self.votes + (self.classes < own))[others])
    return found + self.invalid

  def largest_others(self, classes: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """int64[rows, k], the largest counts of each row besides its own one of `classes`; the invalid are one."""
    others = self.classes != classes[self._row]
    rows = np.concatenate([self._row[others], np.arange(len(self))])
    votes = np.concatenate([self.votes[others], self.invalid])
    order = np.lexsort((-votes, rows))
    rows, votes = rows[order], votes[order]
    place = np.arange(len(rows)) - np.searchsorted(rows, rows)
    found = np.zeros((len(self), k), np.int64)
    kept = place < k
    found[rows[kept], place[kept]] = votes[kept]
    return found

  @functools.cached_property
  def _by_votes(self) -> NDArray[np.int64]:
    """int64[k], the pairs with each row's largest count first; at a tie the lowest class."""
    return np.lexsort((self.classes, -self.votes, self._row))

  def leaders(self) -> NDArray[np.int64]:
    """int64[rows], each row's class of most votes, the lowest at a tie; -1 if there are no votes."""
    return self._at(self.classes, 0, -1)

  def largest(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The largest and the second largest count of each row, int64[rows] each; 0 if there is none."""
    return self._at(self.votes, 0, 0), self._at(self.votes, 1, 0)

  def _at(self, values: NDArray[np.int64], place: int, default: int) -> NDArray[np.int64]:
    """int64[rows]: the value of the pair at a place of each row, by votes."""
    found = np.full(len(self), default, np.int64)
    there = self.starts + place < self.ends
    found[there] = values[self._by_votes[self.starts[there] + place]]
    return found

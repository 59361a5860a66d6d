"""Votes as the text in a row, and back.

>>> format_votes(np.array([0, 3, 0, 97]), invalid=5)
'1:3,3:97,invalid:5'
>>> parse_votes("1:3,3:97,invalid:5")
(array([1, 3]), array([ 3, 97]), 5)
"""

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from rsjax.procedures import Counts

_TOO_LARGE = re.compile(r"\d{19}")
INVALID = "invalid"  # the name under which draws that voted for nobody stand among the votes
NO_VOTES = "-"


def format_votes(votes: NDArray[np.int64], invalid: int) -> str:
  """Sparse votes as text: `3:99871,8:120,invalid:9`; `-` if there are none."""
  classes = np.flatnonzero(votes)
  return _text(classes.tolist(), votes[classes].tolist(), invalid)


def format_counts(counts: Counts) -> list[str]:
  """The text of each row of `counts`."""
  rows = zip(counts.starts.tolist(), counts.ends.tolist(), counts.invalid.tolist())
  return [
    _text(counts.classes[start:end].tolist(), counts.votes[start:end].tolist(), invalid)
    for start, end, invalid in rows
  ]


def _text(classes: list[int], votes: list[int], invalid: int) -> str:
  words = [f"{c}:{k}" for c, k in zip(classes, votes) if k]
  return ",".join(words + ([f"{INVALID}:{invalid}"] if invalid else [])) or NO_VOTES


def parse_column(texts: Iterable[str]) -> Counts:
  """The votes of many rows, from each row's text.

  Raises:
    ValueError: for text that is not votes.
  """
  rows = [parse_votes(text) for text in texts]
  none = [np.zeros(0, np.int64)]
  return Counts(
    np.concatenate(none + [classes for classes, _, _ in rows]),
    np.concatenate(none + [votes for _, votes, _ in rows]),
    np.cumsum([len(classes) for classes, _, _ in rows], dtype=np.int64),
    np.array([invalid for _, _, invalid in rows], np.int64),
  )


def parse_votes(text: str) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
  """(classes int64[k], ascending, their counts int64[k], invalid draws) from `format_votes`' text.

  Raises:
    ValueError: for any other text.
  """
  if _TOO_LARGE.search(text):
    raise ValueError(f"not votes, of which no image has 10**18: {text[:40]}")
  pairs, sign, last = text.rpartition(f"{INVALID}:")
  if sign and last.isdecimal() and (not pairs or (len(pairs) > 1 and pairs[-1] == ",")):
    pairs, invalid = pairs[:-1], int(last)
  else:
    pairs, invalid = "" if text == NO_VOTES else text, 0
  if not pairs and text:
    return np.zeros(0, np.int64), np.zeros(0, np.int64), invalid
  # a thousand classes an image are many: no regular expression, no loop
  signs = pairs.encode().translate(None, b"0123456789")
  if (
    signs != (b":," * len(signs))[: len(signs)]
    or len(signs) % 2 == 0
    or ":," in pairs
    or ",:" in pairs
    or (pairs[0] + pairs[-1]).strip("0123456789")
  ):
    raise ValueError(f"not votes: {text[:40]}")
  numbers = np.fromstring(pairs.replace(":", ","), np.int64, sep=",")
  if (np.diff(numbers[::2]) <= 0).any():
    raise ValueError(f"not votes of each class once, in order: {text[:40]}")
  return numbers[::2], numbers[1::2], invalid

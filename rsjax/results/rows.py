"""What stands in a row of a result file, and as what text."""

import numpy as np

from rsjax.bounds import RADIUS_DIGITS, round_down

CERTIFY_COLUMNS = ("idx", "label", "predict", "radius", "correct", "time", "nA", "pABar", "votes0", "votes")
PREDICT_COLUMNS = ("idx", "label", "predict", "correct", "time", "pvalue", "votes")
INVALID = "invalid"  # the name under which draws that voted for nobody stand among the votes
_P_DIGITS = 10


def certify_row(certificate, label, seconds):
  """The row, a dict of column to text, of a `smoothing.Certificate`."""
  c = certificate
  return {
    "idx": c.index,
    "label": label,
    "predict": c.prediction,
    "radius": f"{c.radius:.{RADIUS_DIGITS}f}",
    "correct": int(c.prediction == label),
    "time": f"{seconds:.3f}",
    "nA": c.n_a,
    "pABar": f"{round_down(c.p_lower, _P_DIGITS):.{_P_DIGITS}f}",
    "votes0": format_votes(c.votes0, c.invalid0),
    "votes": format_votes(c.votes, c.invalid),
  }


def predict_row(prediction, label, seconds):
  """The row of a `smoothing.Prediction`."""
  p = prediction
  return {
    "idx": p.index,
    "label": label,
    "predict": p.prediction,
    "correct": int(p.prediction == label),
    "time": f"{seconds:.3f}",
    "pvalue": f"{p.p_value:.6e}",
    "votes": format_votes(p.votes, p.invalid),
  }


def format_votes(votes, invalid):
  """Sparse votes as text: `3:99871,8:120,invalid:9`; `-` where there are none."""
  pairs = [f"{c}:{votes[c]}" for c in np.flatnonzero(votes)]
  return ",".join(pairs + [f"{INVALID}:{invalid}"] * (invalid > 0)) or "-"


def parse_votes(text):
  """(classes int64[k], ascending, their counts int64[k], invalid draws) from `format_votes`' text.

  Raises:
    ValueError: for any other text.
  """
  pairs, sign, invalid = text.rpartition(f"{INVALID}:")
  if sign and invalid.isdecimal() and (not pairs or (len(pairs) > 1 and pairs[-1] == ",")):
    pairs, invalid = pairs[:-1], int(invalid)
  else:
    pairs, invalid = text.removeprefix("-") if text == "-" else text, 0
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

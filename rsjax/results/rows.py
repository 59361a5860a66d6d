"""The columns of a result file, and their values as text."""

from collections.abc import Callable, Sequence
from typing import Any

from rsjax.bounds import RADIUS_DIGITS, round_down
from rsjax.procedures import Certificate, Outcome, Procedure
from rsjax.results.votes import format_votes

CERTIFY_COLUMNS = ("idx", "label", "predict", "radius", "correct", "time", "nA", "pABar", "votes0", "votes")
PREDICT_COLUMNS = ("idx", "label", "predict", "correct", "time", "pvalue", "votes")

_P_DIGITS = 10
# How numbers stand in a file; what is not named stands as Python prints it.
_FORMATS: dict[str, Callable[[Any], str]] = {
  "radius": lambda v: f"{v:.{RADIUS_DIGITS}f}",
  "time": lambda v: f"{v:.3f}",
  "pABar": lambda v: f"{round_down(v, _P_DIGITS):.{_P_DIGITS}f}",
  "pvalue": lambda v: f"{v:.6e}",
}


def with_n(columns: Sequence[str]) -> tuple[str, ...]:
  """The columns of a file whose rows may each have their own number of draws: `n` follows the paper's."""
  place = columns.index("time") + 1
  return (*columns[:place], "n", *columns[place:])


def columns_of(procedure: Procedure) -> tuple[str, ...]:
  """The columns of a file of a procedure's outcomes."""
  columns = CERTIFY_COLUMNS if procedure.command == "certify" else PREDICT_COLUMNS
  return with_n(columns) if procedure.n_varies else columns


def row_of(index: int, outcome: Outcome, label: int, seconds: float) -> dict[str, str]:
  """The row of an image's outcome: column to text, including `n`, whether or not a file has that column."""
  values: dict[str, Any] = {
    "idx": index,
    "label": label,
    "predict": outcome.prediction,
    "correct": int(outcome.prediction == label),
    "time": seconds,
    "n": outcome.n,
    "votes": format_votes(outcome.votes, outcome.invalid),
  }
  if isinstance(outcome, Certificate):
    values |= {
      "radius": outcome.radius,
      "nA": outcome.n_a,
      "pABar": outcome.p_lower,
      "votes0": format_votes(outcome.votes0, outcome.invalid0),
    }
  else:
    values["pvalue"] = outcome.p_value
  return {name: cell(name, value) for name, value in values.items()}


def cell(name: str, value: Any) -> str:
  """A value of a column as text in a file; bounds and radii are rounded down."""
  return _FORMATS.get(name, str)(value)

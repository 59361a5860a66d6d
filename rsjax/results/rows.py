"""The columns of a result file, and their values as text."""

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

from rsjax.bounds import RADIUS_DIGITS, round_down
from rsjax.procedures import Attacked, Certificate, Outcome, Procedure
from rsjax.results.votes import format_votes

CERTIFY_COLUMNS = ("idx", "label", "predict", "radius", "correct", "time", "nA", "pABar", "votes0", "votes")
PREDICT_COLUMNS = ("idx", "label", "predict", "correct", "time", "pvalue", "votes")
ATTACK_COLUMNS = (
  *("idx", "label", "predict", "epsilon", "norm", "correct", "time", "n", "draws", "pvalue", "votes"),
)
NONE = "none"  # how the distance of an adversarial example stands where none was found
DISTANCES = ("epsilon", "norm")

_P_DIGITS = 10
# How numbers stand in a file; what is not named stands as Python prints it.
_FORMATS: dict[str, Callable[[Any], str]] = {
  "radius": lambda v: f"{v:.{RADIUS_DIGITS}f}",
  "time": lambda v: f"{v:.3f}",
  "pABar": lambda v: f"{round_down(v, _P_DIGITS):.{_P_DIGITS}f}",
  "pvalue": lambda v: f"{v:.6e}",
  **dict.fromkeys(DISTANCES, lambda v: NONE if v == math.inf else f"{v:.{RADIUS_DIGITS}f}"),
}
_OF_COMMAND = {"certify": CERTIFY_COLUMNS, "predict": PREDICT_COLUMNS, "attack": ATTACK_COLUMNS}


def with_n(columns: Sequence[str]) -> tuple[str, ...]:
  """The columns of a file whose rows may each have their own number of draws: `n` follows the paper's."""
  place = columns.index("time") + 1
  return tuple(columns) if "n" in columns else (*columns[:place], "n", *columns[place:])


def command_of(columns: Collection[str]) -> str:
  """Which command writes files of these columns: "certify", "predict" or "attack"."""
  return "attack" if "epsilon" in columns else "certify" if "radius" in columns else "predict"


def of_command(command: str) -> tuple[str, ...]:
  """The columns of a command's files whose rows all have the same number of draws."""
  return _OF_COMMAND[command]


def columns_of(procedure: Procedure) -> tuple[str, ...]:
  """The columns of a file of a procedure's outcomes."""
  columns = of_command(procedure.command)
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
  if isinstance(outcome, Attacked):
    values |= {"epsilon": outcome.epsilon, "norm": outcome.norm, "draws": outcome.draws}
  return {name: cell(name, value) for name, value in values.items()}


def cell(name: str, value: Any) -> str:
  """A value of a column as text in a file; bounds and radii are rounded down."""
  return _FORMATS.get(name, str)(value)

"""Numbers of `tables.summarize` as text; what is guaranteed as a lower bound is rounded down.

>>> row = {"images": 500, "norm": "l2", "ACR": 0.47165, "ACR_is_lower_bound": True}
>>> accuracy(row, 0.4556), at_least(row, 0.4556), acr(row)
('0.46', '0.45', '0.471')
"""

from typing import Any

from rsjax import bounds
from rsjax.errors import InputError

_MANY = 1000  # images, from which on a third decimal is shown


def accuracy(row: dict[str, Any], value: float) -> str:
  """An accuracy, with as many decimals as the number of images justifies."""
  return f"{value:.{decimals(row)}f}"


def at_least(row: dict[str, Any], value: float) -> str:
  """An accuracy that is guaranteed as a lower bound, with the same decimals."""
  return f"{bounds.round_down(value, decimals(row)):.{decimals(row)}f}"


def radius(row: dict[str, Any], value: float | None) -> str:
  """An ACR or an end of its interval, None: not known; l-infinity radii are small, and have more decimals."""
  return "?" if value is None else f"{value:.{_places(row)}f}"


def acr(row: dict[str, Any], at_least: str = "") -> str:
  """The ACR of a row, after `at_least` if it is a lower bound, because images stopped at grid radii."""
  value = bounds.round_down(row["ACR"], _places(row)) if row["ACR_is_lower_bound"] else row["ACR"]
  return f"{at_least if row['ACR_is_lower_bound'] else ''}{radius(row, float(value))}"


def check_alike(rows: list[dict[str, Any]]) -> None:
  """Raises InputError if there are no rows, or rows of several calls of `summarize` that make no table."""
  if not rows:
    raise InputError("a table needs at least one row, got none")
  for key in ("radii", "norm", "unit", "rule", "confidence", "rho"):
    for row in rows[1:]:
      if row.get(key) != rows[0].get(key):
        raise InputError(
          f"rows whose {key} differs make no table, got {rows[0].get(key)} and {row.get(key)}: give all files "
          "to one call of summarize"
        )


def radii(rows: list[dict[str, Any]]) -> list[str]:
  """The radii of a table's columns, with as many digits as tell them apart; all rows must have the same."""
  check_alike(rows)
  given = rows[0]["radii"]
  for digits in range(6, 18):
    texts = [f"{r:.{digits}g}" for r in given]
    if len(set(texts)) == len(set(given)):
      break
  return texts


def in_markdown(name: str) -> str:
  """A name as one cell of a table in Markdown."""
  return name.replace("|", r"\|")


def decimals(row: dict[str, Any]) -> int:
  """How many decimals of an accuracy are shown."""
  return 3 if row["images"] >= _MANY else 2


def _places(row: dict[str, Any]) -> int:
  return 5 if row["norm"] == "linf" else 3


def draws(row: dict[str, Any]) -> str:
  """The mean number of draws per image; empty if not known."""
  return "" if row["draws"] is None else f"{row['draws']:,.0f}"


def for_all(row: dict[str, Any]) -> str:
  """The name of the line for what is certified for all images at once."""
  return f"for all, {1 - row['rho']:g}"


def confidence(row: dict[str, Any]) -> str:
  """The confidence level of the intervals."""
  return f"{100 * row['confidence']:.6g} %"

"""What of certificates a reader would else take for granted: another norm, unit or alpha, or few draws.

>>> unusual({"norm": "linf", "alpha": 0.001, "n": 20})
['linf radius', 'n = 20']
"""

from collections.abc import Sequence
from typing import Any

from rsjax.analysis.labels import PIXELS, norm_words
from rsjax.analysis.statistics import USUAL_ALPHA

_FEW = 1000  # draws, below which n is told


def unusual(known: dict[str, Any]) -> list[str]:
  """The norm if it is not l2, the unit if it is not that of pixels, and what `chance` tells.

  Args:
    known: `labels.facts` of a file, or a row of `tables.summarize`; norm None: there are no radii.
  """
  norm, unit = known.get("norm"), known.get("unit", PIXELS)
  told = [] if norm in (None, "l2") else [norm_words(norm)]
  return told + ([] if norm is None or unit == PIXELS else [f"radii {unit}"]) + chance(known)


def chance(known: dict[str, Any]) -> list[str]:
  """The alpha if it is not 0.001, and n if it is below 1,000."""
  alpha, n = known.get("alpha"), known.get("n")
  told = [f"alpha = {alpha:g}"] if isinstance(alpha, float) and alpha != USUAL_ALPHA else []
  return told + ([f"n = {n}"] if isinstance(n, int) and n < _FEW else [])


def below_a_table(rows: Sequence[dict[str, Any]]) -> list[str]:
  """The lines below a table of these rows of `summarize`: what all have in common, then what only some have."""
  common = [text for text in unusual(rows[0]) if all(text in unusual(row) for row in rows)]
  lines = [", ".join(common)] if common else []
  for row in rows:
    own = [text for text in unusual(row) if text not in common and text not in row["name"]]
    lines += [f"{row['name']}: {', '.join(own)}"] if own else []
  return lines

"""What speaks against the numbers of a file without a manifest, which would say how it was made and of what.

>>> of_foreign(results.read("out.tsv"), 0.5)
[]
"""

import numpy as np

from rsjax.analysis.spacing import looks_cut, order_and_gaps
from rsjax.analysis.statistics import counted
from rsjax.results import Results, plural


def of_foreign(results: Results, radius: float, rule: str = "open", spare: int = 0) -> list[str]:
  """One sentence each; [] for a file with a manifest, which `contradictions` is for.

  Args:
    results: a file.
    radius, rule: those of a claim, for which rows of radius 0 may count.
    spare: how many of the rows that count the claim does not need.
  """
  if results.expected is not None:
    return []
  found = [*results.manifest["about"].get("doubts", ()), *of_images(results)]
  counting = counted(results, radius, rule)
  unproved = counting & (results.columns["radius"] == 0)
  if unproved.any():
    rows = plural(int(unproved.sum()), "row that counts has", "rows that count have")
    found.append(f"{rows} radius 0, which proves nothing")
  rounded = counting & (results.columns["radius"] - results.manifest["about"].get("rounding", 0.0) < radius)
  if spare >= 0 and rounded.sum() > spare:
    rows = plural(int(rounded.sum()), "row counts", "rows count")
    found.append(f"{rows} perhaps only because radii were rounded upwards, and the claim needs some of them")
  return found


def of_images(results: Results) -> list[str]:
  """What the images of a file without a manifest suggest: gaps, a late start, an early end."""
  if results.expected is not None:
    return []
  return [*order_and_gaps(np.sort(results.columns["idx"])), *(cut for cut in looks_cut([results]) if cut)]

"""Whether the best of a table's column is clear of the next: tests of two files, on the images in common."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsjax import bounds
from rsjax.analysis import looks
from rsjax.analysis.labels import all_facts, same_data
from rsjax.analysis.statistics import average_certified_radius, counted, counted_radii
from rsjax.results import Results

_CHANCE, _BEHIND = "which may be chance", "but behind it on the images that both have"


def too_close(
  files: Sequence[Results], names: Sequence[str], radii: Sequence[float], rule: str, confidence: float
) -> Iterator[str]:
  """Of the best in a column, and of the best ACR, where it is not clear of the next, of the same data set."""
  if len(files) < 2:
    return
  known = all_facts(files)
  told: dict[tuple[int, int, str], list[str]] = {}
  for radius in radii:
    right = [counted(f, radius, rule) for f in files]
    second, best = np.argsort([r.mean() for r in right], kind="stable")[-2:]
    if right[best].mean() == right[second].mean() or not same_data(known[best], known[second]):
      continue
    doubt = _doubt(files[best], files[second], right[best], right[second], _p_of_accuracies, confidence)
    if doubt is not None:
      told.setdefault((best, second, doubt[0]), []).append(f"{radius:g} ({doubt[1]})")
  for (best, second, text), where in told.items():
    yield f"at radius {', '.join(where)}, {names[best]} is ahead of {names[second]}, {text}"
  if any(looks.grid_radii(f.settings) for f in files):
    return  # their ACR is a lower bound, which says nothing of the order
  acr = [average_certified_radius(f) for f in files]
  second, best = np.argsort(acr, kind="stable")[-2:]
  if acr[best] == acr[second] or not same_data(known[best], known[second]):
    return
  one, other = counted_radii(files[best]), counted_radii(files[second])
  doubt = _doubt(files[best], files[second], one, other, _p_of_radii, confidence)
  if doubt is not None:
    yield f"in ACR, {names[best]} is ahead of {names[second]}, {doubt[0]} ({doubt[1]})"


def _doubt(
  best: Results,
  second: Results,
  values: NDArray[Any],
  others: NDArray[Any],
  p_value: Callable[..., float],
  confidence: float,
) -> tuple[str, str] | None:
  """What speaks against the order of two files, and the numbers that show it; None if nothing does.

  values, others: [rows], what each row adds to the files' sums. Files whose labels differ are not tested.
  """
  _, ours, theirs = np.intersect1d(best.columns["idx"], second.columns["idx"], return_indices=True)
  if not np.array_equal(best.columns["label"][ours], second.columns["label"][theirs]):
    return None
  if len(ours) and (mean := values[ours].mean()) < (other := others[theirs].mean()):
    return _BEHIND, f"{mean:.3f} against {other:.3f} on the same images"
  p = p_value(values, others, ours, theirs)
  return (_CHANCE, f"p = {p:.2g}") if p > 1 - confidence else None


def _p_of_accuracies(
  right: NDArray[np.bool_], right_other: NDArray[np.bool_], ours: NDArray[np.int64], theirs: NDArray[np.int64]
) -> float:
  """Two-sided p-value that two accuracies on one data set are equal: McNemar's, exact, else Fisher's.

  McNemar's test is of the images in common, Fisher's where there are none.
  """
  from scipy import stats  # late: it takes a second, which most commands need not wait for

  if len(ours):
    only, only_other = _only(right[ours], right_other[theirs]), _only(right_other[theirs], right[ours])
    return float(bounds.binomial_p_value(only, only + only_other))
  table = [[r.sum(), (~r).sum()] for r in (right, right_other)]
  return float(stats.fisher_exact(table).pvalue)


def _only(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> int:
  return int((one & ~other).sum())


def _p_of_radii(
  a: NDArray[np.float64], b: NDArray[np.float64], ours: NDArray[np.int64], theirs: NDArray[np.int64]
) -> float:
  """The same for ACRs, by Student's t: of differences on images in common, else Welch's; approximate if few."""
  from scipy import stats  # late, as above

  if len(ours) > 1:
    a, b = a[ours], b[theirs]
    if np.ptp(a - b) == 0:
      return float(a[0] == b[0])
    return float(stats.ttest_rel(a, b).pvalue)
  return float(stats.ttest_ind(a, b, equal_var=False).pvalue) if np.ptp(a) + np.ptp(b) else float(a[0] == b[0])

"""Whether the best of a table's column is clear of the next: tests of two files, on the images in common."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rsjax import bounds
from rsjax.analysis import looks
from rsjax.analysis.labels import all_facts, same_data
from rsjax.analysis.statistics import average_certified_radius, counted, counted_radii
from rsjax.results import Results, plural


def too_close(
  files: Sequence[Results], names: Sequence[str], radii: Sequence[float], rule: str, confidence: float
) -> Iterator[str]:
  """Of the best in a column, and of the best ACR, where it is not clear of the next, of the same data set."""
  if len(files) < 2:
    return
  known = all_facts(files)
  close: dict[tuple[int, int], list[str]] = {}
  behind: dict[tuple[int, int], list[str]] = {}
  for radius in radii:
    right = [counted(f, radius, rule) for f in files]
    second, best = np.argsort([r.mean() for r in right], kind="stable")[-2:]
    if right[best].mean() == right[second].mean() or not same_data(known[best], known[second]):
      continue
    ours, theirs = _in_common(files[best], files[second])
    if ours is None:
      continue
    if len(ours) and right[best][ours].mean() < right[second][theirs].mean():
      values = f"{right[best][ours].mean():.3f} and {right[second][theirs].mean():.3f}"
      behind.setdefault((best, second), []).append(f"{radius:g} ({values})")
    elif (p := _p_of_accuracies(right[best], right[second], ours, theirs)) > 1 - confidence:
      close.setdefault((best, second), []).append(f"{radius:g} (p = {p:.2g})")
  for (best, second), where in behind.items():
    ahead = f"at radius {', '.join(where)}, {names[best]} is ahead of {names[second]}"
    yield f"{ahead}, but behind it on {_images(files[best], files[second])} (their accuracies)"
  for (best, second), where in close.items():
    yield f"at radius {', '.join(where)}, {names[best]} is ahead of {names[second]}, which may be chance"
  if any(looks.grid_radii(f.settings) for f in files):
    return  # their ACR is a lower bound, which says nothing of the order
  acr = [average_certified_radius(f) for f in files]
  second, best = np.argsort(acr, kind="stable")[-2:]
  ours, theirs = _in_common(files[best], files[second])
  if acr[best] == acr[second] or not same_data(known[best], known[second]) or ours is None:
    return
  ahead = f"in ACR, {names[best]} is ahead of {names[second]}"
  one, other = counted_radii(files[best]), counted_radii(files[second])
  if len(ours) and one[ours].mean() < other[theirs].mean():
    values = f"{one[ours].mean():.3f} and {other[theirs].mean():.3f}"
    yield f"{ahead}, but behind it on {_images(files[best], files[second])} ({values})"
  elif (p := _p_of_radii(one, other, ours, theirs)) > 1 - confidence:
    yield f"{ahead}, which may be chance (p = {p:.2g})"


def _in_common(one: Results, other: Results):
  """The rows of each file that are of the images in common; (None, None) if their labels differ there."""
  _, ours, theirs = np.intersect1d(one.columns["idx"], other.columns["idx"], return_indices=True)
  same = np.array_equal(one.columns["label"][ours], other.columns["label"][theirs])
  return (ours, theirs) if same else (None, None)


def _images(one: Results, other: Results) -> str:
  both = len(np.intersect1d(one.columns["idx"], other.columns["idx"]))
  return f"the {plural(both, 'image')} in common"


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

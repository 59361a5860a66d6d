"""Runs a job for Python: its result as a `Found`, with a bar and warnings."""

import pathlib

import numpy as np

from rsjax.analysis import Found
from rsjax.errors import warn
from rsjax.noise import Gaussian, GridGaussian
from rsjax.procedures import EXACT
from rsjax.results import Results, parse_column, plural
from rsjax.runs import certification
from rsjax.runs.job import Job
from rsjax.runs.progress import Noted, Shown
from rsjax.smoothing import Execution


def found(
  job: Job, file: str | pathlib.Path | None, execution: Execution, shown: bool, seconds: float | None
) -> Found | None:
  """The job's result, in memory or written to a file; None in processes other than the first.

  Args:
    job, execution, seconds: as for `certification.into_memory`.
    file: the result file; None: it is not written.
    shown: whether a bar is shown on stderr.
  """
  told = Shown() if shown else Noted()
  try:
    if file is None:
      results = certification.into_memory(job, execution, told, seconds)
    else:
      results = certification.into_file(job, file, execution, told, seconds)  # type: ignore[assignment]
  finally:
    told.close()
  if results is None:
    return None
  if seconds is not None and not results.complete:
    warn(
      f"the time budget of {seconds:g} s was over when {len(results)} of {plural(len(job.indices), 'image')} "
      "had a first look: give more time, fewer images, or a smaller `n`"
    )
  if void := not_finite(results):
    warn(void)
  return Found(results)


def not_finite(results: Results) -> str | None:
  """A sentence if draws voted for no class, because their logits were not finite; else None."""
  names = [name for name in ("votes0", "votes") if name in results.columns]
  invalid = sum((parse_column(results.columns[name]).invalid for name in names), np.zeros(len(results), int))
  if not invalid.any():
    return None
  exact = results.settings.get("procedure") == EXACT
  on_grid = results.settings.get("noise", Gaussian.name) == GridGaussian.name
  void = ", or noise that is not known exactly" if on_grid else ""
  counted = "count for every class but the leading one" if exact else "count in n and vote for no class"
  one = "array" if results.settings.get("inputs") == "arrays" else "image"
  some = f"{plural(int(invalid.sum()), 'draw')} of {plural(int(np.count_nonzero(invalid)), one)}"
  return f"{some} gave logits that are not finite{void}; these draws {counted}"

"""Runs a job for Python: its result as a `Found`, with a bar and warnings."""

import pathlib

from rsjax.analysis import Found
from rsjax.errors import warn
from rsjax.results import plural
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
  return Found(results)

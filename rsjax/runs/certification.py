"""Runs CERTIFY or PREDICT for any smoothed classifier and some images, into a result file or into memory.

  >>> job = Job(Smoothed(apply, variables, Gaussian(0.25)), images, labels, [0, 2], Certify(n=1000))
  >>> file = into_file(job, "new.tsv")
  >>> file.complete, file.columns["idx"].tolist()
  (True, [0, 2])

Checkpoints of rsjax and users' own models take this same way into a file. A file is continued if it was begun
with the same images, labels, variables and settings, and with a classifier that gives the same logits for its
first image.
"""

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax

from rsjax import files, procedures, results
from rsjax.devices import processes
from rsjax.errors import InputError
from rsjax.noise import is_number
from rsjax.procedures import Outcome
from rsjax.results import Manifest, Results
from rsjax.runs import preparing, provenance
from rsjax.runs.estimate import Estimate
from rsjax.runs.job import Job
from rsjax.runs.progress import Progress
from rsjax.smoothing import Execution, inspection

_SAVES = 10  # times fewer draws than there may be, that a rule for stopping takes: to choose rows for
IN_MEMORY = "(in memory)"  # the path of results that were not written


def into_file(
  job: Job,
  outfile: Any,
  execution: Execution = Execution(),
  progress: Progress = Progress(),
  seconds: float | None = None,
) -> Results | None:
  """Runs the job into a result file, and writes each row at once; continues a file that was begun.

  A job that may end at any time (`anytime`) goes breadth first. After an interrupt, or after `seconds`, it ends
  with the last look of every image; images that have passed no look are left for the next run.

  Args:
    job: what is to be done.
    outfile: the result file; its manifest is OUTFILE.json.
    execution: what decides speed; rows None: chosen by `tuning.best_rows`.
    progress: receives what the run reports.
    seconds: time after which a procedure with looks ends; None: it ends when every image is decided.

  Returns:
    The whole file; None in processes other than the first (see `devices.processes`).

  Raises:
    InputError: for anything that cannot be used, or a file that was begun differently.
  """
  ended = _ending(job, seconds)
  files.local(outfile)
  _check_identified(job)
  budget = {} if seconds is None else {"time budget": seconds}
  manifest = processes.together(lambda: job.manifest(rows=execution.rows or "auto", **budget))
  processes.together(lambda: _check_answers(outfile, manifest) if processes.first() else None)
  processes.check_alike(json.dumps([manifest.settings, provenance.versions()], sort_keys=True))
  if job.labels is None:
    raise InputError("a result file needs labels: give `labels`")
  with _open(outfile, manifest, results.columns_of(job.procedure), job.labels) as (writer, done):
    for index, outcome, took in _outcomes(job, done, execution, progress, ended):
      if writer:
        writer.append(results.row_of(index, outcome, int(job.labels[index]), took))
      progress.row()
  return results.read(outfile) if processes.first() else None


def dry_run(
  job: Job, outfile: Any, execution: Execution = Execution(), progress: Progress = Progress()
) -> tuple[Estimate, int]:
  """(what `into_file` would take, rows that are already there); compiles and measures, but writes nothing.

  Raises:
    InputError: for anything that `into_file` cannot use.
  """
  _check_identified(job)
  for text in job.notes:
    progress.note(text)
  manifest = job.manifest()
  done = results.rows_done(outfile, manifest, results.columns_of(job.procedure))
  draws = (len(job.indices) - done) * job.procedure.most_draws
  if not draws:
    return Estimate(0, "draws", math.inf, None), done
  return preparing.estimate(job, preparing.prepared(job, execution, draws, progress), draws), done


def into_memory(
  job: Job,
  execution: Execution = Execution(),
  progress: Progress = Progress(),
  seconds: float | None = None,
) -> Results:
  """Runs the job; the results are those of its file, without label and correct if there are no labels.

  Args:
    job, execution, progress, seconds: as for `into_file`.

  Raises:
    InputError: for anything that cannot be used.
  """
  ended = _ending(job, seconds)
  manifest, columns, rows = job.manifest(rows=execution.rows or "auto"), results.columns_of(job.procedure), []
  if job.labels is None:
    columns = tuple(name for name in columns if name not in ("label", "correct"))
  for index, outcome, took in _outcomes(job, 0, execution, progress, ended):
    row = results.row_of(index, outcome, -1 if job.labels is None else int(job.labels[index]), took)
    rows.append([row[name] for name in columns])
    progress.row()
  found = results.parse_columns(IN_MEMORY, columns, rows, manifest.settings)
  return Results(IN_MEMORY, manifest.content([]), found, len(manifest.indices))


def _ending(job: Job, seconds: float | None) -> Callable[[], bool] | None:
  """When to end a job before all is decided; None where it is not."""
  if seconds is not None:
    if not job.procedure.n_varies:
      raise InputError("a fixed number of draws cannot end early: give a rule for stopping, or no time budget")
    if not (is_number(seconds) and 0 < seconds < math.inf):
      mend = ": give 600 for ten minutes" if isinstance(seconds, str) else ""
      raise InputError(f"a time budget must be a positive number of seconds, got {seconds!r}{mend}")
    return _Budget(seconds)
  return (lambda: False) if procedures.is_anytime(job.procedure) else None


class _Budget:
  """Whether the time is over; it begins with the first question, when the first draws are made."""

  def __init__(self, seconds: float) -> None:
    self._seconds, self._end = seconds, math.inf

  def __call__(self) -> bool:
    if self._end == math.inf:
      self._end = time.monotonic() + self._seconds
    return time.monotonic() > self._end


def _outcomes(
  job: Job, done: int, execution: Execution, progress: Progress, ended: Callable[[], bool] | None
) -> Iterator[tuple[int, Outcome, float]]:
  """(index, outcome, seconds since the one before) of the images after the first `done`."""
  todo, draws = job.indices[done:], job.procedure.most_draws
  progress.start(
    {
      "images": len(job.indices),
      "done": done,
      "draws per image": draws,
      "n varies": job.procedure.n_varies,
      "anytime": ended is not None,
      "dtype": (job.settings or {}).get("dtype"),
      "devices": jax.device_count(),
      "device": jax.devices()[0].device_kind,
      "notes": list(job.notes),
    }
  )
  if not todo:
    return
  likely = len(todo) * draws // (_SAVES if job.procedure.n_varies else 1)
  execution = preparing.prepared(job, execution, likely, progress)
  if preparing.takes_long(job, likely, execution):
    progress.expect(preparing.estimate(job, execution, len(todo) * draws))
  progress.rows(execution.rows or 0)
  before = time.perf_counter()
  for index, outcome in job.outcomes(todo, execution, progress.draws, ended):
    now = time.perf_counter()
    yield index, outcome, now - before
    before = now


def _check_identified(job: Job) -> None:
  """Refuses a file of a classifier that nothing would tell from another."""
  identified = job.settings is not None or job.classifier is not None
  if not identified and not jax.tree_util.tree_leaves(job.smoothed.variables):
    raise InputError(
      "variables hold no arrays, so a file could not tell this classifier from another: give smooth a name"
    )


def _check_answers(outfile: Any, manifest: Manifest) -> None:
  """Refuses a file that was begun with the same settings and a classifier that answers otherwise."""
  if not results.manifest_path(outfile).exists():
    return
  begun = results.read_manifest(outfile)
  before, now = (about.get("first logits") for about in (begun["about"], manifest.about))
  if begun["settings"] != manifest.settings or before is None or now is None:
    return
  last = begun["sessions"][-1] if begun["sessions"] else {}
  same = all(last.get(name) == manifest.session[name] for name in ("jax", "device"))
  held = [about.get("constants") for about in (begun["about"], manifest.about)]
  if inspection.different(before, now, same):
    differ = f"its logits for image {manifest.indices[0]} differ"
  elif same and last.get("rsjax") == manifest.session["rsjax"] and None not in held and held[0] != held[1]:
    differ = "numbers that `apply` holds itself differ, such as weights in a closure"
  else:
    return
  raise InputError(
    f"{outfile} was begun with another classifier: its variables are the same, but {differ}; give another path"
  )


@contextlib.contextmanager
def _open(
  outfile: Any, manifest: Manifest, columns: Sequence[str], labels: Any
) -> Iterator[tuple[results.ResultWriter | None, int]]:
  """(writer, rows done before): the result file in process 0; in others None, and process 0's number."""

  def opened() -> results.ResultWriter:
    if results.manifest_path(outfile).exists() and results.rows_done(outfile, manifest, columns):
      results.check_labels(outfile, labels)  # before this run is added to the manifest
    return stack.enter_context(results.open_for_append(outfile, manifest, columns))

  with contextlib.ExitStack() as stack:
    writer = processes.together(lambda: opened() if processes.first() else None)
    yield writer, int(processes.agree(writer.done if writer else 0))

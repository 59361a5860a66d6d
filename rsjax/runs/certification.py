"""CERTIFY or PREDICT of any smoothed classifier on some images, into a result file or into memory.

  >>> job = Job(Smoothed(apply, variables, Gaussian(0.25)), images, labels, [0, 2], Certify(n=1000))
  >>> file = into_file(job, "new.tsv")
  >>> file.complete, file.columns["idx"].tolist()
  (True, [0, 2])

There is this one way into a file, for checkpoints of rsjax and for a model of one's own. A file is continued
where it was begun with the same images, labels, variables and settings; of `apply` itself nothing can be
compared.
"""

import contextlib
import dataclasses
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from rsjax import devices, results
from rsjax.devices import processes
from rsjax.errors import InputError
from rsjax.procedures import Outcome, Procedure
from rsjax.results import Manifest, Results
from rsjax.runs import provenance
from rsjax.runs.progress import Progress
from rsjax.smoothing import Execution, Smoothed, scheduling, tuning

IN_MEMORY = "(in memory)"  # the path of results that were not written


@dataclasses.dataclass(frozen=True)
class Job:
  """What is to be done, and all that fixes its results.

  Attributes:
    smoothed: the base classifier and its noise.
    images: images[i], for i of `indices`, is uint8[h, w, c], or float32[h, w, c] in [0, 1].
    labels: int[images], which enter the file only; None where they are not known, for results in memory.
    indices: which images, in this order; an image's index names it to the noise.
    procedure: CERTIFY or PREDICT, with its numbers.
    seed: of the noise.
    settings: what else fixes the rows: data set, checkpoint, dtype; None: digests of images and variables.
    about: what else is worth knowing of the file.
    name: what the choice of rows is remembered under; None: a digest of the program.
    notes: what is allowed, and often a mistake.
  """

  smoothed: Smoothed
  images: Any
  labels: NDArray[np.int64] | None
  indices: Sequence[int]
  procedure: Procedure
  seed: int = 0
  settings: dict[str, Any] | None = None
  about: dict[str, Any] = dataclasses.field(default_factory=dict)
  name: Callable[[], str] | None = None
  notes: Sequence[str] = ()

  def manifest(self, **session: Any) -> Manifest:
    """The manifest of its result file; `session` is what else is said of this run."""
    noise, procedure = self.smoothed.noise.settings(), self.procedure.settings()
    if noise.keys() & procedure.keys():
      raise ValueError(f"noise and procedure both have settings called {noise.keys() & procedure.keys()}")
    return Manifest(
      settings={
        "command": self.procedure.command,
        **noise,
        **procedure,
        "seed": self.seed,
        "precision": devices.matmul_precision(),
        **devices.settings(),
        **(self._digests() if self.settings is None else self.settings),
      },
      indices=list(self.indices),
      about=self.about,
      session=provenance.session(**session),
    )

  def _digests(self) -> dict[str, Any]:
    labels = [None] * len(self.indices) if self.labels is None else [self.labels[i] for i in self.indices]
    data = [(i, self.images[i], label) for i, label in zip(self.indices, labels)]
    return {"dataset": provenance.digest(data), "checkpoint": provenance.digest(self.smoothed.variables)}


def into_file(
  job: Job, outfile: Any, execution: Execution = Execution(), progress: Progress = Progress()
) -> Results | None:
  """Runs the job into a result file, each row at once; continues the file where it was begun.

  Args:
    job: what is to be done.
    outfile: the result file; its manifest is OUTFILE.json.
    execution: what decides speed; rows None: chosen by `tuning.best_rows`.
    progress: what is told meanwhile.

  Returns:
    The whole file; None in processes other than the first (see `devices.processes`).

  Raises:
    InputError: for anything that cannot be used, or a file that was begun with something else.
  """
  manifest = processes.together(lambda: job.manifest(rows=execution.rows or "auto"))
  processes.check_alike(json.dumps([manifest.settings, provenance.versions()], sort_keys=True))
  if job.labels is None:
    raise InputError("a result file holds labels: give `labels`")
  with _open(outfile, manifest, results.columns_of(job.procedure)) as (writer, done):
    for index, outcome, seconds in _outcomes(job, done, execution, progress):
      if writer:
        writer.append(results.row_of(index, outcome, int(job.labels[index]), seconds))
      progress.row()
  return results.read(outfile) if processes.first() else None


def into_memory(job: Job, execution: Execution = Execution(), progress: Progress = Progress()) -> Results:
  """Runs the job; the results say what its file would say, without label and correct where there are no labels.

  Raises:
    InputError: for anything that cannot be used.
  """
  manifest, columns, rows = job.manifest(rows=execution.rows or "auto"), results.columns_of(job.procedure), []
  if job.labels is None:
    columns = tuple(name for name in columns if name not in ("label", "correct"))
  for index, outcome, seconds in _outcomes(job, 0, execution, progress):
    row = results.row_of(index, outcome, -1 if job.labels is None else int(job.labels[index]), seconds)
    rows.append([row[name] for name in columns])
    progress.row()
  found = results.parse_columns(IN_MEMORY, columns, rows, manifest.settings)
  return Results(IN_MEMORY, manifest.content([]), found, len(manifest.indices))


def _outcomes(
  job: Job, done: int, execution: Execution, progress: Progress
) -> Iterator[tuple[int, Outcome, float]]:
  """(index, outcome, seconds since the one before) of the images after the first `done`."""
  todo, draws = job.indices[done:], job.procedure.most_draws
  progress.start(
    {
      "images": len(job.indices),
      "done": done,
      "draws per image": draws,
      "dtype": (job.settings or {}).get("dtype"),
      "devices": jax.device_count(),
      "device": jax.devices()[0].device_kind,
      "notes": list(job.notes),
    }
  )
  if not todo:
    return
  _, first = scheduling.checked((todo[0], job.images[todo[0]]))
  if warning := job.smoothed.check_independence(first):
    progress.note(warning)
  execution = _with_rows(job, execution, first.shape, len(todo) * draws)
  progress.rows(execution.rows or 0)
  examples = ((i, job.images[i]) for i in todo)
  before = time.perf_counter()
  for index, outcome in job.smoothed.outcomes(
    job.procedure, examples, seed=job.seed, execution=execution, progress=progress.draws
  ):
    now = time.perf_counter()
    yield index, outcome, now - before
    before = now


def _with_rows(job: Job, execution: Execution, image_shape: tuple[int, ...], draws: int) -> Execution:
  """The execution with rows chosen, where they are open."""
  if execution.rows is not None:
    return execution
  smoothed = job.smoothed

  def digest() -> str:
    rows = jax.ShapeDtypeStruct((2, *image_shape), jnp.float32)
    program = jax.make_jaxpr(smoothed.apply)(smoothed.variables, rows)
    return hashlib.sha256(str(program).encode()).hexdigest()[:16]

  rows = tuning.best_rows(
    smoothed.apply, smoothed.variables, image_shape, job.name or digest, draws=draws, mesh=execution.mesh
  )
  return dataclasses.replace(execution, rows=rows)


@contextlib.contextmanager
def _open(
  outfile: Any, manifest: Manifest, columns: Sequence[str]
) -> Iterator[tuple[results.ResultWriter | None, int]]:
  """(writer, rows done before): the result file in process 0; in others None, and process 0's number."""
  with contextlib.ExitStack() as stack:
    opened = lambda: stack.enter_context(results.open_for_append(outfile, manifest, columns))
    writer = processes.together(lambda: opened() if processes.first() else None)
    yield writer, int(processes.agree(writer.done if writer else 0))

"""CERTIFY or PREDICT of any smoothed classifier on some images, into a result file or into memory.

  >>> job = Job(Smoothed(apply, variables, Gaussian(0.25)), images, labels, [0, 2], Certify(n=1000))
  >>> file = into_file(job, "new.tsv")
  >>> file.complete, file.columns["idx"].tolist()
  (True, [0, 2])

There is this one way into a file, for checkpoints of rsjax and for a model of one's own. A file is continued
where it was begun with the same images, labels, variables and settings, and a classifier that gives the same
logits for its first image.
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

from rsjax import devices, files, results
from rsjax.devices import processes
from rsjax.errors import InputError
from rsjax.procedures import Outcome, Procedure
from rsjax.results import Manifest, Results
from rsjax.runs import provenance
from rsjax.runs.progress import Progress
from rsjax.smoothing import Execution, Smoothed, inspection, scheduling, tuning

IN_MEMORY = "(in memory)"  # the path of results that were not written
_LOGITS = 100  # of a classifier of one's own, that its manifest keeps
_LOOKS = 24  # images that are looked at before the first is certified


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
    classifier: the name of a classifier that settings do not identify; None: its variables do.
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
  classifier: str | None = None
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
      about=self.about | self._first_logits(),
      session=provenance.session(**session),
    )

  def _digests(self) -> dict[str, Any]:
    labels = [None] * len(self.indices) if self.labels is None else [self.labels[i] for i in self.indices]
    data = [(i, self.images[i], label) for i, label in zip(self.indices, labels)]
    named = {} if self.classifier is None else {"classifier": self.classifier}
    return {
      "dataset": provenance.digest(data),
      "checkpoint": provenance.digest(self.smoothed.variables),
      **named,
    }

  def first_image(self) -> NDArray[Any]:
    """The image of the first index, checked."""
    index = self.indices[0]
    return scheduling.checked((index, self.images[index]))[1]

  def _first_logits(self) -> dict[str, Any]:
    """Some logits for the first image, which tell functions with the same variables apart."""
    if self.settings is not None or not self.indices:
      return {}
    logits = self.smoothed.inspector.logits(self.first_image())
    return {"first logits": [float(f"{value:.7g}") for value in logits[:_LOGITS]]}


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
  files.local(outfile)
  identified = job.settings is not None or job.classifier is not None
  if not identified and not jax.tree_util.tree_leaves(job.smoothed.variables):
    raise InputError(
      "variables hold no arrays, so a file could not tell this classifier from another: give smooth a name"
    )
  manifest = processes.together(lambda: job.manifest(rows=execution.rows or "auto"))
  processes.together(lambda: _check_answers(outfile, manifest) if processes.first() else None)
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
  first = job.first_image()
  for warning in _first_look(job, first):
    progress.note(warning)
  asked = execution.rows
  execution = _with_rows(job, execution, first.shape, len(todo) * draws)
  if asked is not None and execution.rows != asked:
    progress.note(
      f"memory is too small for {asked} noisy images a step: going on with {execution.rows}, "
      "on which no result depends"
    )
  progress.rows(execution.rows or 0)
  examples = ((i, job.images[i]) for i in todo)
  before = time.perf_counter()
  for index, outcome in job.smoothed.outcomes(
    job.procedure, examples, seed=job.seed, execution=execution, progress=progress.draws
  ):
    now = time.perf_counter()
    yield index, outcome, now - before
    before = now


def _first_look(job: Job, first: NDArray[Any]) -> Iterator[str]:
  """What is odd about the classifier, before anything is drawn; refuses one whose rows are not independent."""
  if warning := job.smoothed.inspector.independence(first):
    yield warning
  if len(job.indices) < inspection.FEWEST:
    return
  places = np.linspace(0, len(job.indices) - 1, min(_LOOKS, len(job.indices))).astype(int)
  some = [job.indices[place] for place in places]
  images = [scheduling.checked((i, job.images[i]), first)[1] for i in some]
  labels = None if job.labels is None else job.labels[some]
  yield from job.smoothed.inspector.look(images, labels).warnings


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
  if inspection.different(before, now, same):
    raise InputError(
      f"{outfile} was begun with another classifier: its variables are the same, its logits for image "
      f"{manifest.indices[0]} are not; give another path"
    )


def _with_rows(job: Job, execution: Execution, image_shape: tuple[int, ...], draws: int) -> Execution:
  """The execution with rows chosen, where they are open, and with fewer, where they are too many."""
  smoothed = job.smoothed
  if execution.rows is not None:
    rows = tuning.fitting_rows(smoothed.apply, smoothed.variables, image_shape, execution.rows, execution.mesh)
    return dataclasses.replace(execution, rows=rows)

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

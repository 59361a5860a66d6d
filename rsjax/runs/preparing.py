"""What comes before the first draw: a look at the classifier, the choice of rows, and how long it will take."""

import dataclasses
import hashlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from rsjax import devices
from rsjax.data.coverage import few_classes
from rsjax.runs import given
from rsjax.runs.estimate import Estimate
from rsjax.runs.job import Job
from rsjax.runs.progress import Progress
from rsjax.smoothing import Execution, looking, tuning

_LOOKS = 24  # images that are looked at before the first is certified


def prepared(job: Job, execution: Execution, draws: int, progress: Progress) -> Execution:
  """The execution with its rows chosen, for so many draws; reports what is odd about the classifier.

  Raises:
    InputError: for images or a classifier that cannot be used, such as one whose rows are not independent.
  """
  first = job.first_image()
  for warning in _first_look(job, first):
    progress.note(warning)
  chosen = _with_rows(job, execution, first.shape, draws)
  if execution.rows is not None and chosen.rows != execution.rows:
    progress.note(
      f"memory is too small for {execution.rows} noisy images per step: going on with {chosen.rows}, "
      "which changes no result"
    )
  return chosen


def takes_long(job: Job, draws: int, execution: Execution) -> bool:
  """Whether so many draws take so long that a second of measuring does not count."""
  return tuning.is_long(job.first_image().shape, draws, execution.mesh)


def estimate(job: Job, execution: Execution, draws: int) -> Estimate:
  """How long so many draws take."""
  smoothed = job.smoothed
  rate = tuning.measure(smoothed.apply, smoothed.variables, job.first_image().shape, execution, smoothed.noise)
  return Estimate(draws, "draws", rate, devices.memory_peak())


def _first_look(job: Job, first: NDArray[Any]) -> Iterator[str]:
  """What is odd about the classifier, before anything is drawn; refuses one whose rows are not independent."""
  places = np.linspace(0, len(job.indices) - 1, min(_LOOKS, len(job.indices))).astype(int)
  some = [job.indices[place] for place in places]
  images = [job.smoothed.checked((i, job.images[i]), first)[1] for i in some]
  yield from job.smoothed.inspector.soundness(images, pure=job.settings is not None)
  if job.settings is None:  # data sets by name have notes of their own
    yield from given.odd_inputs(job.smoothed, images)
    if job.labels is not None and (told := few_classes(job.labels[job.indices], job.num_classes)):
      yield told
  labels = None if job.labels is None else job.labels[some]
  if labels is None and len(images) < looking.FEWEST:
    return
  yield from job.smoothed.inspector.look(images, labels).warnings


def _with_rows(job: Job, execution: Execution, image_shape: tuple[int, ...], draws: int) -> Execution:
  """The execution with rows chosen, where they are open, and with fewer, where they are too many."""
  smoothed = job.smoothed
  if execution.rows is not None:
    rows = tuning.fitting_rows(
      smoothed.apply, smoothed.variables, image_shape, execution.rows, execution.mesh, smoothed.noise
    )
    return dataclasses.replace(execution, rows=rows)

  def digest() -> str:
    rows = jax.ShapeDtypeStruct((2, *image_shape), jnp.float32)
    program = jax.make_jaxpr(smoothed.apply)(smoothed.variables, rows)
    return hashlib.sha256(str(program).encode()).hexdigest()[:16]

  rows = tuning.best_rows(
    smoothed.apply,
    smoothed.variables,
    image_shape,
    job.name or digest,
    draws=draws,
    noise=smoothed.noise,
    mesh=execution.mesh,
  )
  return dataclasses.replace(execution, rows=rows)

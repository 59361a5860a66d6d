"""Bounds of a real function's median near some images, in memory. See `bounds.median`."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from rsjax.analysis import FoundValues
from rsjax.procedures import CertifyMedian
from rsjax.runs import given
from rsjax.runs.progress import Noted, Shown
from rsjax.smoothing import Execution, Smoothed, outputs, scheduling

_LOOKS = 24  # images whose pixels are looked at before anything is drawn


def certify(
  smoothed: Smoothed,
  images: Any,
  indices: Sequence[int],
  procedure: CertifyMedian,
  seed: int,
  shown: bool = True,
  execution: Execution = Execution(),
) -> FoundValues:
  """Bounds for the images of some indices, in their order.

  Args:
    smoothed: the function, which returns real numbers, [b] or [b, outputs], and its noise.
    images: images[i], for i of `indices`, is uint8[h, w, c], or float32[h, w, c] in [0, 1], or an array, as
      `smoothed.inputs` says.
    indices: which images; an image's index names it to the noise.
    procedure: epsilon, n and alpha.
    seed: of the noise.
    shown: whether a bar is shown on stderr.
    execution: what decides speed.

  Raises:
    InputError: for anything that cannot be used, before anything is drawn.
  """
  progress = Shown() if shown else Noted()
  settings = {**smoothed.noise.settings(), **procedure.settings(), "seed": seed}
  if not indices:
    none = np.zeros(0)
    return FoundValues(none.astype(np.int64), none, none, none, none.astype(np.int64), settings)
  shape = _checked(smoothed, images, indices, procedure, progress)
  found, examples = [], ((i, images[i]) for i in indices)
  try:
    progress.start(_plan(len(indices), procedure))
    for _, outcome in scheduling.outcomes(
      smoothed.apply,
      smoothed.variables,
      examples,
      procedure,  # type: ignore[arg-type]  # it is sent outputs instead of votes, by its program
      smoothed.noise,
      inputs=smoothed.inputs,
      seed=seed,
      execution=execution,
      progress=progress.draws,
      program=outputs.OutputSteps,
    ):
      found.append(outcome)
      progress.row()
  finally:
    progress.close()
  part = lambda name: np.stack([getattr(one, name) for one in found]).reshape(len(found), *shape)
  invalid = part("invalid")
  if count := int(invalid.sum()):
    progress.note(
      f"of {invalid.size * procedure.n:,} outputs {count:,} are not finite: they count as +inf for upper "
      "bounds, and as -inf for lower ones"
    )
  index = np.asarray(indices, np.int64)
  return FoundValues(index, part("lower"), part("median"), part("upper"), invalid, settings)


def _checked(
  smoothed: Smoothed, images: Any, indices: Sequence[int], procedure: CertifyMedian, progress: Noted
) -> tuple[int, ...]:
  """The shape of the function's output for an image, () or (outputs,), if all can be used."""
  first = smoothed.checked((indices[0], images[indices[0]]))[1]
  shape = outputs.output_shape(smoothed.apply, smoothed.variables, first.shape)
  procedure.ranks(smoothed.noise, outputs.size(shape))
  places = np.linspace(0, len(indices) - 1, min(_LOOKS, len(indices))).astype(int)
  some = [smoothed.checked((indices[p], images[indices[p]]), first)[1] for p in places]
  for warning in (*smoothed.output_inspector.soundness(some), *given.odd_inputs(smoothed, some)):
    progress.note(warning)
  return shape


def _plan(images: int, procedure: CertifyMedian) -> dict[str, Any]:
  """What the bar is told."""
  return {
    "images": images,
    "done": 0,
    "draws per image": procedure.most_draws,
    "n varies": False,
    "anytime": False,
    "devices": jax.device_count(),
  }

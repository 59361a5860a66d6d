"""Training objectives, one file each: what a step minimises.

  >>> objective = Gaussian(noise_sd=0.25)
  >>> describe(objective)
  {'name': 'gaussian', 'noise_sd': 0.25, 'label_smoothing': 0.0}

An objective is a frozen dataclass of its own settings, called within the jitted step; see
`objective.Objective`. A new objective gets its own file here, and a line in OBJECTIVES; one that trains a
denoiser, in DENOISING.
"""

import dataclasses
from typing import Any

from rsjax.training.objectives.catrs import CatRs
from rsjax.training.objectives.consistency import Consistency
from rsjax.training.objectives.denoise import Denoise
from rsjax.training.objectives.denoise_stability import DenoiseStability
from rsjax.training.objectives.gaussian import Gaussian
from rsjax.training.objectives.macer import Macer
from rsjax.training.objectives.objective import (
  Batch,
  Loss,
  Network,
  Objective,
  chooses_images,
  chunks_of,
  classifies,
  denoises,
  needs_classifier,
  needs_votes,
  noise_of,
  score_of,
)
from rsjax.training.objectives.reweighted import Reweighted
from rsjax.training.objectives.smoothadv import SmoothAdv
from rsjax.training.objectives.smoothadv_consistency import SmoothAdvConsistency
from rsjax.training.objectives.smoothmix import SmoothMix
from rsjax.training.objectives.stability import Stability

__all__ = [
  "DENOISING",
  "OBJECTIVES",
  "Batch",
  "CatRs",
  "Consistency",
  "Denoise",
  "DenoiseStability",
  "Gaussian",
  "Loss",
  "Macer",
  "Network",
  "Objective",
  "Reweighted",
  "SmoothAdv",
  "SmoothAdvConsistency",
  "SmoothMix",
  "Stability",
  "chooses_images",
  "chunks_of",
  "classifies",
  "denoises",
  "describe",
  "needs_classifier",
  "needs_votes",
  "noise_of",
  "score_of",
]

# Of base classifiers, and of denoisers that are put in front of one.
OBJECTIVES: dict[str, Any] = {
  kind.name: kind
  for kind in (
    Gaussian,
    Stability,
    SmoothAdv,
    Consistency,
    SmoothAdvConsistency,
    Macer,
    SmoothMix,
    CatRs,
    Reweighted,
  )
}
DENOISING: dict[str, Any] = {kind.name: kind for kind in (Denoise, DenoiseStability)}


def describe(objective: Objective) -> dict[str, Any]:
  """The JSON values that describe an objective in a checkpoint: its name and all its settings but `noise`."""
  settings = {field.name: getattr(objective, field.name) for field in dataclasses.fields(objective)}  # type: ignore[arg-type]
  settings.pop("noise", None)
  return {"name": objective.name, **settings}

"""One run of CERTIFY or PREDICT: what is to be done, and everything that fixes its results."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsjax import devices
from rsjax.procedures import Outcome, Procedure
from rsjax.results import Manifest
from rsjax.runs import provenance
from rsjax.smoothing import Execution, Smoothed, inputs
from rsjax.smoothing.votes import class_count

_LOGITS = 100  # of a classifier of one's own, that its manifest keeps


@dataclasses.dataclass(frozen=True)
class Job:
  """What is to be done, and everything that fixes its results.

  Attributes:
    smoothed: the base classifier and its noise.
    images: images[i], for i of `indices`, is uint8[h, w, c], or float32[h, w, c] in [0, 1], or an array, as
      `smoothed.inputs` says.
    labels: int[images], which enter only the file; None if they are not known, for results in memory.
    indices: which images, in this order; an image's index names it to the noise.
    procedure: CERTIFY or PREDICT, with its numbers.
    seed: of the noise.
    settings: what else fixes the rows: data set, checkpoint, dtype; None: digests of images and variables.
    classifier: the name of a classifier that settings do not identify; None: its variables do.
    dtype: what the classifier computes in, if settings do not say so; None: not known.
    about: what else is worth knowing of the file.
    name: the name under which the choice of rows is remembered; None: a digest of the program.
    notes: about things that are allowed, but often a mistake.

  Raises:
    InputError: for a procedure that is not for this noise.
  """

  smoothed: Smoothed
  images: Any
  labels: NDArray[np.int64] | None
  indices: Sequence[int]
  procedure: Procedure
  seed: int = 0
  settings: dict[str, Any] | None = None
  classifier: str | None = None
  dtype: str | None = None
  about: dict[str, Any] = dataclasses.field(default_factory=dict)
  name: Callable[[], str] | None = None
  notes: Sequence[str] = ()

  def __post_init__(self) -> None:
    if check := getattr(self.procedure, "check", None):
      check(self.smoothed.noise)

  def outcomes(
    self,
    todo: Sequence[int],
    execution: Execution,
    progress: Callable[[int], None],
    ended: Callable[[], bool] | None,
  ) -> Iterator[tuple[int, Outcome]]:
    """(index, outcome) of each image of `todo`, the last ones of `indices`; see `Smoothed.outcomes`."""
    examples = ((i, self.images[i]) for i in todo)
    return self.smoothed.outcomes(
      self.procedure, examples, seed=self.seed, execution=execution, progress=progress, ended=ended
    )

  def manifest(self, **session: Any) -> Manifest:
    """The manifest of its result file; `session` holds further facts about this run."""
    noise, procedure = self.smoothed.noise.settings(), self.procedure.settings()
    if noise.keys() & procedure.keys():
      raise ValueError(f"noise and procedure both have settings called {noise.keys() & procedure.keys()}")
    return Manifest(
      settings={
        "command": self.procedure.command,
        **noise,
        **procedure,
        "seed": self.seed,
        **({} if self.smoothed.inputs == inputs.IMAGES else {"inputs": self.smoothed.inputs}),
        "precision": devices.matmul_precision(),
        **devices.settings(),
        **(self._digests() if self.settings is None else self.settings),
      },
      indices=list(self.indices),
      about=self.about | self._image_shape() | self._first_logits(),
      session=provenance.session(**session),
    )

  def _digests(self) -> dict[str, Any]:
    labels = [None] * len(self.indices) if self.labels is None else [self.labels[i] for i in self.indices]
    first, data = self.first_image() if self.indices else None, []
    for i, label in zip(self.indices, labels):
      data.append((i, self.images[i], label))
      self.smoothed.checked(data[-1][:2], first)  # all of them, before anything is written
    named = {} if self.classifier is None else {"classifier": self.classifier}
    named |= {} if self.dtype is None else {"dtype": self.dtype}
    return {
      "dataset": provenance.digest(data),
      "checkpoint": provenance.digest(self.smoothed.variables),
      **named,
    }

  @property
  def num_classes(self) -> int:
    """How many logits the classifier gives."""
    return class_count(self.smoothed.apply, self.smoothed.variables, self.first_image().shape)

  def first_image(self) -> NDArray[Any]:
    """The image of the first index, checked."""
    index = self.indices[0]
    return self.smoothed.checked((index, self.images[index]))[1]

  def _image_shape(self) -> dict[str, Any]:
    """What radii in other norms depend on; {} if there are no images."""
    return {"image_shape": list(self.first_image().shape)} if self.indices else {}

  def _first_logits(self) -> dict[str, Any]:
    """First logits and a digest of what `apply` holds, which tell functions of the same variables apart."""
    if self.settings is not None or not self.indices:
      return {}
    inspector, image = self.smoothed.inspector, self.first_image()
    logits = inspector.logits(image)
    return {
      "first logits": [float(f"{value:.7g}") for value in logits[:_LOGITS]],
      "constants": inspector.constants(image),
    }

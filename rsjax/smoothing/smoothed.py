"""A base classifier with its noise, which is what is certified, wherever it comes from.

  >>> smoothed = Smoothed(apply, variables, Gaussian(0.25))
  >>> for index, outcome in smoothed.outcomes(Certify(n=1000), enumerate(images[:2])):
  ...   print(index, outcome.prediction)
  0 0
  1 0

The base classifier is any pure function `apply(variables, images) -> logits`, from float32[b, h, w, c] in
[0, 1] to [b, classes], or from float32 arrays of any other shape (`inputs`). Normalisation is part of it,
because sigma is in units of [0, 1] pixels. It must
treat each image by itself: batch statistics would couple draws and void the guarantee. The label of an
image is not an argument here, so a certificate cannot depend on it.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rsjax import bounds
from rsjax.errors import InputError
from rsjax.noise import Noise, check_seed
from rsjax.procedures import Outcome, Procedure
from rsjax.smoothing import outputs, scheduling
from rsjax.smoothing.execution import Execution
from rsjax.smoothing.inputs import ARRAYS, IMAGES, Example, Inputs, check_kind, checked
from rsjax.smoothing.inspection import Inspector
from rsjax.smoothing.votes import Apply


@dataclasses.dataclass(frozen=True)
class Smoothed:
  """A base classifier and the noise that smooths it.

  Attributes:
    apply, variables: the base classifier, see the module's docstring; variables is its pytree of arrays.
    noise: the noise that smooths it.
    inputs: "images", or "arrays" for float32 arrays of any shape and range, in whose units sigma then is.

  Raises:
    InputError: for noise that certifies nothing, or is not for these inputs.
  """

  apply: Apply
  variables: Any = dataclasses.field(repr=False)  # printed, its arrays would fill pages
  noise: Noise
  inputs: Inputs = dataclasses.field(default=IMAGES, kw_only=True)

  def __post_init__(self) -> None:
    bounds.check_noise(self.noise)
    if not callable(self.apply):
      raise InputError(f"apply must be a function (variables, images) -> logits, got {type(self.apply)}")
    check_kind(self.inputs)
    if self.inputs == ARRAYS and hasattr(self.noise, "check_image"):
      raise InputError(f'{self.noise.name} noise is for images, not for inputs="arrays"')

  def checked(self, example: Example, first: Any = None) -> Example:
    """The example, checked as one of its inputs (`inputs.checked`); first: an earlier one, of the same kind."""
    return checked(example, first, self.inputs)

  def outcomes(
    self,
    procedure: Procedure,
    examples: Iterable[Example],
    *,
    seed: int = 0,
    execution: Execution = Execution(),
    progress: Callable[[int], None] = lambda draws: None,
    ended: Callable[[], bool] | None = None,
  ) -> Iterator[tuple[int, Outcome]]:
    """Runs `procedure` for each example, see `scheduling.outcomes`: (index, outcome) of each, in order.

    With probability at least 1 - alpha per image, a certified radius is not above the true one of the
    smoothed classifier, and a prediction is its class.

    Raises:
      InputError: for a seed, images or a classifier that cannot be used.
    """
    check_seed(seed)
    return scheduling.outcomes(
      self.apply,
      self.variables,
      examples,
      procedure,
      self.noise,
      inputs=self.inputs,
      seed=seed,
      execution=execution,
      progress=progress,
      ended=ended,
    )

  @functools.cached_property
  def inspector(self) -> Inspector:
    """For a first look at the classifier; its program is compiled once."""
    return Inspector(self)

  @functools.cached_property
  def output_inspector(self) -> Inspector:
    """The same for a function that returns real numbers, [b] or [b, outputs], instead of logits."""
    twice = Smoothed(outputs.as_columns(self.apply, 2), self.variables, self.noise, inputs=self.inputs)
    return Inspector(twice, "outputs", self.apply)

"""A base classifier with its noise: what is certified, whoever it comes from.

  >>> smoothed = Smoothed(apply, variables, Gaussian(0.25))
  >>> for index, outcome in smoothed.outcomes(Certify(n=1000), enumerate(images[:2])):
  ...   print(index, outcome.prediction)
  0 0
  1 0

The base classifier is any pure function `apply(variables, images) -> logits`, from float32[b, h, w, c] in
[0, 1] to [b, classes]. Normalisation is part of it, because sigma is in units of [0, 1] pixels. It must
treat each image by itself: batch statistics would couple draws and void the guarantee. The label of an
image is no argument here: a certificate cannot depend on it.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rsjax import bounds, devices
from rsjax.errors import InputError
from rsjax.noise import Noise, check_seed
from rsjax.procedures import Outcome, Procedure
from rsjax.smoothing import scheduling
from rsjax.smoothing.execution import Execution
from rsjax.smoothing.votes import Apply, class_count

_ROUNDING, _COUPLED = 1e-4, 1e-2  # of the logits' size: what may differ unsaid, and what is refused
_COMPANIONS = 7


@dataclasses.dataclass(frozen=True)
class Smoothed:
  """A base classifier and the noise that smooths it.

  Attributes:
    apply, variables: the base classifier, see the module's docstring; variables is its pytree of arrays.
    noise: that of the smoothed classifier.

  Raises:
    InputError: for noise that certifies nothing.
  """

  apply: Apply
  variables: Any
  noise: Noise

  def __post_init__(self) -> None:
    bounds.check_noise(self.noise)
    if not callable(self.apply):
      raise InputError(f"apply must be a function (variables, images) -> logits, got {type(self.apply)}")

  def outcomes(
    self,
    procedure: Procedure,
    examples: Iterable[scheduling.Example],
    *,
    seed: int = 0,
    execution: Execution = Execution(),
    progress: Callable[[int], None] = lambda draws: None,
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
      seed=seed,
      execution=execution,
      progress=progress,
    )

  def check_independence(self, image: np.ndarray) -> str | None:
    """Compares the logits of one noisy image alone and among others, at two places of a batch.

    Args:
      image: uint8[h, w, c], or float32[h, w, c] in [0, 1].

    Returns:
      None where they agree to rounding; else a warning.

    Raises:
      InputError: where they clearly differ: batch statistics or dropout are on, and void the guarantee.
    """
    x = np.asarray(image, np.float32) / (255 if image.dtype == np.uint8 else 1)
    class_count(self.apply, self.variables, x.shape)
    rng = np.random.default_rng(0)
    normal = lambda *shape: rng.normal(size=(*shape, *x.shape)).astype(np.float32)
    x = x + np.asarray(self.noise.sample(jax.random.key(0), x.shape))
    scales = np.array([0.1, 1, 3, 0, 0.5, 2, 1], np.float32).reshape(_COMPANIONS, 1, 1, 1)
    offsets = np.array([0, 0, 1, 1, 0.5, 0, -1], np.float32).reshape(_COMPANIONS, 1, 1, 1)
    others, further = (offsets + scales * normal(_COMPANIONS) for _ in range(2))
    batches = (
      np.stack([x] * (1 + _COMPANIONS)),
      np.concatenate([x[None], others]),
      np.concatenate([further[:5], x[None], further[5:]]),
    )
    logits = devices.jit(devices.keep_nan(self.apply, jax.default_backend()), once=True)
    alone, first, sixth = (
      np.asarray(logits(self.variables, jnp.asarray(batch)), np.float64)[row]
      for batch, row in zip(batches, (0, 0, 5))
    )
    found = np.stack([alone, first, sixth])
    finite = np.isfinite(found)
    size = max(np.abs(found[finite]).max(initial=0.0), 1e-30)
    gap = np.ptp(np.where(finite.all(0), found, 0), axis=0).max() / size
    told = (
      f"the logits of one image depend on the other images of its batch (by {100 * gap:.2g} % of their size)"
    )
    if gap > _COUPLED or (finite != finite[0]).any():
      raise InputError(
        f"{told}, which voids the guarantee: give `apply` in evaluation mode, without batch statistics "
        "and dropout"
      )
    return f"{told}: more than rounding explains" if gap > _ROUNDING else None

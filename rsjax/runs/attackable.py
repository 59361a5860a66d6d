"""The attack of the object that `rsjax.smooth` and `rsjax.load` return."""

import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from numpy.typing import ArrayLike

from rsjax.analysis import Found
from rsjax.errors import InputError
from rsjax.procedures import Attack
from rsjax.runs import given
from rsjax.smoothing import Execution


class Attackable:
  """A smoothed classifier that can be attacked."""

  _run: Callable[..., Found]

  def attack(
    self,
    images: Any,
    labels: ArrayLike,
    *,
    radii: float | Sequence[float],
    method: Literal["pgd", "ddn", "both"] = "pgd",
    iterations: int = 20,
    noise_vectors: int = 64,
    n: int = 10_000,
    alpha: float = 0.001,
    seed: int = 0,
    indices: Iterable[int] | None = None,
    file: str | pathlib.Path | None = None,
    progress: bool = True,
    execution: Execution = Execution(),
  ) -> Found:
    """Searches adversarial examples of the smoothed classifier, by gradients over fixed draws of noise.

    An example counts if PREDICT, with other draws, answers a class other than the label there. So robust
    accuracy at a radius is at most the share of the images without an example up to it, which
    `attacked_accuracy(radius)` of the result gives.

    Args:
      images, labels, seed, indices, file, progress: as for `certify`; labels are needed. The search takes
        gradients through `apply`.
      radii: l2 radii, increasing, in units of [0, 1] pixels, with at most six decimals. They are tried in this
        order, up to the first at which an example is verified.
      method: "pgd", "ddn" or "both" (`procedures.Attack`).
      iterations: gradient steps at each radius.
      noise_vectors: noisy copies of each image from which a gradient is taken.
      n: draws that verify a point, at most.
      alpha: probability, per image, with which a verified answer is wrong.
      execution: what decides speed. Rows also fix how many images are attacked at a time, which may change a
        point by rounding.

    Returns:
      One row per image: `epsilon`, the radius of the first example (0: the image itself is answered wrongly;
      inf: none was verified), `norm`, its distance, rounded up, and `predict`, the answer there, or at the
      image if there is none.

    Raises:
      InputError: as for `certify`, and for noise other than Gaussian noise.
    """
    if labels is None:
      raise InputError("an attack searches for an answer other than the label: give `labels`")
    procedure = Attack(given.several(radii), method, iterations, noise_vectors, n, alpha)
    return self._run(procedure, images, labels, seed, indices, file, progress, execution)

"""A first look at a base classifier, in seconds: is it a function of each image, and can its answers be right?

  >>> inspector = Inspector(Smoothed(apply, variables, Gaussian(0.25)))
  >>> inspector.soundness(images)  # no warnings
  []
  >>> inspector.look(images)
  6 images: 2 of 2 classes answered, most often class 0 (3 times)

A network whose inputs are not on the scale that it was trained on answers one class for every image, and that
class is certified at the largest radius. No certificate shows this mistake; a first look does.
"""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from rsjax import devices
from rsjax.errors import InputError
from rsjax.noise import is_exact, perturb_for_training, threefry
from rsjax.smoothing import agreement, constants
from rsjax.smoothing.looking import Look, suspicions
from rsjax.smoothing.votes import class_count

_ROWS = 8  # of the one small program that looks
_HALVINGS = 4  # of the distance to where the answer changes; more would tell rounding
_TRACES, _SECONDS = 8, 0.5  # at most, to see whether it is the same each time; three in any case
_QUICK = 0.05  # seconds that a trace takes, up to which there is one for every run


class Inspector:
  """Looks at a `Smoothed` through one small program, which is compiled once; `called` is what it returns."""

  def __init__(self, smoothed: Any, called: str = "logits", function: Any = None) -> None:
    self._called, self._variables = called, smoothed.variables
    self._function = function or smoothed.apply  # of the user, of which programs are kept
    perturb = functools.partial(perturb_for_training, smoothed.noise)
    self._perturb = devices.jit(perturb, once=True) if is_exact(smoothed.noise) else perturb
    self._apply, self._inputs = smoothed.apply, smoothed.inputs
    self._logits, self._is_one_program = self._compiled(), False  # not known yet
    self._seen: set[str] = set()  # programs that `apply` was traced to
    self._quick = False  # whether tracing takes next to no time

  def soundness(self, images: Sequence[np.ndarray], pure: bool = False) -> list[str]:
    """Whether `apply` answers for each image by itself, and the same whenever it is compiled; else warnings.

    Args:
      images: one or more of uint8[h, w, c], or float32[h, w, c] in [0, 1], or other arrays where inputs are
        arrays, of one shape. A few are used; different ones show more.
      pure: whether `apply` is known to be one program, as rsjax's own are; tracing it again takes seconds.

    Raises:
      InputError: if it clearly does not, which voids the guarantee: batch statistics or dropout are on, it
        draws numbers of Python or NumPy, or what it reads besides its arguments has changed since it was used.
    """
    class_count(self._apply, self._variables, images[0].shape)  # what is no classifier is said first
    points, odd, usual = self._near_boundary(images)
    outputs, half = self._run(points), len(odd)
    early = self._run(np.concatenate([points[:half], odd])[::-1])[::-1]
    late = self._run(np.concatenate([odd, points[half:]])[::-1])[::-1]  # both at other places, too
    beside = np.concatenate([early[:half], late[half:]])
    told = [
      _judged(
        self._compared(outputs, beside, usual),
        f"the {self._called} of one image depend on the other images of its batch",
        "give `apply` in evaluation mode, without batch statistics and dropout",
      ),
    ]
    if not (pure or self._is_one_program):
      told += [self._repeats(points, usual), self._since_first_use(points, usual, self._logits)]
      self._is_one_program = told[1:] == [None, None]
    elif not pure and self._quick and (trace := self._trace(points)) not in self._seen:
      told.append(self._since_first_use(points, usual, self._compiled()))
      self._seen |= set() if told[-1] else {trace}  # such as that of images of another size
    return [warning for warning in told if warning]

  def _near_boundary(self, images: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(a batch of inputs close to where the answer changes, half a batch of odd ones, outputs for usual ones).

    The first lie between noisy images. An answer shows there what a saturated output hides elsewhere.
    """
    one = np.stack([self._noisy(images[k * len(images) // _ROWS], k) for k in range(_ROWS)])
    other = np.roll(one, 1, 0)[:, ::-1]  # upside down, as there may be one image only
    column = lambda values: np.reshape(values, (-1, *[1] * (one.ndim - 1))).astype(np.float32)
    between = lambda share: (1 - column(share)) * one + column(share) * other
    usual, share = self._run(one), np.full(_ROWS, 0.5)
    for halving in range(2, 2 + _HALVINGS):
      same = self._run(between(share)).argmax(1) == usual.argmax(1)
      share += np.where(same, 1, -1) / 2.0**halving
    normal = np.random.default_rng(0).normal(size=one[: _ROWS // 2].shape).astype(np.float32)
    return between(share), column([1, 1, 0, -1]) + column([3, 0, 2, 1]) * normal, usual

  def _compared(self, one: np.ndarray, other: np.ndarray, usual: np.ndarray) -> tuple[float, int]:
    """`agreement.compared`, where the outputs for usual inputs count for the size of outputs."""
    one, other = (np.concatenate([outputs, usual]) for outputs in (one, other))
    return agreement.compared(one, other, self._called == "logits")

  def _repeats(self, batch: np.ndarray, usual: np.ndarray) -> str | None:
    """Whether `apply` is one program, however often it is traced, or at least gives the same for a batch."""
    outputs, gap, clear, started = self._run(batch), 0.0, 0, time.monotonic()
    for number in range(_TRACES):
      with jax.default_device(jax.local_devices()[0]) if number % 2 else contextlib.nullcontext():
        # Of functions that `apply` compiles itself, JAX keeps one trace for each default device.
        self._seen.add(self._trace(batch))
        self._quick = time.monotonic() - started < _QUICK * (number + 1)
        if len(self._seen) > 1:  # the same may be computed in another way
          other = self._run(batch, self._compiled())
          found = self._compared(outputs, other, usual)
          gap, clear = max(gap, found[0]), max(clear, found[1])
      if clear > 1 or (number > 1 and time.monotonic() - started > _SECONDS):
        break
    return _judged(
      (gap, clear),
      f"`apply` gives different {self._called} for the same images each time it is compiled",
      "leave out random numbers of Python or NumPy, such as an augmentation, and what counts calls",
    )

  def _trace(self, batch: np.ndarray) -> str:
    """A digest of what `apply` computes for such a batch."""
    return constants.program(self._apply, self._variables, jax.ShapeDtypeStruct(batch.shape, np.float32))

  def _since_first_use(self, batch: np.ndarray, usual: np.ndarray, program: Any) -> str | None:
    """Whether what was compiled now is what `apply` was when it was first compiled, which is what votes."""
    try:
      first = _first_program(self._function, self._called)
    except TypeError:  # not hashable: its programs are not kept
      return None
    first[:] = first or [self._logits]
    return _judged(
      self._compared(self._run(batch, program), self._run(batch, first[0]), usual),
      f"`apply` gives other {self._called} than the program that JAX compiled at its first use",
      "what it reads besides its arguments has changed: define it again, or give such values in `variables`",
    )

  def _compiled(self) -> Any:
    apply = self._apply
    fresh = lambda variables, images: apply(variables, images)  # JAX knows functions that it has traced
    return devices.jit(devices.keep_nan(fresh, jax.default_backend()), once=True)

  def logits(self, image: np.ndarray) -> NDArray[np.float64]:
    """float64[classes]: the logits of one noisy image, the same at each call: they tell classifiers apart."""
    class_count(self._apply, self._variables, image.shape)
    return self._run(np.stack([self._noisy(image, 0)] * _ROWS))[0]

  def constants(self, image: np.ndarray) -> str:
    """A digest of the numbers that `apply` holds itself, such as weights in a closure (`constants.digest`)."""
    batch = jax.ShapeDtypeStruct((_ROWS, *image.shape), np.float32)
    return constants.digest(self._logits, self._variables, batch)

  def look(self, images: Sequence[np.ndarray], labels: NDArray[np.int64] | None = None) -> Look:
    """The answers for some images, without noise and with one draw of it, and what is odd about them.

    Args:
      images: as for `soundness`.
      labels: int64[images]; without them the look finds less.
    """
    clean = self._answers([_pixels(image) for image in images])
    noisy = self._answers([self._noisy(image, 1 + place) for place, image in enumerate(images)])
    classes = class_count(self._apply, self._variables, images[0].shape)
    look = Look(clean, noisy, labels, classes)
    return dataclasses.replace(look, warnings=tuple(suspicions(look, self._inputs)))

  def _noisy(self, image: np.ndarray, number: int) -> np.ndarray:
    return np.asarray(self._perturb(threefry.base_key(number), _pixels(image)))

  def _answers(self, inputs: list[np.ndarray]) -> NDArray[np.int64]:
    """int64[inputs]: the class of the largest logit, -1 where they are not finite."""
    found = []
    for begin in range(0, len(inputs), _ROWS):
      part = inputs[begin : begin + _ROWS]
      logits = self._run(np.stack(part + [part[-1]] * (_ROWS - len(part))))[: len(part)]
      found.append(np.where(np.isfinite(logits).all(1), logits.argmax(1), -1))
    return np.concatenate(found)

  def _run(self, batch: np.ndarray, program: Any = None) -> NDArray[np.float64]:
    found = (program or self._logits)(self._variables, jnp.asarray(batch))
    return np.asarray(found, np.float64)


@functools.lru_cache(maxsize=8)
def _first_program(function: Any, called: str) -> list[Any]:
  """A list that holds what `Inspector._compiled` gave when a function was first looked at; empty until then."""
  del function, called
  return []


def different(one: Sequence[float], other: Sequence[float], same_program: bool) -> bool:
  """Whether logits of one input differ by more than rounding, which is larger across programs."""
  if len(one) != len(other):
    return True
  gap, same_finite = agreement.gap(np.array([one, other], np.float64))
  return not same_finite or gap > (1e-3 if same_program else 5e-2)


def _pixels(image: np.ndarray) -> np.ndarray:
  return np.asarray(image, np.float32) / (255 if image.dtype == np.uint8 else 1)


def _judged(found: tuple[float, int], told: str, mend: str) -> str | None:
  """A warning if outputs differ by more than rounding, as `agreement.compared` found.

  Raises:
    InputError: if those of two inputs clearly differ; a single answer may be a tie.
  """
  gap, clear = found
  told += f" (by {100 * gap:.2g} % of their size)"
  if clear > 1:
    raise InputError(f"{told}, which voids the guarantee: {mend}")
  return f"{told}: more than rounding explains" if gap > agreement.ROUNDING else None

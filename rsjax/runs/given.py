"""Checks what the Python interface is given: noise, images, labels, indices and the rule for stopping."""

import dataclasses
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import jax
import numpy as np
from numpy.typing import ArrayLike, NDArray

from rsjax import bounds
from rsjax.bounds import ONE_SIDED, BoundKind
from rsjax.data import arrays, pixels
from rsjax.errors import InputError, warn
from rsjax.noise import KINDS, WORD, Gaussian, Noise, grey_levels, is_exact
from rsjax.procedures import Anytime, Certify, CertifyByLooks, Exact, Procedure, Radii, StopRule, Tolerance
from rsjax.results import harmless
from rsjax.smoothing import Smoothed
from rsjax.smoothing.inputs import IMAGES, Inputs, checked

N0, N, ALPHA = 100, 100_000, 0.001  # of CERTIFY, if nothing else is given


def noise_of(sigma: float | None, noise: Noise | None, inputs: Inputs = IMAGES) -> Noise:
  """The noise that `rsjax.smooth` is given, as one of two; warns if sigma seems to be in grey levels.

  Raises:
    InputError: for both or neither, or a sigma that is no number.
  """
  if (sigma is None) == (noise is None):
    raise InputError("give either `sigma`, for Gaussian noise, or `noise`")
  if noise is not None and (isinstance(noise, type) or not hasattr(noise, "perturb")):
    raise InputError(f"noise must be a noise with its parameters, got {noise!r}{_mend_of_noise(noise)}")
  if sigma is not None:
    bounds.check_sigma(sigma)
  chosen = Gaussian(sigma) if noise is None else noise  # type: ignore[arg-type]
  if is_exact(chosen) and inputs != IMAGES:
    raise InputError(f"{chosen.name} noise is for images, not for other arrays")
  if not is_exact(chosen) and inputs == IMAGES and (told := grey_levels(getattr(chosen, "sigma", 0.0))):
    warn(told)
  return chosen


def _mend_of_noise(noise: Any) -> str:
  """What to give instead of a noise's name or class, or of a number."""
  if isinstance(noise, int | float):
    return f": give sigma={noise}"
  kind = KINDS.get(noise.lower()) if isinstance(noise, str) else noise if noise in KINDS.values() else None
  if kind is None:
    return ": give one such as rsjax.Uniform(0.25)"
  return f": give rsjax.{kind.__name__}({dataclasses.fields(kind)[0].name})"


def certification(
  noise: Noise, n0: int | Literal["auto"], n: int, alpha: float, bound: BoundKind, stop: StopRule | None
) -> Procedure | None:
  """CERTIFY with n fixed, or by looks if there is a rule for stopping; None for an exact noise.

  Raises:
    InputError: for what cannot be used, also for arguments that an exact certificate does not have.
  """
  if is_exact(noise):
    usual = {"n0": (n0, N0), "n": (n, N), "alpha": (alpha, ALPHA), "bound": (bound, ONE_SIDED)}
    not_its = [name for name, (value, default) in usual.items() if value != default]
    not_its += ["a rule for stopping"] if stop is not None else []
    if not_its:
      raise InputError(
        f"{noise.name} noise is certified exactly: each of its draws is classified once, and nothing is left "
        f"to chance; leave out {' and '.join(not_its)}"
      )
    return None
  if stop is not None:
    return CertifyByLooks(n0, n, alpha, stop, bound=bound)
  if n0 == "auto":
    raise InputError('n0="auto" needs a rule for stopping: give radii, tolerance or stop, or a number')
  return Certify(n0, n, alpha, bound)


def exact(noise: Noise, images: Any, chosen: Sequence[int]) -> Procedure:
  """The exact certificate of some of the images.

  Raises:
    InputError: if there are none, or the noise cannot certify images of their shape.
  """
  if not chosen:
    raise InputError(f"images must hold at least one image to be certified with {noise.name} noise, got none")
  return Exact.of(noise, checked((chosen[0], images[chosen[0]]))[1].shape)


def rule(
  radii: float | Sequence[float] | None,
  tolerance: float | None,
  stop: StopRule | str | None,
  give_up: float | None,
  time_budget: float | None,
) -> StopRule | None:
  """The rule for stopping that is asked for; None if n is fixed."""
  given = [
    name for name, value in (("radii", radii), ("tolerance", tolerance), ("stop", stop)) if value is not None
  ]
  if len(given) > 1:
    raise InputError(f"{' and '.join(given)} are different rules for stopping: give one of them")
  own = {} if give_up is None else {"give_up": give_up}
  if radii is not None:
    return Radii(several(radii), **own)
  if isinstance(tolerance, str):
    raise InputError(
      f"tolerance must be a number, the share of a radius, such as 0.05 for 5 %, got {tolerance!r}"
    )
  if tolerance is not None:
    if tolerance == 0:
      raise InputError("a tolerance of 0 never stops drawing: give a larger one, or none")
    return Tolerance(tolerance, **own)
  if own:
    raise InputError("give_up applies only to radii and tolerance: give one of them, too")
  if stop is not None and stop != "anytime" and not hasattr(stop, "stops"):
    raise InputError(f'stop must be "anytime" or a rule of rsjax.procedures, got {stop!r}')
  if isinstance(stop, str) or (stop is None and time_budget is not None):
    return Anytime()
  return stop  # type: ignore[return-value]


def several(radii: float | Iterable[float]) -> tuple[float, ...]:
  """One or several radii as a tuple; refuses a text, which a command would take."""
  if isinstance(radii, str):
    raise InputError(f"radii must be numbers, such as [0.25, 0.5], got {radii!r}")
  return tuple(radii) if isinstance(radii, Iterable) else (radii,)


def check_apply(apply: Any) -> None:
  """Refuses a module of PyTorch, which JAX cannot trace."""
  if any(kind.__module__.startswith("torch.nn") and kind.__name__ == "Module" for kind in type(apply).__mro__):
    raise InputError(
      "apply is a PyTorch module: apply, variables = rsjax.from_torch(module, example_shape) gives a function"
    )


def check_name(name: Any) -> None:
  """Refuses what is no name of a classifier in a file: text of one line."""
  if name is not None and not (isinstance(name, str) and name.strip() and harmless(name) == name):
    raise InputError(f"name must be a non-empty string of one line, got {name!r}")


def odd_inputs(smoothed: Smoothed, some: Sequence[np.ndarray]) -> Iterable[str]:
  """What is odd about some checked images or arrays, as inputs of a smoothed classifier."""
  if smoothed.inputs == IMAGES:
    return pixels.odd_pixels(some)
  return pixels.odd_arrays(some, getattr(smoothed.noise, "sigma", None))


def check_variables(variables: Any) -> None:
  """Refuses tensors of PyTorch, which JAX does not take."""
  leaves = jax.tree_util.tree_leaves(variables)
  if any(type(leaf).__module__.partition(".")[0] == "torch" for leaf in leaves):
    raise InputError("variables hold tensors of PyTorch: give NumPy arrays, by tensor.detach().numpy()")


def as_they_are(variables: Any) -> Any:
  """The variables in containers of their own, with arrays of NumPy copied: later changes do not reach them."""
  return jax.tree.map(lambda leaf: leaf.copy() if isinstance(leaf, np.ndarray) else leaf, variables)


def checked_labels(images: Any, labels: ArrayLike | None, inputs: Inputs = IMAGES) -> NDArray[np.int64] | None:
  """The labels as an array, or None; refuses images that are not a sequence, and labels that do not fit."""
  if hasattr(images, "iloc"):  # of pandas; whose [0] is a column, or a label of the index
    raise InputError(
      f"images must be a sequence of arrays, or an array, not a {type(images).__name__}: give "
      ".to_numpy(np.float32)"
    )
  sequence = hasattr(images, "__len__") and hasattr(images, "__getitem__")
  if not sequence or isinstance(images, str | bytes | Mapping):
    has_both = hasattr(images, "images") and hasattr(images, "labels")
    mend = "its .images, and its .labels" if has_both else "an array of all images, and their labels apart"
    raise InputError(
      f"images must be a sequence of arrays, or an array, got {type(images).__name__}: give {mend}"
    )
  if inputs == IMAGES and isinstance(images, np.ndarray) and images.ndim in (2, 3):
    raise InputError(
      f"images must be [images, height, width, channels], got {list(images.shape)}: give images[None] if it is "
      'one image, images[..., None] if channels are missing, and inputs="arrays" if they are no images'
    )
  if inputs != IMAGES and isinstance(images, np.ndarray) and images.ndim < 2:
    raise InputError(f"arrays must be [arrays, ...], got {list(images.shape)}: give row[None] if it is one row")
  for name, values in (("images", images), ("labels", labels)):
    if np.ma.is_masked(values):
      raise InputError(
        f"{name} are a masked array, and a mask is not looked at: name the images to certify by `indices`, and "
        f"give {name}.data"
      )
  if labels is None:
    return None
  try:
    known = np.asarray(labels)
  except Exception as error:  # NumPy's, or that of a framework's array
    raise InputError(
      f"labels must be {len(images)} integers, one per image, got a {type(labels).__name__} that is no array"
    ) from error
  if known.shape != (len(images),) or not np.issubdtype(known.dtype, np.integer):
    if known.dtype.kind in "USO":
      mend = ": give the number of each image's class, as np.unique(labels, return_inverse=True)[1] does"
    else:
      whole = known.shape == (len(images),) and arrays.are_whole(known)
      mend = ": give labels.astype(int)" if whole else arrays.how_to_flatten(known, len(images), "labels")
    raise InputError(
      f"labels must be {len(images)} integers, one per image, got {known.dtype}{list(known.shape)}{mend}"
    )
  if known.min(initial=0) < 0:
    raise InputError(f"labels must be 0 or more, got {known.min()}")
  return known


def check_below(labels: NDArray[np.int64] | None, classes: int) -> None:
  """Refuses labels that are no class of the classifier's; the mend is judged by which labels there are."""
  if labels is None or labels.max(initial=0) < classes:
    return
  highest, mend = int(labels.max()), ""
  if highest == classes and labels.min() >= 1:
    mend = ": subtract 1 from each label if they are counted from 1"
  elif highest == np.iinfo(np.uint8).max and labels[labels < highest].max(initial=0) < classes:
    mend = (
      ": 255 is what -1 becomes as uint8, so subtract from labels.astype(int), and leave out what is below 0"
    )
  raise InputError(f"labels must be below the classifier's {classes} classes, got {highest}{mend}")


def chosen(count: int, indices: Iterable[int] | None) -> list[int]:
  """The indices as a list; refuses none at all, and an index that is not one of the images, or is repeated."""
  if isinstance(indices, slice):
    start, stop, step = indices.indices(count)
    mend = f"range({start}, {stop})" if step == 1 else f"range({start}, {stop}, {step})"
    raise InputError(f"indices must be a sequence of integers, got {indices!r}: give {mend}")
  if indices is not None and not isinstance(indices, Iterable):
    raise InputError(f"indices must be a sequence of integers, got {indices!r}: give [{indices!r}]")
  if indices is not None:
    mask = str(getattr(indices, "dtype", "")).endswith("bool")  # of any framework
    indices = list(indices)
    if mask or any(isinstance(i, bool | np.bool_) for i in indices):
      raise InputError("indices must be positions, not true or false: give np.flatnonzero(mask)")
    if not indices:
      raise InputError("indices hold no position: leave out `indices` for all images, or give some")
  try:
    positions = list(range(count)) if indices is None else [operator.index(i) for i in indices]
  except TypeError as error:
    odd: Any = next(i for i in indices if np.ndim(i) or not hasattr(i, "__index__"))  # type: ignore
    mend = "give np.asarray(indices).astype(int), if they are whole numbers"
    mend = "give np.ravel(indices), if they are positions" if np.ndim(odd) else mend
    raise InputError(f"indices must be integers, got {odd!s}: {mend}") from error
  outside = [i for i in positions if not 0 <= i < min(count, WORD)]
  if outside:
    raise InputError(f"indices must be positions of the {count} images, from 0 on, got {outside[0]}")
  if len(set(positions)) < len(positions):
    raise InputError("indices must be of different images: leave out the repeated ones")
  return positions

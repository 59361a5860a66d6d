"""Data sets that are arrays: scikit-learn's digits and .npz files."""

import collections
import contextlib
import hashlib
import importlib.util
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from rsjax.data import repeats
from rsjax.data.dataset import Dataset
from rsjax.data.pixels import DARK, odd_pixels
from rsjax.errors import InputError

_TEST_DIGITS = 360
_PART = 2**20  # bytes read at once
_MOST_UNNAMED = 2**16  # classes that labels alone may imply; more is taken for a mistake


def digits(split: str) -> Dataset:
  """scikit-learn's 1,797 handwritten digits, 8x8; the last 360 are the test split.

  scikit-learn's pixels, 0..16, are scaled to 0..255.
  """
  table = _digits_table()
  images = np.rint(table[:, :-1].reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)
  part = slice(-_TEST_DIGITS, None) if split == "test" else slice(-_TEST_DIGITS)
  classes = tuple(str(digit) for digit in range(10))
  return _in_memory("digits", split, images[part], table[part, -1].astype(np.int64), 10, classes)


def _digits_table() -> np.ndarray:
  """float64[images, 65]: pixels and label, from the file itself: importing scikit-learn takes seconds."""
  spec = importlib.util.find_spec("sklearn")
  if spec is None or spec.origin is None:
    raise InputError("digits come with scikit-learn: pip install scikit-learn")
  file = pathlib.Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
  if file.is_file():
    return np.loadtxt(file, delimiter=",")
  bunch = importlib.import_module("sklearn.datasets").load_digits()  # a version that keeps it elsewhere
  return np.column_stack([bunch.data, bunch.target])


def npz(name: str, path: pathlib.Path, split: str) -> Dataset:
  """x_train, y_train, x_test, y_test (uint8 NHWC, integers); class_names if labels have gaps."""
  try:
    with np.load(path) as archive:
      arrays = {key: archive[key] for key in archive.files if key[:2] == "y_" or key == "class_names"}
      if f"x_{split}" not in archive.files or f"y_{split}" not in arrays:
        raise InputError(f"{name} lacks x_{split} or y_{split}; it has {', '.join(archive.files)}")
      images = archive[f"x_{split}"]
      other = {"train": "test", "test": "train"}[split]
      other_is_dark = _is_dark(archive, f"x_{other}")
      looks = split == "test" and images.ndim == 4
      twice = repeats.told(images, _rows(archive, "x_train", images)) if looks else None
  except InputError:
    raise
  except Exception as error:  # NumPy raises many kinds: not a zip, truncated, pickled objects
    # Of what is no archive NumPy says to load it unsafely.
    why = "it is not one, or it holds Python objects" if "pickle" in str(error) else error
    raise InputError(f"{name} cannot be read as .npz of plain arrays: {why}") from error
  labels = arrays[f"y_{split}"]
  if images.dtype != np.uint8 or images.ndim != 4 or images.size == 0:
    raise InputError(
      f"{name}: x_{split} must be uint8[images, height, width, channels] with pixels 0..255, "
      f"got {images.dtype}{list(images.shape)}{_how_to_convert(images, f'x_{split}')}"
      + (
        f": give x_{split}[..., None] if channels are missing"
        if images.dtype == np.uint8 and images.ndim == 3
        else ""
      )
    )
  if images.shape[1] <= 4 < images.shape[3]:
    raise InputError(
      f"{name}: x_{split} is {list(images.shape)}, which looks like channels before height and width: give "
      f"[images, height, width, channels], for example by np.moveaxis(x_{split}, 1, 3)"
    )
  if labels.shape != images.shape[:1]:
    raise InputError(
      f"{name}: y_{split} must be integers[{len(images)}], got shape {list(labels.shape)}"
      + how_to_flatten(labels, len(images), f"y_{split}")
    )
  known = {key: y for key, y in arrays.items() if key in ("y_train", "y_test")}
  for key, y in known.items():
    if not np.issubdtype(y.dtype, np.integer):
      mend = f": give {key}.astype(int)" if are_whole(y) else ""
      raise InputError(f"{name}: {key} must be integers, got {y.dtype}{mend}")
  lowest, highest = (int(f([f(y) for y in known.values() if y.size])) for f in (np.min, np.max))
  classes, most = None, _MOST_UNNAMED
  if "class_names" in arrays:
    if arrays["class_names"].ndim != 1:
      raise InputError(f"{name}: class_names must be one string per class")
    classes = tuple(str(c) for c in arrays["class_names"])
    if repeated := [c for c, count in collections.Counter(classes).items() if count > 1]:
      raise InputError(f"{name}: class_names must be different, but {repeated[0]!r} stands there several times")
    most = len(classes)
  if lowest < 0 or highest >= most:
    raise InputError(f"{name}: labels must be in 0..{most - 1}, got {lowest}..{highest}")
  notes = [f"{name}: x_{split}: {text}" for text in odd_pixels(images)]
  if other_is_dark and images.max() > DARK:
    notes.append(
      f"{name}: no pixel of x_{other} is above {DARK}, but pixels of x_{split} are: have they one scale?"
    )
  if twice:
    notes.append(f"{name}: {twice}")
  if classes is None and (told := _other_numbers(known)):
    notes.append(f"{name}: {told}")
  if lowest > 0 and classes is None:
    notes.append(f"{name}: no label is below {lowest}, though labels are taken as counted from 0")
  num_classes = most if classes else highest + 1
  return _in_memory(name, split, images, labels.astype(np.int64), num_classes, classes, tuple(notes))


def _other_numbers(labels: dict[str, np.ndarray]) -> str | None:
  """A sentence if one split's labels both begin and end above the other's, as if counted from 1; else None."""
  ranges = {key: (int(y.min()), int(y.max())) for key, y in labels.items() if y.size}
  if len(ranges) < 2:
    return None
  (other, (lower, higher)), (first, (low, high)) = sorted(ranges.items(), key=lambda item: item[1])
  if low <= lower or high <= higher:
    return None
  return (
    f"labels of {first} are {low}..{high}, but those of {other} {lower}..{higher}: are they counted from the "
    "same number?"
  )


def _is_dark(archive: Any, key: str) -> bool:
  """Whether an array is there, is uint8, and has no pixel above DARK; reads no more of it than this needs."""
  with _opened(archive, key) as (file, (_, _, dtype)):
    if dtype != np.uint8:
      return False
    return all(max(part) <= DARK for part in iter(lambda: file.read(_PART), b""))


def _rows(archive: Any, key: str, images: np.ndarray) -> Iterator[bytes]:
  """The images of an array one by one, without holding all; none if it is not there, or not like `images`."""
  with _opened(archive, key) as (file, (shape, columns_first, dtype)):
    if dtype != images.dtype or shape[1:] != images.shape[1:] or not images.size:
      return
    if columns_first:
      yield from (image.tobytes() for image in archive[key])
    else:
      yield from iter(lambda: file.read(images[0].size), b"")


@contextlib.contextmanager
def _opened(archive: Any, key: str) -> Iterator[tuple[Any, tuple[tuple[int, ...], bool, Any]]]:
  """(an array's file in an archive, (shape, in Fortran's order?, dtype)); the dtype is None without one."""
  if f"{key}.npy" not in archive.zip.namelist():
    yield None, ((), False, None)
    return
  with archive.zip.open(f"{key}.npy") as file:
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    yield file, header(file)


def are_whole(labels: np.ndarray) -> bool:
  """Whether labels that are no integers stand for integers, as 1.0 and true do."""
  return labels.dtype.kind == "b" or (labels.dtype.kind == "f" and bool((labels == np.floor(labels)).all()))


def how_to_flatten(labels: np.ndarray, count: int, name: str) -> str:
  """What makes labels of another shape one integer per image; "" if that is not known."""
  if labels.ndim != 2 or len(labels) != count:
    return ""
  if labels.shape[1] == 1:
    return f": give {name}[:, 0]"
  return f": give {name}.argmax(1)" if labels.shape[1] and (labels.sum(1) == 1).all() else ""


def _how_to_convert(images: np.ndarray, name: str) -> str:
  """What makes pixels of another dtype uint8, judged by their range; "" for what is not pixels."""
  if images.dtype == np.uint8 or not np.issubdtype(images.dtype, np.number) or images.size == 0:
    return ""
  if np.issubdtype(images.dtype, np.complexfloating):
    return ""
  lowest, highest = float(images.min()), float(images.max())
  within = f" from {lowest:.3g} to {highest:.3g}"
  if not (np.isfinite(lowest) and np.isfinite(highest)):
    return ", some of it NaN or infinite"
  if lowest < 0:
    return (
      f"{within}, as of normalised images: give the pixels before that; the classifier normalises them itself"
    )
  if highest <= 1:
    return f"{within}: give np.rint(255 * {name}).astype(np.uint8)"
  if highest <= DARK:
    scaled = f"np.rint({name} * (255 / {np.ceil(highest):g})).astype(np.uint8)"
    return f"{within}: give {scaled} if no pixel can be larger"
  if highest <= 255:
    return f"{within}: give np.rint({name}).astype(np.uint8)"
  return f"{within}, which are no pixels of 8 bits: scale them to 0..255"


def digest_of(images: np.ndarray, labels: np.ndarray, num_classes: int) -> str:
  """SHA-256 of a split in memory: images uint8[len, h, w, c], labels int64[len]."""
  digest = hashlib.sha256(np.ascontiguousarray(images).data)
  digest.update(repr((images.shape, labels.tolist(), num_classes)).encode())
  return digest.hexdigest()


def _in_memory(name, split, images, labels, num_classes, classes, notes=()):
  digest = digest_of(images, labels, num_classes)
  return Dataset(name, split, images, labels, num_classes, classes, digest, notes=notes)

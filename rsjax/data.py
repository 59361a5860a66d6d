"""Data sets by name or path: uint8 images and labels in the data set's original order.

  >>> data.load("digits", "test").images[0]       # uint8[8, 8, 1]
  >>> data.load("photos.npz", "train")            # x_train, y_train, x_test, y_test
  >>> data.load("photos/", "test")                # photos/{train,test}/<class>/*.png

Index i is the position in the original order, which published results refer to. Images are never
augmented here. A new kind of data set is one function that returns a `Dataset`, named in `load`.
"""

import dataclasses
import hashlib
import importlib
import pathlib
from collections.abc import Sequence

import numpy as np

from rsjax.errors import InputError

SPLITS = ("train", "test")
_TEST_DIGITS = 360
_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
_MOST_UNNAMED = 2**16  # classes that labels alone may imply; more is taken for a mistake


@dataclasses.dataclass(frozen=True)
class Dataset:
  """One split of a data set.

  Attributes:
    name: as given by the user.
    split: "train" or "test".
    images: images[i] is uint8[h, w, c]; an array where the data set is one, else read on access.
    labels: int64[len].
    num_classes: labels are in 0..num_classes - 1.
    classes: class names in the order of the labels, or None where the data set does not tell them.
    digest: SHA-256 of the images and labels (of a folder: of the files), for result files.
  """

  name: str
  split: str
  images: Sequence[np.ndarray]
  labels: np.ndarray
  num_classes: int
  classes: tuple[str, ...] | None
  digest: str

  def __len__(self):
    return len(self.labels)

  @property
  def image_shape(self):
    """(h, w, c)."""
    return tuple(self.images[0].shape)

  def array(self):
    """All images: uint8[len, h, w, c]."""
    return self.images if isinstance(self.images, np.ndarray) else np.stack(list(self.images))

  def channel_statistics(self):
    """Mean and standard deviation of each channel, in units of [0, 1] pixels: two tuples of floats."""
    counts = np.zeros((self.image_shape[-1], 256), np.int64)
    for image in self.images:
      for channel in range(len(counts)):
        counts[channel] += np.bincount(image[..., channel].ravel(), minlength=256)
    values = np.arange(256) / 255
    weights = counts / counts.sum(1, keepdims=True)
    mean = weights @ values
    std = np.sqrt(weights @ values**2 - mean**2)
    return tuple(mean.round(6).tolist()), tuple(std.round(6).tolist())


def load(name, split):
  """The split of a data set.

  Args:
    name: "digits", the path of a .npz file, or of a folder.
    split: "train" or "test".

  Raises:
    InputError: for an unknown name or split, or data that is not as described.
  """
  if split not in SPLITS:
    raise InputError(f"unknown split {split!r}: give one of {', '.join(SPLITS)}")
  if name == "digits":
    return _digits(split)
  path = pathlib.Path(name)
  if path.is_file() and path.suffix == ".npz":
    return _npz(name, path, split)
  if name and path.is_dir():
    return _folder(name, path, split)
  raise InputError(
    f"unknown data set {name!r}: give 'digits', an existing .npz file, or a folder with "
    "train/ and test/ of one folder a class"
  )


def _digits(split):
  """scikit-learn's 1,797 handwritten digits, 8x8; the last 360 are the test split.

  Pixels are 0..16 there and scaled to 0..255 here.
  """
  try:
    bunch = importlib.import_module("sklearn.datasets").load_digits()
  except ImportError as error:
    raise InputError("digits come with scikit-learn: pip install scikit-learn") from error
  images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
  part = slice(-_TEST_DIGITS, None) if split == "test" else slice(-_TEST_DIGITS)
  classes = tuple(str(name) for name in bunch.target_names)
  return _in_memory("digits", split, images[part], bunch.target.astype(np.int64)[part], 10, classes)


def _npz(name, path, split):
  """x_train, y_train, x_test, y_test (uint8 NHWC, integers); class_names where labels have gaps."""
  try:
    with np.load(path) as archive:
      arrays = {key: archive[key] for key in archive.files if key[:2] == "y_" or key == "class_names"}
      if f"x_{split}" not in archive.files or f"y_{split}" not in arrays:
        raise InputError(f"{name} lacks x_{split} or y_{split}; it has {', '.join(archive.files)}")
      images = archive[f"x_{split}"]
  except InputError:
    raise
  except Exception as error:  # NumPy raises many kinds: not a zip, truncated, pickled objects
    raise InputError(f"{name} cannot be read as .npz of plain arrays: {error}") from error
  labels = arrays[f"y_{split}"]
  if images.dtype != np.uint8 or images.ndim != 4 or images.size == 0:
    raise InputError(
      f"{name}: x_{split} must be uint8[images, height, width, channels] with pixels 0..255, "
      f"got {images.dtype}{list(images.shape)}"
    )
  if labels.shape != images.shape[:1]:
    raise InputError(f"{name}: y_{split} must be integers[{len(images)}], got shape {list(labels.shape)}")
  known = {key: y for key, y in arrays.items() if key in ("y_train", "y_test")}
  for key, y in known.items():
    if not np.issubdtype(y.dtype, np.integer):
      raise InputError(f"{name}: {key} must be integers, got {y.dtype}")
  lowest, highest = (int(f([f(y) for y in known.values() if y.size])) for f in (np.min, np.max))
  classes, most = None, _MOST_UNNAMED
  if "class_names" in arrays:
    if arrays["class_names"].ndim != 1:
      raise InputError(f"{name}: class_names must be one string a class")
    classes = tuple(str(c) for c in arrays["class_names"])
    most = len(classes)
  if lowest < 0 or highest >= most:
    raise InputError(f"{name}: labels must be in 0..{most - 1}, got {lowest}..{highest}")
  return _in_memory(name, split, images, labels.astype(np.int64), most if classes else highest + 1, classes)


def _in_memory(name, split, images, labels, num_classes, classes):
  digest = hashlib.sha256(np.ascontiguousarray(images))
  digest.update(repr((images.shape, labels.tolist(), num_classes)).encode())
  return Dataset(name, split, images, labels, num_classes, classes, digest.hexdigest())


def _folder(name, path, split):
  """DIR/{train,test}/<class>/*.{png,jpg,jpeg}; val/ counts as test. Order: class, then file name."""
  roots = [path / s for s in (("test", "val") if split == "test" else ("train",)) if (path / s).is_dir()]
  if len(roots) != 1:
    found = "both" if roots else "neither"
    wanted = "either test/ or val/" if split == "test" else "train/"
    raise InputError(f"{name} must hold {wanted}" + (f", it has {found}" if split == "test" else ""))
  others = [path / s for s in ("train", "test", "val") if (path / s).is_dir()]
  folders = [d for root in others for d in root.iterdir() if d.is_dir() and not d.name.startswith(".")]
  classes = sorted({d.name for d in folders})
  files, labels = [], []
  for label, class_name in enumerate(classes):
    here = sorted(f for f in (roots[0] / class_name).glob("[!.]*") if f.suffix.lower() in _IMAGE_SUFFIXES)
    files += here
    labels += [label] * len(here)
  if not files:
    raise InputError(f"{roots[0]} holds no <class>/*.png or *.jpg")
  images = ImageFiles(files)
  digest = hashlib.sha256(repr((classes, labels, images.shape)).encode())
  for file in files:
    digest.update(file.name.encode(errors="surrogateescape") + b"\0" + _file_digest(file))
  labels = np.array(labels, np.int64)
  return Dataset(name, split, images, labels, len(classes), tuple(classes), digest.hexdigest())


def _file_digest(path):
  with open(path, "rb") as file:
    return hashlib.file_digest(file, "sha256").digest()


class ImageFiles(Sequence):
  """Image files of one size, decoded on access to uint8[h, w, c]; c = 1 if all are grey, else 3."""

  def __init__(self, files):
    from PIL import Image

    self._files, self._open = files, Image.open
    sizes, modes = {}, set()
    for file in files:
      try:
        with Image.open(file) as image:  # reads the header only
          sizes.setdefault(image.size, file)
          mode = image.mode
      except Exception as error:  # Pillow raises many kinds for damaged files
        raise InputError(f"{file} is not a readable image: {error}") from error
      modes.add(mode)
      if mode[0] in "IF":
        raise InputError(f"{file} has more than 8 bits a channel (mode {mode}): convert it to 8 bits first")
      if len(sizes) > 1:
        (a, first), (b, other) = sizes.items()
        raise InputError(
          f"images must be of one size: {first} is {a[0]}x{a[1]}, {other} is {b[0]}x{b[1]}; resize them first"
        )
    self._mode = "L" if modes <= {"L", "1"} else "RGB"
    width, height = next(iter(sizes))
    self.shape = (len(files), height, width, 1 if self._mode == "L" else 3)

  def __len__(self):
    return len(self._files)

  def __getitem__(self, i):
    try:
      with self._open(self._files[i]) as image:
        return np.asarray(image.convert(self._mode)).reshape(self.shape[1:])
    except Exception as error:
      raise InputError(f"{self._files[i]} cannot be decoded: {error}") from error

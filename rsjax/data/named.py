"""Named data sets as tensorflow-datasets (TFDS) stores them, read without TensorFlow.

TFDS stores a data set in an order that is shuffled by a hash. Here index i is that of the original order: by
`id` (CIFAR, SVHN); by label, then file name (ImageNet, as in torchvision's ImageFolder); or by undoing the hash
if examples carry no name (MNIST, Fashion-MNIST).
"""

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import shlex
import sys
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rsjax import files
from rsjax.data import views
from rsjax.data.dataset import Dataset
from rsjax.data.lazy import LazyImages
from rsjax.errors import InputError

FORMAT = "array_record"
_CHUNK = 256  # records read at once
UNVERIFIED = "rsjax-unverified.txt"  # beside the data, where rsjax.prepare was told not to verify it


@dataclasses.dataclass(frozen=True)
class Named:
  """A data set of TFDS.

  Attributes:
    builder: its name in TFDS.
    counts: images of each of TFDS's splits.
    test: the TFDS split that is "test" here.
    order: "id", "file_name" or "hash", see the module's docstring.
    augment, statistics: see `Dataset`.
    image_shape, num_classes: of its images, as they are used here.
  """

  builder: str
  counts: dict[str, int]
  order: str
  test: str = "test"
  augment: str = "none"
  statistics: tuple | None = None
  image_shape: tuple[int, int, int] = (32, 32, 3)
  num_classes: int = 10

  def images(self, split: str) -> int:
    """How many images the split "train" or "test" has."""
    return self.counts[self.test if split == "test" else split]


_CIFAR = {"train": 50_000, "test": 10_000}
_MNIST = {"train": 60_000, "test": 10_000}
_CIFAR10_STATISTICS = ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))  # the paper's code
_IMAGENET_STATISTICS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

SETS = {
  "cifar10": Named("cifar10", _CIFAR, "id", augment="crop-flip", statistics=_CIFAR10_STATISTICS),
  "cifar100": Named("cifar100", _CIFAR, "id", augment="crop-flip", num_classes=100),
  "svhn_cropped": Named(
    "svhn_cropped", {"train": 73_257, "test": 26_032, "extra": 531_131}, "id", augment="crop"
  ),
  "mnist": Named("mnist", _MNIST, "hash", image_shape=(28, 28, 1)),
  "fashion_mnist": Named("fashion_mnist", _MNIST, "hash", image_shape=(28, 28, 1)),
  "imagenet": Named(
    "imagenet2012",
    {"train": 1_281_167, "validation": 50_000},
    "file_name",
    test="validation",
    augment="resized-crop-flip",
    statistics=_IMAGENET_STATISTICS,
    image_shape=(224, 224, 3),
    num_classes=1000,
  ),
}


def builder(name: str, data_dir: str | pathlib.Path | None = None) -> Any:
  """TFDS's own builder of a name in SETS, for array_record files under data_dir."""
  chosen = data_dir or os.environ.get("TFDS_DATA_DIR")
  if not chosen and os.path.expanduser("~") == "~":
    raise InputError(f"there is no home directory to look for {name} in: give `data_dir`")
  files.local(chosen or "")
  import tensorflow_datasets as tfds

  with quiet():
    try:
      return tfds.builder(SETS[name].builder, data_dir=data_dir, file_format=FORMAT)
    except Exception as error:
      raise InputError(f"{name} cannot be read in {data_dir or 'the default data_dir'}: {error}") from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
  """Keeps TFDS's warnings about sets that are not prepared, and its advice, off the terminal."""
  from absl import logging

  before = logging.get_verbosity()
  logging.set_verbosity(logging.ERROR)
  try:
    yield
  finally:
    logging.set_verbosity(before)


def hash_order(keys: Sequence[Any], split: str) -> np.ndarray:
  """The order in which TFDS stores examples with these keys: int64[len], positions in `keys`."""
  from tensorflow_datasets.core import hashing

  hasher = hashing.Hasher(split)
  return np.array(sorted(range(len(keys)), key=lambda i: hasher.hash_key(keys[i])), np.int64)


def is_prepared(made: Any) -> bool:
  """Whether the data set of TFDS's builder `made` has been prepared."""
  with quiet():
    return made.is_prepared()


def load(name: str, split: str, data_dir: str | pathlib.Path | None = None) -> Dataset:
  """The `Dataset` of a name in SETS.

  Raises:
    InputError: if it is not prepared; the message gives the command that prepares it.
  """
  import tensorflow_datasets as tfds

  entry = SETS[name]
  tfds_split = entry.test if split == "test" else split
  made = builder(name, data_dir)
  _check_prepared(name, made, tfds_split, data_dir)
  skip = {"image": tfds.decode.SkipDecoding()}
  try:
    with quiet():
      source = made.as_data_source(split=tfds_split, decoders=skip)
    index = _index(entry, made, tfds_split, source)
  except (RuntimeError, OSError) as error:
    raise InputError(f"{made.data_dir} is damaged: delete it and prepare {name} again ({error})") from error
  feature = made.info.features["image"]
  large = feature.shape[0] is None
  encoded = Encoded(source, index["order"])
  view = views.resize_and_center_crop if large else views.pixels
  names = tuple(made.info.features["label"].names)
  marked = pathlib.Path(made.data_dir) / UNVERIFIED
  return Dataset(
    name,
    split,
    Decoded(encoded, "L" if feature.shape[-1] == 1 else "RGB", view),
    index["labels"],
    len(names),
    names,
    str(index["digest"]),
    encoded=encoded if large else None,
    augment=entry.augment,
    published_statistics=entry.statistics,
    notes=(f"{name}: {marked.read_text().strip()}",) if marked.exists() else (),
  )


class Encoded(Sequence):
  """The image files of a data source, in original order."""

  def __init__(self, source, order):
    self._source, self._order = source, order

  def __len__(self):
    return len(self._order)

  def __getitem__(self, i):
    return self._source[int(self._order[i])]["image"]

  def __iter__(self):
    """In chunks, which is several times faster than one by one."""
    for start in range(0, len(self), _CHUNK):
      for record in self._source.__getitems__(self._order[start : start + _CHUNK].tolist()):
        yield record["image"]


class Decoded(LazyImages):
  """The same as uint8[h, w, c]."""

  def __init__(self, encoded, mode, view):
    self._encoded, self._mode, self._view = encoded, mode, view

  def __len__(self):
    return len(self._encoded)

  def _read(self, i):
    return self._view(views.decode(self._encoded[i], self._mode))

  def __iter__(self):
    return (self._view(views.decode(encoded, self._mode)) for encoded in self._encoded)


def _check_prepared(name, made, tfds_split, data_dir):
  command = f"python -m rsjax.prepare {name} --from DIR"
  if data_dir is not None:
    command += f" --data-dir {shlex.quote(str(data_dir))}"
  place = pathlib.Path(made.data_dir)
  if not is_prepared(made):
    raise InputError(
      f"{name} is not prepared in {place.parent.parent}: {command} builds it from the downloaded files in DIR"
    )
  found = made.info.file_format
  if found is None or found.value != FORMAT:
    raise InputError(
      f"{place} holds {name} as {found and found.value}, which only TensorFlow can read: give another "
      f"`data_dir`, or delete this one; then {command} builds it as {FORMAT}"
    )
  if tfds_split not in made.info.splits:
    raise InputError(f"{place} holds {name} without its {tfds_split} split: {command} adds it")


def index_path(made: Any, tfds_split: str) -> pathlib.Path:
  """Where the original order of a split is stored after it was first read."""
  return pathlib.Path(made.data_dir) / f"rsjax-index-{tfds_split}.npz"


def _index(entry, made, tfds_split, source):
  """order (original position -> position on disk), labels and digest of a split; kept beside the data."""
  path = index_path(made, tfds_split)
  shards = [pathlib.Path(f) for f in made.info.splits[tfds_split].filepaths]
  stamp = repr([(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in shards])
  try:
    with open(path, "rb") as file, np.load(file) as kept:
      if str(kept["stamp"]) == stamp:
        return {key: kept[key] for key in ("order", "labels", "digest")}
  except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # none yet, or torn
    pass
  index = build_index(entry, made, tfds_split, source)
  with contextlib.suppress(OSError), files.whole(path, "wb", shared=True) as file:
    np.savez(file, stamp=np.array(stamp), **index)  # a read-only data_dir: it is read again next time
  return index


def build_index(entry: Named, made: Any, tfds_split: str, source: Any) -> dict[str, np.ndarray]:
  """Reads every record of a split once. The digest is of pixels for PNG images, and of bytes for JPEG."""
  from tqdm import tqdm

  size = len(source)
  shape = made.info.features["image"].shape
  lossless, mode = shape[0] is not None, "L" if shape[-1] == 1 else "RGB"
  labels, names, hashes = np.empty(size, np.int64), [], []
  interval = 0.2 if sys.stderr.isatty() else 30
  with tqdm(total=size, desc=f"reading {tfds_split}", unit=" images", delay=5, mininterval=interval) as bar:
    for start in range(0, size, _CHUNK):
      records = source.__getitems__(list(range(start, min(start + _CHUNK, size))))
      for position, record in enumerate(records, start):
        image = record["image"]
        labels[position] = record["label"]
        names.append(record.get(entry.order, b""))
        hashes.append(hashlib.sha256(views.decode(image, mode).tobytes() if lossless else image).digest())
      bar.update(len(records))
  order = _original_order(entry, made, tfds_split, labels, names)
  digest = hashlib.sha256(f"{entry.builder} {tfds_split} {size}".encode())
  for position in order:
    digest.update(int(labels[position]).to_bytes(8, "little", signed=True) + hashes[position])
  return {"order": order, "labels": labels[order], "digest": np.array(digest.hexdigest())}


def _original_order(entry, made, tfds_split, labels, names):
  """Position on disk of each original position."""
  size = len(labels)
  if entry.order == "hash":
    disk = np.arange(size) if made.info.disable_shuffling else hash_order(range(size), tfds_split)
    return np.argsort(disk)
  key = names.__getitem__ if entry.order == "id" else lambda i: (labels[i], names[i])
  return np.array(sorted(range(size), key=key), np.int64)

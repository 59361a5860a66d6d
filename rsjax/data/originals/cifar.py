"""CIFAR-10 and CIFAR-100: the python or the binary archive (https://www.cs.toronto.edu/~kriz/cifar.html)."""

import io
import pathlib
import pickle
import tarfile
import zlib

import numpy as np

from rsjax.data.originals.files import Examples, Originals, first_of, png, verify
from rsjax.errors import InputError

# MD5 of the python archives, as torchvision has them; TFDS tells those of the binary ones.
_PYTHON_MD5 = {
  "cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a",
  "cifar-100-python.tar.gz": "eb9058c3a382ffc7106e4002c42a8d85",
}
_BATCHES = {
  "cifar10": {"train": [f"data_batch_{k}" for k in range(1, 6)], "test": ["test_batch"]},
  "cifar100": {"train": ["train"], "test": ["test"]},
}
# label in TFDS: (key in the python batches, key in its meta file, text file of the binary archive)
_LABELS = {
  "cifar10": {"label": ("labels", "label_names", "batches.meta.txt")},
  "cifar100": {  # in the order of a binary record
    "coarse_label": ("coarse_labels", "coarse_label_names", "coarse_label_names.txt"),
    "label": ("fine_labels", "fine_label_names", "fine_label_names.txt"),
  },
}
_META = {"cifar10": "batches.meta", "cifar100": "meta"}
_PIXELS = 3 * 32 * 32


def find(name: str, folder: pathlib.Path, checksums: dict[str, str] | None) -> Originals:
  stem = name.replace("cifar", "cifar-")
  path = first_of(folder, [f"{stem}-python.tar.gz", f"{stem}-binary.tar.gz"], f"{name} archive")
  verify(path, checksums and checksums | _PYTHON_MD5)
  members = _read_members(path)
  python = "python" in path.name
  splits = {}
  for split, batches in _BATCHES[name].items():
    parts = [_read_batch(name, path, members, batch, python) for batch in batches]
    images = np.concatenate([images for images, _ in parts])
    labels = {key: np.concatenate([labels[key] for _, labels in parts]) for key in _LABELS[name]}
    splits[split] = _examples(split, images, labels)
  return Originals(splits, [path], _names(name, path, members, python))


def _examples(split, images, labels):
  def example(i):
    return {"id": f"{split}_{i:05d}", "image": png(images[i])} | {key: int(y[i]) for key, y in labels.items()}

  return Examples(range(len(images)), images.size, example)


def _read_members(path):
  try:
    with tarfile.open(path) as tar:
      return {m.name.rsplit("/", 1)[-1]: tar.extractfile(m).read() for m in tar if m.isfile()}
  except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
    raise InputError(f"{path} cannot be read as a tar archive: {error}") from error


def _read_batch(name, path, members, batch, python):
  """(uint8[n, 32, 32, 3], {label: int64[n]})."""
  try:
    if python:
      content = _unpickle(members[batch])
      rows = np.asarray(content[b"data"]).reshape(-1, _PIXELS)
      labels = {key: np.asarray(content[names[0].encode()]) for key, names in _LABELS[name].items()}
    else:
      width = len(_LABELS[name])
      records = np.frombuffer(members[f"{batch}.bin"], np.uint8).reshape(-1, width + _PIXELS)
      rows = records[:, width:]
      labels = {key: records[:, k] for k, key in enumerate(_LABELS[name])}
    if rows.dtype != np.uint8 or any(y.shape != (len(rows),) for y in labels.values()):
      raise ValueError("images and labels do not match")
    images = rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return images, {key: y.astype(np.int64) for key, y in labels.items()}
  except Exception as error:  # a damaged pickle raises many kinds
    raise InputError(f"{path}: {batch} is missing or not as published: {error}") from error


def _names(name, path, members, python):
  try:
    if python:
      meta = _unpickle(members[_META[name]])
      return {key: [c.decode() for c in meta[names[1].encode()]] for key, names in _LABELS[name].items()}
    return {key: members[names[2]].decode().split() for key, names in _LABELS[name].items()}
  except Exception as error:  # a damaged pickle raises many kinds
    raise InputError(f"{path}: the class names are missing: {error}") from error


def _unpickle(content):
  return _ArraysOnly(io.BytesIO(content), encoding="bytes").load()


class _ArraysOnly(pickle.Unpickler):
  """Reads lists, dicts and NumPy arrays; a pickle can name nothing else, so it can execute nothing."""

  _RECONSTRUCT = np.empty(0).__reduce__()[0]

  def find_class(self, module, name):
    if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
      return self._RECONSTRUCT
    if module == "numpy" and name in ("ndarray", "dtype"):
      return getattr(np, name)
    if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes at protocol 2
      return lambda text, encoding: text.encode("latin1")
    raise pickle.UnpicklingError(f"{module}.{name} is not a plain array")

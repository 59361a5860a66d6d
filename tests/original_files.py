"""Data sets as they are downloaded, small and random: what `rsjax.prepare` reads."""

import gzip
import pickle
import tarfile

import numpy as np
from helpers import add_to_tar

from rsjax import data


def as_rows(images):
  return images.transpose(0, 3, 1, 2).reshape(len(images), -1)


def write_cifar_python(path, train, test, fine="labels", batches=True, names=("label_names",), **more):
  """train and test: (images, labels)."""
  with tarfile.open(path, "w:gz", compresslevel=1) as tar:
    parts = np.array_split(np.arange(len(train[1])), 5 if batches else 1)
    files = [(f"data_batch_{k + 1}" if batches else "train", train, part) for k, part in enumerate(parts)]
    files.append(("test_batch" if batches else "test", test, np.arange(len(test[1]))))
    for name, (images, labels), part in files:
      content = {b"data": as_rows(images[part]), fine.encode(): labels[part].tolist()}
      content |= {key.encode(): (labels[part] // 5).tolist() for key in more}
      add_to_tar(tar, f"cifar/{name}", pickle.dumps(content, protocol=2))
    meta = {key.encode(): [f"{key}{k}".encode() for k in range(count)] for key, count in names.items()}
    add_to_tar(tar, f"cifar/{'batches.meta' if batches else 'meta'}", pickle.dumps(meta, protocol=2))


def write_cifar_binary(path, train, test, names):
  records = lambda images, labels: np.concatenate(
    [labels[:, None].astype(np.uint8), as_rows(images)], 1
  ).tobytes()
  with tarfile.open(path, "w:gz", compresslevel=1) as tar:
    for k, part in enumerate(np.array_split(np.arange(len(train[1])), 5)):
      add_to_tar(tar, f"cifar/data_batch_{k + 1}.bin", records(train[0][part], train[1][part]))
    add_to_tar(tar, "cifar/test_batch.bin", records(*test))
    add_to_tar(tar, "cifar/batches.meta.txt", "\n".join([*names, ""]).encode())


def write_idx(path, array):
  content = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
  path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def random_split(seed, size, shape=(32, 32, 3), classes=10):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (size, *shape), np.uint8), rng.integers(0, classes, size)


TRAIN, TEST = random_split(0, 60), random_split(1, 23)


def write_cifar10(folder, train=TRAIN, test=TEST):
  """The archive of CIFAR-10 in `folder`; returns its path."""
  path = folder / "cifar-10-python.tar.gz"
  write_cifar_python(path, train, test, names={"label_names": 10})
  return path


def assert_is(name, data_dir, train=TRAIN, test=TEST):
  """Asserts that a prepared data set holds these images and labels in this order."""
  for split, (images, labels) in (("train", train), ("test", test)):
    dataset = data.load(name, split, data_dir)
    np.testing.assert_array_equal(dataset.labels, labels)
    np.testing.assert_array_equal(dataset.array(), images)
    np.testing.assert_array_equal(dataset.images[5], images[5])
    assert "--unverified" in dataset.notes[0]

"""Originals in their published formats -> rsjax.prepare -> TFDS -> data.load, without TensorFlow."""

import functools
import gzip
import hashlib
import io
import itertools
import pathlib
import pickle
import sys
import tarfile

import numpy as np
import pytest
import scipy.io
from helpers import SHARED, add_to_tar
from original_files import (
  TEST,
  TRAIN,
  assert_is,
  random_split,
  write_cifar10,
  write_cifar_binary,
  write_cifar_python,
  write_idx,
)
from PIL import Image

from rsjax import data
from rsjax.data import named, originals, preparation
from rsjax.errors import InputError

CIFAR = SHARED / "cifar10"
prepared = functools.partial(preparation.prepare, unverified=True)


def official(name, split, data_dir):
  """What TFDS itself reads, by its own builder."""
  import tensorflow_datasets as tfds

  return tfds.data_source(named.SETS[name].builder, split=split, data_dir=data_dir, download=False)


@pytest.mark.parametrize("kind", ["python", "binary"])
def test_cifar10(kind, places):
  folder, data_dir = places
  if kind == "python":
    write_cifar10(folder)
  else:
    names = [f"label_names{k}" for k in range(10)]
    write_cifar_binary(folder / "cifar-10-binary.tar.gz", TRAIN, TEST, names)
  target, counts = prepared("cifar10", folder, data_dir)
  assert counts == {"train": 60, "test": 23}
  assert_is("cifar10", data_dir)
  dataset = data.load("cifar10", "test", data_dir)
  assert dataset.classes[3] == "label_names3"
  assert dataset.channel_statistics()[0] == (0.4914, 0.4822, 0.4465)
  found = official("cifar10", "test", data_dir)
  assert {r["id"] for r in found} == {b"test_%05d" % i for i in range(23)}
  record = next(r for r in found if r["id"] == b"test_00007")
  np.testing.assert_array_equal(record["image"], TEST[0][7])
  assert found[0]["id"] != b"test_00000"  # shuffled on disk, as TFDS has it
  assert "tensorflow" not in sys.modules
  assert sorted(p.name for p in target.parent.iterdir() if p.name[0] != ".") == [target.name]


def test_both_cifar_archives_are_one_data_set(places, tmp_path):
  folder, data_dir = places
  names = [f"label_names{k}" for k in range(10)]
  write_cifar10(folder)
  prepared("cifar10", folder, data_dir)
  (folder / "cifar-10-python.tar.gz").unlink()
  write_cifar_binary(folder / "cifar-10-binary.tar.gz", TRAIN, TEST, names)
  prepared("cifar10", folder, tmp_path / "other")
  digests = {data.load("cifar10", "test", d).digest for d in (data_dir, tmp_path / "other")}
  assert len(digests) == 1


def test_cifar100_has_fine_and_coarse_labels(places):
  folder, data_dir = places
  train, test = random_split(2, 60, classes=100), random_split(3, 23, classes=100)
  names = {"fine_label_names": 100, "coarse_label_names": 20}
  path = folder / "cifar-100-python.tar.gz"
  write_cifar_python(path, train, test, "fine_labels", False, names, coarse_labels=True)
  prepared("cifar100", folder, data_dir)
  assert_is("cifar100", data_dir, train, test)
  record = official("cifar100", "train", data_dir)[0]
  assert record["coarse_label"] == record["label"] // 5


@pytest.mark.parametrize(("end", "dot"), [(".gz", "-"), ("", "-"), ("", ".")])
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_mnist(name, end, dot, places):
  folder, data_dir = places
  train, test = random_split(0, 60, (28, 28, 1)), random_split(1, 23, (28, 28, 1))
  for prefix, (images, labels) in (("train", train), ("t10k", test)):
    write_idx(folder / f"{prefix}-images{dot}idx3-ubyte{end}", images[..., 0])
    write_idx(folder / f"{prefix}-labels{dot}idx1-ubyte{end}", labels.astype(np.uint8))
  prepared(name, folder, data_dir)
  assert_is(name, data_dir, train, test)
  with pytest.raises(InputError, match=r"first labels|published file"):
    preparation.prepare(name, folder, data_dir.with_name("verified"))


def test_svhn(places):
  folder, data_dir = places
  for split, (images, labels) in (("train", TRAIN), ("test", TEST), ("extra", TRAIN)):
    content = {
      "X": images.transpose(1, 2, 3, 0),
      "y": np.where(labels == 0, 10, labels)[:, None].astype(np.uint8),
    }
    scipy.io.savemat(folder / f"{split}_32x32.mat", content)
  assert prepared("svhn_cropped", folder, data_dir)[1] == {"train": 60, "test": 23, "extra": 60}
  assert_is("svhn_cropped", data_dir)
  assert data.load("svhn_cropped", "train", data_dir).augment == "crop"  # no flip


def test_mnist_that_tfds_itself_shuffled_is_read_in_original_order(places):
  """TFDS's own writer, on numbered examples without a name; at most its key tells the order."""
  import tensorflow_datasets as tfds

  images, labels = random_split(0, 300, (28, 28, 1))

  with tfds.core.registered.skip_registration():

    class Mnist(tfds.core.GeneratorBasedBuilder):
      VERSION = tfds.core.Version("3.0.1")

      def _info(self):
        features = {
          "image": tfds.features.Image(shape=(28, 28, 1)),
          "label": tfds.features.ClassLabel(num_classes=10),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

      def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(), "test": self._generate_examples()}

      def _generate_examples(self):
        for i, (image, label) in enumerate(zip(images, labels)):
          yield i, {"image": io.BytesIO(originals.files.png(image)), "label": int(label)}

  with named.quiet():
    Mnist(data_dir=places[1], file_format="array_record").download_and_prepare()
  for split in ("train", "test"):
    dataset = data.load("mnist", split, places[1])
    np.testing.assert_array_equal(dataset.labels, labels)
    np.testing.assert_array_equal(dataset.array(), images)
  assert dataset.notes == ()


def test_what_is_not_prepared_says_how(tmp_path):
  for name in named.SETS:
    with pytest.raises(InputError, match=f"python -m rsjax.prepare {name} --from DIR --data-dir"):
      data.load(name, "test", tmp_path)


def test_counts_are_verified(places, monkeypatch):
  monkeypatch.setattr(preparation, "_checksums", lambda builder: {})
  monkeypatch.setattr(originals.cifar, "_PYTHON_MD5", {})
  write_cifar10(places[0])
  with pytest.raises(InputError, match="train split has 60 images, expected 50,000"):
    preparation.prepare("cifar10", *places)


@pytest.mark.parametrize(
  ("name", "file", "content"),
  [
    ("cifar10", "cifar-10-python.tar.gz", b"no tar"),
    ("cifar10", "cifar-10-binary.tar.gz", gzip.compress(b"no tar", mtime=0)),
    ("mnist", "train-images-idx3-ubyte", b"\0\0\10\3" + b"\0\0\0\2" * 3),
    ("mnist", "train-images-idx3-ubyte.gz", gzip.compress(b"\0" * 2000, mtime=0)[:20]),
    ("mnist", "train-images-idx3-ubyte", b""),
    ("svhn_cropped", "train_32x32.mat", b"no mat"),
    ("imagenet", "ILSVRC2012_img_val.tar", b"no tar" * 1000),
    ("imagenet", "ILSVRC2012_img_train.tar", b""),
    ("cifar100", "readme", b""),
  ],
)
def test_damaged_or_missing_originals_are_one_clear_error(name, file, content, places):
  folder, data_dir = places
  (folder / file).write_bytes(content)
  with pytest.raises(InputError, match=str(folder)):
    prepared(name, folder, data_dir)
  assert not data_dir.exists()


def test_a_pickle_that_would_run_code_runs_nothing(places):
  class Attack:
    def __reduce__(self):
      return (pathlib.Path.touch, (places[0] / "ran",))

  with tarfile.open(places[0] / "cifar-10-python.tar.gz", "w:gz") as tar:
    add_to_tar(tar, "cifar/data_batch_1", pickle.dumps({b"data": Attack()}, protocol=2))
  with pytest.raises(InputError, match="is not a plain array"):
    prepared("cifar10", *places)
  assert not (places[0] / "ran").exists()


def test_a_preparation_stopped_at_any_image_continues(places, monkeypatch):
  """Shards that were finished are not written again; nothing half-written is visible."""
  folder, data_dir = places
  monkeypatch.setattr(preparation, "SHARD_BYTES", TRAIN[0].nbytes // 6)
  write_cifar10(folder)

  class Stop(preparation.Progress):
    written, found = 0, 0

    def __init__(self, at):
      self.at = at

    def start(self, split, size, done):
      self.found += done

    def images(self, count):
      self.written += count
      if self.written == self.at:
        raise KeyboardInterrupt

  for at in (1, 15, 40):
    with pytest.raises(KeyboardInterrupt):
      prepared("cifar10", folder, data_dir, progress=Stop(at))
    with pytest.raises(InputError, match="not prepared"):
      data.load("cifar10", "test", data_dir)
  last = Stop(None)
  prepared("cifar10", folder, data_dir, progress=last)
  assert last.found >= 10 + 30
  assert last.written + last.found == 83
  assert_is("cifar10", data_dir)
  again = Stop(1)
  prepared("cifar10", folder, data_dir, progress=again)
  assert again.written == 0


def test_other_originals_do_not_continue_what_was_begun(places, monkeypatch):
  folder, data_dir = places
  monkeypatch.setattr(preparation, "SHARD_BYTES", TRAIN[0].nbytes // 6)
  write_cifar10(folder, TEST, TRAIN)

  class Stop(preparation.Progress):
    def start(self, split, size, done):
      if split == "test":
        raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    prepared("cifar10", folder, data_dir, progress=Stop())
  write_cifar10(folder)
  prepared("cifar10", folder, data_dir)
  assert_is("cifar10", data_dir)


def test_damaged_prepared_data_is_one_clear_error_and_a_torn_index_is_made_again(places):
  folder, data_dir = places
  write_cifar10(folder)
  target, _ = prepared("cifar10", folder, data_dir)
  index = target / "rsjax-index-test.npz"
  for content in (b"", index.read_bytes()[:100]):
    index.write_bytes(content)
    assert_is("cifar10", data_dir)
  [shard] = target.glob("cifar10-test.array_record*")
  shard.write_bytes(shard.read_bytes()[:1000])
  with pytest.raises(InputError, match="is damaged: delete it"):
    data.load("cifar10", "test", data_dir)


@pytest.mark.parametrize("labels", [np.arange(30) % 19, np.zeros(0, int)])
def test_labels_that_cannot_be_and_empty_splits_are_refused(labels, places):
  folder, data_dir = places
  for prefix in ("train", "t10k"):
    write_idx(folder / f"{prefix}-images-idx3-ubyte", np.zeros((len(labels), 28, 28), np.uint8))
    write_idx(folder / f"{prefix}-labels-idx1-ubyte", labels.astype(np.uint8))
  with pytest.raises(InputError, match=r"does not fit|no images"):
    prepared("mnist", folder, data_dir)


def test_a_replaced_data_set_has_another_digest(places):
  """The kept index is of these very files."""
  folder, data_dir = places
  write_cifar10(folder)
  target, _ = prepared("cifar10", folder, data_dir)
  before = data.load("cifar10", "test", data_dir).digest
  changed = TEST[0].copy()
  changed[3, 0, 0, 0] ^= 1
  write_cifar10(folder, TRAIN, (changed, TEST[1]))
  kept = {p.name: p.read_bytes() for p in target.glob("rsjax-index-*")}
  for file in target.iterdir():
    file.unlink()
  prepared("cifar10", folder, data_dir)
  for name, content in kept.items():
    (target / name).write_bytes(content)
  assert data.load("cifar10", "test", data_dir).digest != before


@pytest.mark.skipif(not CIFAR.exists(), reason="needs the JPEG-coded CIFAR-10 in ../shared/data/cifar10")
def test_real_images_come_out_in_canonical_order(places):
  """JPEG-coded CIFAR-10, test split: the digest that its README gives for the decoded array."""
  archive = np.load(CIFAR / "cifar10_jpeg.npz")
  content, ends = archive["test_jpeg"].tobytes(), archive["test_offsets"]
  images = np.stack([np.asarray(Image.open(io.BytesIO(content[i:j]))) for i, j in itertools.pairwise(ends)])
  labels = archive["test_labels"]
  write_cifar10(places[0], TRAIN, (images, labels))
  prepared("cifar10", *places)
  dataset = data.load("cifar10", "test", places[1])
  assert hashlib.sha256(dataset.array()).hexdigest() == (
    "b7018a062865e9348a704e72416eb53c816b43cc8ac42ab43276a2b967508ab6"
  )
  np.testing.assert_array_equal(dataset.labels, labels)

"""ImageNet in its published formats, small: prepared, ordered and seen as by torchvision, streamed."""

import functools
import io
import pathlib
import subprocess
import sys
import tarfile
import time

import imagenet
import numpy as np
import pytest
from helpers import add_to_tar
from PIL import Image

from rsjax import data, results, train
from rsjax.data import named, preparation, streaming, views
from rsjax.errors import InputError

WNIDS = ("n01440764", "n02123045", "n07747607")  # classes 0, 281 and 950
prepared = functools.partial(preparation.prepare, "imagenet", unverified=True)


def photo(seed, size=None, mode="RGB", kind="JPEG"):
  """The bytes of a smooth random picture."""
  rng = np.random.default_rng(seed)
  width, height = size or (int(n) for n in rng.integers(150, 400, 2))
  grain = Image.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8)).resize((width, height))
  file = io.BytesIO()
  grain.convert(mode).save(file, kind)
  return file.getvalue()


def tar_of(files):
  file = io.BytesIO()
  with tarfile.open(fileobj=file, mode="w") as tar:
    for name, content in files.items():
      add_to_tar(tar, name, content)
  return file.getvalue()


def validation_labels():
  import tensorflow_datasets as tfds

  return tfds.core.tfds_path("datasets/imagenet2012/validation_labels.txt").read_text().split()


TRAIN = {w: {f"{w}_{i}.JPEG": photo(100 * k + i) for i in (10, 9, 2)} for k, w in enumerate(WNIDS)}
VALIDATION = {f"ILSVRC2012_val_{i:08d}.JPEG": photo(i) for i in range(1, 13)}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
  """The data set prepared from tars in the published form."""
  folder, target = tmp_path_factory.mktemp("originals"), tmp_path_factory.mktemp("tfds")
  (folder / "ILSVRC2012_img_val.tar").write_bytes(tar_of(VALIDATION))
  classes = {f"{w}.tar": tar_of(files) for w, files in reversed(TRAIN.items())}
  (folder / "ILSVRC2012_img_train.tar").write_bytes(tar_of(classes))
  prepared(folder, target)
  return target


def test_order_is_torchvisions(data_dir):
  """By class, then by file name as a string."""
  train_set = data.load("imagenet", "train", data_dir)
  names = [f"{w}_{i}.JPEG" for w in WNIDS for i in (10, 2, 9)]
  assert [train_set.encoded[i] for i in range(9)] == [TRAIN[name[:9]][name] for name in names]
  assert train_set.labels.tolist() == [0] * 3 + [281] * 3 + [950] * 3
  assert train_set.num_classes == 1000
  assert train_set.classes[281] == "n02123045"
  labels = validation_labels()
  by_class = sorted(range(12), key=lambda i: (labels[i], i))
  test_set = data.load("imagenet", "test", data_dir)
  assert [test_set.encoded[i] for i in range(12)] == [list(VALIDATION.values())[i] for i in by_class]
  assert [test_set.classes[y] for y in test_set.labels] == [labels[i] for i in by_class]


def test_folders_give_the_same_as_tars(data_dir, tmp_path):
  labels = validation_labels()
  for wnid, files in TRAIN.items():
    (tmp_path / "train" / wnid).mkdir(parents=True)
    for name, content in files.items():
      (tmp_path / "train" / wnid / name).write_bytes(content)
  for wnid, (name, content) in zip(labels, VALIDATION.items()):
    (tmp_path / "val" / wnid).mkdir(parents=True, exist_ok=True)
    (tmp_path / "val" / wnid / name).write_bytes(content)
  prepared(tmp_path, tmp_path / "tfds")
  for split in ("train", "test"):
    a, b = (data.load("imagenet", split, d) for d in (data_dir, tmp_path / "tfds"))
    assert a.digest == b.digest
    assert [bytes(x) for x in a.encoded] == [bytes(x) for x in b.encoded]


def test_images_that_changed_since_are_not_mixed_with_those_written_before(tmp_path, monkeypatch):
  """Folders whose files were swapped between a stopped preparation and the next."""
  monkeypatch.setattr(preparation, "SHARD_BYTES", 20_000)
  a, b = (tmp_path / "train" / wnid for wnid in WNIDS[:2])
  for k, place in enumerate((a, b)):
    place.mkdir(parents=True)
    for i in range(8):
      (place / f"{place.name}_{i}.JPEG").write_bytes(photo(10 * k + i))

  class Stop(preparation.Progress):
    left = 9

    def images(self, count):
      self.left -= count
      if not self.left:
        raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    prepared(tmp_path, tmp_path / "tfds", progress=Stop())
  for i in range(8):
    first, second = a / f"{a.name}_{i}.JPEG", b / f"{b.name}_{i}.JPEG"
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)
  prepared(tmp_path, tmp_path / "tfds")
  dataset = data.load("imagenet", "train", tmp_path / "tfds")
  wanted = [path.read_bytes() for place in (a, b) for path in sorted(place.iterdir())]
  assert [bytes(dataset.encoded[i]) for i in range(16)] == wanted


def test_a_split_can_be_added_later(data_dir, tmp_path):
  folder = tmp_path / "originals"
  folder.mkdir()
  (folder / "ILSVRC2012_img_val.tar").write_bytes(tar_of(VALIDATION))
  prepared(folder, tmp_path / "tfds")
  with pytest.raises(InputError, match="without its train split"):
    data.load("imagenet", "train", tmp_path / "tfds")
  (folder / "ILSVRC2012_img_train.tar").write_bytes(tar_of({f"{w}.tar": tar_of(f) for w, f in TRAIN.items()}))
  prepared(folder, tmp_path / "tfds")
  for split in ("train", "test"):
    a, b = (data.load("imagenet", split, d).digest for d in (data_dir, tmp_path / "tfds"))
    assert a == b


def test_tfds_reads_it(data_dir):
  import tensorflow_datasets as tfds

  source = tfds.data_source("imagenet2012", split="validation", data_dir=data_dir, download=False)
  found = {record["file_name"].decode(): record["image"] for record in source}
  assert set(found) == set(VALIDATION)
  name = next(iter(VALIDATION))
  np.testing.assert_array_equal(found[name], np.asarray(Image.open(io.BytesIO(VALIDATION[name]))))


def test_images_that_are_no_rgb_jpeg_become_one(tmp_path):
  """ImageNet holds a PNG and some CMYK files under the name .JPEG; grey JPEG stays as it is."""
  place = tmp_path / "train" / WNIDS[0]
  place.mkdir(parents=True)
  grey = photo(3, mode="L")
  for name, content in (("a", photo(1, mode="CMYK")), ("b", photo(2, kind="PNG")), ("c", grey)):
    (place / f"{name}.JPEG").write_bytes(content)
  prepared(tmp_path, tmp_path / "tfds")
  dataset = data.load("imagenet", "train", tmp_path / "tfds")
  opened = [Image.open(io.BytesIO(dataset.encoded[i])) for i in range(3)]
  assert [(image.format, image.mode) for image in opened] == [("JPEG", "RGB"), ("JPEG", "RGB"), ("JPEG", "L")]
  assert dataset.encoded[2] == grey
  assert {dataset.images[i].shape for i in range(3)} == {(224, 224, 3)}


@pytest.mark.parametrize(
  ("size", "resized", "corner"),
  [
    ((500, 375), (341, 256), (58, 16)),  # torchvision 0.29: int(256 * 500 / 375), round((341 - 224) / 2)
    ((375, 500), (256, 341), (16, 58)),
    ((256, 256), (256, 256), (16, 16)),
    ((100, 80), (320, 256), (48, 16)),
    ((333, 334), (256, 256), (16, 16)),
    ((333, 1000), (256, 768), (16, 272)),
  ],
)
def test_evaluation_view_resizes_and_crops_as_torchvision(size, resized, corner):
  image = Image.open(io.BytesIO(photo(0, size)))
  wanted = np.asarray(image.resize(resized, Image.Resampling.BILINEAR))
  (left, top), found = corner, views.resize_and_center_crop(image)
  assert found.dtype == np.uint8
  np.testing.assert_array_equal(found, wanted[top : top + 224, left : left + 224])


def test_certifying_reads_only_the_images_that_it_certifies(data_dir, monkeypatch):
  seen = []
  decode = views.decode
  monkeypatch.setattr(
    views, "decode", lambda encoded, mode="RGB": seen.append(encoded) or decode(encoded, mode)
  )
  dataset = data.load("imagenet", "test", data_dir)
  dataset.check(range(0, 12, 4))
  assert [dataset.images[i].shape for i in range(0, 12, 4)] == [(224, 224, 3)] * 3
  assert len(seen) == 3


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_batches_are_of_the_order_and_the_seed(data_dir, workers):
  dataset = data.load("imagenet", "train", data_dir)
  order = np.array([4, 0, 8, 2, 1, 1])
  whole = list(streaming.stream(dataset, order, 2, workers=workers))
  assert np.concatenate([y for _, y in whole]).tolist() == dataset.labels[order].tolist()
  np.testing.assert_array_equal(whole[1][0][0], dataset.images[8])
  crops = list(streaming.stream(dataset, order, 2, workers=workers, crops=(3, 7)))
  from_second = list(streaming.stream(dataset, order, 2, workers=0, crops=(3, 7), first=1))
  for (a, _), (b, _) in zip(crops[1:], from_second, strict=True):
    np.testing.assert_array_equal(a, b)
  assert not np.array_equal(crops[2][0][0], crops[2][0][1])  # the same image, cropped anew
  other = next(iter(streaming.stream(dataset, order, 2, workers=0, crops=(3, 8))))
  assert not np.array_equal(crops[0][0], other[0])


STREAMED = """
import multiprocessing, sys, time
import numpy as np
from rsjax import data
from rsjax.data import streaming
if __name__ == "__main__":
  batches = streaming.stream(data.load("imagenet", "train", sys.argv[1]), np.zeros(9000, int), 3, workers=1)
  next(batches)
  print(*[process.pid for process in multiprocessing.active_children()], flush=True)
  time.sleep(600)
"""


def test_workers_end_with_a_process_that_is_killed(data_dir, tmp_path):
  script = tmp_path / "script.py"
  script.write_text(STREAMED)
  with subprocess.Popen([sys.executable, script, data_dir], stdout=subprocess.PIPE, text=True) as process:
    workers = [pathlib.Path(f"/proc/{pid}") for pid in process.stdout.readline().split()]
    assert workers and all(worker.exists() for worker in workers)
    process.kill()
  deadline = time.monotonic() + 60
  while any(worker.exists() for worker in workers):
    assert time.monotonic() < deadline
    time.sleep(0.05)


def test_random_parts_are_as_torchvision_draws_them():
  """Area 8 % to 100 %, aspect 3:4 to 4:3, within the image; a long strip gives its middle."""
  rng = np.random.default_rng(0)
  parts = np.array([streaming._part(400, 300, rng) for _ in range(4000)])
  left, top, width, height = parts.T
  assert (left >= 0).all() and (top >= 0).all()
  assert (left + width <= 400).all() and (top + height <= 300).all()
  area, aspect = width * height / 120_000, width / height
  assert 0.078 < area.min() < 0.09 and area.max() > 0.95
  # What is uniform is drawn again where it does not fit into the image.
  share, shape = rng.uniform(0.08, 1, 10**5), np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3), 10**5))
  fits = (share * 120_000 * shape <= 400**2) & (share * 120_000 / shape <= 300**2)
  assert area.mean() == pytest.approx(share[fits].mean(), abs=0.015)
  assert 0.73 < aspect.min() < 0.78 and 1.28 < aspect.max() < 1.36
  assert np.log(aspect).mean() == pytest.approx(np.log(shape[fits]).mean(), abs=0.015)
  assert streaming._part(3000, 30, rng) == (1480, 0, 40, 30)  # no part fits
  assert streaming._part(30, 3000, rng) == (0, 1480, 30, 40)


def test_half_of_the_parts_are_flipped():
  ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 256, 0).repeat(3, 2)
  image, rng = Image.fromarray(ramp), np.random.default_rng(0)
  flipped = [
    int(x[0, 0, 0]) > int(x[0, -1, 0]) for x in (streaming.random_resized_crop(image, rng) for _ in range(200))
  ]
  assert 75 < sum(flipped) < 125


def test_a_missing_grain_is_named(data_dir, tmp_path, monkeypatch, capsys):
  monkeypatch.setitem(sys.modules, "grain", None)
  arguments = ["imagenet", "resnet50", str(tmp_path / "out"), "--data-dir", str(data_dir), "--batch", "8"]
  assert train.main(arguments) == 2
  assert "pip install grain" in capsys.readouterr().err


def test_the_experiment_runs_from_end_to_end(data_dir, tmp_path):
  """A step of a small network on the real pipeline, then three images; the log tells the waiting."""
  out = tmp_path / "out"
  flags = ["--preset", "smoke", "--arch", "convnet", "--sigma", "0.25", "--workers", "1", "--skip", "4"]
  assert imagenet.main([*flags, "--data-dir", str(data_dir), "--out", str(out)]) == 0
  header, line = (out / "noise_0.25" / "log.tsv").read_text().splitlines()
  assert header.endswith("testacc\timages/s\twaited")
  assert float(line.split("\t")[-1]) > 0
  found = results.read(out / "noise_0.25_sigma_0.25.tsv")
  assert found.columns["idx"].tolist() == [0, 4, 8]
  assert "--unverified" in found.manifest["about"]["notes"][0]
  assert pathlib.Path(named.index_path(named.builder("imagenet", data_dir), "validation")).exists()
  assert "images/s" in (out / "summary.md").read_text()

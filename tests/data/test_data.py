"""Data sets from scikit-learn, .npz files and folders; what cannot be used is refused."""

import shutil

import numpy as np
import pytest
from PIL import Image

from rsjax import data
from rsjax.errors import InputError


def test_digits_are_scikit_learns_in_order():
  from sklearn.datasets import load_digits

  bunch = load_digits()
  train, test = data.load("digits", "train"), data.load("digits", "test")
  assert (len(train), len(test)) == (1437, 360)
  assert train.image_shape == test.image_shape == (8, 8, 1)
  assert train.images.dtype == np.uint8
  assert train.classes == tuple("0123456789")
  pixels = np.concatenate([train.images, test.images])[..., 0]
  np.testing.assert_array_equal(np.rint(pixels / 255 * 16), bunch.images)
  np.testing.assert_array_equal(np.concatenate([train.labels, test.labels]), bunch.target)


def test_npz(write_npz):
  dataset = data.load(str(write_npz()), "test")
  assert (len(dataset), dataset.image_shape, dataset.num_classes) == (40, (8, 8, 1), 3)
  assert dataset.classes is None
  assert dataset.labels.dtype == np.int64
  assert dataset.images[7].dtype == np.uint8


def test_npz_of_some_classes_with_names(write_npz):
  path = write_npz(class_names=np.array(["ant", "bee", "cat", "dog"]))
  dataset = data.load(str(path), "test")
  assert (dataset.num_classes, dataset.classes) == (4, ("ant", "bee", "cat", "dog"))


def test_digest_tells_data_sets_apart(write_npz):
  digest = lambda path, split="test": data.load(str(path), split).digest
  a = write_npz("a.npz")
  assert digest(a) == digest(write_npz("same.npz"))
  others = [digest(a, "train"), digest(write_npz("b.npz", seed=1)), digest(write_npz("c.npz", size=39))]
  others.append(digest(write_npz("d.npz", y_test=np.arange(40)[::-1] % 3)))
  assert len({digest(a), *others}) == 5


@pytest.mark.parametrize(
  ("overrides", "message"),
  [
    (dict(x_test=np.zeros((40, 8, 8, 1), np.float32)), "float32"),
    (dict(x_test=np.zeros((40, 8, 8), np.uint8)), r"height, width, channels.*give x_test\[\.\.\., None\]"),
    (dict(y_test=np.zeros((40, 1), int)), r"integers\[40\], got shape \[40, 1\]: give y_test\[:, 0\]"),
    (dict(y_test=np.eye(40, dtype=int)), r"give y_test.argmax\(1\)"),
    (dict(class_names=np.array(["a", "b", "a"])), "must be different, but 'a' stands there several times"),
    (dict(x_test=np.zeros((0, 8, 8, 1), np.uint8), y_test=np.zeros(0, int)), "x_test"),
    (dict(x_train=np.uint8(3), x_test=np.uint8(3)), r"x_test must be uint8\[images.*got uint8\[\]"),
    (dict(x_test=None), "lacks x_test"),
    (dict(y_test=None), "lacks x_test or y_test"),
    (dict(y_test=np.zeros(40)), "float64"),
    (dict(y_test=np.zeros(39, int)), r"integers\[40\]"),
    (dict(y_train=np.array(["a"] * 40)), "y_train must be integers"),
    (dict(y_test=np.full(40, -1, np.int64).astype(np.uint32)), "labels must be"),
    (dict(class_names=np.array("abc")), "one string per class"),
    (dict(y_test=np.full(40, -1)), "labels must be"),
    (dict(class_names=np.array(["a", "b"])), "labels must be in 0..1"),
  ],
)
def test_bad_npz_is_refused(write_npz, overrides, message):
  with pytest.raises(InputError, match=message):
    data.load(str(write_npz(**overrides)), "test")


@pytest.mark.parametrize("channels", [1, 3])
def test_channels_before_height_and_width_are_refused(write_npz, channels):
  images = np.zeros((40, channels, 8, 8), np.uint8)
  with pytest.raises(InputError, match=r"looks like channels before height and width: .*np\.moveaxis"):
    data.load(str(write_npz(x_test=images)), "test")


def test_pixels_divided_by_255_and_labels_from_1_are_noted(write_npz):
  dark = np.random.default_rng(0).integers(0, 2, (40, 8, 8, 1), np.uint8)
  (note,) = data.load(str(write_npz(x_test=dark)), "test").notes
  assert "no uint8 pixel is above 1" in note
  assert data.load(str(write_npz()), "test").notes == ()
  labels = np.arange(40) % 3 + 1
  (note,) = data.load(str(write_npz(y_train=labels, y_test=labels)), "test").notes
  assert "no label is below 1" in note


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_splits_on_another_scale_are_noted(save, tmp_path):
  bright = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), np.uint8)
  labels, path = np.arange(40) % 3, tmp_path / "data.npz"
  for dark, other in (("train", "test"), ("test", "train")):
    save(path, **{f"x_{dark}": bright // 16, f"x_{other}": bright, "y_train": labels, "y_test": labels})
    (note,) = data.load(str(path), dark).notes
    assert f"x_{dark}: no uint8 pixel is above 15" in note
    (note,) = data.load(str(path), other).notes
    assert f"no pixel of x_{dark} is above 16, but pixels of x_{other} are" in note


def test_splits_whose_labels_are_counted_from_different_numbers_are_noted(write_npz):
  labels = np.arange(40) % 3
  for moved, other in (("test", "train"), ("train", "test")):
    path = write_npz(**{f"y_{moved}": labels + 1, f"y_{other}": labels})
    for split in ("train", "test"):
      (note,) = data.load(str(path), split).notes
      assert (
        f"labels of y_{moved} are 1..3, but those of y_{other} 0..2: are they counted from the same" in note
      )
  part = np.where(labels == 0, 1, labels)  # a split may lack a class
  assert data.load(str(write_npz(y_train=labels, y_test=part)), "test").notes == ()


def test_npz_of_images_of_mixed_size_is_refused(write_npz):
  mixed = np.empty(40, object)
  mixed[:] = [np.zeros((8, 8 + i % 2, 1), np.uint8) for i in range(40)]
  with pytest.raises(InputError, match=r"plain arrays"):
    data.load(str(write_npz(x_test=mixed)), "test")


def test_files_that_are_no_npz_are_refused(tmp_path):
  path = tmp_path / "x.npz"
  path.write_text("no zip")
  with pytest.raises(InputError, match=r"cannot be read as \.npz.*holds Python objects$"):
    data.load(str(path), "test")


@pytest.fixture
def folder(tmp_path):
  """train/ and val/ of three classes, two of them in val/."""
  rng = np.random.default_rng(0)
  for split, names in (("train", ("bee", "ant", "cow")), ("val", ("cow", "ant"))):
    for name in names:
      (tmp_path / split / name).mkdir(parents=True)
      for i in range(3):
        pixels = rng.integers(0, 256, (6, 5, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / split / name / f"{i}.png")
  return tmp_path


def test_folder(folder):
  train, test = data.load(str(folder), "train"), data.load(str(folder), "test")
  assert train.classes == test.classes == ("ant", "bee", "cow")
  assert train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
  assert test.labels.tolist() == [0, 0, 0, 2, 2, 2]
  assert train.image_shape == (6, 5, 3)
  wanted = np.asarray(Image.open(folder / "val" / "cow" / "1.png"))
  np.testing.assert_array_equal(test.images[4], wanted)
  assert train.array().shape == (9, 6, 5, 3)


def test_classes_that_are_numbers_are_in_the_order_of_numbers(folder):
  for old, new in (("ant", "10"), ("bee", "2"), ("cow", "0")):
    for place in folder.glob(f"*/{old}"):
      place.rename(place.with_name(new))
  assert data.load(str(folder), "test").classes == ("0", "2", "10")
  assert data.load(str(folder), "test").labels.tolist() == [0, 0, 0, 2, 2, 2]
  assert data.load(str(folder), "test").numbered_classes() == "0 = 0, 1 = 2, 2 = 10"


def test_class_numbers_are_told_unless_they_are_the_names(write_npz):
  named = lambda names: data.load(str(write_npz(class_names=np.array(names))), "test").numbered_classes()
  assert named(["0", "1", "2"]) is None
  assert data.load(str(write_npz()), "test").numbered_classes() is None
  assert named([f"c{i}" for i in range(12)]).endswith("9 = c9 and 2 more")


@pytest.mark.parametrize("suffix", ["bmp", "webp", "PPM", "tif"])
def test_common_image_formats_are_read(folder, suffix):
  before = data.load(str(folder), "train").array()
  for file in folder.glob("*/*/0.png"):
    Image.open(file).save(file.with_suffix(f".{suffix}"), lossless=True)
    file.unlink()
  after = data.load(str(folder), "train")
  np.testing.assert_array_equal(after.array(), before)
  assert after.notes == ()


def test_what_a_folder_holds_besides_images_is_told(folder):
  for name in ("a.txt", "b.txt", "c"):
    (folder / "val" / "cow" / name).write_text("no image")
  (folder / "val" / "loose.png").write_text("")
  (folder / "val" / "empty").mkdir()
  (folder / "val" / "cow" / "more").mkdir()
  told = data.load(str(folder), "test").notes
  assert len(told) == 4
  assert "3 files in class folders of val/ are no images and were ignored: 2 of .txt, 1 of no suffix" in told[0]
  assert "folders within class folders of val/ are not read: cow/more" in told[1]
  assert "loose.png" in told[2]
  assert "empty" in told[3]
  assert data.load(str(folder), "test").classes == ("ant", "bee", "cow")
  assert data.load(str(folder), "train").notes == ()


def test_classes_without_training_images_are_refused(folder):
  (folder / "val" / "images").mkdir()
  shutil.copy(folder / "val" / "ant" / "0.png", folder / "val" / "images")
  for split in ("train", "test"):
    with pytest.raises(InputError, match="train/ has no images of images"):
      data.load(str(folder), split)


def test_folder_of_grey_images_has_one_channel(folder):
  for file in folder.glob("val/*/*.png"):
    Image.open(file).convert("L").save(file)
  assert data.load(str(folder), "test").image_shape == (6, 5, 1)


def test_folder_of_mixed_sizes_is_refused_naming_two_files(folder):
  Image.fromarray(np.zeros((7, 5, 3), np.uint8)).save(folder / "val" / "cow" / "2.png")
  with pytest.raises(InputError, match=r"0\.png is 5x6, .*2\.png is 5x7"):
    data.load(str(folder), "test")


def test_folder_with_a_file_that_is_no_image_is_refused(folder):
  (folder / "val" / "cow" / "2.png").write_text("no image")
  with pytest.raises(InputError, match="not a readable image"):
    data.load(str(folder), "test")


def test_folders_without_splits_or_classes_are_refused(tmp_path):
  with pytest.raises(InputError, match="must hold either test/ or val/"):
    data.load(str(tmp_path), "test")
  (tmp_path / "train").mkdir()
  with pytest.raises(InputError, match="holds no <class>"):
    data.load(str(tmp_path), "train")


@pytest.mark.parametrize("name", ["cifar11", "missing.npz", "", "no/such/folder"])
def test_unknown_data_sets_are_refused(name, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(InputError, match="unknown data set"):
    data.load(name, "test")


def test_unknown_splits_are_refused():
  with pytest.raises(InputError, match="train, test"):
    data.load("digits", "valid")


def test_channel_statistics(write_npz):
  dataset = data.load(str(write_npz(shape=(8, 8, 3))), "train")
  mean, std = dataset.channel_statistics()
  x = dataset.images / 255
  np.testing.assert_allclose(mean, x.mean((0, 1, 2)), atol=1e-6)
  np.testing.assert_allclose(std, x.std((0, 1, 2)), atol=1e-6)


def test_a_changed_file_of_the_same_size_changes_a_folders_digest(folder):
  before = data.load(str(folder), "test").digest
  assert data.load(str(folder), "test").digest == before
  file = folder / "val" / "cow" / "2.png"
  content = file.read_bytes()
  file.write_bytes(content[:-20] + bytes([content[-20] ^ 1]) + content[-19:])
  assert data.load(str(folder), "test").digest != before


def test_hidden_files_and_folders_are_no_data(folder):
  before = data.load(str(folder), "train")
  (folder / "train" / ".cache").mkdir()
  shutil.copy(folder / "train" / "ant" / "0.png", folder / "train" / "ant" / "._0.png")
  after = data.load(str(folder), "train")
  assert (after.classes, len(after), after.digest) == (before.classes, len(before), before.digest)


def test_images_of_more_than_8_bits_are_refused(folder):
  Image.fromarray(np.zeros((6, 5), np.uint16)).save(folder / "val" / "cow" / "2.png")
  with pytest.raises(InputError, match="more than 8 bits"):
    data.load(str(folder), "test")


def test_damaged_images_are_refused(folder):
  """Where they are used; the others stay usable."""
  file = folder / "val" / "cow" / "2.png"
  content = file.read_bytes()
  for cut in range(0, len(content) - 30, 7):  # beyond, all pixels are there
    file.write_bytes(content[:cut])
    with pytest.raises(InputError, match=r"2\.png"):
      data.load(str(folder), "test").images[5]


@pytest.mark.parametrize(("dark", "looked"), [("train", 9), ("val", 6)])
def test_folders_on_another_scale_are_noted(folder, dark, looked):
  for file in folder.glob(f"{dark}/*/*.png"):
    Image.fromarray(np.asarray(Image.open(file)) // 16).save(file)
  bright, name = {"train": ("val", "test"), "val": ("train", "train")}[dark]
  (note,) = data.load(str(folder), "train" if dark == "train" else "test").notes
  assert f"{dark}/: of {looked} images looked at, no uint8 pixel is above 15" in note
  (note,) = data.load(str(folder), name).notes
  assert f"{dark}/: of {looked} images looked at, no pixel is above 16, but pixels of {bright}/ are" in note


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_photos_are_turned_as_their_exif_data_says(folder, suffix):
  """The eight orientations of one upright picture."""
  from PIL import ImageOps

  turns = [None, 0, Image.Transpose.ROTATE_180, 1, Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_90]
  turns += [Image.Transpose.TRANSVERSE, Image.Transpose.ROTATE_270]  # what undoes orientations 1 to 8
  upright = Image.fromarray(np.random.default_rng(1).integers(0, 256, (6, 5, 3), np.uint8))
  place = folder / "val" / "cow"
  for file in place.iterdir():
    file.unlink()
  for orientation, turn in enumerate(turns, 1):
    stored, exif = upright if turn is None else upright.transpose(turn), Image.Exif()
    exif[274] = orientation
    stored.save(place / f"{orientation}.{suffix}", exif=exif, lossless=True, quality=100, subsampling=0)
  read = data.load(str(folder), "test")
  images = read.images[3:]
  assert read.image_shape == (6, 5, 3)
  for number, image in enumerate(images, 1):
    with Image.open(place / f"{number}.{suffix}") as stored:
      np.testing.assert_array_equal(image, np.asarray(ImageOps.exif_transpose(stored)))
    np.testing.assert_allclose(image, np.asarray(upright), atol=90 if suffix == "jpg" else 0)
  (note,) = read.notes
  assert f"cow/2.{suffix} and 6 more: turned upright" in note


def test_orientations_that_turn_no_image_leave_a_folder_as_it_was(folder):
  stored = folder / "val" / "cow" / "0.png"
  exif = Image.Exif()
  exif[274] = 1
  Image.open(stored).save(stored, exif=exif)
  damaged = folder / "val" / "cow" / "1.png"
  Image.open(damaged).save(damaged, exif=b"Exif\0\0no tags")
  read = data.load(str(folder), "test")
  assert read.notes == () and read.images.turned == []
  assert len(read.array()) == 6


def test_folders_whose_photos_lie_on_their_side_are_of_the_turned_size(folder):
  exif = Image.Exif()
  exif[274] = 6
  for file in (folder / "val").glob("*/*.png"):
    Image.open(file).save(file, exif=exif)
  whole = data.load(str(folder), "test")
  assert whole.image_shape == whole.images.shape[1:] == (5, 6, 3)
  Image.open(folder / "train" / "ant" / "0.png").save(folder / "val" / "ant" / "0.png")
  with pytest.raises(InputError, match=r"is 5x6, .*is 6x5, turned as the orientation in their EXIF data says"):
    data.load(str(folder), "test")


def test_transparency_is_noted(folder):
  colours = np.random.default_rng(0).integers(0, 256, (6, 5, 4), np.uint8)
  Image.fromarray(colours).save(folder / "val" / "cow" / "0.png")
  Image.fromarray(colours[..., :3]).save(folder / "val" / "cow" / "1.png", transparency=(1, 2, 3))
  read = data.load(str(folder), "test")
  (note,) = read.notes
  assert "cow/0.png and 1 more: read without its transparency" in note
  np.testing.assert_array_equal(read.images[3], colours[..., :3])


def test_images_that_are_read_on_access_have_slices_like_arrays(folder):
  images = data.load(str(folder), "test").images
  whole = np.stack(list(images))
  assert [path.relative_to(folder / "val").as_posix() for path in images.paths[2:4]] == [
    "ant/2.png",
    "cow/0.png",
  ]
  mask = np.arange(6) % 2 == 0
  for part in (slice(3), slice(1, 5, 2), slice(None, None, -1), [4, 1], np.array([5, 0]), mask, slice(0, 0)):
    found = images[part]
    assert len(found) == len(whole[part])
    np.testing.assert_array_equal(np.array(list(found)).reshape(whole[part].shape), whole[part])
  np.testing.assert_array_equal(images[1:][-1], whole[-1])
  np.testing.assert_array_equal(images[np.int64(2)], whole[2])
  with pytest.raises(IndexError):
    images[6]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_test_images_that_are_training_images_are_noted(save, tmp_path):
  rng = np.random.default_rng(0)
  train, test = (rng.integers(0, 256, (count, 8, 8, 3), np.uint8) for count in (50, 30))
  told = lambda: (save(tmp_path / "x.npz", **arrays), data.load(str(tmp_path / "x.npz"), "test").notes)[1]
  arrays = {"x_train": train, "y_train": np.arange(50) % 5, "x_test": test, "y_test": np.arange(30) % 5}
  assert told() == ()
  test[[7, 20]] = train[[40, 3]]
  assert [note.partition(".npz: ")[2] for note in told()] == [
    "2 of 30 test images are training images, too, the first of them image 7: they say nothing about new images"
  ]
  arrays["x_train"] = np.asfortranarray(train)  # cannot be read image by image
  assert len(told()) == 1
  assert data.load(str(tmp_path / "x.npz"), "train").notes == ()
  arrays["x_train"] = train[:, :4]
  assert told() == ()


def test_files_that_are_in_both_splits_of_a_folder_are_noted(folder):
  shutil.copy(folder / "train" / "bee" / "1.png", folder / "val" / "cow" / "5.png")
  (told,) = data.load(str(folder), "test").notes
  assert "1 of 7 test images is a training image, too, the first of them image 6: it says nothing" in told
  assert data.load(str(folder), "train").notes == ()

"""Folders of image files: DIR/{train,test}/<class>/*.{png,jpg,...}."""

import collections
import contextlib
import hashlib
import itertools
import pathlib

import numpy as np

from rsjax.data import repeats
from rsjax.data.dataset import Dataset
from rsjax.data.lazy import LazyImages
from rsjax.data.pixels import DARK, odd_pixels
from rsjax.errors import InputError

_IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm", ".tif", ".tiff")
_ORIENTATION = 0x0112  # tag of EXIF
_LOOKS = 24  # images of each split whose pixels are looked at
_TURNED, _ON_ITS_SIDE = range(2, 9), range(5, 9)  # its values; 1 is upright


def folder(name: str, path: pathlib.Path, split: str) -> Dataset:
  """DIR/{train,test}/<class>/*.{png,jpg,...}; val/ counts as test.

  Images are in the order of class, then file name; classes are ordered as numbers if all are integers, else as
  text. The notes name the files that are not images, and say which are turned or have transparency.

  Raises:
    InputError: for a missing split, a class without training images, or images that cannot be read.
  """
  roots = [path / s for s in (("test", "val") if split == "test" else ("train",)) if (path / s).is_dir()]
  if len(roots) != 1:
    found = "both" if roots else "neither"
    wanted = "either test/ or val/" if split == "test" else "train/"
    raise InputError(f"{name} must hold {wanted}" + (f", but has {found}" if split == "test" else ""))
  held = {s: _images(path / s) for s in ("train", "test", "val") if (path / s).is_dir()}
  classes = sorted({c for found in held.values() for c, files in found.items() if files})
  if classes and all(c.isdecimal() for c in classes):
    classes.sort(key=int)
  here = held[roots[0].name]
  if not any(here.values()):
    raise InputError(f"{roots[0]} holds no <class>/*{' or *'.join(_IMAGE_SUFFIXES[:3])}")
  if "train" in held and (untrained := [c for c in classes if not held["train"].get(c)]):
    raise InputError(
      f"{name}: train/ has no images of {_some(untrained)}, which other splits have: give the splits the same "
      "class folders, or move folders that are not classes away"
    )
  files = [file for c in classes for file in here.get(c, ())]
  labels = [label for label, c in enumerate(classes) for _ in here.get(c, ())]
  images = ImageFiles(files)
  digest = hashlib.sha256(repr((classes, labels, images.shape)).encode())
  for file in files:
    digest.update(file.name.encode(errors="surrogateescape") + b"\0" + _file_digest(file))
  if images.turned:
    digest.update(b"turned")  # results of versions that read the same files without turning them differ
  texts = [*_ignored(roots[0], here), *_altered(images), *_scales(roots[0].name, held)]
  if split == "test" and (
    told := repeats.told_of_files(files, itertools.chain(*held.get("train", {}).values()))
  ):
    texts.append(told)
  notes = tuple(f"{name}: {text}" for text in texts)
  return Dataset(
    name,
    split,
    images,
    np.array(labels, np.int64),
    len(classes),
    tuple(classes),
    digest.hexdigest(),
    notes=notes,
  )


def _images(root):
  """{class: its image files, sorted} of one split."""
  folders = [d for d in root.iterdir() if d.is_dir() and not d.name.startswith(".")]
  is_image = lambda file: file.suffix.lower() in _IMAGE_SUFFIXES
  return {d.name: sorted(filter(is_image, d.glob("[!.]*"))) for d in folders}


def _ignored(root, held):
  """What lies in a split and is not read, in words."""
  others = [f for d in held for f in (root / d).glob("[!.]*") if f.suffix.lower() not in _IMAGE_SUFFIXES]
  within = sorted(str(f.relative_to(root)) for f in others if f.is_dir())
  others = [f for f in others if not f.is_dir()]
  loose = [f for f in root.glob("[!.]*") if f.is_file()]
  if others:
    kinds = collections.Counter(f.suffix or "no suffix" for f in others)
    told = _some([f"{count} of {kind}" for kind, count in kinds.most_common()])
    one = len(others) == 1
    files, are = (
      ("1 file", "is no image and was") if one else (f"{len(others)} files", "are no images and were")
    )
    yield f"{files} in class folders of {root.name}/ {are} ignored: {told}"
  if within:
    yield f"folders within class folders of {root.name}/ are not read: {_some(within)}"
  if loose:
    told = _some(sorted(file.name for file in loose))
    one = len(loose) == 1
    files = "1 file" if one else f"{len(loose)} files"
    lie = "lies in no class folder and was" if one else "lie in no class folder and were"
    yield f"{files} in {root.name}/ {lie} ignored: {told}"
  if empty := sorted(name for name, files in held.items() if not files):
    yield f"folders of {root.name}/ without images were ignored: {_some(empty)}"


def _altered(images):
  """What of the files' contents images[i] does not show as it is stored, in words."""
  for files, told in (
    (images.turned, "turned upright, as the orientation in its EXIF data says"),
    (images.transparent, "read without its transparency: transparent pixels have their stored colour"),
  ):
    if files:
      others = f" and {len(files) - 1} more" if len(files) > 1 else ""
      yield f"{files[0].parent.name}/{files[0].name}{others}: {told}"


def _scales(split, held):
  """What is odd about the scale of a split's pixels, in words, judged by some of its images."""
  looked = {name: _readable([file for c in sorted(found) for file in found[c]]) for name, found in held.items()}
  if not (mine := looked.pop(split)):
    return
  yield from (f"{split}/: of {len(mine)} images looked at, {text}" for text in odd_pixels(mine))
  bright = max(image.max() for image in mine) > DARK
  for name, images in looked.items():
    if bright and images and max(image.max() for image in images) <= DARK:
      yield (
        f"{name}/: of {len(images)} images looked at, no pixel is above {DARK}, but pixels of {split}/ are: "
        "have they one scale?"
      )


def _readable(files):
  """Some of the files' images; those that cannot be read are left out, and refused where they are used."""
  found = []
  for place in np.linspace(0, len(files) - 1, min(_LOOKS, len(files))).astype(int):
    with contextlib.suppress(InputError):
      found.append(ImageFiles([files[place]])[0])
  return found


def _some(names, most=4):
  return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _file_digest(path):
  with open(path, "rb") as file:
    return hashlib.file_digest(file, "sha256").digest()


def _orientation(image):
  """The orientation in the EXIF data of an image's header, 1 to 8; 1, upright, where there is none.

  Pillow itself turns TIFF images.
  """
  try:
    return image.getexif().get(_ORIENTATION, 1) if "exif" in image.info else 1
  except Exception:  # Pillow raises many kinds for damaged EXIF data, which do not matter to pixels
    return 1


class ImageFiles(LazyImages):
  """Image files of one size, decoded on access to uint8[h, w, c]; c = 1 if all are grey, else 3.

  Attributes:
    paths: (path of each image's file, in the order of the images).
    turned: those of the files that are turned or mirrored, as the orientation in their EXIF data says.
    transparent: those with transparency, which is ignored.
  """

  def __init__(self, files):
    from PIL import Image, ImageOps

    self.paths, self._open, self._upright = tuple(files), Image.open, ImageOps.exif_transpose
    self.turned, self.transparent = [], []
    sizes, modes = {}, set()
    for file in files:
      try:
        with Image.open(file) as image:  # reads the header only
          turn = _orientation(image)
          sizes.setdefault(image.size[::-1] if turn in _ON_ITS_SIDE else image.size, file)
          mode = image.mode
          self.turned += [file] * (turn in _TURNED)
          self.transparent += [file] * ("A" in image.getbands() or "transparency" in image.info)
      except Exception as error:  # Pillow raises many kinds for damaged files
        raise InputError(f"{file} is not a readable image: {error}") from error
      modes.add(mode)
      if mode[0] in "IF":
        raise InputError(f"{file} has more than 8 bits per channel (mode {mode}): convert it to 8 bits first")
      if len(sizes) > 1:
        (a, first), (b, other) = sizes.items()
        upright = ", turned as the orientation in their EXIF data says" if self.turned else ""
        raise InputError(
          f"images must be of one size: {first} is {a[0]}x{a[1]}, {other} is {b[0]}x{b[1]}{upright}; "
          "resize them first"
        )
    self._turned = set(self.turned)
    self._mode = "L" if modes <= {"L", "1"} else "RGB"
    width, height = next(iter(sizes))
    self.shape = (len(files), height, width, 1 if self._mode == "L" else 3)

  def __len__(self):
    return len(self.paths)

  def _read(self, i):
    file = self.paths[i]
    try:
      with self._open(file) as image:
        upright = self._upright(image) if file in self._turned else image
        return np.asarray(upright.convert(self._mode)).reshape(self.shape[1:])
    except Exception as error:
      raise InputError(f"{file} cannot be decoded: {error}") from error

  def check(self, i: int) -> None:
    """Decodes image i, which alone shows whether its file can be decoded."""
    self[i]

"""ImageNet (ILSVRC 2012): ILSVRC2012_img_val.tar and ILSVRC2012_img_train.tar, or folders val/ and train/
with one folder per class, named by WordNet id. Images are read in place; tar files are not unpacked."""

import hashlib
import io
import pathlib
import tarfile
from typing import NamedTuple

from rsjax.data.originals.files import Examples, Originals
from rsjax.errors import InputError

_SPLITS = {"train": ("ILSVRC2012_img_train.tar", ("train",)),
           "validation": ("ILSVRC2012_img_val.tar", ("val", "validation"))}  # fmt: skip
_SUFFIXES = (".jpeg", ".jpg")
_LABELS = "datasets/imagenet2012"


class _Image(NamedTuple):
  """Where the bytes of an image lie."""

  name: str
  label: int
  path: pathlib.Path
  offset: int
  size: int
  changed: int  # when its file was changed last, ns


def find(name: str, folder: pathlib.Path, checksums: dict[str, str] | None) -> Originals:
  """The originals; the caller verifies counts. Digests are not verified, because the tar files have 155 GB."""
  del name, checksums
  labels = {wnid: i for i, wnid in enumerate(_lines("labels.txt"))}
  splits, files = {}, []
  for split, (tar, folders) in _SPLITS.items():
    places = [folder / f for f in folders if (folder / f).is_dir()]
    if (folder / tar).is_file():
      images, file = _from_tar(folder / tar, split, labels), folder / tar
    elif places:
      images, file = _from_folder(places[0], labels), places[0]
    else:
      continue
    if not images:
      raise InputError(f"{file} holds no images")
    splits[split] = _examples(sorted(images, key=lambda image: (image.label, image.name)))
    files.append(file)
  if not splits:
    raise InputError(
      f"{folder} holds no ImageNet: expected {_SPLITS['validation'][0]}, {_SPLITS['train'][0]}, or folders "
      "val/ and train/ with one folder per class"
    )
  return Originals(splits, files)


def _lines(file_name):
  import tensorflow_datasets as tfds

  return tfds.core.tfds_path(f"{_LABELS}/{file_name}").read_text().split()


def _examples(images):
  def example(i):
    image = images[i]
    with open(image.path, "rb") as file:
      file.seek(image.offset)
      encoded = file.read(image.size)
    return {"file_name": image.name, "image": _jpeg(encoded, image), "label": image.label}

  identity = hashlib.sha256(repr(images).encode()).hexdigest()
  return Examples([image.name for image in images], sum(image.size for image in images), example, identity)


def _jpeg(encoded, image):
  """The bytes unchanged, except for the few that are not RGB or grey JPEG: those become RGB, as in TFDS."""
  from PIL import Image

  try:
    with Image.open(io.BytesIO(encoded)) as opened:
      if opened.format == "JPEG" and opened.mode in ("RGB", "L"):
        return encoded
      file = io.BytesIO()
      opened.convert("RGB").save(file, "JPEG", quality=100, subsampling=0)
      return file.getvalue()
  except Exception as error:
    raise InputError(f"{image.name} in {image.path} is not a readable image: {error}") from error


def _from_folder(root, labels):
  images = []
  for place in sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")):
    if place.name not in labels:
      raise InputError(f"{place} is not a class of ImageNet: expected a WordNet id such as n01440764")
    for path in sorted(place.glob("[!.]*")):
      if path.suffix.lower() in _SUFFIXES:
        found = path.stat()
        images.append(_Image(path.name, labels[place.name], path, 0, found.st_size, found.st_mtime_ns))
  return images


def _from_tar(path, split, labels):
  try:
    with tarfile.open(path, "r:") as tar:
      if split == "validation":
        return _validation(path, tar, labels)
      return [image for member in tar if member.isfile() for image in _train_class(path, tar, member, labels)]
  except (tarfile.TarError, OSError) as error:
    raise InputError(f"{path} cannot be read as a tar archive: {error}") from error


def _validation(path, tar, labels):
  """ILSVRC2012_val_00000001.JPEG, ...: the n-th has the n-th label of TFDS's list."""
  wnids, images = _lines("validation_labels.txt"), []
  for member in tar:
    if member.isfile():
      name = member.name.rsplit("/", 1)[-1]
      number = name.removeprefix("ILSVRC2012_val_").split(".")[0]
      if not number.isdigit() or not 1 <= int(number) <= len(wnids):
        raise InputError(f"{path}: {member.name} is not a validation image of ImageNet")
      images.append(_Image(name, labels[wnids[int(number) - 1]], path, member.offset_data, member.size, 0))
  return images


def _train_class(path, tar, member, labels):
  """n01440764.tar and its like, each a tar of one class within the tar."""
  wnid = member.name.rsplit("/", 1)[-1].removesuffix(".tar")
  if wnid not in labels:
    raise InputError(f"{path}: {member.name} is not a class of ImageNet")
  with tarfile.open(fileobj=tar.extractfile(member), mode="r:") as inner:
    return [
      _Image(m.name.rsplit("/", 1)[-1], labels[wnid], path, member.offset_data + m.offset_data, m.size, 0)
      for m in inner
      if m.isfile()
    ]

"""What a manifest says about itself, its data set and the shards of its run, checked; no sentence if all fits.

>>> list(of_about(files[0]))
[]
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from rsjax.analysis.exact import shape_of
from rsjax.data import SPLITS
from rsjax.data.known import meant_by
from rsjax.data.named import SETS
from rsjax.results import Results, plural

_DIGITS = {"train": 1437, "test": 360}
_SHARED = ("dataset", "images", "image_shape", "checkpoint")  # what `about` has alike in all shards of a run


def of_about(f: Results) -> Iterator[str]:
  """A number of images, a split or a digest that cannot be, and a well-known data set that is another."""
  about, split = f.manifest["about"], f.settings.get("split")
  selected = about.get("selected")
  if selected is not None and f.expected != selected and f.settings.get("shard") is None:
    yield f"its manifest says that {selected:,} images were selected, but that {f.expected:,} rows are expected"
  if split is not None and split not in SPLITS:
    yield f"its manifest says split {split}, which is none of {', '.join(SPLITS)}"
  for name in ("dataset", "checkpoint"):
    digest = f.settings.get(name)
    if digest is not None and not re.fullmatch("[0-9a-f]{64}", digest):
      yield f"its manifest says {digest[:40]!r} for the digest of its {name}, which is no SHA-256"
  shape = about.get("image_shape")
  if f.settings.get("inputs") is None and shape is not None and len(shape_of(f) or ()) != 3:
    yield (
      f"its manifest lacks inputs, as if it were of images, but says {str(shape)[:40]} for image_shape, not "
      "[height, width, channels]"
    )
  name = about.get("dataset")
  if name == meant_by(name):
    told = f"its manifest names the data set {name}, whose"
    yield from (f"{told} {what} is {is_}, but says {said}" for what, is_, said in _of_known_set(f))


def is_of_a_split(f: Results) -> bool:
  """Whether a file is of a split of a data set and a checkpoint, not of arrays in Python."""
  return "checkpoint" in f.manifest["about"] or any(
    f.settings.get(name) is not None for name in ("split", "skip")
  )


def of_given(f: Results) -> Iterator[str]:
  """Images that cannot be among those that were given in Python, by their number, and too many rows of them."""
  images = _given(f)
  if images is None:
    return
  outside = f.columns["idx"][f.columns["idx"] >= images]
  if len(outside):
    given = plural(images, "image was", "images were")
    yield f"image {outside[0]} cannot be: its manifest says that {given} given"
  if (f.expected or 0) > images:
    yield f"its manifest expects {plural(f.expected or 0, 'row')} of {plural(images, 'image')}"


def chosen(f: Results) -> Iterator[str]:
  """A note on a file of images that were chosen one by one, by command or in Python."""
  if f.settings.get("indices") is not None:
    yield "its images were chosen one by one (--indices): the numbers are of these, not of the data set"
  images = _given(f)
  if images is None or f.expected is None or f.expected >= images:
    return
  part = f"it is of {f.expected:,} of the {plural(images, 'image')} that were given"
  if f.manifest["about"].get("selected") is None:
    yield f"{part}: chosen by `indices`, or cut afterwards, which files of earlier versions do not show"
  else:
    yield f"{part}, chosen one by one (`indices`): the numbers are of these, not of all"


def notes(f: Results) -> Iterator[str]:
  """What a reader should know, although nothing contradicts: a part of the images, or a data set's odd name."""
  yield from chosen(f)
  name = f.manifest["about"].get("dataset")
  if name != meant_by(name):
    for what, is_, said in _of_known_set(f):
      yield f"its data set is called {name}, but is not the well-known one: its {what} is {said}, not {is_}"


def _given(f: Results) -> int | None:
  """How many images a run from Python was given; None for other files, and where it is not known."""
  images = f.manifest["about"].get("images")
  return images if isinstance(images, int) and not is_of_a_split(f) else None


def _of_known_set(f: Results) -> Iterator[tuple[str, Any, Any]]:
  """(what, what it is for the data set that the name means, what the manifest says) where these differ."""
  about, split = f.manifest["about"], f.settings.get("split")
  name = meant_by(about.get("dataset"))
  if name is None:
    return
  if name == "digits":
    shape, classes, images = [8, 8, 1], 10, _DIGITS.get(str(split))
  else:
    shape, classes = [*SETS[name].image_shape], SETS[name].num_classes
    images = SETS[name].images(split) if split in SPLITS else None
    if any(note.startswith(f"{name}: ") for note in f.notes):  # was prepared from other originals
      images = None
  checkpoint = about.get("checkpoint")
  told = checkpoint.get("num_classes") if isinstance(checkpoint, dict) else None
  for what, said, is_ in (
    ("image shape", shape_of(f), shape),
    ("number of images", about.get("images"), images),
    ("number of classes", told, classes),
  ):
    if None not in (said, is_) and said != is_:
      yield what, is_, said


def of_sessions(f: Results) -> Iterator[str]:
  """Versions and devices, of which more than one computed the rows."""
  for setting in ("rsjax", "jax", "device"):
    values = {str(session.get(setting)) for session in f.manifest["sessions"]}
    if len(values) > 1:
      yield f"its rows were computed with more than one {setting}: {', '.join(sorted(values))}"


def of_shards(f: Results, check: Callable[[Results], Iterator[str]]) -> Iterator[str]:
  """What `check` finds in each of the files that were joined."""
  for shard in f.shards:
    yield from (f"{shard.path}: {text}" for text in check(shard))


def unlike_shards(f: Results) -> Iterator[str]:
  """What the manifests of the files that were joined say differently."""
  for name in _SHARED:
    said = [shard.manifest["about"].get(name) for shard in f.shards]
    for shard, value in zip(f.shards, said):
      if value != said[0]:
        yield f"{shard.path} and {f.shards[0].path}, of one run, differ in about.{name}"
        break

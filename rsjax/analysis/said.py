"""What a manifest says about itself, its data set and the shards of its run, checked; no sentence if all fits.

>>> list(of_about(files[0]))
[]
"""

import re
from collections.abc import Callable, Iterator

from rsjax.analysis.exact import shape_of
from rsjax.data import SPLITS
from rsjax.data.named import SETS
from rsjax.results import Results

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
  yield from _of_known_set(f)


def _of_known_set(f: Results) -> Iterator[str]:
  about, split = f.manifest["about"], f.settings.get("split")
  name = about.get("dataset")
  if name == "digits":
    shape, classes, images = [8, 8, 1], 10, _DIGITS.get(str(split))
  elif name in SETS:
    shape, classes = [*SETS[name].image_shape], SETS[name].num_classes
    images = SETS[name].images(split) if split in SPLITS else None
    if any(note.startswith(f"{name}: ") for note in f.notes):  # was prepared from other originals
      images = None
  else:
    return
  checkpoint = about.get("checkpoint")
  told = checkpoint.get("num_classes") if isinstance(checkpoint, dict) else None
  for what, said, is_ in (
    ("image shape", shape_of(f), shape),
    ("number of images", about.get("images"), images),
    ("number of classes", told, classes),
  ):
    if None not in (said, is_) and said != is_:
      yield f"its manifest names the data set {name}, whose {what} is {is_}, but says {said}"


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

"""Which images a file holds: their order and gaps, and whether they seem to begin late or end early."""

import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from rsjax.results import Results, plural

# Words in the path of a file without manifest, and how many images the set has that is evaluated by convention.
_SETS = (("imagenet", "ImageNet", 50_000), ("cifar", "CIFAR", 10_000), ("mnist", "MNIST", 10_000),
         ("svhn", "SVHN", 26_032))  # fmt: skip
_SPARSE = 10  # images apart, from which on a file is likely to be of a part of one of these sets
_ENOUGH = 3  # images, from which on their distance tells anything


def order_and_gaps(index: NDArray[np.int64]) -> Iterator[str]:
  """Sentences about image indices that do not ascend, or are not evenly spaced."""
  if np.any(np.diff(index) <= 0):
    yield "rows are not in the order of the images, or occur twice"
    return
  steps, counts = np.unique(np.diff(index), return_counts=True)
  if len(steps) < 2:
    return
  usual = steps[counts.argmax()]
  text = f"images are not evenly spaced: most are {usual} apart, some {steps[-1]}"
  if not np.any(steps % usual):
    missing = int(np.sum(np.diff(index) // usual - 1))
    first = index[np.argmax(np.diff(index) > usual)] + usual
    text += f"; {plural(missing, 'image is', 'images are')} missing between others, the first is {first:,}"
  yield text


def looks_cut(files: Sequence[Results]) -> list[str | None]:
  """A sentence for each file that seems to begin late or end early, else None; with a manifest: None.

  It goes by the sets that a path names, other files with the same spacing, and the sizes of well-known sets.
  """
  ends: dict[tuple[int, int], int] = {}  # {(first image, step): the farthest image of any file}
  for f in files:
    if step := _step(f):
      first, last = int(f.columns["idx"][0]), int(f.columns["idx"][-1])
      ends[first, step] = max(last, ends.get((first, step), 0))
  return [None if f.expected is not None else _cut(f, ends) for f in files]


def _cut(f: Results, ends: dict[tuple[int, int], int]) -> str | None:
  step, index = _step(f), f.columns["idx"]
  if step is None:
    return None
  last, first = int(index[-1]), int(index[0])
  if (end := ends[first, step]) > last:
    due = plural(len(range(first, end + 1, step)), "row")
    return _ends(index, step, f"those of another file end with {end:,}, {due}")
  parts = pathlib.PurePath(f.path.lower()).parts
  if "train" in parts:
    return None
  if first >= step:
    before = plural(len(range(first % step, first, step)), "row")
    return (
      f"may be incomplete: {_apart(index, step)}, begin with image {first:,}; {before} would come before it"
    )
  named = [(name, size) for word, name, size in _SETS if any(word in part for part in parts)]
  if len(named) != 1 and step < _SPARSE:
    return None
  usual = next((size for _, _, size in sorted(_SETS, key=lambda s: s[2]) if size > last), 0)
  name, size = named[0] if len(named) == 1 else ("", usual)
  if last + step >= size:
    return None
  whole = plural(len(range(first, size, step)), "row")
  given = f"the {size:,} images of {name} give" if name else f"a set of {size:,} images gives"
  return _ends(index, step, f"{given} {whole}")


def _ends(index: NDArray[np.int64], step: int, otherwise: str) -> str:
  return f"may be incomplete: {_apart(index, step)}, end with image {index[-1]:,}; {otherwise}"


def _apart(index: NDArray[np.int64], step: int) -> str:
  return f"{plural(len(index), 'row')}, {plural(step, 'image')} apart"


def _step(f: Results) -> int | None:
  """The distance between images, if most have the same; otherwise None."""
  steps, counts = np.unique(np.diff(f.columns["idx"]), return_counts=True)
  if len(f) < _ENOUGH or steps[0] <= 0 or 2 * counts.max() <= counts.sum():
    return None
  return int(steps[counts.argmax()])

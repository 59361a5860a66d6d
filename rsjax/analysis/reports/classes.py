"""Which classes are hard: certified accuracy by class, and which class is certified in place of which."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsjax.analysis import statistics
from rsjax.results import Results

FEW = 20  # classes, up to which all are listed and drawn
_WORST = 10  # classes or pairs listed otherwise


def names(f: Results) -> dict[int, str]:
  """{class: its name} as far as the checkpoint's metadata tell them."""
  checkpoint = f.manifest["about"].get("checkpoint")
  told = checkpoint.get("classes") if isinstance(checkpoint, dict) else None
  return {number: str(name) for number, name in enumerate(told)} if isinstance(told, list) else {}


def called(number: int, known: dict[int, str]) -> str:
  """A class as text: its number, and its name if that says more."""
  name = known.get(number)
  return str(number) if name is None or name == str(number) else f"{number} ({name})"


def by_class(f: Results, radii: Sequence[float], known: dict[int, str], rule: str) -> dict[str, Any]:
  """Certified accuracy of each class at radius 0 and at the table's first larger radius.

  Returns:
    radius: that radius, or None; total: how many classes there are images of; none: how many of them have no
    image that is right and certified; all: whether all classes are listed, else those of lowest certified
    accuracy; rows: dicts of name, images, right, beyond (None without a radius), abstained, wrong (the most
    frequent wrong answer as text, or None) and wrong_count.
  """
  label, predict = f.columns["label"], f.columns["predict"]
  radius = next((r for r in radii if r > 0), None)
  present, where = np.unique(label, return_inverse=True)
  count = lambda rows: np.bincount(where[rows], minlength=len(present))
  images = count(np.ones(len(f), bool))
  right = count(statistics.counted(f, 0.0, rule))
  beyond = None if radius is None else count(statistics.counted(f, radius, rule))
  abstained = count(predict < 0)
  order = np.arange(len(present))
  if len(present) > FEW:  # the worst, those of most images first
    order = np.lexsort((present, -images, right / images))[:_WORST]
  pairs = _pairs(label, predict)
  rows = []
  for place in order.tolist():
    number = int(present[place])
    worst = next(((wrong, times) for true, wrong, times in pairs if true == number), None)
    rows.append(
      {
        "name": called(number, known),
        "images": int(images[place]),
        "right": int(right[place]),
        "beyond": None if beyond is None else int(beyond[place]),
        "abstained": int(abstained[place]),
        "wrong": worst and called(worst[0], known),
        "wrong_count": worst[1] if worst else 0,
      }
    )
  return {
    "radius": radius,
    "total": len(present),
    "none": int((right == 0).sum()),
    "all": len(order) == len(present),
    "rows": rows,
  }


def confusions(f: Results, known: dict[int, str]) -> list[dict[str, Any]]:
  """The most frequent certified answers that are wrong: dicts of label, answer, times, images of the label."""
  label, predict = f.columns["label"], f.columns["predict"]
  return [
    {
      "label": called(true, known),
      "answer": called(wrong, known),
      "times": times,
      "images": int((label == true).sum()),
    }
    for true, wrong, times in _pairs(label, predict)[:_WORST]
  ]


def _pairs(label: NDArray[np.int64], predict: NDArray[np.int64]) -> list[tuple[int, int, int]]:
  """(label, wrong answer, how often), the most frequent first."""
  wrong = (predict >= 0) & (predict != label)
  pairs, times = np.unique(np.stack([label[wrong], predict[wrong]]), axis=1, return_counts=True)
  order = np.argsort(-times, kind="stable")
  return [(int(pairs[0, i]), int(pairs[1, i]), int(times[i])) for i in order]


def matrix(f: Results, known: dict[int, str]) -> dict[str, Any] | None:
  """Labels against certified answers; None if there are many classes, or one.

  Returns:
    rows, columns: texts of the labels and of the answers; counts: a list per label, whose last number counts
    abstentions.
  """
  label, predict = f.columns["label"], f.columns["predict"]
  there = np.unique(np.concatenate([label, predict[predict >= 0]]))
  if not 2 <= len(there) <= FEW:
    return None
  counts = np.zeros((len(there), len(there) + 1), np.int64)
  answer = np.where(predict < 0, len(there), np.searchsorted(there, predict))
  np.add.at(counts, (np.searchsorted(there, label), answer), 1)
  rows = [known.get(number, str(number)) for number in there.tolist()]
  return {"rows": rows, "columns": [*map(str, there.tolist()), "none"], "counts": counts.tolist()}

"""The images of the largest and smallest radius, and wrong ones that are certified, with pictures."""

import base64
import io
import pathlib
from typing import Any

import numpy as np

from rsjax import data, files
from rsjax.analysis.reports.classes import called
from rsjax.errors import InputError
from rsjax.results import Results

_SHOWN = 6
_SIDE = 128  # pixels of a picture's longer side, at most


def extremes(
  f: Results, known: dict[int, str], dataset: str | None = None, data_dir: str | None = None
) -> dict[str, Any]:
  """Images worth a look: certified wrongly with the largest radius, and right with the largest and smallest.

  Args:
    f: the file.
    known: names of classes.
    dataset, data_dir: as for `data.load`; None: the data set that the file names, if it is there.

  Returns:
    groups: (title, list of dicts of idx, label, answer, radius, and picture, a data URI or None); why: why
    there are no pictures, or None.

  Raises:
    InputError: for a `dataset` that cannot be loaded.
  """
  for path in (dataset or "", data_dir or ""):
    files.local(path)
  columns = f.columns
  right = np.flatnonzero(columns["correct"] == 1)
  wrong = np.flatnonzero((columns["correct"] == 0) & (columns["predict"] >= 0))
  ordered = lambda rows: rows[np.argsort(columns["radius"][rows], kind="stable")]
  groups = [
    ("Right, largest radius", ordered(right)[::-1][:_SHOWN]),
    ("Right, smallest radius", ordered(right)[:_SHOWN]),
    ("Certified, but wrong: largest radius", ordered(wrong)[::-1][:_SHOWN]),
  ]
  source, why = _source(f, dataset, data_dir)
  found = []
  for title, rows in groups:
    shown = [
      {
        "idx": int(columns["idx"][row]),
        "label": called(int(columns["label"][row]), known),
        "answer": called(int(columns["predict"][row]), known),
        "radius": float(columns["radius"][row]),
        "picture": None if source is None else _picture(source, int(columns["idx"][row])),
      }
      for row in rows
    ]
    found.append((title, shown))
  return {"groups": [group for group in found if group[1]], "why": why}


def _source(f: Results, given: str | None, data_dir: str | None) -> tuple[data.Dataset | None, str | None]:
  """(data set, why there is none): it counts only if its digest is the file's."""
  name, split = given or f.manifest["about"].get("dataset"), f.settings.get("split")
  digest = f.settings.get("dataset")
  if digest is None or split not in data.SPLITS or not isinstance(name, str):
    return None, "No pictures: the file does not say which data set and split it is of."
  if given is None and pathlib.Path(name).is_dir():  # to know its digest is to read all of its files
    return None, f"No pictures: to know {name} as the file's data set takes reading all of it (--data {name})."
  try:
    found = data.load(name, split, data_dir)
  except Exception as error:  # a data set that is not there, or not as it was, takes nothing from the report
    if given is not None:
      raise InputError(f"the data set for the report's pictures: {error}") from error
    return None, f"No pictures: the data set {name} is not here, or not as it was (--data names another)."
  if found.digest != digest:
    return None, f"No pictures: {name} is not the file's data set; its digest is {found.digest[:12]}…"
  return found, None


def _picture(source: data.Dataset, index: int) -> str | None:
  """The image as a data URI; None if it cannot be read."""
  from PIL import Image

  try:
    pixels = np.asarray(source.images[index])
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
  except Exception:  # an image that is damaged or missing leaves its place empty
    return None
  large = max(picture.size) > _SIDE
  picture.thumbnail((_SIDE, _SIDE))
  kind = "jpeg" if large and picture.mode == "RGB" else "png"
  out = io.BytesIO()
  picture.save(out, kind)
  return f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode()}"

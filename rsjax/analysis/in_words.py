"""A result in one line, as Python and notebooks show it.

>>> in_words(files[0])
'72 images certified, sigma = 0.25: certified accuracy 0.93 at radius 0, ACR 0.543, 0.00 abstained'
"""

import numpy as np

from rsjax import bounds
from rsjax.analysis import attacked, cells, labels, looks, statistics, tables
from rsjax.analysis.exact import is_exact
from rsjax.analysis.unusual import unusual
from rsjax.results import Results, plural


def in_words(results: Results) -> str:
  """What a file is of, and its main numbers."""
  settings, certified = results.settings, "radius" in results.columns
  done = "certified" if certified else "attacked" if attacked.is_attack(results) else "predicted"
  text = f"{plural(len(results), _one(results))} {done}"
  if (sigma := settings.get("sigma")) is not None:
    text += f", sigma = {sigma:g}"
  if certified and settings.get("bound") == bounds.MULTI:
    text += ", multi-class bound"
  if (band := settings.get("band")) is not None:
    text += f", column bands of {band}"
  if is_exact(settings):
    text += ", exact"
  if (shard := settings.get("shard")) is not None:
    text += f", shard {shard}"
  if certified and (k := settings.get("top_k")) is not None:
    text += f", top-{k}"
  norm = labels.facts(results)["norm"] if certified else None
  text += "".join(f", {told}" for told in unusual({**settings, "norm": norm, "unit": labels.unit(results)}))
  if results.manifest["about"].get("manifest") == "missing":
    text += " (no manifest: it is not known whether all images are there)"
  whole = "" if results.complete else f" ({labels.rows_there(results, 'only ')})"
  return f"{text}{whole}: {', '.join(_numbers(results))}" if len(results) else f"{text}{whole}"


def _numbers(results: Results) -> list[str]:
  """Accuracy, ACR, abstentions and draws, as far as a file has them."""
  parts = []
  certified, grid = "radius" in results.columns, looks.grid_radii(results.settings)
  unsettled = grid is not None and 0.0 not in grid  # whether the answer is right at radius 0
  if "correct" in results.columns and certified:
    [row] = tables.summarize([results], [0.0])
    bound = "" if grid is None else f" (a lower bound: {looks.AT_GRID})"
    accuracy = f"{'>= ' if unsettled else ''}{row['certified_accuracy'][0]:.2f}"
    parts += [f"certified accuracy {accuracy} at radius 0, ACR {cells.acr(row)}{bound}"]
  elif attacked.is_attack(results):
    last = results.settings["radii"][-1]
    ends = attacked.attacked_accuracy(results, [0.0, last])
    parts += [f"robust accuracy is at most {ends[0]:.2f} at radius 0, {ends[1]:.2f} at {last:g}"]
  elif "correct" in results.columns:
    parts += [f"accuracy {results.columns['correct'].mean():.2f}"]
  elif certified:
    parts += [f"median radius {np.median(results.columns['radius']):.3f}"]
  parts += [f"{'<= ' if unsettled else ''}{statistics.abstention_rate(results):.2f} abstained"]
  if attacked.is_attack(results):
    parts += [f"{results.columns['draws'].mean():,.0f} draws per image"]
  elif looks.is_by_looks(results.settings):
    parts += [f"{statistics.mean_draws(results):,.0f} draws per {_one(results)}"]
  if ended := int(looks.undecided(results).sum()):
    parts += [f"{plural(ended, _one(results))} ended before drawing was done"]
  return parts


def _one(results: Results) -> str:
  """What one of the inputs is called."""
  return "array" if results.settings.get("inputs") == "arrays" else "image"

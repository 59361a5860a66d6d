"""How much the numbers of files vary that differ in a seed alone: of the noise, or of training."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from rsjax.analysis import statistics
from rsjax.results import Results

_FREE = ("seed", "checkpoint")


def spread(
  files: Sequence[Results], names: Sequence[str], radii: Sequence[float], rule: str
) -> list[dict[str, Any]]:
  """One dict per group of files, of the same images, that differ in a seed alone.

  Returns:
    of: "noise" or "training"; names; seeds; rows: (quantity, mean, standard deviation with n - 1, least,
    greatest) of certified accuracy at each radius, and of ACR; changed: how many of the images did not get the
    same answer in all of the files, of `images`.
  """
  groups: dict[str, list[int]] = {}
  for place, f in enumerate(files):
    if (key := _key(f)) is not None:
      groups.setdefault(key, []).append(place)
  found = []
  for places in groups.values():
    chosen = [files[p] for p in places]
    known = [(f.settings.get("seed"), _training(f).get("seed"), f.settings.get("checkpoint")) for f in chosen]
    if len(set(known)) < 2:
      continue
    same_network = len({k[2] for k in known}) == 1
    rows = []
    for radius in radii:
      values = [float(statistics.certified_accuracy(f, [radius], rule)[0]) for f in chosen]
      rows.append((f"certified accuracy at {radius:g}", *_summary(values)))
    rows.append(("ACR", *_summary([statistics.average_certified_radius(f) for f in chosen])))
    answers = np.stack([f.columns["predict"] for f in chosen])
    found.append(
      {
        "of": "noise" if same_network else "training",
        "names": [names[p] for p in places],
        "seeds": [k[0] if same_network else k[1] for k in known],
        "rows": rows,
        "changed": int((answers != answers[0]).any(0).sum()),
        "images": len(chosen[0]),
      }
    )
  return found


def _summary(values: list[float]) -> tuple[float, float, float, float]:
  return float(np.mean(values)), float(np.std(values, ddof=1)), min(values), max(values)


def _training(f: Results) -> dict[str, Any]:
  checkpoint = f.manifest["about"].get("checkpoint")
  training = checkpoint.get("training") if isinstance(checkpoint, dict) else None
  return training if isinstance(training, dict) else {}


def _key(f: Results) -> str | None:
  """What files have in common that differ in a seed alone; None if the file does not say it."""
  settings = f.settings
  if settings.get("seed") is None or settings.get("dataset") is None:
    return None
  training = _training(f)
  # without the settings of training, two checkpoints may differ in anything
  checkpoint = None if "seed" in training else settings.get("checkpoint")
  kept = {name: value for name, value in settings.items() if name not in _FREE}
  about = {name: value for name, value in training.items() if name != "seed"}
  images = f.columns["idx"].tolist()
  return json.dumps([kept, about, checkpoint, images], sort_keys=True, default=str)

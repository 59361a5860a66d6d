"""What tables and plots call a file: its settings, as far as they tell it from the others."""

import pathlib
from collections.abc import Sequence
from typing import Any

from rsjax import noise
from rsjax.results import Results


def facts(results: Results) -> dict[str, Any]:
  """{setting: value} of a file, None where not known: what certificates of several files may differ in."""
  settings, about = results.settings, results.manifest["about"]
  checkpoint = about.get("checkpoint")
  checkpoint = checkpoint if isinstance(checkpoint, dict) else {}
  return {
    "norm": noise.from_settings(settings).norm if not noise.lacking(settings) else "l2",
    "sigma": settings.get("sigma"),
    "noise": checkpoint.get("noise_sd"),
    "arch": checkpoint.get("arch") or settings.get("classifier"),
    "dataset": about.get("dataset"),
    "split": settings.get("split"),
    "n": settings.get("n"),
    "alpha": settings.get("alpha"),
    "dtype": settings.get("dtype"),
  }


def labels(files: Sequence[Results]) -> list[str]:
  """One text a file: sigma, what else differs among the files, and that it is incomplete if it is."""
  known = [facts(f) for f in files]
  differing = {
    name
    for name in known[0]
    if len({k[name] for k in known}) > 1 and (name != "noise" or any(k["noise"] != k["sigma"] for k in known))
  }
  texts = []
  for f, k in zip(files, known):
    parts = [f"sigma = {k['sigma']:g}"] if k["sigma"] is not None else [_name(f.path)]
    if ("noise" in differing or k["noise"] != k["sigma"]) and k["noise"] is not None:
      parts.append(f"training noise {k['noise']:g}")
    parts += [
      f"{name} = {k[name]:,}" if name == "n" else f"{name} = {k[name]:g}"
      for name in ("n", "alpha")
      if name in differing and k[name] is not None
    ]
    parts += [k[name] for name in ("arch", "dataset", "split", "dtype") if name in differing and k[name]]
    texts.append(", ".join(parts))
  texts = [
    f"{text} ({f.path})" if texts.count(text) > 1 and len({g.path for g in files}) > 1 else text
    for text, f in zip(texts, files)
  ]
  return [
    text if f.complete else f"{text} (only {len(f)} of {f.expected} images)" for text, f in zip(texts, files)
  ]


def _name(path: str) -> str:
  """A file's name without the ending of a table; what else stands after a dot belongs to it ("noise_0.25")."""
  file = pathlib.Path(path)
  return file.stem if file.suffix.lower() in (".tsv", ".txt", ".csv") else file.name

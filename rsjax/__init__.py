"""rsjax: certified robustness by randomized smoothing (Cohen, Rosenfeld, Kolter, ICML 2019).

    g = rsjax.smooth(apply, variables, sigma=0.25)   # any pure function; or rsjax.load("OUTDIR", sigma=0.25)
    found = g.certify(images, labels, n=100_000)
    found.radius, found.certified_accuracy(0.25), found.to_pandas()

`python -m rsjax` lists the commands. docs/architecture.md describes the structure of this package. Importing
`rsjax` imports nothing heavy: JAX is imported when a name below that needs it is first used.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
  from rsjax.classifiers.torch_modules import from_torch
  from rsjax.errors import InputError
  from rsjax.noise import Columns, Gaussian, GridGaussian, Laplace, Splitting, Uniform
  from rsjax.runs.face import SmoothedClassifier
  from rsjax.runs.making import load, smooth
  from rsjax.smoothing.execution import Execution

__version__ = "0.2.0"

__all__ = [
  "Columns",
  "Execution",
  "Gaussian",
  "GridGaussian",
  "InputError",
  "Laplace",
  "SmoothedClassifier",
  "Splitting",
  "Uniform",
  "from_torch",
  "load",
  "read",
  "smooth",
]

_HOMES = {
  "Columns": "rsjax.noise",
  "Execution": "rsjax.smoothing.execution",
  "Gaussian": "rsjax.noise",
  "GridGaussian": "rsjax.noise",
  "InputError": "rsjax.errors",
  "Laplace": "rsjax.noise",
  "SmoothedClassifier": "rsjax.runs.face",
  "Splitting": "rsjax.noise",
  "Uniform": "rsjax.noise",
  "from_torch": "rsjax.classifiers.torch_modules",
  "load": "rsjax.runs.making",
  "smooth": "rsjax.runs.making",
}


def read(path: Any) -> Any:
  """The certificates or predictions in a result file, as `certify` and `predict` return them; needs no JAX.

  Args:
    path: a result file of rsjax or of the paper's code; several: the shards of one run, which are joined.

  Returns:
    An `analysis.Found`.

  Warns:
    ResultWarning: for rows or shards that are missing, for images that were chosen one by one, for what is odd
      in a file of other code, and for whatever contradicts itself, such as a radius that its votes do not
      certify. `warnings()` of the result says more.

  Raises:
    InputError: if a file is missing or malformed (the message names the line), or if several are not the shards
      of one run.
  """
  from collections.abc import Iterable

  from rsjax import analysis, results
  from rsjax.errors import InputError, warn

  one_path = not isinstance(path, Iterable) or isinstance(path, str | bytes)
  paths = [path] if one_path else [*path]
  for one in paths:
    name = os.fsdecode(one) if isinstance(one, str | bytes | os.PathLike) else ""
    if name.endswith(".tsv.json"):
      raise InputError(f"{name} is the manifest of a result file: give {name.removesuffix('.json')}")
    if os.path.isdir(name):
      raise InputError(f"{name} is a folder: give a result file; rsjax.load takes the folder of a classifier")
  if not one_path:
    joined = results.join([results.read_any(one) for one in paths])
    if len(joined) != 1:
      runs = f"{len(joined)} runs" if joined else "none"
      raise InputError(f"several paths must be of the shards of one run, got {runs}: read each run by itself")
    [file] = joined
  else:
    file = results.read_any(path)
  found = analysis.Found(file)
  notes = found.notes()
  for text in (["; ".join(notes)] if notes else []) + found.contradictions():
    warn(f"{file.path}: {text}")
  return found


def __getattr__(name: str) -> Any:
  if name in _HOMES:
    return getattr(importlib.import_module(_HOMES[name]), name)
  raise AttributeError(f"module 'rsjax' has no attribute {name!r}")


def __dir__() -> list[str]:
  return sorted({*globals(), *__all__})

"""The same certificates in another norm: arithmetic on the radii, see `bounds.in_norm`.

>>> with_norm(results.read("out.tsv"), "linf").settings["norm"]
'linf'
"""

import dataclasses
import math

import numpy as np

from rsjax import bounds, noise
from rsjax.analysis import looks
from rsjax.analysis.exact import shape_of
from rsjax.analysis.labels import as_one
from rsjax.analysis.statistics import check_radii
from rsjax.errors import InputError
from rsjax.results import Results


def with_norm(results: Results, norm: str) -> Results:
  """The file with its radii in another norm, in which they are then shown, and its votes analysed again.

  With the same probability the answer holds in the ball of that norm, too. A file that does not name its noise
  is taken to be of Gaussian noise.

  Args:
    results: a file of CERTIFY, as read, or what `certify` returned.
    norm: "l1", "l2" or "linf".

  Raises:
    InputError: for a norm of which the noise proves nothing, a file that does not record the size of its images
      where that is needed, or one whose images stopped at grid radii, which are in the norm of its noise.
  """
  results = as_one(results)
  check_radii(results, "is of PREDICT, which has no radii: give a file of CERTIFY")
  settings, columns = results.settings, results.columns
  kind = noise.Gaussian(1.0) if noise.lacking(settings) else noise.from_settings(settings)
  now = settings.get("norm", kind.norm)
  if norm == now:
    return results
  if now != kind.norm:
    raise InputError(f"the radii of {results.path} are already in {now}: give the results in {kind.norm}")
  dimension = _dimension(results)
  try:
    radius = bounds.in_norm(columns["radius"], kind, norm, dimension)
  except InputError as error:
    raise InputError(f"{results.path}: {error}") from error
  if looks.grid_radii(settings) is not None and not np.array_equal(radius, columns["radius"]):
    stopped = looks.stopped_by(settings)
    raise InputError(f"{results.path} cannot be shown in {norm}: its images {stopped}, in {kind.norm}")
  manifest = results.manifest | {"settings": settings | {"norm": norm, "dimension": dimension}}
  return dataclasses.replace(results, columns=columns | {"radius": radius}, manifest=manifest)


def _dimension(results: Results) -> int | None:
  """How many numbers an image, or another input, of the file has; None if it does not say."""
  shape = shape_of(results)
  return None if shape is None else math.prod(shape)

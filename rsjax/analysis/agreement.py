"""PREDICT's answers against the smoothed classifier's true ones, which many more draws estimate.

The paper's table of PREDICT (Cohen et al. 2019, section 4): an answer is correct where it is the label, and
accurate where it is the smoothed classifier's class; that class is taken to be the one with most votes
in a file of many more draws.
"""

import numpy as np

from rsjax.analysis.reanalysis import leading_classes
from rsjax.analysis.statistics import check_rows
from rsjax.errors import InputError

CATEGORIES = (
  "correct, accurate",
  "correct, inaccurate",
  "incorrect, accurate",
  "incorrect, inaccurate",
  "abstain",
)


def agreement(results, reference):
  """{category: fraction of the images} of answers against a file of more draws on the same images.

  Raises:
    InputError: where the reference lacks an image, has fewer draws, or is of another smoothed classifier.
  """
  check_rows(results)
  fewer, more = results.settings.get("n"), reference.settings.get("n")
  if fewer is not None and more is not None and more < fewer:
    raise InputError(f"{reference.path} has n = {more:,}, fewer than the {fewer:,} of {results.path}")
  for name in ("sigma", "checkpoint", "dataset", "split", "dtype"):
    ours, theirs = results.settings.get(name), reference.settings.get(name)
    if None not in (ours, theirs) and ours != theirs:
      raise InputError(f"{reference.path} is of another {name} than {results.path}: {theirs}, not {ours}")
  truth = dict(zip(reference.columns["idx"].tolist(), leading_classes(reference).tolist()))
  missing = [i for i in results.columns["idx"].tolist() if i not in truth]
  if missing:
    raise InputError(
      f"{reference.path} lacks image {missing[0]} of {results.path}: give a file of the same images"
    )
  accurate = np.array([truth[i] for i in results.columns["idx"].tolist()]) == results.columns["predict"]
  correct, answers = results.columns["correct"] == 1, results.columns["predict"] != -1
  masks = (
    correct & accurate,
    correct & ~accurate,
    ~correct & accurate & answers,
    ~correct & ~accurate & answers,
  )
  return dict(zip(CATEGORIES, (float(mask.mean()) for mask in (*masks, ~answers))))

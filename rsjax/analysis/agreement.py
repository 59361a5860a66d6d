"""Compares PREDICT's answers with the smoothed classifier's true ones, as estimated by many more draws.

As in the paper's table of PREDICT (Cohen et al. 2019, section 4), an answer is correct if it is the label, and
accurate if it is the smoothed classifier's class. That class is taken to be the one with most votes in a file
of many more draws.
"""

import numpy as np

from rsjax.analysis.deciding import leading_classes
from rsjax.analysis.labels import facts
from rsjax.analysis.statistics import check_rows
from rsjax.errors import InputError
from rsjax.noise import parameter_names
from rsjax.results import Results, command_of, plural

CATEGORIES = (
  "correct, accurate",
  "correct, inaccurate",
  "incorrect, accurate",
  "incorrect, inaccurate",
  "abstain",
)


def agreement(results: Results, reference: Results) -> dict[str, float]:
  """{category: fraction of the images} of answers against a file of more draws on the same images.

  Raises:
    InputError: if the reference lacks an image, or its leading class, has fewer draws, or is of another
      smoothed classifier.
  """
  check_rows(results)
  if command_of(reference.columns) == "attack":
    raise InputError(f"{reference.path} is of rsjax.attack, whose votes are for perturbed images")
  digest = results.settings.get("dataset")
  same_data = digest is not None and digest == reference.settings.get("dataset")
  for name in ("noise", *parameter_names(results.settings), "checkpoint", "dataset", "split", "dtype"):
    ours, theirs = results.settings.get(name), reference.settings.get(name)
    if name == "split" and same_data:
      continue  # a digest is of one split, whatever it is called
    if None not in (ours, theirs) and ours != theirs:
      raise InputError(f"{reference.path} has another {name} than {results.path}: {theirs}, not {ours}")
  ours, theirs = (facts(f)["noise"] for f in (results, reference))
  if None not in (ours, theirs) and ours != theirs:
    raise InputError(
      f"{reference.path} has another training noise than {results.path}, so it is of another network: "
      f"{theirs:g}, not {ours:g}"
    )
  truth = dict(zip(reference.columns["idx"].tolist(), leading_classes(reference).tolist()))
  missing = [i for i in results.columns["idx"].tolist() if i not in truth]
  if missing:
    raise InputError(
      f"{reference.path} lacks image {missing[0]} of {results.path}: give a file of the same images"
    )
  if "votes" not in reference.columns:
    unknown = sum(truth[i] == -1 for i in results.columns["idx"].tolist())
    if unknown:
      raise InputError(
        f"{reference.path} abstains on {plural(unknown, 'image')} of {results.path}, and has no votes that "
        "tell the leading class there: give a file of rsjax with its manifest"
      )
  if "n" in results.columns and "n" in reference.columns:
    drawn = dict(zip(reference.columns["idx"].tolist(), reference.columns["n"].tolist()))
    n = [drawn[index] for index in results.columns["idx"].tolist()]
    if np.array_equal(n, results.columns["n"]) and len(n):
      raise InputError(f"{reference.path} has no more draws than {results.path}: give a file of more draws")
    for index, fewer in zip(results.columns["idx"].tolist(), results.columns["n"].tolist()):
      if drawn[index] < fewer:
        raise InputError(
          f"{reference.path} has n = {drawn[index]:,}, fewer than the {fewer:,} of {results.path}: give more "
          "draws"
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

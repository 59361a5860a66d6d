"""What a careful referee would ask about result files, before believing a table made of them."""

import numpy as np

from rsjax import bounds
from rsjax.analysis.labels import facts
from rsjax.analysis.reanalysis import follows_from_votes
from rsjax.analysis.statistics import accuracy_interval, certified

_FEW = 100  # images
_CONSTANT = 0.98  # the share of the answers that are one class


def warnings(files, names, radii, rule="open", confidence=0.95):
  """Sentences about the files, which are called `names`; radii are those of the table."""
  said = {}
  for f, name in zip(files, names):
    for text in _about_one(f):
      said.setdefault(text, []).append(name)
  found = [f"{'; '.join(those)}: {text}" for text, those in said.items()]
  found += _about_all(files, names)
  if all("radius" in f.columns for f in files):
    found += _too_close(files, names, radii, rule, confidence)
  return found


def _about_one(f):
  yield from f.notes
  if not f.complete:
    yield f"incomplete, {len(f)} of {f.expected} images; the numbers are of those that are there"
  if len(f) < _FEW:
    _, high = accuracy_interval(len(f) // 2, len(f))
    yield f"only {len(f)} images: an accuracy of one half is known to {high - 0.5:.2f}"
  predict, label = f.columns["predict"], f.columns["label"]
  answers = predict[predict >= 0]
  if len(answers) > 10:
    classes, counts = np.unique(answers, return_counts=True)
    share = np.mean(label == classes[counts.argmax()])
    if counts.max() >= _CONSTANT * len(answers) and share < _CONSTANT:
      yield f"answers nearly always class {classes[counts.argmax()]}: radii and ACR say nothing then"
  index = f.columns["idx"]
  if np.any(np.diff(index) <= 0):
    yield "rows are not in the order of the images, or stand there twice"
  else:
    steps, counts = np.unique(np.diff(index), return_counts=True)
    if len(steps) > 1:
      yield f"images are not evenly spaced: most are {steps[counts.argmax()]} apart, some {steps[-1]}"
  s = f.settings
  if "nA" in f.columns and None not in (s.get("n"), s.get("alpha"), s.get("sigma")):
    _, abstains, radius = bounds.certify_votes(f.columns["nA"], s["n"], s["alpha"], s["sigma"])
    high = np.flatnonzero(f.columns["radius"] > np.where(abstains, 0.0, radius) + 1.5e-6)
    if len(high):
      yield f"{len(high)} radii are above what their votes certify, the first of image {index[high[0]]}"
    wrong = np.flatnonzero(~follows_from_votes(f))
    if len(wrong):
      yield f"{len(wrong)} rows do not follow from their votes, the first of image {index[wrong[0]]}"
  for setting in ("rsjax", "jax", "device"):
    values = {str(session.get(setting)) for session in f.manifest["sessions"]}
    if len(values) > 1:
      yield f"its rows were computed with more than one {setting}: {', '.join(sorted(values))}"


def _about_all(files, names):
  if len(files) < 2:
    return
  known = [facts(f) for f in files]
  for setting in ("dataset", "split", "n", "alpha", "dtype"):
    values = {k[setting] for k in known if k[setting] is not None}
    if len(values) > 1:
      yield f"the files differ in {setting}: {', '.join(str(v) for v in sorted(values))}"
  digests = {f.settings["dataset"] for f in files if f.settings.get("dataset")}
  if len(digests) > 1 and len({k["dataset"] for k in known}) == 1:
    yield "the files are of data sets of one name, but with other images or labels"
  first = files[0].columns["idx"]
  for f, name in zip(files[1:], names[1:]):
    if not np.array_equal(f.columns["idx"], first):
      both = len(np.intersect1d(first, f.columns["idx"]))
      yield f"{name} is of other images than {names[0]}: {len(f)} and {len(first)}, {both} in common"


def _too_close(files, names, radii, rule, confidence):
  """Of radii where the best file is not clear of the next: their intervals overlap."""
  if len(files) < 2:
    return
  hits = np.array([certified(f, radii, rule) for f in files])
  sizes = np.array([[len(f)] for f in files])
  low, high = accuracy_interval(hits, sizes, confidence)
  close = {}
  for column, radius in enumerate(radii):
    accuracy = hits[:, column] / sizes[:, 0]
    second, best = np.argsort(accuracy, kind="stable")[-2:]
    if accuracy[best] > accuracy[second] and low[best, column] < high[second, column]:
      close.setdefault((best, second), []).append(f"{radius:g}")
  for (best, second), where in close.items():
    yield (
      f"at radius {', '.join(where)}, {names[best]} is ahead of {names[second]} by less than the "
      f"{100 * confidence:.6g} % intervals: with so few images it may be chance"
    )

"""A result file held against its checkpoint: digests, and some rows drawn again. See `analysis.contradictions`.

Noise is a function of (seed, image, draw), so that the votes of a row can be drawn again at any time. They are
the same with the same version of JAX on the same kind of device; elsewhere logits that nearly tie may round to
another class.
"""

import contextlib
import dataclasses
import itertools
import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsjax import bounds, data, devices, noise
from rsjax.analysis import looks
from rsjax.analysis.contradictions import DTYPES, Checked, about_checkpoint, selection_of
from rsjax.analysis.exact import is_exact
from rsjax.classifiers.denoised import Base
from rsjax.errors import InputError
from rsjax.noise import Noise, check_seed
from rsjax.procedures import ABSTAIN, AUTO, Certificate, CertifyByLooks, Prediction, Steps
from rsjax.procedures.sequential import is_close, strongest_other
from rsjax.results import Results, parse_column, parse_votes, plural
from rsjax.runs import certification, split
from rsjax.runs.job import Job
from rsjax.runs.progress import Progress

# Draws of an image that may vote otherwise by rounding, which turns only logits that nearly tie: a share of all
# draws, and a share of those that are not for the leading class, which are few if ties are few.
_ROUNDING, _ROUGHLY = (0.001, 0.05), (0.01, 0.2)  # in float32 on the same kind of device, and otherwise
_FEW = 2  # draws that may always
_CHANCE = 1e-6  # of so many images in which rounding favours the class that was selected


def against_checkpoint(f: Results, classifier: Base) -> Checked:
  """Whether the file is of the classifier, by its digest, and what its manifest says about the classifier."""
  digest, wrong = f.settings.get("checkpoint"), []
  if digest != classifier.digest:
    wrong.append(f"its checkpoint has digest {digest}, the one given {classifier.digest}")
  else:
    wrong += _misdescribed(about_checkpoint(f), json.loads(json.dumps(classifier.metadata)))
  return Checked(f"checkpoint: digest {classifier.digest}", (*wrong,))


def _misdescribed(said: dict[str, Any], is_: dict[str, Any], of: str = "") -> Iterator[str]:
  """What a manifest says of a checkpoint, and what the checkpoint says itself, where these differ."""
  for name in sorted({*said, *is_}):
    one, other = said.get(name), is_.get(name)
    if isinstance(one, dict) and isinstance(other, dict):
      yield from _misdescribed(one, other, f"{of}{name}.")
    elif one != other:
      yield f"its manifest says that the checkpoint's {of}{name} is {_short(one)}, but it is {_short(other)}"


def _short(value: Any) -> str:
  text = str(value)
  return text if len(text) < 80 else f"{text[:77]}..."


def redrawn(
  f: Results,
  dataset: data.Dataset,
  classifier: Base,
  count: int,
  seed: int,
  progress: Progress = Progress(),
) -> Checked:
  """Some rows' votes drawn again, and held against those of the file.

  Args:
    f: a file of the commands, whose digests are those of `dataset` and `classifier`.
    dataset, classifier: of the file.
    count: how many rows, at most.
    seed: of their choice.
    progress: what is told meanwhile.

  Returns:
    What was found. Where the version of JAX or the kind of device is another than the file's, a few of an
    image's draws may vote otherwise by rounding, which is noted.

  Raises:
    InputError: for settings with which nothing can be drawn.
  """
  rows = _chosen(f, len(dataset), count, seed)
  if not len(rows):
    return Checked("votes drawn again: there are no rows yet")
  indices = f.columns["idx"][rows].tolist()
  with devices.as_recorded(f.settings):
    asked = [_asked(f, row) for row in rows]
    procedure = _Again("certify" if "votes0" in f.columns else "predict", asked, f)
    job = dataclasses.replace(_job(f, dataset, classifier, procedure), indices=indices)
    found = certification.into_memory(job, progress=progress)
    same, rough, other = _environments(f, job)
  contradictions, notes, gained, changed = [], [], 0, 0
  for place, (row, index) in enumerate(zip(rows, indices)):
    names = [name for name in ("votes0", "votes") if name in f.columns]
    pairs = [(f.columns[name][row], found.columns[name][place]) for name in names]
    more = _net(f, found, row, place)
    gained, changed = gained + (more > 0), changed + (more != 0)
    differing = [_differing(*pair) for pair in pairs]
    if sum(differing):
      draws = sum(asked[place])
      text = f"image {index}: {sum(differing):,} of {draws:,} draws vote otherwise when they are drawn again"
      if same or any(count > _by_rounding(again, rough) for count, (_, again) in zip(differing, pairs)):
        contradictions.append(text)
      else:
        notes.append(f"{text}, as rounding may have it ({other})")
    if _other_n0(f, asked[place], procedure.first[place]):
      text = f"image {index}: its first draws ask for another number of selection draws"
      (contradictions if same else notes).append(text)
  early = [
    f"image {index}: by its manifest's rule, drawing ends after {sooner:,} draws, not {f.columns['n'][row]:,}"
    for row, index, sooner in zip(rows, indices, procedure.sooner)
    if sooner is not None
  ]
  (contradictions if same or len(early) > 1 else notes).extend(early)
  if 2 * gained > changed and bounds.binomial_p_value(gained, changed) < _CHANCE:
    contradictions.append(
      f"the file has more votes for the class it selected than are drawn again for {gained} of the {changed} "
      "images where their number differs: rounding would be fair"
    )
  images = f"image{'s' * (len(indices) > 1)} {', '.join(map(str, indices))}"
  what = f"votes drawn again: {images}, {plural(sum(map(sum, asked)), 'draw')}, chosen by --seed {seed}"
  return Checked(what, (*contradictions,), (*notes,))


def _chosen(f: Results, size: int, count: int, seed: int) -> NDArray[np.intp]:
  """The rows to draw again, in their order."""
  known = np.flatnonzero(f.columns["idx"] < size)
  return np.sort(np.random.default_rng(seed).choice(known, min(count, len(known)), replace=False))


def _asked(f: Results, row: int) -> tuple[int, ...]:
  """The draws of a row, in the groups that are counted: selection's, which may be two, and estimation's."""
  n = int(f.columns["n"][row])
  if "votes0" not in f.columns or is_exact(f.settings):
    return (n,)
  _, votes, invalid = parse_votes(f.columns["votes0"][row])
  n0 = int(votes.sum()) + invalid
  if f.settings["n0"] != AUTO:
    return n0, n
  first = f.settings["n0_auto"]["first"]
  return (first, n) if n0 == first else (first, n0 - first, n)


def _job(f: Results, dataset: data.Dataset, classifier: Base, procedure: Any) -> Job:
  s = f.settings
  if s.get("dtype") not in DTYPES:
    raise InputError(f"its manifest must say a dtype, {' or '.join(DTYPES)}, got {s.get('dtype')!r}")
  selection = selection_of(f) or data.Selection()
  kind, seed = noise.from_settings(s), check_seed(s["seed"])
  return split.job_from(dataset, classifier, kind, procedure, selection, seed, s["dtype"])


def _environments(f: Results, job: Job) -> tuple[bool, bool, str]:
  """Whether all that can change a logit is the same, whether it may change much, and what is not the same."""
  now = job.manifest()
  differing = [
    f"{name} was {f.settings.get(name)}, is {now.settings.get(name)}"
    for name in ("precision", "convolutions", "onednn_fpmath", "x64", "batch_norm")
    if f.settings.get(name) != now.settings.get(name)
  ]
  for name in ("jax", "device"):
    before = {str(session.get(name)) for session in f.manifest["sessions"]}
    if before != {str(now.session[name])}:
      differing.append(f"{name} was {' and '.join(sorted(before)) or 'not told'}, is {now.session[name]}")
  rough = f.settings.get("dtype") != "float32" or any(
    text.startswith(("precision", "onednn_fpmath", "device")) for text in differing
  )
  return not differing, rough, "; ".join(differing)


def _by_rounding(again: str, rough: bool) -> float:
  """How many draws of a group may vote otherwise by rounding, at most; by the votes that were drawn again."""
  _, votes, invalid = parse_votes(again)
  draws = int(votes.sum()) + invalid
  of_all, of_others = _ROUGHLY if rough else _ROUNDING
  return max(_FEW, min(of_all * draws, of_others * (draws - int(votes.max(initial=0)))))


def _net(f: Results, again: Results, row: int, place: int) -> int:
  """How many more votes the file's row has for its leading class than those drawn again."""
  leader = parse_column(f.columns["votes"][[row]]).leaders()
  before, now = (parse_column(r.columns["votes"][[at]]).of(leader) for r, at in ((f, row), (again, place)))
  return int(before[0] - now[0])


def _differing(one: str, other: str) -> int:
  """How many draws, at least, voted otherwise."""
  counts: dict[int, int] = {}
  for sign, text in ((1, one), (-1, other)):
    classes, votes, invalid = parse_votes(text)
    for name, number in (*zip(classes.tolist(), votes.tolist()), (-1, invalid)):
      counts[name] = counts.get(name, 0) + sign * number
  return max(sum(v for v in counts.values() if v > 0), -sum(v for v in counts.values() if v < 0))


def _other_n0(f: Results, asked: tuple[int, ...], first: NDArray[np.int64] | None) -> bool:
  """Whether n0 "auto" chose another number of selection draws than the row has."""
  known = CertifyByLooks(n0=AUTO).settings()["n0_auto"]
  if first is None or f.settings.get("n0_auto") != known:
    return False
  return is_close(first) != (len(asked) == 3)


class _Again:
  """Asks for the draws that some rows are of, image by image in their order; what it finds is their votes.

  Rows of CERTIFY by looks are drawn look by look, to see at which of them their rule ends.
  """

  n_varies = True

  def __init__(self, command: str, asked: Sequence[tuple[int, ...]], f: Results) -> None:
    self.command: Any = command
    self.most_draws = max(map(sum, asked))
    self.first: list[NDArray[np.int64] | None] = []  # of each image, where its selection may have two groups
    self.sooner: list[int | None] = []  # where the rule ends before the row does
    self._asked = iter(enumerate(asked))
    self._rule: Any = None
    self._plan: Any = None
    with contextlib.suppress(InputError):  # contradictions that were told before
      self._multi = bounds.bound_from_settings(f.settings) == bounds.MULTI
      plan = looks.plan_of(f.settings) if looks.is_by_looks(f.settings) else None
      self._rule, self._plan = looks.stop_rule(f.settings), plan

  def settings(self) -> dict[str, Any]:
    return {}

  def steps(self, noise: Noise) -> Steps:
    place, groups = next(self._asked)
    self.first.append(None)
    self.sooner.append(None)
    return self._steps(place, groups, noise)

  def _steps(self, place: int, groups: tuple[int, ...], noise: Noise) -> Steps:
    n = groups[-1]
    cuts = [look for look in (self._plan.looks if self._rule else ()) if look < n]
    votes = yield (*groups[:-1], cuts[0] if cuts else n)
    found = votes[-1]
    if len(groups) > 1:
      self.first[place] = votes[0]
      votes0 = sum(votes[1:-1], votes[0])
    for look, (at, following) in enumerate(itertools.pairwise([*cuts, n])):
      if self.sooner[place] is None and self._ends(look, found, int(np.argmax(votes0)), at, noise):
        self.sooner[place] = at
      (more,) = yield (following - at,)
      found = found + more
    invalid = n - int(found.sum())
    if self.command == "predict":
      return Prediction(ABSTAIN, 1.0, n, found, invalid)
    if len(groups) == 1:  # of an exact certificate, without a selection
      return Certificate(ABSTAIN, 0.0, 0, n, 0, 0.0, np.zeros_like(found), found, 0, invalid)
    invalid0 = sum(groups[:-1]) - int(votes0.sum())
    return Certificate(ABSTAIN, 0.0, 0, n, 0, 0.0, votes0, found, invalid0, invalid)

  def _ends(self, look: int, votes: NDArray[np.int64], selected: int, n: int, noise: Noise) -> bool:
    """Whether the rule ends drawing at a look."""
    if self._rule is None:
      return False
    other = strongest_other(votes, selected, n) if self._multi else None
    return bool(self._rule.stops(look, int(votes[selected]), self._plan, noise, other))

"""Claims of a certified accuracy, such as "0.61 at 0.25", held against result files.

  >>> claim = parse("93% at 0")
  >>> claim.accuracy, claim.radius
  (Fraction(93, 100), 0.0)
  >>> judge(files[0], claim).supported
  True

A claim is compared as it is written: 305 of 500 images, 0.610, support "0.61". It is rounded to the nearest,
as tables are: 0.606 supports "0.61" as well, and 0.604 does not.
"""

import dataclasses
import itertools
import math
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from rsjax.analysis import contradictions, looks, said, statistics
from rsjax.analysis.doubts import of_foreign
from rsjax.analysis.exact import is_closed
from rsjax.analysis.labels import facts, norm_words
from rsjax.errors import InputError
from rsjax.results import Results, manifest_path, plural

_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"
_NORM = r"(?:(?:(l1|l2|linf)\s+)?radius\s+|(patch)\s+width\s+)?"
_CLAIM = re.compile(rf"\s*{_NUMBER}\s*(%?)\s*(?:at|@)\s*{_NORM}{_NUMBER}\s*", re.IGNORECASE)
_COARSEST = Fraction(1, 200)  # half a point: what rounding may take off a claim, however few its digits
USUAL_ALPHA, USUAL_RHO = statistics.USUAL_ALPHA, 0.001  # where a file records no alpha, a user gives no rho


@dataclasses.dataclass(frozen=True)
class Claim:
  """A certified accuracy that is claimed.

  Attributes:
    text: as it was given.
    accuracy: a fraction from 0 to 1, exact.
    radius: at which radius.
    half: half a unit of the last digit that was given, at most half a point: what rounding may account for.
    norm: that of the radius, as it was given; None: the claim names none.
  """

  text: str
  accuracy: Fraction
  radius: float
  half: Fraction
  norm: str | None = None

  @property
  def least(self) -> Fraction:
    """The lowest accuracy that the claim may be rounded from."""
    return max(Fraction(0), self.accuracy - self.half)


@dataclasses.dataclass(frozen=True)
class Verdict:
  """Whether a file supports a claim.

  Attributes:
    supported: whether it does.
    head: what was compared, and the verdict, in one line.
    details: further sentences: the interval, the correction, and what limits the verdict.
  """

  supported: bool
  head: str
  details: tuple[str, ...]

  def as_dict(self) -> dict[str, Any]:
    """The verdict as JSON values."""
    return {"supported": self.supported, "verdict": self.head, "details": list(self.details)}

  def __str__(self) -> str:
    return "\n".join([self.head, *(f"  {text}" for text in self.details)])


def parse(text: str) -> Claim:
  """The claim that a text such as "0.61 at 0.25" or "61% at 0.25" makes.

  Raises:
    InputError: if it is not such a text, or the accuracy is not from 0 to 1.
  """
  form = 'a claim must be ACCURACY at RADIUS, such as "0.61 at 0.25" or "61% at 0.25"'
  if not (found := _CLAIM.fullmatch(text)):
    raise InputError(f"{form}, got {text[:60]!r}")
  number, percent, norm, width, radius = found.groups()
  scale = 100 if percent else 1
  accuracy = Fraction(number) / scale
  if accuracy > 1:
    mend = f"for per cent give {number}% at {radius}" if not percent and accuracy <= 100 else form
    raise InputError(f"the accuracy of the claim {text!r} is above {'100 %' if percent else '1'}: {mend}")
  digits = len(number.partition(".")[2])
  half = min(Fraction(1, 2 * scale * 10**digits), _COARSEST)
  return Claim(text, accuracy, float(radius), half, (norm or width or "").lower() or None)


def judge(
  results: Results,
  claim: Claim,
  *,
  name: str | None = None,
  rule: str = "open",
  confidence: float = 0.95,
  rho: float | None = None,
) -> Verdict:
  """Whether a file of CERTIFY supports a claim.

  It does if enough of its images are right and certified at the radius, taking images that are missing for
  wrong, and if nothing contradicts the file. With `rho`, as many images are taken off first as may be
  certified wrongly, with probability 1 - rho (`statistics.most_wrong`).

  Args:
    results: the file.
    claim: from `parse`.
    name: what to call the file; None: its path.
    rule: as for `statistics.certified_accuracy`.
    confidence: of the interval that is told.
    rho: None: the correction is told, at 0.001, and does not decide.

  Raises:
    InputError: for a file of PREDICT, one without rows or labels, or one with radii in another norm than that
      of the claim.
  """
  [verdict] = judge_all([results], [name or results.path], [claim], rule=rule, confidence=confidence, rho=rho)
  return verdict


def judge_all(
  files: Sequence[Results],
  names: Sequence[str],
  claims: Sequence[Claim],
  *,
  rule: str = "open",
  confidence: float = 0.95,
  rho: float | None = None,
  against: Sequence[Sequence[str]] | None = None,
) -> list[Verdict]:
  """`judge` for each file and claim; `against`: what contradicts each file, None: `contradicting`."""
  found: list[Verdict] = []
  for place, (f, name) in enumerate(zip(files, names) if claims else ()):
    statistics.check_rows(f)
    odd = contradicting(f) if against is None else against[place]
    found += [_judge(f, claim, name, odd, rule, confidence, rho) for claim in claims]
  return found


def contradicting(results: Results) -> list[str]:
  """Everything in a file that contradicts itself, as `rsjax.check` finds it; one sentence each.

  A file without votes, as of other tools, has no manifest of rsjax, and so none that could lack a setting. One
  of rsjax whose manifest was taken away is none of these.
  """
  if results.manifest["about"].get("manifest") == "missing":
    return [
      f"it is a file of rsjax without its manifest {manifest_path(results.path).name}: nothing is checked"
    ]
  return contradictions.everything(results)


def _judge(
  results: Results,
  claim: Claim,
  name: str,
  odd: Sequence[str],
  rule: str,
  confidence: float,
  rho: float | None,
) -> Verdict:
  images, known = len(results), facts(results)
  norm = known["norm"]
  if claim.norm not in (None, norm):
    raise InputError(
      f"the claim {claim.text.strip()!r} names the {norm_words(claim.norm)}, but {name} has the "
      f"{norm_words(norm)}: give `norm`, if that one follows, or another claim"
    )
  hits = int(statistics.certified(results, [claim.radius], rule)[0])
  missing = max(0, (results.expected or 0) - images)
  total = images + missing  # of every share: what is missing is not certified
  alpha = known["alpha"] or USUAL_ALPHA
  wrong = 0 if known["exact"] else statistics.most_wrong(images, alpha, rho or USUAL_RHO)
  sure = max(0, hits - wrong)
  counted = hits if rho is None else sure
  least = claim.least
  enough = lambda count: Fraction(count, total) >= least
  share = lambda count: _share(count, total, least)
  doubts = of_foreign(results, claim.radius, rule, counted - math.ceil(least * total))
  supported = enough(counted) and not odd and not doubts
  lower_bound = _why_lower_bound(results, claim.radius)
  open_yet = not supported and not odd and (enough(counted + missing) or lower_bound is not None)
  verdict = "supported" if supported else "not shown" if open_yet else "not supported"
  sign = ">=" if is_closed(results, rule) or claim.radius == 0 else ">"
  less = "" if rho is None else f", less {wrong} that may be wrong"
  compared = f"{share(counted)} against {_text(claim)}"
  k = known["top_k"]
  right = "are right" if k is None else f"have their label among the top {k}"
  head = (
    f'claim "{claim.text.strip()}": {verdict} by {name}: {hits:,} of {plural(total, "image")} '
    f"{right} with a certified {norm_words(norm)} {sign} {claim.radius:g}{less}, {compared}"
  )
  taken = f"the claim names no norm: its radius was taken for the {norm_words(norm)}, as the file has it"
  details = [taken] if claim.norm is None and norm != "l2" else []
  details.append(_interval(results, hits, missing, confidence))
  if known["exact"]:
    details.append("the certificates are exact: none is wrong by chance")
  else:
    decides = rho is None and not odd
    compares = f", which {'supports the claim, too' if enough(sure) else 'is below the claim'}" * decides
    if decides and supported and not enough(sure):
      compares += f"; the verdict counts all {hits:,}, with --rho only these"
    there = f"{images:,}{' that are there' if missing else ''}"
    of_alpha = _of_alpha(there, wrong, alpha, known["alpha"] is None, rho)
    details.append(f"{of_alpha}, so that at least {sure:,} of {total:,} are right, {share(sure)}{compares}")
  details += [f"the claim is not supported, because something contradicts the file: {text}" for text in odd]
  if missing:
    details.append(
      f"incomplete: {missing:,} of {plural(total, 'image')} are missing and count as wrong; with them the "
      f"accuracy would be {share(hits)} to {share(hits + missing)}"
    )
  if (of := results.manifest["about"].get("images")) and of > total:
    whose = "the split's" if said.is_of_a_split(results) else "the given"
    details.append(f"a subset, {total:,} of {whose} {of:,} images{_of_others(results)}")
  elif results.expected is None:
    details.append("no manifest: whether images are missing is not known, and the norm is taken to be l2")
  details += [f"without a manifest this cannot be decided: {text}" for text in doubts]
  details += [lower_bound] if lower_bound else []
  return Verdict(supported, head, tuple(details))


def _interval(results: Results, hits: int, missing: int, confidence: float) -> str:
  """The sentence on the interval of the accuracy."""
  what = f"{100 * confidence:.6g} % interval (Clopper-Pearson) for the number of images"
  if missing:
    return f"no {what}: those that are missing may differ from those that are there"
  if [*said.chosen(results)]:
    return f"no {what}: the images were chosen, and others may differ from them"
  low, high = (float(v) for v in statistics.accuracy_interval(hits, len(results), confidence))
  return f"{what}: {low:.4f} to {high:.4f}"


def _of_alpha(there: str, wrong: int, alpha: float, assumed: bool, rho: float | None) -> str:
  """How many certificates may be wrong by chance."""
  taken = " (taken to be 0.001: the file does not record alpha)" if assumed else ""
  return (
    f"each certificate may be wrong with probability {alpha:g}{taken}: "
    f"with probability {1 - (rho or USUAL_RHO):g} at most {wrong} of the {there} are"
  )


def _why_lower_bound(results: Results, radius: float) -> str | None:
  if looks.stopped_by_others(results):
    return "images ended early, by a rule for other radii: certified accuracy is a lower bound"
  grid = looks.grid_radii(results.settings)
  if grid is None or radius in grid:
    return None
  return (
    f"{looks.stopped_by(results.settings)}: at {radius:g} its certified accuracy is a lower bound; more draws "
    "might have certified more"
  )


def _of_others(results: Results) -> str:
  """What a subset says of the images that are not in it."""
  if results.settings.get("indices") is not None:
    return ", chosen one by one (--indices): it says nothing of the others"
  if not said.is_of_a_split(results):
    known = results.manifest["about"].get("selected") is not None
    how = "chosen one by one (`indices`)" if known else "chosen by `indices`, or cut afterwards"
    return f", {how}: it says nothing of the others"
  return ": of the others it says what the interval says, if these are a fair choice, such as every 20th"


def _share(count: int, total: int, least: Fraction) -> str:
  """A fraction as text, rounded down, so that no text is above what was counted.

  It has at least as many decimals as `least`, so that the texts compare with each other as the numbers do.
  """
  scale = 10 ** max(4, _decimals(least))
  return _exactly(Fraction(math.floor(scale * Fraction(count, total)), scale), 4)


def _text(claim: Claim) -> str:
  return f"{_exactly(claim.accuracy)} claimed, which stands for at least {_exactly(claim.least)}"


def _decimals(value: Fraction) -> int:
  """How many decimals a number has, whose decimals end."""
  return next(d for d in itertools.count() if (value * 10**d).denominator == 1)


def _exactly(value: Fraction, decimals: int = 0) -> str:
  """A number >= 0 whose decimals end, with all of them, and at least so many."""
  decimals = max(decimals, _decimals(value))
  whole, rest = divmod(int(value * 10**decimals), 10**decimals)
  return f"{whole}.{rest:0{decimals}d}" if decimals else str(whole)

"""Files whose images ended when their votes allowed it: their plans and rules, and what follows from them.

  >>> stopped_by({"plan": {}, "stop": {"rule": "radii", "radii": [0.0, 0.5], "give_up": 0.01}})
  'stopped at grid radii 0, 0.5'

The bound of such a file is that of its plan's looks. A bound for a number of draws that was fixed beforehand is
not valid for it, because the votes decided the number of draws.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rsjax import bounds, noise
from rsjax.analysis.exact import check_random
from rsjax.bounds import Plan
from rsjax.errors import InputError
from rsjax.procedures import Anytime, CertifyByLooks, PredictByLooks, Radii, StopRule, Tolerance
from rsjax.results import Results, parse_column, plural

_ANSWER = "answer"  # the rule of PREDICT
_RULES: dict[Any, Any] = {rule.name: rule for rule in (Anytime, Radii, Tolerance)}
AT_GRID = "stopped at grid radii"  # how tables and plots call files whose radii are lower bounds


def is_by_looks(settings: dict[str, Any]) -> bool:
  """Whether the settings are of a run that looked at the votes repeatedly."""
  return settings.get("plan") is not None


def lacks_plan(results: Results) -> bool:
  """Whether images ended after different numbers of draws, and the manifest has no plan of looks for that."""
  n = results.columns.get("n", results.columns["idx"][:0])
  return not is_by_looks(results.settings) and (results.settings.get("stop") is not None or (n[:1] != n).any())


def plan_of(settings: dict[str, Any]) -> Plan:
  """The plan of such a run.

  Raises:
    InputError: if the settings hold no valid plan, or a plan that does not match its id, n and alpha.
  """
  plan = Plan.from_settings(settings["plan"])
  n, alpha = settings.get("n"), settings.get("alpha")
  if plan.looks[-1] != n:
    raise InputError(f"the plan ends with {plan.looks[-1]:,} draws, not with n = {n}")
  points = settings.get("verifications", 1)  # of an attack, which share alpha
  share = alpha / points if isinstance(alpha, float) and isinstance(points, int) and points > 0 else None
  if share is None or not math.isclose(plan.alpha, share, rel_tol=1e-9):
    of = "alpha" if points == 1 else f"alpha / {points}"
    raise InputError(f"the plan's alphas add up to {plan.alpha:.6g}, not to {of} = {share or alpha}")
  return plan


def is_usual(plan: Plan, command: str) -> bool:
  """Whether a plan is the one that rsjax makes of its n and alpha, for certify, predict or attack."""
  first = (PredictByLooks if command == "predict" else CertifyByLooks).first
  usual = bounds.default_plan(plan.looks[-1], plan.alpha, first)
  return usual.looks == plan.looks and np.allclose(usual.alphas, plan.alphas, rtol=1e-9, atol=0)


def rule_of(settings: dict[str, Any]) -> dict[str, Any]:
  """The rule for stopping and its numbers; {} if there is none."""
  stop = settings.get("stop")
  return stop if is_by_looks(settings) and isinstance(stop, dict) else {}


def grid_radii(settings: dict[str, Any]) -> list[float] | None:
  """The radii at which images stopped, beyond which their own are not followed; None for other files."""
  rule = rule_of(settings)
  if rule.get("rule") != "radii":
    return None
  radii = rule.get("radii")
  return [float(r) for r in radii if isinstance(r, int | float)] if isinstance(radii, list) else []


def stop_rule(settings: dict[str, Any]) -> StopRule | None:
  """The rule for stopping of a run of CERTIFY by looks; None for other runs.

  Raises:
    InputError: for a rule that this version does not know, or numbers that are out of range.
  """
  numbers = dict(rule_of(settings))
  name = numbers.pop("rule", None)
  if not is_by_looks(settings) or (settings.get("command") in ("predict", "attack") and name == _ANSWER):
    return None
  try:
    return _RULES[name](**numbers)
  except (KeyError, TypeError) as error:
    raise InputError(f"its rule for stopping is not known: {settings.get('stop')!r}") from error


def undecided(results: Results) -> NDArray[np.bool_]:
  """bool[rows]: which images of CERTIFY by looks ended before their rule, by the file's bound, was satisfied.

  Raises:
    InputError: for a rule, a plan or a bound that is not valid.
  """
  columns, rule = results.columns, stop_rule(results.settings)
  found = np.zeros(len(results), np.bool_)
  if rule is None or "nA" not in columns or results.settings.get("top_k") is not None:  # no rule goes by these
    return found
  plan, kind = plan_of(results.settings), noise.from_settings(results.settings)
  other = None
  if bounds.bound_from_settings(results.settings) == bounds.MULTI:
    selected = np.maximum(parse_column(columns["votes0"]).leaders(), 0)
    other = parse_column(columns["votes"]).strongest_other(selected)
  for look, n in enumerate(plan.looks[:-1]):
    here = columns["n"] == n
    if here.any():
      found[here] = ~rule.stops(look, columns["nA"][here], plan, kind, None if other is None else other[here])
  return found


def stopped_by_others(results: Results) -> bool:
  """Whether images ended by a rule for other radii than these: of top-k, or of files that were combined."""
  settings, n = results.settings, results.columns.get("n")
  if settings.get("top_k") is None or n is None or not is_by_looks(settings):
    return bool(settings.get("ended_early", False))
  return bool((n < settings["n"]).any())


def stopped_by(settings: dict[str, Any]) -> str | None:
  """Why images ended, in words; None if their number of draws was fixed."""
  rule = rule_of(settings)
  if not is_by_looks(settings):
    return None
  name = rule.get("rule")
  if name == "radii":
    return f"{AT_GRID} {_listed(grid_radii(settings) or ())}"
  if name == "tolerance":
    share, floor = rule.get("relative"), rule.get("floor")
    if isinstance(share, int | float) and isinstance(floor, int | float):
      return f"stopped within {100 * share:g} % or {floor:g} sigma"
  return {"anytime": "stopped at any time", _ANSWER: "stopped at an answer"}.get(
    str(name), f"stopped by {name}"
  )


def ended_before(results: Results) -> Iterator[str]:
  """A sentence on images that ended before their rule was fulfilled, as by Ctrl-C or `--time-budget`.

  Raises:
    InputError: as for `undecided`.
  """
  if ended := int(undecided(results).sum()):
    images = plural(ended, "image was", "images were")
    yield f"{images} ended before drawing was done: with more draws their radii might be larger"


def told(results: Results, radii: Sequence[float]) -> Iterator[str]:
  """Sentences on what a table at these radii, with the ACR, means for a file that stopped at grid radii.

  Raises:
    InputError: as for `undecided`.
  """
  if (k := results.settings.get("top_k")) is not None:
    if stopped_by_others(results):
      images = plural(int((results.columns["n"] < results.settings["n"]).sum()), "image", "images")
      yield (
        f"{images} ended early, by the radius of the class that was certified: with more draws, top-{k} radii "
        "might be larger, so that certified accuracy and ACR are lower bounds"
      )
    return
  yield from ended_before(results)
  grid = grid_radii(results.settings)
  if grid is None:
    return
  off = [r for r in radii if r not in grid]
  if off:
    at = f"certified accuracy at {_listed(off)} is a lower bound, and so is ACR"
    yield f"{stopped_by(results.settings)}: {at}"
  if 0.0 not in grid:
    yield f"{AT_GRID} that do not include 0: whether an image must abstain was not settled"


def draws(results: Results) -> NDArray[np.int64] | None:
  """int64[rows]: how many draws each image took, including those of the selection; None if not known."""
  columns, n0 = results.columns, results.settings.get("n0")
  if "n" not in columns or ("radius" in columns and "votes0" not in columns and n0 is None):
    return None
  if "votes0" in columns:
    return columns["n"] + parse_column(columns["votes0"]).draws()
  return columns["n"] + (n0 if "radius" in columns else 0)


def check_fixed(results: Results, what: str) -> None:
  """Refuses to do `what` with a file if its votes decided its numbers of draws, or its certificates are exact.

  Raises:
    InputError: then; the message names the file, and says what would be valid.
  """
  check_random(results, what)
  if is_by_looks(results.settings):
    raise InputError(
      f"{results.path} cannot be analysed {what}: its images {stopped_by(results.settings)}, as their votes "
      "allowed, but this needs a number of draws that was fixed beforehand. The certificates of its own plan "
      "of looks are valid; for other settings, certify again"
    )


def _listed(radii: Sequence[float]) -> str:
  return ", ".join(f"{r:g}" for r in radii)

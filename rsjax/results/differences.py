"""How the settings of a result file differ from those of a run that would continue it, in words.

>>> differences({"n": 100, "max": 5}, {"n": 200, "max": None})
['n was 100, is now 200']
"""

import json
from typing import Any

_DIGESTS = {
  "checkpoint": "the checkpoint is another one",
  "denoiser": "the denoiser is another one",
  "dataset": "other images or labels were chosen",
}
# Settings that follow from others: {setting: what it follows from}. They are named only if these are the same.
_FOLLOWS = {"plan": ("n", "alpha", "command", "stop"), "n0_auto": ("n0",), "bound_shares": ("bound",)}
_SHOWN = 40  # characters of a setting


def differences(was: dict[str, Any], now: dict[str, Any]) -> list[str]:
  """One text per setting in which a run differs from the file that it would continue.

  Args:
    was: the settings of the file.
    now: those of the run.
  """
  differing = [key for key in sorted(was.keys() | now.keys()) if was.get(key) != now.get(key)]
  found = []
  for key in differing:
    if any(other in differing for other in _FOLLOWS.get(key, ())) or _only_grows(key, was, now):
      continue
    found += _rules(was, now) if key == "stop" else [_difference(key, was.get(key), now.get(key))]
  return found


def _difference(key: str, was: Any, now: Any) -> str:
  if key in _DIGESTS and all(isinstance(value, str) for value in (was, now)):
    return f"{_DIGESTS[key]} (digest {was[:8]}…, now {now[:8]}…)"
  return f"{key} was {_shown(was)}, is now {_shown(now)}"


def _rules(was: dict[str, Any], now: dict[str, Any]) -> list[str]:
  """What differs in when images stop, by the parameters that say it."""
  one, other = _parameters(was.get("stop")), _parameters(now.get("stop"))
  if one is None or other is None:
    return [_difference("stop", was.get("stop"), now.get("stop"))]
  names = [name for name in dict.fromkeys((*one, *other)) if one.get(name) != other.get(name)]
  if one.keys() != other.keys():  # another rule, whose give_up is no longer the same thing
    names = [name for name in names if name != "give_up"]
  said = [f"`{name}` was {one.get(name, 'not given')}, is now {other.get(name, 'not given')}" for name in names]
  return said or [_difference("stop", was.get("stop"), now.get("stop"))]


def _parameters(stop: Any) -> dict[str, str] | None:
  """The parameters of `certify` that give a rule, and their values; None if they are not known."""
  if stop is None:
    return {}
  try:
    given = {} if stop.get("give_up") is None else {"give_up": _percent(stop["give_up"])}
    if stop["rule"] == "radii":
      return {"radii": ",".join(f"{radius:g}" for radius in stop["radii"])} | given
    if stop["rule"] == "tolerance":
      return {"tolerance": _percent(stop["relative"])} | given
    return {"stop": "anytime"} if stop == {"rule": "anytime"} else None
  except (AttributeError, KeyError, TypeError, ValueError):
    return None


def _percent(share: float) -> str:
  return f"{100 * share:g}%"


def _only_grows(key: str, was: dict[str, Any], now: dict[str, Any]) -> bool:
  """Whether a setting differs only in that more images are asked for, after those that the file is of."""
  before, after = was.get(key), now.get(key)
  return key == "max" and before is not None and (after is None or after > before)


def _shown(setting: Any) -> str:
  """A setting in a message: a plan of looks by its id alone, and of what is long its beginning."""
  text = str(setting["id"]) if isinstance(setting, dict) and "id" in setting else json.dumps(setting)
  return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"

"""What the votes and times of one file say: p_A, the base classifier under noise, and costs."""

import decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from rsjax import bounds, noise
from rsjax.analysis import cells, looks
from rsjax.analysis.exact import is_exact
from rsjax.results import Results, parse_column

_BINS = 20
_ANY_SIZE = decimal.Context(prec=400)  # radii of foreign files may have hundreds of digits


def share(count: float, total: float) -> str:
  """A part of the images as text: per cent, and never 0 or 100 for a part that is neither."""
  if not total:
    return "–"  # noqa: RUF001
  percent = 100 * count / total
  if 0 < percent < 0.1:
    return "< 0.1 %"
  if 99.9 < percent < 100:
    return "> 99.9 %"
  return f"{percent:.1f} %"


def radius(value: float, norm: str) -> str:
  """A radius as text, rounded down, so that no more is shown than what is proved."""
  places = 0 if norm == noise.Columns.norm else 5 if norm == "linf" else 3
  step = decimal.Decimal(1).scaleb(-places)
  return str(decimal.Decimal(str(value)).quantize(step, decimal.ROUND_DOWN, _ANY_SIZE))


def acr(row: dict[str, Any]) -> str:
  """The ACR of a row of `tables.summarize`, as in tables; a lower bound is rounded down, and marked as one."""
  return cells.acr(row, ">= ")


def histogram(f: Results) -> dict[str, Any] | None:
  """The shares of the selected class among the estimation draws, or all draws if exact; None without votes.

  Returns:
    kind: "exact" if the share is p_A itself, "fixed" if it estimates p_A without bias, "stopped" if the votes
    may have decided how many draws there were. edges: 21 ends of bins from 0 to 1; right, wrong, abstained: 20
    counts of images each; images; unanimous: how many images had every vote for the class; n: the most draws;
    varies: whether images took fewer; cap: the radius that n unanimous votes certify, None if it is not known;
    at_cap: how many images have that many; below: images with less than half of the votes; median: of the
    shares.
  """
  columns = f.columns
  if "nA" not in columns or "n" not in columns:
    return None
  n = columns["n"]
  shares = columns["nA"] / n
  edges = np.linspace(0, 1, _BINS + 1)
  kinds = {
    "right": columns["correct"] == 1,
    "wrong": (columns["correct"] == 0) & (columns["predict"] >= 0),
    "abstained": columns["predict"] < 0,
  }
  unanimous = columns["nA"] == n
  most = int(n.max())
  return {
    "kind": "exact" if is_exact(f.settings) else "stopped" if _votes_decided(f) else "fixed",
    "edges": edges.tolist(),
    **{name: np.histogram(shares[rows], edges)[0].tolist() for name, rows in kinds.items()},
    "images": len(f),
    "unanimous": int(unanimous.sum()),
    "n": most,
    "varies": bool((n != most).any()),
    "at_cap": int((unanimous & (n == most)).sum()),
    "cap": _cap(f, most),
    "below": int((shares < 0.5).sum()),
    "median": float(np.median(shares)),
  }


def _votes_decided(f: Results) -> bool:
  """Whether the votes may have decided how many estimation draws there were."""
  return looks.is_by_looks(f.settings) or looks.lacks_plan(f)


def _cap(f: Results, n: int) -> float | None:
  """The radius that n unanimous votes certify by the one-sided bound of a fixed n; None for other bounds."""
  settings = f.settings
  alpha = settings.get("alpha")
  if looks.is_by_looks(settings) or settings.get("bound", bounds.ONE_SIDED) != bounds.ONE_SIDED:
    return None
  if alpha is None or noise.lacking(settings):
    return None
  lower = bounds.lower_confidence_bound(n, n, alpha)
  return float(bounds.radius(lower, noise.from_settings(settings)))


def base(f: Results, confidence: float) -> dict[str, Any]:
  """The base classifier's accuracy under noise, as far as the votes tell it without bias.

  The share of an image's draws that vote for its label estimates the probability that the base classifier is
  right on a noisy copy. With a fixed number of draws it has no bias. If the votes decided when to stop it has
  one, and the selection's draws are used, whose number is fixed.

  Returns:
    accuracy, low, high: the mean over the images, and Student's t interval for the number of images; None if
    not known. of: which draws. draws: how many. why: why it is not known, or None. leading: the share of the
    images whose most frequent class is the label.
  """
  columns, settings = f.columns, f.settings
  unknown = {"accuracy": None, "low": None, "high": None, "of": None, "draws": None, "leading": None}
  if "votes" not in columns:
    return unknown | {"why": "the file keeps no votes"}
  by_looks = _votes_decided(f)
  name = "votes0" if by_looks else "votes"
  if by_looks and not (isinstance(settings.get("n0"), int) and name in columns):
    return unknown | {"why": "the votes decided how many draws there were, also for the selection"}
  votes = parse_column(columns[name])
  draws = votes.draws()
  rates = votes.of(columns["label"]) / np.maximum(draws, 1)
  low, high = _t_interval(rates, confidence)
  return {
    "accuracy": float(rates.mean()),
    "low": low,
    "high": high,
    "of": "selection" if by_looks else "estimation",
    "draws": int(draws.sum()),
    "leading": float((votes.leaders() == columns["label"]).mean()),
    "why": None,
  }


def _t_interval(values: NDArray[np.float64], confidence: float) -> tuple[float, float]:
  """Student's t interval of a mean, cut to [0, 1]."""
  if len(values) < 2:
    return 0.0, 1.0
  reach = special.stdtrit(len(values) - 1, (1 + confidence) / 2) * values.std(ddof=1) / np.sqrt(len(values))
  return max(0.0, float(values.mean() - reach)), min(1.0, float(values.mean() + reach))


def cost(f: Results) -> dict[str, Any]:
  """Draws and time: total, mean, median and most draws per image, selection included; hours, draws per second.

  What is not known is None.
  """
  draws = looks.draws(f)
  seconds = float(f.columns["time"].sum()) if "time" in f.columns else None
  total = int(draws.sum()) if draws is not None else None
  return {
    "total": total,
    "mean": float(draws.mean()) if draws is not None else None,
    "median": float(np.median(draws.astype(np.float64))) if draws is not None else None,
    "most": int(draws.max()) if draws is not None else None,
    "hours": None if seconds is None else seconds / 3600,
    "time": None if seconds is None else _duration(seconds),
    "rate": total / seconds if total is not None and seconds else None,
  }


def _duration(seconds: float) -> str:
  if seconds < 120:
    return f"{seconds:.0f} s"
  return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"

"""Whether radii, bounds and votes of a file without a manifest follow from each other, as far as it says."""

import math
import re
from collections.abc import Iterator, Sequence

import numpy as np

from rsjax import bounds
from rsjax.noise import Gaussian
from rsjax.results.wording import plural

# What nearly all published files were made with; a foreign file does not say.
_USUAL_N = (1_000, 10_000, 100_000)
_USUAL_ALPHA = 0.001
_FAR = 10.0  # a radius in pixels of [0, 1] that no usual sigma and n prove
_SMALLER = 0.95  # of sigma, below which radii are of another one: rounding explains less
_WORDS = ("no", "one", "two", "three", "four", "five")


def _positive(texts: dict[str, Sequence[str]], columns: dict[str, np.ndarray]) -> list[str]:
  return [t.strip() for t, radius in zip(texts.get("radius", ()), columns.get("radius", ())) if radius > 0]


def rounding(texts: dict[str, Sequence[str]], columns: dict[str, np.ndarray]) -> float:
  """What rounding to the nearest may have added to a radius, at most; 0 if there are many digits."""
  if not (positive := _positive(texts, columns)):
    return 0.0
  decimals, figures = max(map(_decimals, positive)), max(map(_figures, positive))
  if figures <= 3:
    return 0.5 * 10.0 ** (math.floor(math.log10(max(map(float, positive)))) + 1 - figures)
  return 0.5 * 10.0**-decimals if decimals < len(_WORDS) else 0.0


def _figures(text: str) -> int:
  """The significant figures of a number as text."""
  return len(re.sub(r"[eE].*", "", text).replace(".", "").lstrip("0"))


def of_digits(
  texts: dict[str, Sequence[str]], columns: dict[str, np.ndarray], sigma: float | None
) -> Iterator[str]:
  """Of radii that were rounded to the nearest, or upward."""
  if not (positive := _positive(texts, columns)):
    return
  decimals, figures = max(map(_decimals, positive)), max(map(_figures, positive))
  farthest, added = max(positive, key=float), rounding(texts, columns)
  if figures <= 3:
    count = f"at most {_WORDS[figures]} significant figure{'s' * (figures != 1)}"
    yield f"radii have {count}, rounded to the nearest: some are up to {added:g} above what was certified"
  elif added:
    places = f"{_WORDS[decimals]} decimal{'s' * (decimals != 1)}"
    up_to = f"{added:.{decimals + 1}f}"
    yield f"radii have {places}: if rounded to the nearest, some are up to {up_to} above what was certified"
  if not (sigma := _without_n(texts, sigma)):
    return
  for n in _USUAL_N:
    most = _unanimous(n, sigma)
    if most + 1e-6 < float(farthest) <= most + _allowed(farthest, sigma):
      yield f"{_above(columns, farthest, n, sigma)}if these are its settings, rounded upward"


def too_large(
  texts: dict[str, Sequence[str]], columns: dict[str, np.ndarray], sigma: float | None
) -> Iterator[str]:
  """Of radii that are larger than any that the usual settings prove."""
  if not (positive := _positive(texts, columns)):
    return
  farthest, n = max(positive, key=float), _USUAL_N[-1]
  if not sigma and float(farthest) > _FAR:
    yield (
      f"radii reach {farthest}, which no usual sigma proves for pixels in [0, 1]: divide those of 0..255 by 255"
    )
  if (sigma := _without_n(texts, sigma)) and float(farthest) > _unanimous(n, sigma) + _allowed(farthest, sigma):
    yield f"{_above(columns, farthest, n, sigma)}its settings differ, or its radii are too large"


def _without_n(texts: dict[str, Sequence[str]], sigma: float | None) -> float | None:
  """Sigma if the numbers of draws are not known; if they are, `_of_rows` goes by them."""
  return sigma if _numbers(texts.get("n", ("",))) is None else None


def _unanimous(n: int, sigma: float) -> float:
  return float(bounds.radius(bounds.lower_confidence_bound(n, n, _USUAL_ALPHA), Gaussian(sigma)))


def _allowed(farthest: str, sigma: float) -> float:
  """Half a unit of the last digit, or what float32 makes of a bound."""
  return max(0.51 * 10.0 ** -_decimals(farthest), 1e-4 * sigma)


def _above(columns: dict[str, np.ndarray], farthest: str, n: int, sigma: float) -> str:
  most = _unanimous(n, sigma)
  rows = plural(int(np.sum(columns["radius"] > most + 1e-6)), "radius is", "radii are")
  return (
    f"{rows} up to {farthest}, above {most:.6f}, the most that {n:,} unanimous votes prove at "
    f"alpha = {_USUAL_ALPHA} and sigma = {sigma:g}: "
  )


def _known(texts: dict[str, Sequence[str]]) -> dict[str, np.ndarray | None]:
  return {name: _numbers(texts[name]) for name in ("n", "nA", "pABar", "pvalue") if name in texts}


def not_used(texts: dict[str, Sequence[str]], sigma: float | None) -> Iterator[str]:
  """Of bounds and votes that nothing is compared with."""
  known, has_radii = _known(texts), "radius" in texts
  not_used = [name for name, values in known.items() if values is None or name == "pvalue"]
  not_used += ["pABar"] if "pABar" in known and not (has_radii and sigma) else []
  not_used += [name for name in ("n", "nA") if name in known and has_radii and not sigma]
  if known.get("n") is None and known.get("nA") is not None:
    not_used.append("nA")
  if not_used:
    yield f"not used, for lack of what explains them: {', '.join(dict.fromkeys(not_used))}"


def of_rows(
  texts: dict[str, Sequence[str]], columns: dict[str, np.ndarray], sigma: float | None
) -> Iterator[str]:
  """Of rows whose radius does not follow from their bound or votes, or their bound from their votes."""
  known, radius = _known(texts), columns.get("radius")
  n, n_a, p_lower = (known.get(name) for name in ("n", "nA", "pABar"))
  if radius is not None:
    yield from _in_rows((columns["predict"] < 0) & (radius > 0), "a radius above 0 and no answer", columns)
  if p_lower is not None:
    if radius is not None and sigma and (told := _of_other_sigma(radius, p_lower, sigma)):
      yield told
    p_lower = np.clip(p_lower + _half_units(texts["pABar"]), 0, np.nextafter(1, 0))
  if radius is not None and sigma:
    least = radius - _half_units(texts["radius"]) - 1e-4 * sigma  # what float32 makes of a bound
    if p_lower is not None:
      what = f"a radius above that of their pABar, if the noise is Gaussian with sigma = {sigma:g}"
      yield from _in_rows((radius > 0) & (least > bounds.radius(p_lower, Gaussian(sigma))), what, columns)
    if n is not None:
      most = _most(n if n_a is None else np.minimum(n_a, n), n, sigma)
      votes = "even n unanimous votes" if n_a is None else "their nA of n votes"
      what = f"a radius above what {votes} prove at alpha = {_USUAL_ALPHA} and sigma = {sigma:g}"
      end = ": its settings differ, or its radii are too large"
      yield from _in_rows((radius > 0) & (least > most), what, columns, end)
  if n is not None and n_a is not None:
    yield from _in_rows(n_a > n, "more votes nA than draws n", columns)
    if p_lower is not None:
      what = "a pABar above nA / n, of which it is to be a lower bound"
      yield from _in_rows(p_lower - 2 * _half_units(texts["pABar"]) > n_a / np.maximum(n, 1), what, columns)


def _of_other_sigma(radius: np.ndarray, p_lower: np.ndarray, sigma: float) -> str | None:
  """A sentence if most radii are those of their pABar at a clearly smaller sigma than that of the path."""
  rows = (radius > 0) & (p_lower > 0.5) & (p_lower < 1)
  found = float(np.median(radius[rows] / bounds.radius(p_lower[rows], Gaussian(1.0)))) if rows.any() else sigma
  if found > _SMALLER * sigma:
    return None
  return f"radii follow from their pABar at sigma = {found:.2g}, not at {sigma:g}, which its path says"


def _most(votes: np.ndarray, n: np.ndarray, sigma: float) -> np.ndarray:
  """float64[rows]: the radius that so many of n votes prove at the usual alpha; 0 if they are no counts."""
  counts = (n >= 1) & (n == np.floor(n)) & (votes >= 0) & (votes == np.floor(votes))
  votes, n = np.where(counts, votes, 0).astype(np.int64), np.where(counts, n, 1).astype(np.int64)
  return np.maximum(bounds.radius(bounds.lower_confidence_bound(votes, n, _USUAL_ALPHA), Gaussian(sigma)), 0)


def _in_rows(wrong: np.ndarray, what: str, columns: dict[str, np.ndarray], end: str = "") -> Iterator[str]:
  if wrong.any():
    rows = plural(int(wrong.sum()), "row has", "rows have")
    yield f"{rows} {what}{end}; the first is of image {columns['idx'][wrong][0]}"


def _numbers(texts: Sequence[str]) -> np.ndarray | None:
  """float64[rows]; None if some cells are no finite numbers."""
  try:
    values = np.array(texts, str).astype(float)
  except ValueError:
    return None
  return values if np.isfinite(values).all() else None


def _half_units(texts: Sequence[str]) -> np.ndarray:
  """float64[rows]: half a unit of the last digit of each number, which rounding may have added."""
  return np.array([0.51 * 10.0 ** -_decimals(text) for text in texts])


def _decimals(text: str) -> int:
  """Digits after the point that a number as text has; 0.0125 and 1.25e-2 have four."""
  digits, _, exponent = text.lower().partition("e")
  return max(0, len(digits.partition(".")[2]) - int(exponent or 0))

"""Statistics of one result file, with intervals for the finite number of its images.

Certified accuracy at radius r is the fraction of images that are classified correctly with a certified
radius above r: strictly, because the certificate holds in the open ball (Cohen et al. 2019, theorem 1).
At r = 0 it is the fraction of correct answers that are not abstentions. The paper's own tables count a
radius equal to r as well (rule="paper"): the two differ by the rows whose radius is r to the last digit.
Exact radii, of splitting noise and column ablation, hold in the closed ball, and count at r by either rule.

Intervals assume that the images are a random sample of those that the classifier will meet.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from rsjax import bounds
from rsjax.analysis import looks
from rsjax.analysis.exact import is_closed, is_exact
from rsjax.errors import InputError
from rsjax.noise import Columns
from rsjax.results import Results, command_of

RULES = ("open", "paper")
USUAL_ALPHA = 0.001  # taken where a file does not record it


def certified_accuracy(results: Results, radii: ArrayLike, rule: str = "open") -> NDArray[np.float64]:
  """float64[radii]: the fraction of the rows present that are right and certified beyond each radius."""
  return certified(results, radii, rule) / len(results)


def counted(results: Results, radius: float, rule: str = "open") -> NDArray[np.bool_]:
  """bool[rows]: which rows count at one radius; as `certified`, row by row."""
  radii = results.columns["radius"]
  check_labels(results)
  far = radii >= radius if is_closed(results, rule) or radius == 0 else radii > radius
  return far & (results.columns["correct"] == 1)


def certified(results: Results, radii: ArrayLike, rule: str = "open") -> NDArray[np.int64]:
  """int64[radii]: how many of the rows are right and certified beyond each radius; see the module."""
  check_rows(results)
  check_labels(results)
  if rule not in RULES:
    raise InputError(f"rule must be one of {', '.join(RULES)}, got {rule!r}")
  check_radii(results)
  radii = np.asarray(radii, np.float64)
  if not np.all((radii >= 0) & np.isfinite(radii)):
    raise InputError(f"radii must be numbers >= 0, got {radii.tolist()}")
  radius = np.sort(results.columns["radius"][results.columns["correct"] == 1])
  below = np.searchsorted(radius, radii, side="left")  # those of radius < r
  if not is_closed(results, rule):
    below = np.where(radii > 0, np.searchsorted(radius, radii, side="right"), 0)
  return len(radius) - below


def accuracy_interval(
  hits: ArrayLike, total: int, confidence: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
  """(low, high) of the accuracy `hits` / `total`: Clopper-Pearson, exact for any number of images."""
  return bounds.interval(np.asarray(hits), total, confidence)


def average_certified_radius(results: Results) -> float:
  """ACR: the mean radius over the rows present, counting 0 for a wrong answer or none."""
  return float(counted_radii(results).mean())


def acr_interval(results: Results, confidence: float = 0.95) -> tuple[float, float]:
  """(low, high) of the ACR by Student's t, approximate for few images; (0, inf) for one."""
  radii = counted_radii(results)
  if len(radii) < 2:
    return 0.0, np.inf
  t = special.stdtrit(len(radii) - 1, (1 + confidence) / 2)
  reach = t * radii.std(ddof=1) / np.sqrt(len(radii))
  return max(0.0, float(radii.mean() - reach)), float(radii.mean() + reach)


def abstention_rate(results: Results) -> float:
  """The fraction of the rows present where the smoothed classifier abstains."""
  check_rows(results)
  return float((results.columns["predict"] == -1).mean())


def mean_draws(results: Results) -> float | None:
  """The mean number of draws per image, including those of the selection; None if not known."""
  check_rows(results)
  found = looks.draws(results)
  return None if found is None else float(found.mean())


def high_probability_accuracy(
  accuracy: ArrayLike, images: int, alpha: float, rho: float
) -> NDArray[np.float64]:
  """Lower bound of the true certified accuracy on these images, which holds with probability 1 - rho.

  Each of the `images` certificates may be wrong with probability alpha, over the noise. By Bernstein's
  inequality, with probability 1 - rho, the fraction of wrong ones is at most
  alpha + sqrt(2 alpha (1 - alpha) ln(1 / rho) / images) + ln(1 / rho) / (3 images), which is subtracted.

  Args:
    accuracy: float64 array, from `certified_accuracy`.
    images: the number of images.
    alpha: failure probability of each certificate.
    rho: failure probability of the bound.

  Returns:
    float64, not below 0.

  Source: Cohen et al. 2019, appendix. Their code (analyze.py) leaves out the 2 under the root, which
  Bernstein's inequality needs; at alpha = rho = 0.001 and 500 images the difference is 0.0015.
  """
  bounds.check_alpha(alpha)
  bounds.check_alpha(rho)
  log = np.log(1 / rho)
  wrong = alpha + np.sqrt(2 * alpha * (1 - alpha) * log / images) + log / (3 * images)
  return np.maximum(0.0, np.asarray(accuracy) - wrong)


def sure_accuracy(results: Results, accuracy: ArrayLike, rho: float) -> NDArray[np.float64]:
  """`high_probability_accuracy` of a file; a file that does not record its alpha is taken to have 0.001.

  Exact certificates are never wrong by chance: theirs is the accuracy itself.
  """
  if is_exact(results.settings):
    return np.asarray(accuracy, np.float64)
  return high_probability_accuracy(accuracy, len(results), results.settings.get("alpha") or USUAL_ALPHA, rho)


def most_wrong(images: int, alpha: float, rho: float) -> int:
  """How many of the images' certificates are wrong at most, with probability 1 - rho over the noise.

  Each is wrong with probability alpha at most, independently of the others, so that their number is at most
  that of a binomial variable: this is the smallest b with P(Binomial(images, alpha) > b) <= rho. It holds for
  any part of the images, also for those that count as certified. It is exact, where
  `high_probability_accuracy` is an inequality.

  Source: the correction of Cohen et al. 2019, appendix, with the binomial distribution itself.
  """
  bounds.check_alpha(alpha)
  bounds.check_alpha(rho)
  more = special.bdtrc(np.arange(images + 1), images, alpha)  # P(more than b), for each b
  return int(np.argmax(more <= rho))


def grid(results: Results, most: int = 10) -> list[float]:
  """Radii for a table: multiples of 0.25, or of a finer step if all radii are small, up to the largest.

  If the images of a file stopped at grid radii, they are some of these, at which its accuracies are exact.
  """
  check_rows(results)
  if stopped_at := looks.grid_radii(results.settings):
    return _thinned(stopped_at, most)
  farthest = float(results.columns["radius"].max())
  whole = results.settings.get("noise") == Columns.name
  step = 1.0 if whole else 0.25 if farthest > 0.5 else 0.05
  while farthest / step > most:
    step *= 2
  while 0 < farthest <= step and not whole:  # as in l-infinity
    step /= 10
  end = farthest + 1e-6 if is_closed(results, "open") else farthest
  return np.unique(np.arange(0, end, step).round(6)).tolist() or [0.0]


def common_grid(files: Sequence[Results], most: int = 10) -> list[float]:
  """Radii for a table of several files: the grid radii that all files have whose images stopped at grid radii.

  If there are none, the `grid` of the file with the largest radius.
  """
  for f in files:
    check_rows(f)
  grids = [set(radii) for f in files if (radii := looks.grid_radii(f.settings))]
  common = sorted(set.intersection(*grids)) if grids else []
  return _thinned(common, most) if common else grid(max(files, key=lambda f: f.columns["radius"].max()), most)


def _thinned(radii: list[float], most: int) -> list[float]:
  return radii[:: -(-len(radii) // (most + 1))]


def check_rows(results: Results) -> None:
  """Raises InputError if there are no rows."""
  if not len(results):
    of = "" if results.expected is None else f", of {results.expected}"
    raise InputError(f"{results.path} has no rows yet{of}")


def check_radii(
  results: Results, why: str = "is from PREDICT, which certifies no radius: give a file from CERTIFY"
) -> None:
  """Raises InputError for results of PREDICT, with `why`, or of an attack."""
  if "radius" in results.columns:
    return
  if command_of(results.columns) == "attack":
    why = "is from an attack, which certifies no radius: use attacked_accuracy, or give a file from CERTIFY"
  raise InputError(f"{results.path} {why}")


def check_labels(results: Results) -> None:
  """Raises InputError if labels are not known, because nothing is right or wrong then."""
  if "label" not in results.columns:
    raise InputError("accuracy and ACR need labels: give `labels` when certifying")


def counted_radii(results: Results) -> NDArray[np.float64]:
  """float64[rows]: each row's part of the ACR, its radius if the answer is right, else 0."""
  check_rows(results)
  check_labels(results)
  return results.columns["radius"] * results.columns["correct"]

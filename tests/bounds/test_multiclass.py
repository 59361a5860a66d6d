"""The multi-class radius: known values, an independent recomputation, its error exactly and by draws."""

import functools
import itertools

import numpy as np
import pytest
from scipy import signal, special, stats

from rsjax import bounds
from rsjax.bounds import Plan
from rsjax.errors import InputError
from rsjax.noise import Gaussian

PLAN = bounds.default_plan(100_000, 0.001)
SMALL = Plan((6, 12, 25, 50), (0.005, 0.005, 0.01, 0.03))
N, ALPHA = 25, 0.05

KNOWN = [  # sigma 1: draws, votes, the largest other count, radius at the look
  (100_000, 60_000, 10_000, 0.7512659399),
  (100_000, 45_000, 20_000, 0.3434422162),
  (100_000, 100_000, 0, 3.8035921752),
  (100_000, 99_000, 300, 2.4846058457),
  (10_000, 4500, 3000, 0.1411647837),
  (1000, 700, 100, 0.6771217895),
]


@pytest.mark.parametrize(("n", "k", "m", "radius"), KNOWN)
def test_known_radii_at_looks(n, k, m, radius):
  pair = bounds.multiclass_bounds_at_look(k, m, n, PLAN)
  assert bounds.multiclass_distance(*pair) == pytest.approx(radius, rel=1e-9)
  recorded = bounds.multiclass_radius(*pair, Gaussian(1.0))
  assert radius - 1.001e-6 <= recorded <= radius


def test_known_radii_with_n_fixed():
  pair = bounds.multiclass_bounds([60_000, 45_000], [10_000, 20_000], 100_000, 0.001)
  np.testing.assert_allclose(bounds.multiclass_distance(*pair), [0.7515525160, 0.3437022429], rtol=1e-9)


def test_more_votes_never_give_less_nor_more_for_another_class_more():
  k, m = (a.ravel() for a in np.meshgrid(np.arange(51), np.arange(51)))
  k, m = k[k + m <= 50], m[k + m <= 50]
  table = np.full((51, 51), np.nan)
  for pair in (bounds.multiclass_bounds_at_look(k, m, 50, SMALL), bounds.multiclass_bounds(k, m, 50, ALPHA)):
    table[k, m] = bounds.multiclass_distance(*pair)
    assert not np.any(table[1:] < table[:-1]) and not np.any(table[:, 1:] > table[:, :-1])


def test_it_is_never_below_the_one_sided_radius_at_its_share_of_alpha():
  k = np.arange(30_000, 100_001, 777)
  m = np.minimum(100_000 - k, 25_000)
  lower, upper = bounds.multiclass_bounds(k, m, 100_000, 0.001)
  one_sided = bounds.radius(bounds.lower_confidence_bound(k, 100_000, 0.0008), Gaussian(0.5))
  assert np.all(bounds.multiclass_radius(lower, upper, Gaussian(0.5)) >= one_sided - 1e-12)
  assert np.any((lower < 0.5) & bounds.shows_more(lower, upper))


def test_no_radius_is_above_the_exact_one():
  """Of a grid of counts, by mpmath at 40 digits: L, U and the radius err toward safety, and by little."""
  mpmath = pytest.importorskip("mpmath", reason="mpmath is not installed: radii are not recomputed")
  with mpmath.workdps(40):
    quantile = lambda p: mpmath.sqrt(2) * mpmath.erfinv(2 * p - 1)

    def tail(k, n, p):
      """P(Binomial(n, p) >= k), and its derivative by p."""
      log_ways = mpmath.loggamma(n + 1) - mpmath.loggamma(k + 1) - mpmath.loggamma(n - k + 1)
      term = mpmath.exp(log_ways + k * mpmath.log(p) + (n - k) * mpmath.log(1 - p))
      slope, total, odds = term * k / p, mpmath.mpf(0), p / (1 - p)
      for j in range(k, n + 1):
        total += term
        term *= odds * (n - j) / (j + 1)
        if term < total * mpmath.mpf("1e-38"):
          break
      return total, slope

    @functools.cache
    def exact(k, n, share, alpha):
      """Clopper and Pearson's bound by Newton's method, from a start that is nearly right."""
      level = mpmath.mpf(share) * mpmath.mpf(float(alpha)) / 10
      if k in (0, n):
        return level ** (mpmath.mpf(1) / n) if k else mpmath.mpf(0)
      p = mpmath.mpf(float(stats.beta.ppf(float(level), k, n - k + 1)))
      for _ in range(2):
        total, slope = tail(k, n, p)
        p -= (total - level) / slope
      return p

    for n, alpha, step in ((10, "0.05", 1), (100, "0.001", 7), (1000, "1e-6", 111), (100_000, "0.001", 12_499)):
      for k, m in itertools.product([*range(0, n, step), n - 1, n], [0, 1, *range(2, n, step)]):
        if k + m > n or k <= m:
          continue
        lower, upper = bounds.multiclass_bounds(k, m, n, float(alpha))
        below = exact(k, n, 8, alpha)
        above = min(1 - exact(n - m, n, 2, alpha), 1 - below)
        assert mpmath.mpf(float(lower)) <= below and mpmath.mpf(float(upper)) >= above, (k, m, n)
        if below == 0:
          continue
        true = (quantile(below) - quantile(above)) / 2
        assert mpmath.mpf(float(bounds.multiclass_distance(lower, upper))) <= true, (k, m, n)
        recorded = mpmath.mpf(float(bounds.multiclass_radius(lower, upper, Gaussian(0.25))))
        assert recorded <= max(true / 4, 0) and max(true / 4, 0) - recorded < 1.1e-6, (k, m, n)


def test_the_radius_is_of_the_noise_that_is_drawn():
  pair = bounds.multiclass_bounds(90_000, 5000, 100_000, 0.001)
  down = next(s for s in np.arange(0.1, 1, 0.01) if np.float32(s) < s)
  drawn = float(np.float32(down))
  assert bounds.multiclass_radius(*pair, Gaussian(down)) <= drawn * bounds.multiclass_distance(*pair)


def counts(n):
  """int64[3, runs]: the votes for three classes of all ways in which n draws can go."""
  a, b = (x.ravel() for x in np.meshgrid(np.arange(n + 1), np.arange(n + 1)))
  a, b = a[a + b <= n], b[a + b <= n]
  return np.stack([a, b, n - a - b])


def worst(lower, upper, radius):
  """(largest probability that a bound fails, largest that a radius is false) over three classes, exactly.

  lower, upper, radius: float64[runs], what each of `counts(N)` gives for class 0. Both probabilities jump where
  a class's probability passes a value of its bound, so that these are the points that are looked at.
  """
  votes = counts(N)
  ways = special.gammaln(N + 1) - special.gammaln(votes + 1).sum(0)
  failed = false = 0.0
  points = itertools.product(np.unique(lower), np.unique(upper))
  for p_a, p_b in ((low * (1 - 1e-9), high * (1 + 1e-9)) for low, high in points):
    p_c = 1 - p_a - p_b
    if p_a <= 0 or not 0 <= p_c <= p_b:
      continue
    chance = np.exp(ways + special.xlogy(votes.T, np.array([p_a, p_b, p_c])).sum(1))
    failed = max(failed, chance[(lower > p_a) | (upper < p_b)].sum())
    true = (special.ndtri(p_a) - special.ndtri(p_b)) / 2
    false = max(false, chance[radius > max(true, 0)].sum())
  return failed, false


def two_bounds(share_lower, share_upper):
  """(lower, upper) of `counts(N)`, with the shares of alpha that are given."""
  a, b, c = counts(N)
  lower = bounds.lower_confidence_bound(a, N, share_lower * ALPHA)
  return lower, 1 - bounds.lower_confidence_bound(N - np.maximum(b, c), N, share_upper * ALPHA)


def test_the_error_with_n_fixed_is_at_most_alpha():
  a, b, c = counts(N)
  lower, upper = bounds.multiclass_bounds(a, np.maximum(b, c), N, ALPHA)
  failed, false = worst(lower, upper, bounds.multiclass_distance(lower, upper))
  assert 0.7 * ALPHA < failed <= ALPHA
  assert false <= ALPHA


def test_an_alpha_that_is_not_split_would_be_found():
  lower, upper = two_bounds(1, 1)
  failed, _ = worst(lower, upper, bounds.multiclass_distance(lower, np.minimum(upper, 1 - lower)))
  assert failed > 1.3 * ALPHA


def test_an_upper_bound_at_all_of_alpha_beside_the_lower_one_at_its_share_would_be_found():
  lower, upper = two_bounds(0.8, 1)
  assert worst(lower, upper, np.zeros(len(lower)))[0] > 1.1 * ALPHA


def test_the_larger_of_two_radii_would_be_found():
  """The one-sided radius at alpha and the multi-class one at alpha, the larger of both for each run."""
  a, b, c = counts(N)
  lower, upper = bounds.multiclass_bounds(a, np.maximum(b, c), N, ALPHA)
  one_sided = bounds.lower_confidence_bound(a, N, ALPHA)
  failed, _ = worst(np.maximum(lower, one_sided), upper, np.zeros(len(lower)))
  assert failed > 1.05 * ALPHA


def error_at_worst_look(plan, share, wrong):
  """P(wrong at any look) of three classes: votes go on from look to look by convolution, exactly."""
  mass, before, total = np.ones((1, 1)), 0, 0.0
  for n in plan.looks:
    more = n - before
    a, b, c = counts(more)
    law = np.zeros((more + 1, more + 1))
    ways = special.gammaln(more + 1) - special.gammaln(np.stack([a, b, c]) + 1).sum(0)
    law[a, b] = np.exp(ways + special.xlogy(np.stack([a, b, c]).T, share).sum(1))
    mass, before = signal.convolve2d(mass, law), n
    a, b, c = counts(n)
    ends = np.zeros(mass.shape, bool)
    ends[a, b] = wrong(a, np.maximum(b, c), n)
    total += mass[ends].sum()
    mass = np.where(ends, 0.0, mass)
  assert total + mass.sum() == pytest.approx(1)
  return total


def shares_at_the_edge(plan):
  """Probabilities of three classes just beyond values that the bounds have: where errors are largest."""
  rng, found = np.random.default_rng(0), [np.array([0.5, 0.5, 0.0]), np.array([0.4, 0.35, 0.25])]
  while len(found) < 60:
    n = rng.choice(plan.looks)
    k = rng.integers(1, n + 1)
    m = rng.integers(0, n - k + 1)
    lower, upper = bounds.multiclass_bounds_at_look(k, m, n, plan)
    p_a, p_b = lower * (1 - 1e-9), upper * (1 + 1e-9)
    if 0 <= 1 - p_a - p_b <= p_b:
      found.append(np.array([p_a, p_b, 1 - p_a - p_b]))
  return found


def test_the_error_at_the_worst_look_is_at_most_alpha():
  """Of whoever sees all looks and takes the first where a bound fails, or where the radius is false."""
  failed, false, unsplit = [], [], []
  for share in shares_at_the_edge(SMALL):
    true = max((special.ndtri(share[0]) - special.ndtri(share[1])) / 2, 0)

    def fails(k, m, n, share=share):
      lower, upper = bounds.multiclass_bounds_at_look(k, m, n, SMALL)
      return (lower > share[0]) | (upper < share[1])

    def is_false(k, m, n, true=true):
      return bounds.multiclass_distance(*bounds.multiclass_bounds_at_look(k, m, n, SMALL)) > true

    def fails_unsplit(k, m, n, share=share):
      lower, rest = bounds.lower_bound_at_look(k, n, SMALL), bounds.lower_bound_at_look(n - m, n, SMALL)
      return (lower > share[0]) | (1 - rest < share[1])

    failed.append(error_at_worst_look(SMALL, share, fails))
    false.append(error_at_worst_look(SMALL, share, is_false))
    unsplit.append(error_at_worst_look(SMALL, share, fails_unsplit))
  assert 0.5 * SMALL.alpha < max(failed) <= SMALL.alpha
  assert max(false) <= SMALL.alpha
  assert max(unsplit) > 1.05 * SMALL.alpha  # would be found


@pytest.mark.parametrize(
  "share", [[0.5, 0.5, 0.0], [0.45, 0.4, 0.1, 0.05], [0.9, 0.1], [0.6] + [0.04] * 10], ids=str
)
def test_draws_confirm_it_for_the_usual_plan(share):
  """4,000 runs of the usual looks; whoever takes the largest of all looks' radii is wrong in alpha at most."""
  plan, runs, rng = bounds.default_plan(1000, ALPHA), 4000, np.random.default_rng(7)
  true = (special.ndtri(share[0]) - special.ndtri(max(share[1:]))) / 2
  votes, wrong, before = np.zeros((runs, len(share)), int), np.zeros(runs, bool), 0
  for n in plan.looks:
    votes, before = votes + rng.multinomial(n - before, share, runs), n
    pair = bounds.multiclass_bounds_at_look(votes[:, 0], votes[:, 1:].max(1), n, plan)
    wrong |= bounds.multiclass_distance(*pair) > true
  assert wrong.sum() <= stats.binom.isf(1e-6, runs, ALPHA)


def test_a_scaled_plan_has_the_same_looks_and_its_share_of_every_alpha():
  part = PLAN.scaled(0.2)
  assert part.looks == PLAN.looks
  np.testing.assert_allclose(part.alphas, 0.2 * np.array(PLAN.alphas), rtol=1e-15)
  assert part.alpha == pytest.approx(0.2 * PLAN.alpha)


def test_a_bound_goes_through_a_manifest_and_the_one_sided_one_leaves_no_trace():
  assert bounds.bound_settings("one-sided") == {}
  for bound in ("one-sided", "multi"):
    assert bounds.bound_from_settings(bounds.bound_settings(bound)) == bound
  for strange in ({"bound": "two"}, {"bound": "multi"}, {"bound": "multi", "bound_shares": [0.5, 0.5]}):
    with pytest.raises(InputError, match="bound is not known"):
      bounds.bound_from_settings(strange)


@pytest.mark.parametrize(
  "call",
  [
    lambda: bounds.multiclass_bounds(60, 41, 100, 0.001),
    lambda: bounds.multiclass_bounds(60, -1, 100, 0.001),
    lambda: bounds.multiclass_bounds(60, 10, 100, 0.0),
    lambda: bounds.multiclass_bounds_at_look(60, 10, 101, PLAN),
    lambda: bounds.multiclass_radius(1.0, 0.1, Gaussian(1.0)),
    lambda: bounds.multiclass_radius(0.5, 0.0, Gaussian(1.0)),
    lambda: bounds.multiclass_radius(0.5, 0.1, Gaussian(0)),
    lambda: bounds.multiclass_radius(0.5, 0.1, 0.25),
    lambda: bounds.check_bound("two"),
    lambda: PLAN.scaled(0),
    lambda: PLAN.scaled(1.5),
  ],
)
def test_bad_input_is_refused(call):
  with pytest.raises(InputError):
    call()

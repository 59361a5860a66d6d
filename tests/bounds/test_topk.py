"""The top-k radius: an independent recomputation, its error exactly and by draws, and what would be found."""

import functools
import itertools

import numpy as np
import pytest
from scipy import optimize, signal, special, stats

from rsjax import bounds
from rsjax.bounds import Plan
from rsjax.errors import InputError
from rsjax.noise import Gaussian

PLAN = bounds.default_plan(100_000, 0.001)
SMALL = Plan((6, 12, 25), (0.01, 0.01, 0.03))
N, ALPHA = 25, 0.05


def true_radius(share, k):
  """In units of sigma, by theorem 1 of Jia et al., of probabilities that are known: class 0 in the top k."""
  others = np.sort(share[1:])[::-1][:k]
  if len(others) < k or others[-1] <= 0:
    return np.inf
  found = 0.0
  for t in range(1, k + 1):
    z, together = special.ndtri(share[0]), special.ndtri(min(others[k - t :].sum(), 1 - 1e-16))
    ahead = lambda r, t=t, z=z, together=together: special.ndtr(z - r) - special.ndtr(together + r) / t
    if ahead(0) > 0:
      found = max(found, optimize.brentq(ahead, 0, 50, xtol=1e-13))
  return found


def one(votes, others, n, alpha):
  """The distance of one row."""
  return float(bounds.top_k_distance(*bounds.top_k_bounds([votes], [others], [n], alpha))[0])


def test_known_radii():
  lower, upper = bounds.top_k_bounds([30_000], [[20_000, 15_000, 10_000]], [100_000], 0.001)
  np.testing.assert_allclose(bounds.top_k_distance(lower, upper), 0.3614821619, rtol=1e-9)
  np.testing.assert_allclose(bounds.top_k_radius(lower, upper, Gaussian(0.5)), [0.180741])
  at_look = bounds.top_k_bounds_at_look([30_000], [[20_000, 15_000, 10_000]], [100_000], PLAN)
  assert 0.35 < bounds.top_k_distance(*at_look)[0] < 0.3615


def test_the_top_one_is_the_multi_class_radius():
  rng = np.random.default_rng(0)
  k = rng.integers(0, 1001, 5000)
  m = rng.integers(0, 1001 - k)
  ours = bounds.top_k_distance(*bounds.top_k_bounds(k, m[:, None], np.full(5000, 1000), 0.001))
  theirs = np.maximum(bounds.multiclass_distance(*bounds.multiclass_bounds(k, m, 1000, 0.001)), 0)
  np.testing.assert_allclose(ours, theirs, atol=1e-10)


def test_votes_for_the_class_help_votes_for_others_do_not_and_many_others_do_not_matter():
  assert one(400, [300, 100], 1000, 0.001) > one(350, [300, 100], 1000, 0.001) > 0
  assert one(350, [300, 100], 1000, 0.001) > one(350, [300, 150], 1000, 0.001)
  assert one(100, [10, 10, 10, 10, 10], 1000, 0.001) > 0  # 950 votes are for classes that are small each
  assert one(300, [350, 300], 1000, 0.001) == 0
  # with 34 % of the votes at most one other class has more
  assert one(40_000, [40_000, 20_000], 100_000, 0.001) > one(40_000, [30_000, 30_000], 100_000, 0.001) > 0


def test_no_radius_is_above_the_exact_one():
  """Of a grid of counts, by mpmath at 30 digits: all bounds and the radius err toward safety, and by little."""
  mpmath = pytest.importorskip("mpmath", reason="mpmath is not installed: radii are not recomputed")
  with mpmath.workdps(30):
    quantile = lambda p: mpmath.sqrt(2) * mpmath.erfinv(2 * p - 1)

    @functools.cache
    def exact(k, n, share, alpha):
      """Clopper and Pearson's lower bound of k of n at level share * alpha, from the binomial's terms."""
      level = share * mpmath.mpf(alpha)
      if k in (0, n):
        return level ** (mpmath.mpf(1) / n) if k else mpmath.mpf(0)
      tail = lambda p: sum(mpmath.binomial(n, j) * p**j * (1 - p) ** (n - j) for j in range(k, n + 1)) - level
      start = float(stats.beta.ppf(float(level), k, n - k + 1))
      return mpmath.findroot(tail, (start * (1 - 1e-6), start * (1 + 1e-6)), tol=1e-40)

    compared = 0
    for n, alpha, k in ((20, "0.05", 2), (60, "0.001", 3)):
      levels = range(0, n + 1, n // 6)
      for votes, *others in itertools.product(levels, *[levels] * k):
        if votes == 0 or votes + sum(others) > n or sorted(others, reverse=True) != others:
          continue
        lower, upper = bounds.top_k_bounds([votes], [others], [n], float(alpha))
        share = mpmath.mpf(1) / 5 / (k + 1)
        low, z = exact(votes, n, mpmath.mpf(4) / 5, alpha), None
        each = [1 - exact(n - m, n, share, alpha) for m in others]
        high = [min(mpmath.mpf(1), sum(each[k - t :])) for t in range(1, k + 1)]
        high[-1] = min(high[-1], 1 - exact(n - sum(others), n, share, alpha), 1 - low)
        assert mpmath.mpf(float(lower[0])) <= low
        assert all(mpmath.mpf(float(ours)) >= theirs for ours, theirs in zip(upper[0], high))
        true, z = mpmath.mpf(0), quantile(low)
        for t in range(1, k + 1):
          if low > high[t - 1] / t:
            ahead = lambda r, t=t, z=z, q=high[t - 1]: mpmath.ncdf(z - r) - mpmath.ncdf(quantile(q) + r) / t
            true = max(true, mpmath.findroot(ahead, (0, 10), solver="anderson", tol=1e-40))
        ours = mpmath.mpf(float(bounds.top_k_distance(lower, upper)[0]))
        assert ours <= true and true - ours < 1e-9, (n, votes, others)
        compared += true > 0
    assert compared > 30


def test_the_radius_is_of_the_noise_that_is_drawn():
  lower, upper = bounds.top_k_bounds([60_000], [[20_000, 5000]], [100_000], 0.001)
  down = next(s for s in np.arange(0.1, 1, 0.01) if np.float32(s) < s)
  assert bounds.top_k_radius(lower, upper, Gaussian(down)) <= float(np.float32(down)) * bounds.top_k_distance(
    lower, upper
  )


def counts(n):
  """int64[3, runs]: the votes for three classes of all ways in which n draws can go."""
  a, b = (x.ravel() for x in np.meshgrid(np.arange(n + 1), np.arange(n + 1)))
  a, b = a[a + b <= n], b[a + b <= n]
  return np.stack([a, b, n - a - b])


def top_two(n=N, both=bounds.top_k_bounds, alpha=ALPHA):
  """(lower, upper) of `counts(n)`, of class 0 among the top 2 of three."""
  a, b, c = counts(n)
  return both(a, np.stack([np.maximum(b, c), np.minimum(b, c)], 1), np.full(len(a), n), alpha)


def unsplit(count, largest, n, alpha):
  """The near miss whose bounds have all of alpha each."""
  each = 1 - bounds.lower_confidence_bound(n[:, None] - largest, n[:, None], alpha)
  return bounds.lower_confidence_bound(count, n, alpha), np.cumsum(each[:, ::-1], axis=1)


def of_the_least(count, largest, n, alpha):
  """The near miss that bounds the most probable others together by k times the bound of the least count."""
  lower, upper = bounds.top_k_bounds(count, largest, n, alpha)
  return lower, upper[:, :1] * np.array([1.0, 2.0])


def asymptotic(count, largest, n, alpha):
  """The near miss of a normal approximation."""
  z, all_ = special.ndtri(1 - alpha / 2), n[:, None]
  spread = lambda k, n: z * np.sqrt(k / n * (1 - k / n) / n)
  upper = np.cumsum((largest / all_ + spread(largest, all_))[:, ::-1], axis=1)
  lower = np.clip(count / n - spread(count, n), 0, 1 - 1e-9)
  return lower, np.clip(np.minimum(upper, np.stack([upper[:, 0], 1 - lower], 1)), 1e-9, 1)


def worst(both):
  """(largest probability that a bound fails, largest that a radius is false) over three classes, exactly."""
  votes = counts(N)
  ways = special.gammaln(N + 1) - special.gammaln(votes + 1).sum(0)
  lower, upper = top_two(both=both)
  radius = bounds.top_k_distance(lower, upper)
  failed = false = 0.0
  low, least = np.unique(lower), np.unique(upper[:, 0])
  pairs = [(p, q) for p, q in itertools.product(low * (1 - 1e-9), least * (1 + 1e-9)) if p > 0 and q > 0]
  pairs += [(p, (1 - p) / 2) for p in low[1:] * (1 - 1e-9)] + [(x, x) for x in np.linspace(0.02, 1 / 3, 40)]
  for p, q in pairs:
    share = np.array([p, 1 - p - q, q])
    if not q <= share[1]:
      continue
    chance = np.exp(ways + special.xlogy(votes.T, share).sum(1))
    failed = max(failed, chance[(lower > p) | (upper[:, 0] < q) | (upper[:, 1] < 1 - p)].sum())
    false = max(false, chance[radius > true_radius(share, 2)].sum())
  return failed, false


def test_the_error_with_n_fixed_is_at_most_alpha():
  failed, false = worst(bounds.top_k_bounds)
  assert 0.6 * ALPHA < failed <= ALPHA
  assert 0.3 * ALPHA < false <= ALPHA


def test_an_alpha_that_is_not_split_would_be_found():
  assert worst(unsplit)[0] > 1.3 * ALPHA


def test_a_level_of_the_others_that_is_not_divided_among_them_would_be_found():
  """Four classes, two of them equally probable and just beyond a value of their bound: either may fail."""
  n = 30
  votes = np.array(
    [(a, b, c, n - a - b - c) for a, b, c in itertools.product(range(n + 1), repeat=3) if a + b + c <= n]
  )
  ways = special.gammaln(n + 1) - special.gammaln(votes + 1).sum(1)
  others, draws = np.sort(votes[:, 1:], axis=1)[:, :0:-1], np.full(len(votes), n)

  def error(lower, upper, p, q):
    chance = np.exp(ways + special.xlogy(votes, np.array([p, q, q, 1 - p - 2 * q])).sum(1))
    return chance[(lower > p) | (upper[:, 0] < q) | (upper[:, 1] < 2 * q)].sum()

  lower, upper = bounds.top_k_bounds(votes[:, 0], others, draws, ALPHA)
  each = 1 - bounds.lower_confidence_bound(n - others, n, 0.2 * ALPHA)
  near = lower, np.cumsum(each[:, ::-1], axis=1)
  p = lower[lower > 0].min() * (1 - 1e-9)
  edges = lambda values: [q * (1 + 1e-9) for q in np.unique(values) if 2 * q * (1 + 1e-9) < 1 - p]
  assert max(error(lower, upper, p, q) for q in edges(upper[:, 0])) <= ALPHA
  assert max(error(*near, p, q) for q in edges(near[1][:, 0])) > 1.15 * ALPHA


def test_a_normal_approximation_would_be_found():
  failed, false = worst(asymptotic)
  assert min(failed, false) > 5 * ALPHA


def test_the_radius_of_another_k_would_be_found():
  votes = np.random.default_rng(1).multinomial(2000, share := [0.4, 0.25, 0.2, 0.15], 500)
  others = np.sort(votes[:, 1:], axis=1)[:, ::-1]
  for k in (1, 2, 3):
    pair = bounds.top_k_bounds(votes[:, 0], others[:, :k], np.full(500, 2000), ALPHA)
    wrong = bounds.top_k_distance(*pair) > true_radius(np.array(share), 2)
    assert wrong.mean() <= ALPHA if k <= 2 else wrong.mean() > 0.5


def test_others_together_that_are_taken_for_the_least_times_k_would_be_found():
  assert worst(of_the_least)[0] > 5 * ALPHA


def test_the_error_at_the_worst_look_is_at_most_alpha():
  """Of whoever sees all looks, and takes the first where a bound fails, or the radius is false."""
  rng, shares = np.random.default_rng(0), [np.array([1, 1, 1]) / 3, np.array([0.3, 0.4, 0.3])]
  while len(shares) < 40:
    n = rng.choice(SMALL.looks)
    a = rng.integers(1, n + 1)
    c = rng.integers(0, (n - a) // 2 + 1)
    (p,), ((q, _),) = bounds.top_k_bounds_at_look([a], [[n - a - c, c]], [n], SMALL)
    p, q = p * (1 - 1e-9), min(q * (1 + 1e-9), (1 - p) / 2)
    if p > 0:
      shares.append(np.array([p, 1 - p - q, q]))
  both = {n: top_two(n, bounds.top_k_bounds_at_look, SMALL) for n in SMALL.looks}
  peeked = {n: top_two(n, alpha=SMALL.alpha) for n in SMALL.looks}  # as if each look were the only one
  failed, false, peeking = [], [], []
  for share in shares:
    true = true_radius(share, 2)

    def fails(n, both=both, share=share):
      lower, upper = both[n]
      return (lower > share[0]) | (upper[:, 0] < share[2]) | (upper[:, 1] < share[1] + share[2])

    failed.append(error_at_worst_look(share, fails))
    false.append(error_at_worst_look(share, lambda n, true=true: bounds.top_k_distance(*both[n]) > true))
    peeking.append(error_at_worst_look(share, lambda n, fails=fails: fails(n, peeked)))
  assert 0.5 * SMALL.alpha < max(failed) <= SMALL.alpha
  assert max(false) <= SMALL.alpha
  assert max(peeking) > 1.2 * SMALL.alpha  # would be found


def error_at_worst_look(share, wrong):
  """P(wrong at any look) of three classes: votes go on from look to look by convolution, exactly."""
  mass, before, total = np.ones((1, 1)), 0, 0.0
  for n in SMALL.looks:
    more = counts(n - before)
    law = np.zeros((n - before + 1,) * 2)
    ways = special.gammaln(n - before + 1) - special.gammaln(more + 1).sum(0)
    law[more[0], more[1]] = np.exp(ways + special.xlogy(more.T, share).sum(1))
    mass, before = signal.convolve2d(mass, law), n
    a, b, _ = counts(n)
    ends = np.zeros(mass.shape, bool)
    ends[a, b] = wrong(n)
    total += mass[ends].sum()
    mass = np.where(ends, 0.0, mass)
  assert total + mass.sum() == pytest.approx(1)
  return total


SHARES = [
  [0.3, 0.25, 0.25, 0.2],
  [0.25, 0.3, 0.2, 0.2, 0.05],
  [0.15, 0.4, 0.15, 0.15, 0.15],  # not in the top 3 for certain: any radius is false
  [0.2] + [0.1] * 8,
  [0.6] + [0.01] * 40,
]


@pytest.mark.parametrize("share", SHARES, ids=lambda share: str(share[:5]))
def test_draws_confirm_it_for_the_usual_plan(share):
  """3,000 runs; whoever takes the largest of all looks' top-3 radii is wrong in alpha of them at most."""
  plan, runs, rng = bounds.default_plan(1000, ALPHA), 3000, np.random.default_rng(7)
  true, share = true_radius(np.array(share), 3), np.array(share)
  votes, wrong, before, most = np.zeros((runs, len(share)), int), np.zeros(runs, bool), 0, 0.0
  for n in plan.looks:
    votes, before = votes + rng.multinomial(n - before, share, runs), n
    others = np.sort(votes[:, 1:], axis=1)[:, :-4:-1]
    distance = bounds.top_k_distance(*bounds.top_k_bounds_at_look(votes[:, 0], others, np.full(runs, n), plan))
    wrong, most = wrong | (distance > true), max(most, distance.mean())
  assert wrong.sum() <= stats.binom.isf(1e-6, runs, ALPHA)
  assert len(share) < 9 or most > 0.5 * true


@pytest.mark.parametrize(
  "call",
  [
    lambda: bounds.top_k_bounds([60], [[41]], [100], 0.001),
    lambda: bounds.top_k_bounds([60], [[10, 20]], [100], 0.001),
    lambda: bounds.top_k_bounds([60], [[10, -1]], [100], 0.001),
    lambda: bounds.top_k_bounds([60], [10], [100], 0.001),
    lambda: bounds.top_k_bounds([60], np.zeros((1, 0), int), [100], 0.001),
    lambda: bounds.top_k_bounds([60], [[10]], [100], 0.0),
    lambda: bounds.top_k_bounds_at_look([60], [[10]], [101], PLAN),
    lambda: bounds.top_k_radius([1.0], [[0.1]], Gaussian(1.0)),
    lambda: bounds.top_k_radius([0.5], [[0.0]], Gaussian(1.0)),
    lambda: bounds.top_k_radius([0.5], [0.1], Gaussian(1.0)),
    lambda: bounds.top_k_radius([0.5], [[0.1]], 0.25),
  ],
)
def test_bad_input_is_refused(call):
  with pytest.raises(InputError):
    call()

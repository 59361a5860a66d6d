"""Bounds and radii: SciPy's and the definitions, rounded to the safe side."""

import numpy as np
import pytest
from scipy import stats

from rsjax import bounds
from rsjax.errors import InputError
from rsjax.noise import Gaussian

ALPHAS = (0.3, 0.05, 0.001, 1e-6)


def counts(n):
  return sorted({0, 1, n // 3, n // 2, n // 2 + 1, n - 1, n} & set(range(n + 1)))


@pytest.mark.parametrize("n", [1, 2, 3, 10, 100, 1000, 100_000])
@pytest.mark.parametrize("alpha", ALPHAS)
def test_lower_bound_is_scipys_one_sided_clopper_pearson(n, alpha):
  k = np.array(counts(n))
  found = bounds.lower_confidence_bound(k, n, alpha)
  wanted = [stats.binomtest(int(i), n, alternative="greater").proportion_ci(1 - alpha, "exact").low for i in k]
  assert found.dtype == np.float64
  np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)
  assert found[0] == 0
  assert found[-1] == pytest.approx(alpha ** (1 / n), rel=1e-11)


@pytest.mark.parametrize("n", [1, 7, 50, 400])
@pytest.mark.parametrize("alpha", ALPHAS)
def test_lower_bound_fails_with_probability_at_most_alpha_and_no_less_than_it_must(n, alpha):
  k = np.arange(n + 1)
  lower = bounds.lower_confidence_bound(k, n, alpha)
  p = np.linspace(0.001, 0.999, 997)
  wrong = ((lower[None, :] > p[:, None]) * stats.binom.pmf(k, n, p[:, None])).sum(1)
  assert wrong.max() <= alpha
  # Just below each bound, the failure probability is alpha itself: no larger bound would hold.
  just_below = lower[1:] * (1 - 1e-9)
  at = ((lower[None, :] > just_below[:, None]) * stats.binom.pmf(k, n, just_below[:, None])).sum(1)
  np.testing.assert_allclose(at, alpha, rtol=1e-4)


def test_lower_bound_is_never_above_its_definition():
  n, alpha = 100_000, 0.001
  k = np.r_[1, 2, 40_000, 50_001, 93_499, 99_000, 99_990:100_001]
  lower = bounds.lower_confidence_bound(k, n, alpha)
  assert np.all(stats.binom.sf(k - 1, n, lower) <= alpha)


def test_radius_is_rounded_down_and_by_less_than_a_millionth():
  p = np.random.default_rng(0).uniform(0.5, 1, 10_000)
  for sigma in (0.12, 0.25, 1.0):
    radius, exact = bounds.certified_radius(p, sigma), sigma * stats.norm.ppf(p)
    assert np.all(radius <= exact)
    assert np.all(exact - radius < 1.001e-6)
    printed = np.array([float(f"{r:.6f}") for r in radius])
    assert np.array_equal(printed, radius)


def test_a_radius_that_the_papers_format_rounds_up_is_not():
  # sigma = 1, n = 100,000, k = 93,499: 1.495028... was printed as 1.5.
  p = bounds.lower_confidence_bound(93_499, 100_000, 0.001)
  assert bounds.certified_radius(p, 1.0) == 1.495028


def test_no_radius_and_abstention_at_one_half_or_less():
  p = np.array([0.0, 0.3, 0.5, np.nextafter(0.5, 1), 0.6])
  assert bounds.abstains(p).tolist() == [True, True, True, False, False]
  assert bounds.certified_radius(p, 1.0)[:4].tolist() == [0, 0, 0, 0]
  assert bounds.certified_radius(0.6, 1.0) > 0.25


def test_the_radius_is_of_the_noise_that_is_drawn():
  """Noise is float32: where that rounds sigma down, the radius is of the smaller sigma."""
  p = bounds.lower_confidence_bound(np.array([5000, 9900, 10_000]), 10_000, 0.001)
  np.testing.assert_array_equal(bounds.radius(p, Gaussian(0.25)), bounds.certified_radius(p, 0.25))
  rounded_to_1 = 1 + 2**-24  # halfway to the next float32
  np.testing.assert_array_equal(bounds.radius(p, Gaussian(rounded_to_1)), bounds.certified_radius(p, 1.0))


def test_round_down_twice_is_round_down():
  x = np.random.default_rng(0).uniform(0, 5, 100_000)
  once = bounds.round_down(x, 6)
  assert np.array_equal(bounds.round_down(once, 6), once)
  assert np.all(once <= x)


@pytest.mark.parametrize("n", [0, 1, 2, 9, 10, 11, 100, 1001, 100_000])
def test_p_value_is_scipys_two_sided_test(n):
  k = np.array(counts(n))
  wanted = [stats.binomtest(int(i), n, 0.5).pvalue if n else 1.0 for i in k]
  np.testing.assert_allclose(bounds.binomial_p_value(k, n), wanted, rtol=1e-9, atol=1e-300)


def test_p_value_of_more_draws_than_32_bits_count():
  n = 2**32
  p = bounds.binomial_p_value(n // 2 + 100_000, n)
  assert p == pytest.approx(2 * stats.norm.sf(100_000 / np.sqrt(n / 4)), rel=1e-4)
  assert bounds.binomial_p_value(2**31, 2**31 + 5) == 0


@pytest.mark.parametrize("alpha", [0.6, 0.5, 0.25, 0.05, 0.001, 2**-10, 1e-9])
def test_smallest_n(alpha):
  n = bounds.smallest_n_to_certify(alpha)
  assert alpha ** (1 / n) > 0.5
  assert n == 1 or not alpha ** (1 / (n - 1)) > 0.5 * (1 + 1e-11)
  n = bounds.smallest_n_to_predict(alpha)
  assert 2 * 0.5**n <= alpha
  assert n == 1 or 2 * 0.5 ** (n - 1) > alpha


def test_smallest_n_at_the_papers_alpha():
  assert bounds.smallest_n_to_certify(0.001) == 10
  assert bounds.smallest_n_to_predict(0.001) == 11


@pytest.mark.parametrize(
  "call",
  [
    lambda: bounds.lower_confidence_bound(5, 4, 0.001),
    lambda: bounds.lower_confidence_bound(-1, 4, 0.001),
    lambda: bounds.lower_confidence_bound(0, 0, 0.001),
    lambda: bounds.lower_confidence_bound(0.5, 4, 0.001),
    lambda: bounds.lower_confidence_bound(1, 4, 0.0),
    lambda: bounds.lower_confidence_bound(1, 4, 1.0),
    lambda: bounds.lower_confidence_bound(1, 4, float("nan")),
    lambda: bounds.certified_radius(0.9, 0.0),
    lambda: bounds.certified_radius(0.9, float("nan")),
    lambda: bounds.certified_radius(1.0, 0.5),
    lambda: bounds.certified_radius(float("nan"), 0.5),
    lambda: bounds.radius(0.9, Gaussian(0.0)),
    lambda: bounds.radius(0.9, 0.5),
  ],
)
def test_bad_input_is_refused(call):
  with pytest.raises(InputError):
    call()


def test_an_alpha_below_which_the_inverse_is_not_sound_is_refused():
  """Down to the smallest that is taken, the bound's own tail is at most alpha, by mpmath at 60 digits."""
  mpmath = pytest.importorskip("mpmath", reason="mpmath is not installed: tiny alphas are not compared")
  mpmath.mp.dps = 60
  for alpha in (1e-20, 1e-100):
    for k, n in ((1, 10), (9, 10), (10, 10), (2, 1000), (700, 1000), (999, 1000), (99_990, 100_000)):
      p = float(bounds.lower_confidence_bound(k, n, alpha))
      tail = mpmath.betainc(k, n - k + 1, 0, mpmath.mpf(p), regularized=True)
      assert 0 < tail <= mpmath.mpf(alpha), (alpha, k, n)
  for alpha in (1e-101, 1e-290, 5e-324):
    with pytest.raises(InputError, match="alpha must be at least 1e-100"):
      bounds.lower_confidence_bound(5, 10, alpha)
    with pytest.raises(InputError, match="alpha must be at least 1e-100"):
      bounds.smallest_n_to_certify(alpha)

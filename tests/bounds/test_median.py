"""Ranks and bounds of median smoothing, against SciPy's distributions and plain sorting."""

import numpy as np
import pytest
from scipy import stats

from rsjax import bounds
from rsjax.errors import InputError
from rsjax.noise import Gaussian, GridGaussian, Laplace


def test_the_example_of_chiang_et_al():
  assert bounds.median_ranks(2000, 0.36, Gaussian(0.25), 2e-5) == (2001 - 1899, 1899)
  assert bounds.median_ranks(2000, 0.36, GridGaussian(0.25), 2e-5) == (2001 - 1899, 1899)


@pytest.mark.parametrize("n", [20, 333, 10_000])
@pytest.mark.parametrize("ratio", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("alpha", [0.1, 1e-3])
def test_ranks_are_the_closest_that_the_binomial_allows(n, ratio, alpha):
  p, q = stats.norm.cdf(ratio), np.arange(1, n + 1)
  wanted = q[stats.binom.cdf(q - 1, n, p) > 1 - alpha / 2]
  enough = bounds.smallest_n_for_median(0.5 * ratio, Gaussian(0.5), alpha) <= n
  assert enough == bool(len(wanted))
  if enough:
    assert bounds.median_ranks(n, 0.5 * ratio, Gaussian(0.5), alpha) == (n + 1 - wanted[0], wanted[0])


def test_the_message_has_the_smallest_n():
  for epsilon, alpha in ((0.1, 0.001), (0.5, 1e-6), (1.0, 0.05)):
    n = bounds.smallest_n_for_median(epsilon, Gaussian(0.25), alpha)
    assert bounds.median_ranks(n, epsilon, Gaussian(0.25), alpha) == (1, n)
    with pytest.raises(InputError, match=f"give at least n = {n:,}$"):
      bounds.median_ranks(n - 1, epsilon, Gaussian(0.25), alpha)


def test_the_rank_is_that_of_the_sigma_that_is_drawn():
  sigma = float(np.nextafter(np.float32(0.25), np.float32(1))) * (1 - 1e-9)  # float32 rounds it up
  lower, upper = bounds.median_ranks(100_000, 0.25, Gaussian(sigma), 0.01)
  assert (lower, upper) == bounds.median_ranks(100_000, 0.25, Gaussian(0.25), 0.01)


@pytest.mark.parametrize(
  ("epsilon", "noise", "alpha", "said"),
  [
    (-0.1, Gaussian(0.25), 0.1, "epsilon must be a number >= 0"),
    (float("nan"), Gaussian(0.25), 0.1, "epsilon must be a number >= 0"),
    (9.0, Gaussian(0.25), 0.1, "too large for sigma = 0.25"),
    (0.1, Laplace(0.25), 0.1, "not under laplace noise"),
    (0.1, Gaussian(0.25), 0.0, "alpha"),
  ],
)
def test_what_cannot_be_bounded_is_refused(epsilon, noise, alpha, said):
  with pytest.raises(InputError, match=said):
    bounds.median_ranks(1000, epsilon, noise, alpha)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.6, 1.0])
def test_outputs_that_are_not_finite_widen_the_bounds(share):
  rng = np.random.default_rng(0)
  for n in (20, 21):
    found = rng.normal(size=(n, 50)).astype(np.float32)
    found[rng.random(found.shape) < share] = rng.choice([np.nan, np.inf, -np.inf])
    lower, upper = bounds.median_ranks(n, 0.1, Gaussian(0.5), 0.1)
    low, median, high = bounds.median_bounds(found, (lower, upper))
    bad = ~np.isfinite(found)
    np.testing.assert_array_equal(low, np.sort(np.where(bad, -np.inf, found), 0)[lower - 1])
    np.testing.assert_array_equal(high, np.sort(np.where(bad, np.inf, found), 0)[upper - 1])
    finite = [column[np.isfinite(column)].astype(float) for column in found.T]
    wanted = [np.median(column) if len(column) else np.nan for column in finite]
    np.testing.assert_allclose(median, wanted, rtol=1e-12)
    known = ~np.isnan(median)
    assert (low[known] <= median[known]).all() and (median[known] <= high[known]).all()

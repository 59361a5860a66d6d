"""`certify_value`: bounds of a median-smoothed function, as a user asks for them."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import rsjax
from rsjax.noise import Gaussian, threefry
from rsjax.smoothing import Execution

SIGMA = 0.25
W = np.array([0.6, 0.0, -0.8, 0.0], np.float32)  # |w| = 1


def score(w, x):
  return x.reshape(len(x), -1) @ w


def pixels(_, x):
  return x.reshape(len(x), -1)[:, :2]


@pytest.fixture(scope="module")
def small():
  """uint8[250, 2, 2, 1]."""
  return np.random.default_rng(3).integers(0, 256, (250, 2, 2, 1), np.uint8)


def test_bounds_of_a_linear_function_fail_as_often_as_they_may(small):
  """Its median within epsilon is known exactly, so the number of failures has a known binomial law.

  The test accepts the bounds, and rejects those that are 2 % too tight.
  """
  g, n, alpha, epsilon = rsjax.smooth(score, W, sigma=SIGMA), 5000, 0.1, 0.25
  center = small.reshape(len(small), -1) / 255 @ W.astype(float)
  p, q = stats.norm.cdf(epsilon / SIGMA), np.arange(n + 1)
  rank = q[1:][stats.binom.cdf(q[1:] - 1, n, p) > 1 - alpha / 2][0]
  failing = stats.binom.sf(rank - 1, n, p)  # the law of a failure, without our code
  assert 0.8 * alpha / 2 < failing <= alpha / 2
  low, high = stats.binom.ppf([0.0005, 0.9995], len(small), failing)

  def failures(used):
    found = g.certify_value(small, epsilon=used, n=n, alpha=alpha, progress=False, execution=Execution(8192))
    return (found.upper < center + epsilon).sum(), (found.lower > center - epsilon).sum()

  assert all(low <= count <= high for count in failures(epsilon))
  assert all(count > high for count in failures(0.98 * epsilon))


def test_outputs_are_those_of_certifys_noise(small):
  """With epsilon = 0 and the fewest draws the bounds are the largest and the smallest output."""
  n, seed, indices = 12, 7, [5, 0]
  found = rsjax.smooth(pixels, (), sigma=SIGMA).certify_value(
    small, epsilon=0.0, n=n, alpha=0.001, seed=seed, indices=indices, progress=False
  )
  assert found.idx.tolist() == indices and found.lower.shape == (2, 2)
  assert found.settings == {
    "noise": "gaussian", "sigma": SIGMA, "epsilon": 0.0, "norm": "l2", "n": n, "alpha": 0.001, "seed": seed,
  }  # fmt: skip
  noise, draws = Gaussian(SIGMA), jnp.arange(n, dtype=jnp.uint32)
  for row, index in enumerate(indices):
    images = jnp.asarray(np.repeat(small[[index]].astype(np.float32) / 255, n, 0))
    where = jnp.full(n, index, jnp.uint32)
    drawn = noise.perturb(noise.parameters(), threefry.base_key(seed), where, draws, images)
    wanted = np.asarray(drawn).reshape(n, -1)[:, :2]
    np.testing.assert_allclose(found.lower[row], wanted.min(0), rtol=1e-6)
    np.testing.assert_allclose(found.upper[row], wanted.max(0), rtol=1e-6)
    np.testing.assert_allclose(found.median[row], np.median(wanted, 0), rtol=1e-6)


def test_bounds_do_not_depend_on_devices_rows_or_companions(small, cpu_mesh):
  g = rsjax.smooth(pixels, (), sigma=SIGMA)

  def run(indices, *execution):
    return g.certify_value(
      small, epsilon=0.1, n=300, indices=indices, progress=False, execution=Execution(*execution)
    ).to_pandas()

  wanted = run(range(6), 256, cpu_mesh(1))
  assert len(wanted) == 12 and list(wanted) == ["idx", "output", "lower", "median", "upper", "invalid"]
  assert run(range(6), 48, cpu_mesh(8)).equals(wanted)
  part = run([4, 1], 333, cpu_mesh(2))
  assert part.equals(wanted.loc[wanted["idx"].isin([4, 1])].iloc[[2, 3, 0, 1]].reset_index(drop=True))


def test_an_output_that_is_not_finite_counts_for_neither_bound(small):
  def hole(limit, x):
    first = x[:, 0, 0, 0] - 0.2
    return jnp.where(first > limit, jnp.nan, first)

  some = np.full((3, 2, 2, 1), 51, np.uint8)
  with pytest.warns(rsjax.errors.ResultWarning, match="not finite"):
    found = rsjax.smooth(hole, np.float32(1.6 * SIGMA), sigma=SIGMA).certify_value(
      some, epsilon=0.05, n=1000, progress=False
    )
  assert (found.invalid > 20).all() and (found.invalid < 100).all()
  whole = rsjax.smooth(hole, np.float32(np.inf), sigma=SIGMA).certify_value(
    some, epsilon=0.05, n=1000, progress=False
  )
  assert (found.lower < whole.lower).all() and (found.upper == whole.upper).all()
  with pytest.warns(rsjax.errors.ResultWarning, match="not finite"):
    none = rsjax.smooth(hole, np.float32(0.1 * SIGMA), sigma=SIGMA).certify_value(
      some, epsilon=0.05, n=1000, progress=False
    )
  assert np.isinf(none.lower).all() and np.isinf(none.upper).all() and np.isfinite(none.median).all()
  assert repr(found) == "medians of 3 images within l2 distance 0.05: n = 1,000, alpha = 0.001"
  assert list(found.to_pandas()) == ["idx", "lower", "median", "upper", "invalid"]


def test_several_outputs_share_alpha(small):
  both = lambda w, x: jnp.stack([score(w, x), score(w, x)], 1)
  settings = dict(epsilon=0.1, n=2000, indices=[0], progress=False)
  two = rsjax.smooth(both, W, sigma=SIGMA).certify_value(small, alpha=0.02, **settings)
  one = rsjax.smooth(score, W, sigma=SIGMA).certify_value(small, alpha=0.01, **settings)
  assert two.lower[0].tolist() == [one.lower[0]] * 2 and two.upper[0].tolist() == [one.upper[0]] * 2


def refused(said, small, apply=score, noise=None, **settings):
  g = rsjax.smooth(apply, W, **({"sigma": SIGMA} if noise is None else {"noise": noise}))
  with pytest.raises(rsjax.InputError, match=said):
    g.certify_value(small, progress=False, **({"epsilon": 0.1} | settings))


def test_what_cannot_be_certified_is_refused(small):
  refused("at least n = 2,971", small, epsilon=0.7, n=100)
  refused("epsilon must be", small, epsilon=-1)
  refused("n must be an integer", small, n=0)
  refused("at most 0.5", small, alpha=0.99)
  refused("seed must be", small, seed=-1)
  refused("under Gaussian and grid noise", small, noise=rsjax.Laplace(SIGMA))
  refused("8-bit", small / np.float32(255), noise=rsjax.GridGaussian(SIGMA))
  refused(r"must return real numbers, \[2\] or \[2, outputs\]", small, lambda w, x: x)
  refused(
    "outputs of one image depend on the other images", small, lambda w, x: score(w, x) - score(w, x).mean()
  )
  refused("float32", small.astype(float))

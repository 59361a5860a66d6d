"""CERTIFY's and PREDICT's answers from votes."""

import numpy as np
import pytest
from scipy import stats

from rsjax import bounds
from rsjax.errors import InputError
from rsjax.noise import Gaussian
from rsjax.procedures import ABSTAIN, Certify, Predict

NOISE = Gaussian(0.5)


def test_the_class_is_selected_from_the_selection_votes_alone():
  c = Certify(n0=10, n=1000).outcome(np.array([6, 4]), np.array([100, 900]), NOISE)
  assert (c.selected, c.n_a, c.prediction, c.radius) == (0, 100, ABSTAIN, 0.0)


def test_the_radius_is_of_the_noise_that_was_drawn():
  """Noise is float32: where that rounds sigma down, the radius is of the smaller sigma."""
  noise = Gaussian(10_000.0004)  # float32 rounds it to 10,000
  c = Certify(n0=9, n=10_000).outcome(np.array([9, 0]), np.array([9900, 100]), noise)
  assert (
    c.radius == bounds.certified_radius(c.p_lower, 10_000.0) < bounds.certified_radius(c.p_lower, 10_000.0004)
  )


def test_invalid_draws_count_in_n():
  outcome = lambda votes0, votes: Certify(n0=10, n=1000).outcome(np.array(votes0), np.array(votes), NOISE)
  whole, sick = outcome([10, 0], [990, 10]), outcome([8, 0], [990, 0])
  assert (sick.invalid0, sick.invalid, sick.n) == (2, 10, 1000)
  assert sick.radius == whole.radius
  none = outcome([0, 0], [0, 0])
  assert (none.prediction, none.radius, none.invalid) == (ABSTAIN, 0.0, 1000)


@pytest.mark.parametrize(
  ("votes", "answer"),
  [([0, 11], 1), ([1, 10], ABSTAIN), ([500, 500], ABSTAIN), ([400, 600], 1), ([0, 0], ABSTAIN), ([600, 0], 0)],
)
def test_predict_answers_where_the_two_sided_test_is_significant(votes, answer):
  p = Predict(n=max(sum(votes), 11)).outcome(np.array([*votes, 0]))
  assert p.prediction == answer
  top = sorted(votes)[-2:]
  assert p.p_value == pytest.approx(stats.binomtest(top[1], sum(top), 0.5).pvalue if sum(top) else 1.0)


@pytest.mark.parametrize(
  "settings",
  [dict(n0=0), dict(n=0), dict(n=10.5), dict(n=True), dict(alpha=0.0), dict(alpha=1.0), dict(n=2**32)],
)
def test_bad_settings_are_refused(settings):
  with pytest.raises(InputError):
    Certify(**settings)
  if settings.keys() <= {"n", "alpha"} and settings != {"n": 2**32}:  # PREDICT has no other draws
    with pytest.raises(InputError):
      Predict(**settings)


def test_no_more_draws_than_have_a_number():
  assert Predict(n=2**32).n == Certify(n0=1, n=2**32 - 1).most_draws == 2**32
  with pytest.raises(InputError, match=r"n0 \+ n must be at most"):
    Certify(n0=1, n=2**32)
  with pytest.raises(InputError, match="n must be at most"):
    Predict(n=2**32 + 1)


def test_an_n_that_can_never_certify_is_refused_at_once():
  with pytest.raises(InputError, match="n >= 10"):
    Certify(n=9)
  with pytest.raises(InputError, match="n >= 11"):
    Predict(n=10)
  assert (Certify(n=10).n, Predict(n=11).n) == (10, 11)

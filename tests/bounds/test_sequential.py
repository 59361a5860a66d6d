"""Bounds at looks: known values, and their exact error when the run stops at the first look that is wrong.

That is the worst rule for stopping: whatever else stops a run, its error is at most that of this one. The tests
reject plans and bounds that are a little too bold, too.
"""

import functools
from fractions import Fraction
from math import comb

import numpy as np
import pytest
from looks import crossing, walk
from scipy import special

from rsjax import bounds
from rsjax.bounds import Plan, default_plan, lower_bound_at_look
from rsjax.errors import InputError
from rsjax.noise import Gaussian

ALPHA = 0.001
PLAN = default_plan(100_000, ALPHA)
SMALL = Plan((6, 12, 25, 50), (0.005, 0.005, 0.01, 0.03))
PHI = special.ndtr


def error(plan, p):
  """The plan's exact error at p under the worst rule for stopping."""
  return crossing(lambda k, n: lower_bound_at_look(k, n, plan), plan.looks, p)


def times(plan, factor):
  return Plan(plan.looks, tuple(factor * a for a in plan.alphas))


def peeking(k, n):
  return bounds.lower_confidence_bound(k, n, ALPHA)


def test_the_default_plan():
  decade = (100, 126, 158, 200, 251, 316, 398, 501, 631, 794)
  decades = (1000, 1259, 1585, 1995, 2512, 3162, 3981, 5012, 6310, 7943)
  assert PLAN.looks[:20] == decade + decades
  assert PLAN.looks[20:] == (10000, 12589, 15849, 19953, 25119, 31623, 39811, 50119, 63096, 79433, 100000)
  assert PLAN.alpha == pytest.approx(ALPHA, rel=1e-15)
  known = {1: 7.9691905387e-07, 11: 2.5200793210e-06, 21: 7.9691905387e-06, 30: 2.2460255548e-05, 31: 8e-04}
  for k, alpha in known.items():
    assert PLAN.alphas[k - 1] == pytest.approx(alpha, rel=1e-9)
  known = {1: 7.9691905387e-07, 11: 1.6640446318e-05, 21: 6.6747612896e-05, 27: 1.3968115619e-04, 30: 2e-04}
  for k, alpha in known.items():
    assert PLAN.cumulative[k - 1] == pytest.approx(alpha, rel=1e-9)


@pytest.mark.parametrize(
  ("n_max", "number", "last"),
  [
    (20_000, 24, (12589, 15849, 20000)),
    (1000, 11, (631, 794, 1000)),
    (1_000_000, 41, (1_000_000,)),
    (113, 2, (100, 113)),
    (112, 1, (112,)),
    (50, 1, (50,)),
  ],
)
def test_looks_end_at_the_number_of_draws(n_max, number, last):
  looks = default_plan(n_max, ALPHA).looks
  assert (len(looks), looks[-len(last) :]) == (number, last)


def test_looks_may_begin_at_another_number_of_draws_and_none_stands_there_twice():
  assert default_plan(1000, ALPHA, first=10).looks[:6] == (10, 13, 16, 20, 25, 32)
  assert default_plan(10, ALPHA, first=1).looks == (1, 2, 3, 4, 5, 6, 8, 10)
  assert default_plan(1000, ALPHA, first=1000) == Plan((1000,), (ALPHA,))


def test_known_bounds():
  known = {
    (100, 100): 0.868988726056,
    (100, 99): 0.843534690534,
    (100, 85): 0.627211411781,
    (1000, 1000): 0.989056644676,
    (1000, 999): 0.984407914333,
    (1000, 870): 0.815798175678,
    (10000, 9000): 0.886492833387,
    (39811, 39811): 0.999777067675,
    (39811, 39810): 0.999654932193,
    (63096, 42500): 0.665870253501,
    (100000, 84366): 0.840006589324,
    (100000, 99999): 0.999905199956,
    (100000, 100000): 0.999930924832,
    (100000, 50501): 0.500015110992,
    (100000, 0): 0.0,
  }
  n, k = np.array(list(known)).T
  np.testing.assert_allclose(lower_bound_at_look(k, n, PLAN), list(known.values()), rtol=1e-11)
  million = default_plan(1_000_000, ALPHA)
  assert lower_bound_at_look(10**6, 10**6, million) == pytest.approx(0.999993092268, rel=1e-11)
  found = lower_bound_at_look([6, 11, 50], [6, 12, 50], SMALL)
  np.testing.assert_allclose(found, [0.4135185542, 0.5229737056, 0.9418449209], rtol=1e-9)


def test_more_votes_never_give_a_smaller_bound():
  for n in PLAN.looks[:26]:
    assert (np.diff(lower_bound_at_look(np.arange(n + 1), n, PLAN)) > 0).all()


def test_the_last_look_loses_little_and_nothing_where_all_draws_agree():
  n = 100_000
  k = np.r_[50_500:n:50, n - 20 : n + 1]
  fixed = bounds.lower_confidence_bound(k, n, ALPHA)
  ours = lower_bound_at_look(k, n, PLAN)
  loss = special.ndtri(fixed) - special.ndtri(ours)
  assert (loss[:-1] > 0).all()
  assert loss.max() < 0.00665
  assert ours[-1] == pytest.approx(fixed[-1], rel=1e-15)


def test_a_plan_of_one_look_is_the_bound_with_n_fixed():
  k = np.arange(1001)
  np.testing.assert_array_equal(
    lower_bound_at_look(k, 1000, Plan((1000,), (ALPHA,))), bounds.lower_confidence_bound(k, 1000, ALPHA)
  )


def test_the_votes_that_radii_need():
  at = lambda z: bounds.votes_to_certify(z, PLAN, Gaussian(1.0)).tolist()
  assert at(1.0) == [
    *(
      99,
      123,
      153,
      191,
      237,
      295,
      367,
      458,
      572,
      714,
      893,
      1117,
      1398,
      1750,
      2194,
      2750,
      3450,
      4329,
      5434,
      6823,
    ),
    *(8570, 10767, 13530, 17005, 21377, 26877, 33797, 42505, 53462, 67250, 84499),
  ]
  assert at(0.0) == [
    *(75, 90, 110, 134, 164, 200, 246, 303, 374, 462, 573, 711, 883, 1099, 1369, 1707, 2131, 2662, 3329, 4166),
    *(5217, 6536, 8194, 10277, 12894, 16185, 20322, 25523, 32065, 40293, 50500),
  ]
  assert at(3.5) == [*(n + 1 for n in PLAN.looks[:26]), 39811, 50119, 63095, 79430, 99991]
  fixed = Plan((100_000,), (ALPHA,))
  assert [int(bounds.votes_to_certify(z, fixed, Gaussian(1.0))[0]) for z in (0.0, 1.0)] == [50_490, 84_492]


@pytest.mark.parametrize("noise", [Gaussian(0.25), Gaussian(0.3), Gaussian(1e-3), Gaussian(10_000.0004)])
@pytest.mark.parametrize("z", [0.0, 0.5, 1.0, 2.3])
def test_a_radius_is_certified_exactly_where_the_recorded_one_is_larger(noise, z):
  """That one is rounded down, and of the sigma that is drawn; a grid's radius itself is not above itself."""
  n = np.array(PLAN.looks)
  for r in (round(z * noise.sigma, 6), float(bounds.radius(PHI(z), noise))):
    needed = bounds.votes_to_certify(r, PLAN, noise)
    recorded = lambda k: bounds.radius(lower_bound_at_look(k, n, PLAN), noise)
    assert (recorded(np.minimum(needed, n))[needed <= n] > r).all()
    assert (recorded(needed - 1) <= r).all()


CROSSINGS = {
  0.5: 8.874570218e-04,
  0.7: 8.801824389e-04,
  PHI(1): 8.835367061e-04,
  PHI(2): 8.839499484e-04,
  0.99: 8.177565126e-04,
  PHI(3): 7.672174473e-04,
  PHI(3.5): 7.698130719e-04,
  PHI(3.8): 7.208596375e-04,
  ALPHA ** (1 / 100_000) * (1 - 1e-11): 9.999989999969e-04,
}


def test_known_errors_under_the_worst_rule():
  for p, known in CROSSINGS.items():
    assert error(PLAN, p) == pytest.approx(known, rel=1e-9)
  for n_max, known in ((1000, 6.826137623e-04), (10_000, 8.270271130e-04), (1_000_000, 8.939115348e-04)):
    assert error(default_plan(n_max, ALPHA), PHI(1)) == pytest.approx(known, rel=1e-9)


def test_the_error_under_the_worst_rule_is_at_most_alpha():
  """Also just below bounds themselves, of nearly all votes and of others: there the error is largest."""
  below = [
    np.nextafter(float(lower_bound_at_look(k, n, PLAN)), 0)
    for n in PLAN.looks[::2]
    for k in (n, n - 1, n - 2, n - 7, round(0.97 * n), round(0.8 * n), round(0.6 * n))
  ]
  worst = max(error(PLAN, p) for p in (*below, *PHI(np.linspace(0, 3.9, 40))))
  assert 0.999 * ALPHA < worst <= ALPHA


@pytest.mark.parametrize("alpha", [0.3, 0.05, 1e-5])
def test_so_it_is_for_other_alphas_and_first_looks(alpha):
  plan = default_plan(2000, alpha, first=7)
  below = [
    np.nextafter(float(lower_bound_at_look(k, n, plan)), 0) for n in plan.looks[::4] for k in (n, n - 1, n // 2)
  ]
  worst = max(error(plan, p) for p in (*below, 0.1, 0.5, 0.9))
  assert 0.5 * alpha < worst <= alpha


@pytest.mark.parametrize(("factor", "known"), [(1.2, 1.057403068e-03), (1.15, 1.024693936e-03)])
def test_alphas_a_little_too_large_would_be_found(factor, known):
  found = error(times(PLAN, factor), PHI(1))
  assert found == pytest.approx(known, rel=1e-9)
  assert found > ALPHA


def test_alphas_too_large_by_a_thousandth_would_be_found_where_all_draws_agree():
  assert error(times(PLAN, 1.001), (1.001 * ALPHA) ** (1 / 100_000) * (1 - 1e-11)) > ALPHA


def test_bounds_for_one_look_at_every_look_would_be_found():
  assert crossing(peeking, PLAN.looks, PHI(1)) == pytest.approx(1.392072649e-02, rel=1e-9)


def test_levels_that_grow_for_votes_that_do_not_all_agree_would_be_found():
  cumulative = np.array(PLAN.cumulative)
  bold = lambda k, n: bounds.binomial.lower_bound_at_level(k, n, cumulative[PLAN.index(n)])
  assert crossing(bold, PLAN.looks, PHI(1)) > 1.2 * ALPHA


@functools.cache
def tail(n, s, p):
  """P(Binomial(n, p) >= s) in rational arithmetic."""
  return sum(comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(s, n + 1))


def exact_error(plan, p):
  """The error under the worst rule by the definition of the bounds, draw by draw, in rational arithmetic."""
  alphas = [Fraction(a) for a in plan.alphas]
  needed = {}
  for k, n in enumerate(plan.looks):
    needed[n] = next(
      (s for s in range(n) if tail(n, s, p) < alphas[k]), n if p**n < sum(alphas[: k + 1]) else n + 1
    )
  runs, wrong = {0: Fraction(1)}, Fraction(0)
  for n in range(1, plan.looks[-1] + 1):
    following = {}
    for s, mass in runs.items():
      for vote, chance in ((0, 1 - p), (1, p)):
        following[s + vote] = following.get(s + vote, 0) + mass * chance
    for s in [s for s in following if s >= needed.get(n, n + 1)]:
      wrong += following.pop(s)
    runs = following
  return wrong, list(needed.values())


def test_a_small_plan_is_that_of_rational_arithmetic():
  known = {
    Fraction(1, 2): ([7, 11, 19, 33], 0.022766156436),
    Fraction(7, 10): ([7, 13, 23, 42], 0.023870349162),
    Fraction(9, 10): ([7, 13, 26, 50], 0.005153775207),
    Fraction(94, 100): ([7, 13, 26, 50], 0.045330726561),
  }
  for p, (needed, wrong) in known.items():
    exact, thresholds = exact_error(SMALL, p)
    assert thresholds == needed
    assert float(exact) == pytest.approx(wrong, rel=1e-9)
    assert error(SMALL, float(p)) == pytest.approx(wrong, rel=1e-9)


def test_a_small_plan_at_every_p():
  """The error is largest just below one of the bounds: there it is alpha, and nowhere more."""
  at = [(k, n) for n in SMALL.looks for k in range(1, n + 1)]
  k, n = np.array(at).T
  below = np.nextafter(lower_bound_at_look(k, n, SMALL), 0)
  errors = [error(SMALL, p) for p in below]
  assert max(errors) <= SMALL.alpha
  assert max(errors) == pytest.approx(0.05, rel=1e-9)


def predict_error(plan, p=0.5):
  """P(PREDICT answers at any look) where its two classes have probabilities p and 1 - p."""
  answers = lambda look, s: bounds.answers_at_look(
    np.maximum(s, plan.looks[look] - s), np.minimum(s, plan.looks[look] - s), plan.looks[look], plan
  )
  return sum(mass[ends].sum() for *_, mass, ends in walk(plan.looks, p, answers))


def test_predict_answers_neither_of_two_equal_classes():
  known = {1000: 7.7653856158e-04, 100_000: 8.922e-4}
  for n_max, error in known.items():
    found = predict_error(default_plan(n_max, ALPHA, first=10))
    assert found == pytest.approx(error, rel=1e-9 if n_max == 1000 else 1e-4)
    assert found <= ALPHA
  assert predict_error(times(default_plan(100_000, ALPHA, first=10), 1.2)) > ALPHA


@pytest.mark.parametrize(
  "shares", [(1 / 3, 1 / 3, 1 / 3), (0.4, 0.4, 0.2), (0.36, 0.32, 0.32), (0.5, 0.5, 0), (0.52, 0.4, 0.08)]
)
def test_predict_answers_none_of_three_classes_but_the_most_probable(shares):
  """Draw by draw, counts of the second and third class against the first; wrong answers at the first look."""
  plan = default_plan(80, 0.1, first=5)
  mass, wrong = np.zeros((82, 82)), 0.0
  mass[0, 0] = 1
  b, c = np.indices(mass.shape)
  for n in range(1, 81):
    mass = sum(share * np.roll(mass, step, (0, 1)) for share, step in zip(shares, ((0, 0), (1, 0), (0, 1))))
    if n in plan.looks:
      a = n - b - c
      there = a >= 0
      ordered = np.sort(np.where(there, [a, b, c], 0), axis=0)
      found = there & bounds.answers_at_look(ordered[2], ordered[1], n, plan)
      wrong += mass[found & (a < np.maximum(b, c))].sum()
      mass[found] = 0
  assert 0 < wrong <= plan.alpha


def test_the_votes_that_predict_needs():
  plan = default_plan(1000, ALPHA, first=10)
  needed = bounds.votes_to_predict(plan.looks, plan.level(0, plan.looks))
  known = (11, 14, 17, 20, 24, 29, 35, 41, 50, 60, 73, 89, 107, 132, 161, 197, 243, 299, 370, 457, 554)
  assert tuple(needed) == known
  first = np.minimum(needed, plan.looks)
  for votes, answered in ((first, needed <= plan.looks), (needed - 1, np.zeros(len(needed), bool))):
    found = bounds.answers_at_look(votes, np.array(plan.looks) - votes, plan.looks, plan)
    agree = votes == plan.looks
    assert (found == answered)[~agree].all()


def test_predict_answers_sooner_where_all_draws_agree():
  plan = default_plan(1000, ALPHA, first=10)
  found = bounds.answers_at_look(np.array(plan.looks), 0, plan.looks, plan)
  assert found.tolist() == [2 * 0.5**n <= a for n, a in zip(plan.looks, plan.cumulative)]
  # At 25 draws 18 votes would do if the level were that of draws that all agree; seven voted for nobody.
  assert plan.alphas[4] < bounds.binomial_p_value(18, 18) <= plan.cumulative[4]
  assert not bounds.answers_at_look(18, 0, 25, plan)


def test_a_plan_goes_through_a_manifest_bit_for_bit():
  plan = default_plan(5000, 0.0123456789)
  assert Plan.from_settings(plan.settings()) == plan
  assert PLAN.plan_id == "6b79c4ab1db8c869"
  assert len({PLAN.plan_id, plan.plan_id, times(PLAN, 1 + 1e-15).plan_id, SMALL.plan_id}) == 4
  for damage in ({"id": "0" * 16}, {"looks": list(SMALL.looks)}, {"alphas": ["x"]}, {"alphas": None}):
    with pytest.raises(InputError, match="plan"):
      Plan.from_settings(PLAN.settings() | damage)


@pytest.mark.parametrize(
  "call",
  [
    lambda: Plan((), ()),
    lambda: Plan((10, 10), (0.1, 0.1)),
    lambda: Plan((20, 10), (0.1, 0.1)),
    lambda: Plan((0, 10), (0.1, 0.1)),
    lambda: Plan((1.5, 10), (0.1, 0.1)),
    lambda: Plan((5, 10), (0.1,)),
    lambda: Plan((5, 10), (0.1, 0.0)),
    lambda: Plan((5, 10), (0.5, 0.5)),
    lambda: Plan((5, 10), (0.5, float("nan"))),
    lambda: Plan((5, 10), (0.5, "0.1")),
    lambda: default_plan(0, ALPHA),
    lambda: default_plan(10.5, ALPHA),
    lambda: default_plan(100, 0.0),
    lambda: default_plan(100, ALPHA, first=0),
    lambda: lower_bound_at_look(50, 101, PLAN),
    lambda: lower_bound_at_look(50, 200_000, PLAN),
    lambda: lower_bound_at_look(101, 100, PLAN),
    lambda: lower_bound_at_look(-1, 100, PLAN),
    lambda: bounds.answers_at_look(10, 0, 11, PLAN),
    lambda: bounds.votes_to_certify(0.5, PLAN, Gaussian(0.0)),
  ],
)
def test_bad_input_is_refused(call):
  with pytest.raises(InputError):
    call()

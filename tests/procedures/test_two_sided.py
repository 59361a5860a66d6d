"""CERTIFY with the multi-class bound: three classes along a line, whose radius is known; rules that stop."""

import itertools
import json

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

import rsjax
from rsjax import bounds
from rsjax.errors import InputError
from rsjax.noise import Gaussian
from rsjax.procedures import (
  ABSTAIN,
  Anytime,
  Certify,
  CertifyByLooks,
  Counts,
  Radii,
  Tolerance,
  certify,
  certify_at_looks,
)

NOISE = Gaussian(1.0)
RULES = [Radii((0.0, 0.25, 0.5, 1.0)), Radii((0.3,), give_up=0), Tolerance(), Tolerance(0.2, floor=0.1)]


def bands(radius, middle):
  """Shares of three classes for noise of standard deviation 1 along a line, and the true radius of class 0.

  Class 0 is left of a band of width `middle`, where class 1 is, and class 2 is right of it. Farther right by
  `radius`, classes 0 and 2 are equally likely; class 1 is less likely on the way. A move along the line is the
  worst there is, so that this is the radius, and it is that of the theorem for the exact probabilities.
  """
  assert special.ndtr(-middle / 2) > 1 / 3
  first, last = special.ndtr(radius - middle / 2), special.ndtr(-radius - middle / 2)
  return [first, 1 - first - last, last]


def run(procedure, answers, classes=3, noise=NOISE):
  """The outcome, with answers (-1: invalid) for draws in the order in which they are asked for."""
  made, steps = 0, procedure.steps(noise)
  try:
    wanted = next(steps)
    while True:
      groups = []
      for count in wanted:
        some = answers[made : made + count]
        assert len(some) == count
        groups.append(np.bincount(some[some >= 0], minlength=classes))
        made += count
      wanted = steps.send(tuple(groups))
  except StopIteration as end:
    return end.value


@pytest.mark.parametrize(("radius", "middle"), [(0.02, 0.5), (0.3, 0.3), (1.0, 0.5), (2.0, 0.1)])
def test_false_certificates_with_n_fixed_are_as_rare_as_alpha_says(radius, middle):
  images, n, alpha = 20_000, 1000, 0.01
  votes = np.random.default_rng(3).multinomial(n, bands(radius, middle), images)
  pair = bounds.multiclass_bounds(votes[:, 0], votes[:, 1:].max(1), n, alpha)
  certified = bounds.multiclass_radius(*pair, NOISE)
  assert (certified > radius).sum() <= stats.binom.isf(1e-6, images, alpha)
  assert certified.mean() > 0.5 * radius - 0.02


@pytest.mark.parametrize("stop", [Radii((0.05,)), Radii((0.3,)), Anytime()], ids=str)
def test_false_certificates_by_looks_are_as_rare_as_alpha_says(stop):
  """Stopped at the first look where the radius is certified; with no rule at the look of the largest radius."""
  radius = stop.radii[0] if isinstance(stop, Radii) else 0.3
  images, plan = 4000, CertifyByLooks(n=2000, alpha=0.02, bound="multi").plan
  rng, share = np.random.default_rng(5), bands(radius, 0.3)
  more = [rng.multinomial(b - a, share, images) for a, b in itertools.pairwise((0, *plan.looks))]
  largest, ended = np.zeros(images), np.zeros(images, bool)
  for look, votes in enumerate(np.cumsum(more, axis=0)):
    n, other = plan.looks[look], votes[:, 1:].max(1)
    found = bounds.multiclass_radius(*bounds.multiclass_bounds_at_look(votes[:, 0], other, n, plan), NOISE)
    largest = np.where(ended, largest, np.maximum(largest, found))
    if isinstance(stop, Radii) and n < plan.looks[-1]:
      ended |= stop.stops(look, votes[:, 0], plan, NOISE, other)
  assert (largest > radius).sum() <= stats.binom.isf(1e-6, images, 0.02)


def test_a_jax_classifier_of_three_classes_is_certified_within_its_true_radius():
  """Class by the brightness of one pixel: dark, middle or bright."""

  def apply(edges, x):
    bright = x[:, 0, 0, 0]
    return jnp.stack([edges[0] - bright, jnp.zeros_like(bright), bright - edges[1]], 1)

  edges = jnp.array([0.45, 0.55])
  images = np.full((5, 2, 2, 1), 0.5, np.float32)
  images[:, 0, 0, 0] = [0.46, 0.3, 0.1, 0.0, 0.9]
  true = np.abs(images[:, 0, 0, 0] - 0.5)
  g = rsjax.smooth(apply, edges, sigma=0.25)
  one, multi = (g.certify(images, n=20_000, bound=b, progress=False) for b in ("one-sided", "multi"))
  assert np.all(multi.predict == [0, 0, 0, 0, 2])
  assert one.predict[0] == ABSTAIN and np.all(multi.radius >= one.radius)
  assert np.all(multi.radius <= true) and np.all(multi.radius > 0.85 * true - 0.01)
  assert "multi-class bound" in repr(multi) and "bound" not in repr(one)
  stopped = g.certify(images, n=20_000, bound="multi", radii=(0.0, 0.1, 0.3), progress=False)
  assert np.all(stopped.radius <= true) and stopped.n.sum() < multi.n.sum()


def test_it_answers_where_the_selected_class_has_less_than_half_of_the_votes():
  votes0, votes = np.array([40, 30, 30]), np.array([4500, 3000, 2500])
  multi = Certify(n0=100, n=10_000, bound="multi").outcome(votes0, votes, NOISE)
  assert multi.prediction == 0 and multi.radius > 0.1 and multi.p_lower < 0.5
  assert Certify(n0=100, n=10_000).outcome(votes0, votes, NOISE).prediction == ABSTAIN
  tied = Certify(n0=100, n=10_000, bound="multi").outcome(votes0, np.array([3500, 3500, 3000]), NOISE)
  assert (tied.prediction, tied.radius) == (ABSTAIN, 0.0)


def test_invalid_draws_count_as_one_class_more():
  votes0 = np.array([100, 0, 0])
  invalid = Certify(n=1000, bound="multi").outcome(votes0, np.array([600, 100, 0]), NOISE)
  third = Certify(n=1000, bound="multi").outcome(votes0, np.array([600, 100, 300]), NOISE)
  assert (invalid.radius, invalid.invalid) == (third.radius, 300)
  assert run(CertifyByLooks(n=1000, stop=RULES[0], bound="multi"), np.r_[[0] * 100, [0, 0, -1] * 400]).n_a > 60


def test_the_strongest_other_class_of_many_rows_is_that_of_each_alone():
  rng = np.random.default_rng(0)
  dense = rng.multinomial(100, rng.dirichlet([0.3] * 6, 50)) * (rng.random((50, 6)) < 0.7)
  each = [Counts.of_one(row, 100) for row in dense]
  ends = np.cumsum([len(c.classes) for c in each])
  join = lambda name: np.concatenate([getattr(c, name) for c in each])
  rows = Counts(join("classes"), join("votes"), ends, join("invalid"))
  selected = rng.integers(0, 6, 50)
  due = [max(100 - row.sum(), np.delete(row, s).max()) for row, s in zip(dense, selected)]
  assert rows.strongest_other(selected).tolist() == due


@pytest.mark.parametrize("stop", RULES, ids=str)
def test_a_row_says_all_and_the_rule_goes_by_its_radius(stop):
  procedure = CertifyByLooks(n=5000, stop=stop, bound="multi")
  plan, seen = procedure.plan, set()
  shares = ([0.4, 0.35, 0.25], [0.45, 0.2, 0.35], [0.6, 0.3, 0.1], [0.97, 0.02, 0.01], [1, 0, 0])
  for seed, share in enumerate(shares):
    answers = np.r_[np.zeros(100, int), np.random.default_rng(seed).choice(3, 5000, p=share)]
    c = run(procedure, answers)
    row = certify_at_looks(Counts.of_one(c.votes0, 100), Counts.of_one(c.votes, c.n), plan, NOISE, "multi")
    assert (c.prediction, c.radius, c.p_lower) == (row.prediction[0], row.radius[0], row.p_lower[0])
    for look, n in enumerate(plan.looks[:-1]):
      votes = np.bincount(answers[100 : 100 + n], minlength=3)
      if n <= c.n:
        assert stop.stops(look, votes[0], plan, NOISE, votes[1:].max()) == (n == c.n)
    seen.add(c.n)
  assert len(seen) > 2


@pytest.mark.parametrize("stop", [Radii((0.1, 0.2)), Tolerance()], ids=str)
def test_many_rows_stop_as_each_alone(stop):
  plan = bounds.default_plan(5000, 0.001)
  votes = np.random.default_rng(1).multinomial(plan.looks[5], [0.5, 0.3, 0.2], 40)
  together = stop.stops(5, votes[:, 0], plan, NOISE, votes[:, 1:].max(1))
  assert together.tolist() == [bool(stop.stops(5, v[0], plan, NOISE, v[1:].max())) for v in votes]


def test_nothing_that_can_still_be_reached_is_given_up_at_0():
  plan, rule = bounds.default_plan(400, 0.01), Radii((0.3,), give_up=0)
  for look, n in enumerate(plan.looks[:-1]):
    s, m = (a.ravel() for a in np.meshgrid(np.arange(n + 1), np.arange(n + 1)))
    s, m = s[(s + m <= n) & (2 * m >= n - s)], m[(s + m <= n) & (2 * m >= n - s)]
    best = bounds.multiclass_bounds_at_look(s + 400 - n, m, 400, plan)
    reachable = bounds.multiclass_radius(*best, NOISE) > 0.3
    now = bounds.multiclass_radius(*bounds.multiclass_bounds_at_look(s, m, n, plan), NOISE) > 0.3
    assert np.array_equal(rule.stops(look, s, plan, NOISE, m), now | ~reachable)


@pytest.mark.parametrize("share", [[0.5, 0.35, 0.15], [0.62, 0.38, 0.0], [0.48, 0.3, 0.22]], ids=str)
def test_giving_up_costs_little_power_and_saves_draws(share):
  """At radii that about half of the runs certify, where giving up is most likely to be wrong."""
  plan, images, rng = bounds.default_plan(10_000, 0.001), 1000, np.random.default_rng(2)
  more = np.array([rng.multinomial(b - a, share, images) for a, b in itertools.pairwise((0, *plan.looks))])
  votes = np.cumsum(more, axis=0)
  end = bounds.multiclass_bounds_at_look(votes[-1][:, 0], votes[-1][:, 1:].max(1), 10_000, plan)
  final = bounds.multiclass_radius(*end, NOISE)
  rule = Radii((float(np.quantile(final, 0.5)),))
  ended, certified = np.zeros(images, bool), np.zeros(images, bool)
  for look, n in enumerate(plan.looks[:-1]):
    s, m = votes[look][:, 0], votes[look][:, 1:].max(1)
    now = bounds.multiclass_radius(*bounds.multiclass_bounds_at_look(s, m, n, plan), NOISE) > rule.radii[0]
    certified |= now & ~ended
    ended |= rule.stops(look, s, plan, NOISE, m)
  lost = (final > rule.radii[0]) & ended & ~certified
  assert lost.sum() <= 0.04 * images  # of 1 % at each look
  assert ended.mean() > 0.05


def test_the_expected_radius_is_that_of_the_same_shares_with_n_fixed():
  from rsjax.procedures import prospects

  plan = bounds.default_plan(100_000, 0.001)
  now, expected = prospects.distances(6000, 1000, 10_000, plan)
  assert now == bounds.multiclass_distance(*bounds.multiclass_bounds_at_look(6000, 1000, 10_000, plan))
  due = bounds.multiclass_distance(*bounds.multiclass_bounds(60_000, 10_000, 100_000, 0.001))
  assert expected == pytest.approx(due, rel=1e-6) and now < expected


def test_one_look_is_certify():
  answers = np.random.default_rng(0).choice(3, 1100, p=[0.6, 0.3, 0.1])
  ours = run(CertifyByLooks(n=1000, first=1000, bound="multi"), answers)
  theirs = run(Certify(n=1000, bound="multi"), answers)
  assert (ours.radius, ours.p_lower, ours.prediction) == (theirs.radius, theirs.p_lower, theirs.prediction)
  both = [Counts.of_one(v, int(v.sum())) for v in (theirs.votes0, theirs.votes)]
  assert certify(*both, 0.001, NOISE, "multi").radius[0] == theirs.radius


def test_settings_name_the_bound_only_where_it_is_not_the_papers():
  for make in (Certify, CertifyByLooks):
    assert "bound" not in make().settings() and make() == make(bound="one-sided")
    settings = json.loads(json.dumps(make(bound="multi").settings()))
    assert (settings["bound"], settings["bound_shares"]) == ("multi", [0.8, 0.2])
    assert {**make().settings(), "bound": "multi", "bound_shares": [0.8, 0.2]} == make(bound="multi").settings()


def test_bad_settings_are_refused():
  for make in (Certify, CertifyByLooks):
    with pytest.raises(InputError, match="bound must be"):
      make(bound="both")
    smallest = bounds.smallest_n_to_certify(0.0008)
    make(n=smallest, bound="multi")
    with pytest.raises(InputError, match=f"give n >= {smallest}"):
      make(n=smallest - 1, bound="multi")
  n = 1000
  farthest = float(bounds.multiclass_radius(
    *bounds.multiclass_bounds_at_look(n, 0, n, bounds.default_plan(n, 0.001)), NOISE))  # fmt: skip
  with pytest.raises(InputError, match=f"radii must be below {farthest}"):
    CertifyByLooks(n=n, stop=Radii((farthest,)), bound="multi").check(NOISE)
  CertifyByLooks(n=n, stop=Radii((farthest - 1e-5,)), bound="multi").check(NOISE)

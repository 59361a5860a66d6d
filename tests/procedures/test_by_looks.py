"""CERTIFY and PREDICT by looks: which draws they ask for, when they stop, and that this makes nothing wrong."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
from looks import every_run, walk
from scipy import special, stats

from rsjax import bounds
from rsjax.errors import InputError
from rsjax.noise import WORD, Gaussian
from rsjax.procedures import (
  ABSTAIN,
  Anytime,
  Certify,
  CertifyByLooks,
  Counts,
  EndNow,
  Predict,
  PredictByLooks,
  Radii,
  Tolerance,
  certify_at_looks,
  end_now,
  predict_at_looks,
)
from rsjax.procedures.stopping import hopeless

NOISE = Gaussian(1.0)
GRID = Radii((0.0, 0.5, 1.0, 1.5))
RULES = [Anytime(), GRID, Radii((1.0,)), Radii((1.0,), give_up=0), Tolerance(), Tolerance(0, floor=0.1)]


class Draws:
  """A classifier's answers to one image's draws, in order: class numbers, -1 where it has none."""

  def __init__(self, answers, classes=3):
    self.answers, self.classes, self.made, self.asked = np.asarray(answers), classes, 0, []

  def vote(self, counts):
    """The votes of the next draws, one array for each of some numbers of draws."""
    groups = []
    for count in counts:
      assert self.made + count <= len(self.answers)
      some = self.answers[self.made : self.made + count]
      groups.append(np.bincount(some[some >= 0], minlength=self.classes))
      self.made += count
    self.asked.append(tuple(counts))
    return tuple(groups)

  def run(self, procedure, noise=NOISE, until=None):
    """The outcome; of `end_now` after `until` answers, if the procedure still waits for votes then."""
    steps = procedure.steps(noise)
    try:
      counts = next(steps)
      while until is None or len(self.asked) < until:
        counts = steps.send(self.vote(counts))
    except StopIteration as end:
      return end.value
    return end_now(steps)


def bernoulli(p, number, seed=0, invalid=0.0):
  """Draws for none of the classes with probability `invalid`; of the others p are of class 0, else of 1."""
  u = np.random.default_rng(seed).random(number)
  return np.where(u < p * (1 - invalid), 0, np.where(u < 1 - invalid, 1, -1))


def same(a, b):
  """Whether two outcomes are the same, votes included."""
  return type(a) is type(b) and all(
    np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a)
  )


@pytest.mark.parametrize("stop", RULES, ids=str)
@pytest.mark.parametrize("p", [0.3, 0.52, 0.8, 0.9, 1.0])
def test_a_look_counts_the_first_draws_after_the_selection(stop, p):
  procedure = CertifyByLooks(n0=50, n=5000, stop=stop)
  answers = bernoulli(p, 5050, invalid=0.02 * (p < 1))
  draws = Draws(answers)
  c = draws.run(procedure)
  looks = procedure.plan.looks
  assert draws.made == 50 + c.n
  assert draws.asked == [(50, 100), *((b - a,) for a, b in itertools.pairwise(looks) if b <= c.n)]
  # CERTIFY with this n, fixed beforehand, counts the same votes.
  fixed = Draws(answers).run(Certify(n0=50, n=c.n))
  for name in ("selected", "n_a", "invalid0", "invalid"):
    assert getattr(c, name) == getattr(fixed, name)
  assert (c.votes0.tolist(), c.votes.tolist()) == (fixed.votes0.tolist(), fixed.votes.tolist())
  assert c.p_lower <= fixed.p_lower
  # A row says all: bound and decision follow from its n and its votes.
  row = certify_at_looks(Counts.of_one(c.votes0, 50), Counts.of_one(c.votes, c.n), procedure.plan, NOISE)
  assert (c.prediction, c.radius, c.p_lower) == (row.prediction[0], row.radius[0], row.p_lower[0])
  look = looks.index(c.n)
  assert c.n == 5000 or stop.stops(look, c.n_a, procedure.plan, NOISE)
  for earlier, n in enumerate(looks[:look]):
    assert not stop.stops(earlier, (answers[50 : 50 + n] == c.selected).sum(), procedure.plan, NOISE)


def test_the_class_is_selected_from_the_selection_votes_alone():
  """And whether it is settled is its own votes' matter: others lead, but not by enough for this radius."""
  answers = np.r_[np.zeros(10, int), np.tile([0, 1, 1], 400)]
  c = Draws(answers).run(CertifyByLooks(n0=10, n=1000, stop=Radii((0.4,))))
  assert (c.selected, c.n_a, c.prediction, c.radius, c.n) == (0, 34, ABSTAIN, 0.0, 100)


@pytest.mark.parametrize("p", [0.2, 0.7, 0.95, 1.0])
def test_one_look_is_certify(p):
  answers = bernoulli(p, 1100, invalid=0.03)
  for settings in (dict(n=1000, first=1000), dict(n=112), dict(n=50)):
    ours = Draws(answers).run(CertifyByLooks(**settings))
    assert same(ours, Draws(answers).run(Certify(n=settings["n"])))


@pytest.mark.parametrize("alpha", [0.001, 0.05])
def test_one_look_is_predict(alpha):
  for p in (0.3, 0.55, 1.0):
    answers = bernoulli(p, 1000, invalid=0.03)
    ours = Draws(answers).run(PredictByLooks(n=1000, alpha=alpha, first=1000))
    assert same(ours, Draws(answers).run(Predict(n=1000, alpha=alpha)))


def test_a_run_that_is_ended_has_the_certificate_of_its_last_look():
  procedure = CertifyByLooks(n0=20, n=3000)
  looks, answers = procedure.plan.looks, bernoulli(0.9, 3020)
  whole = Draws(answers).run(procedure)
  assert whole.n == 3000
  for number, n in enumerate(looks, start=1):
    draws = Draws(answers)
    c = draws.run(procedure, until=number)
    votes0, votes = Draws(answers).vote((20, n))
    assert same(c, procedure.outcome(votes0, 20, votes, n, NOISE))
    assert (c.n, draws.made) == (n, 20 + n)
  assert same(c, whole)


def test_a_run_that_is_ended_before_a_look_has_no_outcome():
  for procedure in (CertifyByLooks(), CertifyByLooks(n0="auto"), PredictByLooks(), Certify(), Predict()):
    steps = procedure.steps(NOISE)
    next(steps)
    assert end_now(steps) is None
  steps = CertifyByLooks(n0="auto").steps(NOISE)
  next(steps)
  steps.send((np.array([100, 0]),))  # selection is over, the first look is not
  with pytest.raises(EndNow):
    steps.throw(EndNow())


def test_predict_that_is_ended_abstains_at_its_last_look():
  draws = Draws(bernoulli(0.55, 1000))
  p = draws.run(PredictByLooks(n=1000), until=4)
  assert (p.prediction, p.n, draws.made, p.votes.sum()) == (ABSTAIN, 20, 20, 20)


@pytest.mark.parametrize(
  ("first", "n0"), [((100, 0), 100), ((66, 34), 100), ((65, 35), 1000), ((50, 50), 1000), ((0, 0), 1000)]
)
def test_n0_auto_draws_more_where_the_leaders_are_close(first, n0):
  """The draws of the selection come first, then those of the estimation."""
  answers = np.r_[np.repeat([0, 1, -1], [*first, 100 - sum(first)]), bernoulli(0.3, 2000)]
  draws = Draws(answers)
  c = draws.run(CertifyByLooks(n0="auto", n=1000))
  counted = lambda some: np.bincount(some[some >= 0], minlength=3).tolist()
  assert c.votes0.sum() + c.invalid0 == n0
  assert c.votes0.tolist() == counted(answers[:n0])
  assert c.votes.tolist() == counted(answers[n0 : n0 + 1000])
  assert c.selected == np.argmax(c.votes0)
  assert draws.made == n0 + 1000 <= CertifyByLooks(n0="auto", n=1000).most_draws == 2000


def figures(stop, p, radius=1.0):
  """(P(radius certified), E[draws]) at p, exactly, of n = 100,000 at alpha = .001 and sigma = 1."""
  plan = CertifyByLooks().plan
  last = len(plan.looks) - 1
  needed = bounds.votes_to_certify(radius, plan, NOISE)
  ends = lambda look, s: np.full(len(s), True) if look == last else stop.stops(look, s, plan, NOISE)
  certified = draws = 0.0
  for look, s, mass, stopped in walk(plan.looks, p, ends):
    certified += mass[stopped & (s >= needed[look])].sum()
    draws += plan.looks[look] * mass[stopped].sum()
  return certified, draws


@pytest.mark.parametrize(
  ("p", "certified", "draws"),
  [
    (0.8, 8.8e-9, 494.7147),
    (0.83, 6.584e-7, 3630.7111),
    (special.ndtr(1), 8.184224e-4, 35422.3794),
    (0.85, 0.9806291353, 34941.6159),
    (0.87, 0.9991510778, 3539.9095),
    (0.95, 1.0, 237.1427),
    (0.999, 1.0, 100.1209),
  ],
)
def test_known_power_and_draws_of_one_radius(p, certified, draws):
  found = figures(Radii((1.0,)), p)
  assert found[0] == pytest.approx(certified, rel=1e-2 if p == 0.8 else 1e-4)
  assert found[1] == pytest.approx(draws, abs=1e-4)


def test_giving_up_costs_power_only():
  """At the radius's own p the error stays below alpha, however early hopeless images are given up."""
  p = special.ndtr(1)
  errors, powers, draws = [], [], []
  for give_up in (0, 0.001, 0.01, 0.05, 0.2, 0.45):
    stop = Radii((1.0,), give_up)
    errors.append(figures(stop, p)[0])
    power, drawn = figures(stop, 0.852)
    powers.append(power)
    draws.append(drawn)
  assert max(errors) <= 0.001
  assert powers == sorted(powers, reverse=True)
  assert draws == sorted(draws, reverse=True)


def test_known_counts_that_are_hopeless():
  plan = CertifyByLooks().plan
  needed = bounds.votes_to_certify(1.0, plan, NOISE)
  found = [
    int(np.flatnonzero(Radii((1.0,)).stops(look, np.arange(needed[look]), plan, NOISE))[-1])
    for look in range(len(plan.looks) - 1)
  ]
  assert found == [
    *(
      74,
      95,
      121,
      155,
      197,
      250,
      318,
      403,
      510,
      645,
      816,
      1032,
      1304,
      1647,
      2079,
      2623,
      3310,
      4175,
      5265,
      6638,
    ),
    *(8368, 10547, 13293, 16752, 21108, 26596, 33508, 42215, 53186, 67011),
  ]


def test_nothing_that_can_still_be_reached_is_given_up_at_0():
  s, n = np.arange(101), 100
  assert hopeless(s, n, 150, 120, 0).tolist() == (s + 50 < 120).tolist()


def test_a_grid_stops_where_every_radius_is_settled():
  plan = CertifyByLooks().plan
  needed = np.stack([bounds.votes_to_certify(r, plan, NOISE) for r in GRID.radii], axis=1)
  for look, n in enumerate(plan.looks[:-1]):
    s = np.arange(n + 1)
    stops = GRID.stops(look, s, plan, NOISE)
    certified = (s[:, None] >= needed[look]).sum(1)
    assert stops[certified == 4].all()
    for number in range(4):  # what is open is the next radius alone
      alone = Radii((GRID.radii[number],)).stops(look, s, plan, NOISE)
      assert (stops == alone)[certified == number].all()
    assert [bool(GRID.stops(look, int(k), plan, NOISE)) for k in s[:: n // 10]] == stops[:: n // 10].tolist()


def test_what_a_grid_certifies_is_the_recorded_radius_above_it():
  """Of noise that float32 rounds, too: analysis of the file and the rule for stopping say the same."""
  noise = Gaussian(0.3)
  for k in range(60):
    p = 0.5 + k / 119
    c = Draws(bernoulli(p, 20_100, seed=k)).run(CertifyByLooks(n=20_000, stop=Radii((0.1, 0.25, 0.5))), noise)
    assert c.n == 20_000 or c.radius > 0.5 or hopeless_at(c, noise, (0.1, 0.25, 0.5))


def hopeless_at(c, noise, radii):
  plan = CertifyByLooks(n=20_000).plan
  following = min(r for r in radii if r >= c.radius)
  return bool(hopeless(c.n_a, c.n, 20_000, bounds.votes_to_certify(following, plan, noise)[-1], 0.01))


def test_known_expected_radii():
  plan = CertifyByLooks().plan
  known = {
    (10_000, 9000): (1.2080856126, 1.2648446903),
    (31_623, 31_000): (1.9922071296, 2.0316133261),
    (39_811, 39_811): (3.5113335085, 3.8114565634),
  }
  for (n, s), (now, expected) in known.items():
    assert Tolerance.distances(s, n, plan) == (pytest.approx(now, rel=1e-9), pytest.approx(expected, rel=1e-9))


def test_a_tolerance_stops_within_it_and_gives_up_what_will_abstain():
  plan = CertifyByLooks().plan
  rule = Tolerance(0.05, floor=0.02)
  for look, n in enumerate(plan.looks[:21]):
    s = np.arange(n + 1)
    stops = rule.stops(look, s, plan, NOISE)
    now, expected = Tolerance.distances(s, n, plan)
    positive = now > 0
    assert (stops == (expected - now <= np.maximum(0.02, 0.05 * expected)))[positive].all()
    assert (stops == Radii((0.0,)).stops(look, s, plan, NOISE))[~positive].all()
    assert stops[: n // 3].all()
  assert not rule.stops(0, 100, plan, NOISE)  # 1.12 now, 3.81 expected
  assert Draws(bernoulli(0.99, 100_100)).run(CertifyByLooks(stop=rule)).n < 50_000
  equal = np.random.default_rng(0).integers(0, 3, 100_100)
  assert Draws(equal).run(CertifyByLooks(stop=rule)).n < 1000
  # In units of sigma: another sigma changes no decision.
  assert [bool(rule.stops(9, k, plan, Gaussian(0.25))) for k in range(0, 795, 5)] == [
    bool(rule.stops(9, k, plan, NOISE)) for k in range(0, 795, 5)
  ]


@pytest.mark.parametrize(
  "stop", [Radii((0.3,), 0.2), Radii((0.0, 0.3, 0.6), 0.0), Tolerance(0.3, 0.1)], ids=str
)
def test_every_run_of_a_few_draws(stop):
  """All votes of all looks, through the procedure itself: how often its bound is above p is at most alpha."""
  procedure = CertifyByLooks(n0=1, n=14, alpha=0.3, stop=stop, first=4)
  noise, looks = Gaussian(1.0), procedure.plan.looks
  n, s, orders, ends = every_run(procedure, noise)
  lower = np.array([end.p_lower for end in ends])
  assert set(n) <= set(looks)
  assert len(set(n)) > 2
  for p in (*np.unique(np.nextafter(lower[lower > 0], 0)), 0.1, 0.5, 0.9):
    chance = orders * p**s * (1 - p) ** (n - s)
    assert chance.sum() == pytest.approx(1)
    assert chance[lower > p].sum() <= 0.3


def test_a_stub_at_the_radius_is_certified_as_rarely_as_it_must():
  """20,000 images with p = Phi(r / sigma): 16.4 are expected, with a standard deviation of 4."""
  noise, stop, r = Gaussian(0.5), Radii((0.5,)), 0.5
  procedure = CertifyByLooks(stop=stop)
  plan, rng, p = procedure.plan, np.random.default_rng(18), special.ndtr(r / 0.5)
  last = len(plan.looks) - 1
  needed = bounds.votes_to_certify(r, plan, noise)
  more = np.array([rng.binomial(n, p, 20_000) for n in np.diff([0, *plan.looks])])
  votes = np.cumsum(more, axis=0)
  stops = np.array([stop.stops(k, s, plan, noise) if k < last else s >= 0 for k, s in enumerate(votes)])
  ended = stops.argmax(0)
  certified = votes[ended, np.arange(20_000)] >= needed[ended]
  assert 3 <= certified.sum() <= 36
  for image in (*np.flatnonzero(certified)[:20], *range(100)):  # and the procedure itself says the same
    steps = procedure.steps(noise)
    counts = next(steps)
    with pytest.raises(StopIteration) as end:
      for k in range(last + 1):
        group = np.array([more[k, image], counts[-1] - more[k, image]])
        counts = steps.send((np.array([100, 0]), group) if k == 0 else (group,))
    c = end.value.value
    assert (c.n, c.n_a) == (plan.looks[ended[image]], votes[ended[image], image])
    assert (c.radius > r) == certified[image]


def predict_draws(procedure, p):
  """E[draws] of two classes with probabilities p and 1 - p, exactly."""
  looks = procedure.plan.looks

  def ends(look, votes):
    n, found = looks[look], []
    for s in votes.tolist():
      both = np.array([s, n - s])
      found.append(procedure.outcome(both, n).prediction != ABSTAIN or procedure.gives_up(both, n))
    return np.array(found) | (n == looks[-1])

  return sum(looks[look] * mass[stopped].sum() for look, _, mass, stopped in walk(looks, p, ends))


def test_known_draws_of_predict():
  assert predict_draws(PredictByLooks(n=1000), 0.9) == pytest.approx(34.869502, rel=1e-7)
  assert predict_draws(PredictByLooks(n=1000, give_up=0), 0.6) == pytest.approx(533.650866, rel=1e-7)
  assert predict_draws(PredictByLooks(n=1000), 0.6) == pytest.approx(533.534175, rel=1e-7)


@pytest.mark.parametrize("p", [0.5, 0.6, 0.9, 1.0])
def test_predict_asks_look_by_look_and_its_row_says_all(p):
  procedure = PredictByLooks(n=5000)
  answers = bernoulli(p, 5000, invalid=0.05)
  draws = Draws(answers)
  found = draws.run(procedure)
  looks = procedure.plan.looks
  assert draws.made == found.n
  assert draws.asked == [(10,), *((b - a,) for a, b in itertools.pairwise(looks) if b <= found.n)]
  assert same(
    dataclasses.replace(Draws(answers).run(Predict(n=max(found.n, 11))), prediction=found.prediction), found
  )
  row = predict_at_looks(Counts.of_one(found.votes, found.n), procedure.plan)
  assert (found.prediction, found.p_value) == (row.prediction[0], row.p_value[0])
  assert found.prediction == (ABSTAIN if p == 0.5 else 0)


def test_predict_goes_on_where_the_leader_has_less_than_half_the_votes():
  """The others are many: the leader needs more votes than the second, not than all of them."""
  rng, shares = np.random.default_rng(0), [0.3, 0.1, *[0.05] * 12]
  for _ in range(20):
    found = Draws(rng.choice(14, 2000, p=shares), classes=14).run(PredictByLooks(n=2000))
    assert (found.prediction, found.n < 1000) == (0, True)


def test_predict_expects_votes_for_the_leaders_in_proportion():
  votes, n = np.array([55, 45, *[36] * 25]), 1000  # a tenth of the draws is for either of the two
  assert PredictByLooks(n=1200).gives_up(votes, n)  # 20 more are expected for either
  assert not PredictByLooks(n=20_000).gives_up(votes, n)
  assert not PredictByLooks(n=1200, give_up=0).gives_up(votes, n)  # all 200 more may be for the leader


def test_predict_gives_up_equal_classes_and_those_without_votes():
  drawn = [Draws(bernoulli(0.5, 100_000, seed)).run(PredictByLooks()).n for seed in range(10)]
  assert np.mean(drawn) < 70_000
  assert Draws(np.full(1000, -1)).run(PredictByLooks(n=1000)).n == 10
  assert Draws(np.full(1000, -1)).run(PredictByLooks(n=1000, give_up=0)).prediction == ABSTAIN


def test_rows_at_different_looks_are_answered_as_each_alone():
  procedure, predicting = CertifyByLooks(n0=20, n=1000), PredictByLooks(n=1000, first=100)
  rng, rows = np.random.default_rng(0), []
  for n in procedure.plan.looks:
    p = rng.dirichlet([3, 1, 1])
    rows.append((rng.multinomial(20, p), rng.multinomial(n, p), n))
  many = lambda votes: Counts(
    np.concatenate([Counts.of_one(v, 0).classes for v in votes]),
    np.concatenate([v[v > 0] for v in votes]),
    np.cumsum([(v > 0).sum() for v in votes]),
    np.zeros(len(votes), np.int64),
  )
  votes0, votes = many([row[0] for row in rows]), many([row[1] for row in rows])
  together = certify_at_looks(votes0, votes, procedure.plan, NOISE)
  predicted = predict_at_looks(votes, predicting.plan)
  for row, (own0, own, n) in enumerate(rows):
    c = procedure.outcome(own0, 20, own, n, NOISE)
    assert (c.prediction, c.radius, c.p_lower) == (
      together.prediction[row],
      together.radius[row],
      together.p_lower[row],
    )
    p = predicting.outcome(own, n)
    assert (p.prediction, p.p_value) == (predicted.prediction[row], predicted.p_value[row])
  with pytest.raises(InputError, match="one of the plan's looks"):
    procedure.outcome(np.array([20, 0]), 20, np.array([101, 0]), 101, NOISE)


def test_settings_fix_the_answers_and_are_json():
  procedures = [
    *(CertifyByLooks(stop=stop) for stop in RULES),
    CertifyByLooks(n0="auto"),
    CertifyByLooks(n0=200),
    CertifyByLooks(first=250),
    CertifyByLooks(alpha=0.01),
    CertifyByLooks(n=np.int64(20_000)),
    CertifyByLooks(stop=Radii([0.25, np.float32(0.5)], give_up=0.05)),
    PredictByLooks(),
    PredictByLooks(give_up=0.05),
    PredictByLooks(first=100),
  ]
  texts = [json.dumps(p.settings(), sort_keys=True) for p in procedures]
  assert len(set(texts)) == len(procedures)
  for procedure, text in zip(procedures, texts):
    settings = json.loads(text)
    assert settings == procedure.settings()
    assert bounds.Plan.from_settings(settings["plan"]) == procedure.plan
    assert (settings["n"], settings["alpha"]) == (procedure.n, procedure.alpha)
  assert json.loads(texts[1])["stop"] == {"rule": "radii", "radii": [0.0, 0.5, 1.0, 1.5], "give_up": 0.01}
  assert json.loads(texts[4])["stop"] == {"rule": "tolerance", "relative": 0.05, "floor": 0.02, "give_up": 0.01}


@pytest.mark.parametrize(
  ("make", "message"),
  [
    (lambda: Radii(()), "radii must be numbers"),
    (lambda: Radii(0.5), "radii must be numbers"),
    (lambda: Radii(("0.5",)), "radii must be numbers"),
    (lambda: Radii((-0.1, 0.5)), "radii must be numbers >= 0"),
    (lambda: Radii((float("nan"),)), "radii must be numbers"),
    (lambda: Radii((0.5, 0.25)), "increasing"),
    (lambda: Radii((0.5, 0.5)), "increasing"),
    (lambda: Radii((0.5,), give_up=0.5), "give_up must be"),
    (lambda: Radii((0.5,), give_up=-0.01), "give_up must be"),
    (lambda: Radii((0.5,), give_up=float("nan")), "give_up must be"),
    (lambda: Tolerance(0, floor=0), "a tolerance of 0"),
    (lambda: Tolerance(-0.1), "tolerance must be a share"),
    (lambda: Tolerance(1.0), "tolerance must be a share"),
    (lambda: Tolerance(0.05, floor=-1), "floor must be"),
    (lambda: Tolerance(give_up=1), "give_up must be"),
    (lambda: CertifyByLooks(n=112, stop=GRID), "no look before the last"),
    (lambda: CertifyByLooks(n=1000, stop=Tolerance(), first=900), "no look before the last"),
    (lambda: CertifyByLooks(n=9), "n >= 10"),
    (lambda: CertifyByLooks(n0="all"), "n0 must be a number of draws or 'auto'"),
    (lambda: CertifyByLooks(n0=0), "n0 must be an integer"),
    (lambda: CertifyByLooks(n=10.5), "n must be an integer"),
    (lambda: CertifyByLooks(first=0), "first must be an integer"),
    (lambda: CertifyByLooks(alpha=0.0), "alpha must be"),
    (lambda: CertifyByLooks(n0="auto", n=WORD - 999), "at most"),
    (lambda: PredictByLooks(n=10), "n >= 11"),
    (lambda: PredictByLooks(give_up=0.5), "give_up must be"),
  ],
)
def test_bad_settings_are_refused(make, message):
  with pytest.raises(InputError, match=message):
    make()


def test_a_radius_that_no_votes_certify_is_refused_before_anything_is_drawn():
  procedure = CertifyByLooks(n=10_000, stop=Radii((0.5, 0.9)))
  largest = float(bounds.radius(bounds.lower_confidence_bound(10_000, 10_000, 0.001), Gaussian(0.25)))
  for refused in (procedure.check, procedure.steps):
    with pytest.raises(InputError, match=f"below {largest}"):
      refused(Gaussian(0.25))
  CertifyByLooks(n=10_000, stop=Radii((largest - 1e-6,))).check(Gaussian(0.25))
  with pytest.raises(InputError):
    CertifyByLooks(n=10_000, stop=Radii((largest,))).check(Gaussian(0.25))
  for stop in RULES:
    with pytest.raises(InputError, match="sigma"):
      CertifyByLooks(stop=stop).steps(Gaussian(0.0))


def test_a_stream_of_draws_has_the_votes_of_its_law():
  """The fake classifier of these tests is not biased."""
  assert stats.binomtest(int((bernoulli(0.7, 100_000) == 0).sum()), 100_000, 0.7).pvalue > 1e-3

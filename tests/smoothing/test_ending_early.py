"""Procedures that stop early, through the engine: the same rows however they are drawn, and full steps."""

import jax
import numpy as np
import pytest
from helpers import linear

from rsjax import bounds
from rsjax.noise import Gaussian
from rsjax.procedures import Anytime, Certify, CertifyByLooks, PredictByLooks, Radii, Tolerance
from rsjax.smoothing import Execution, Smoothed, votes

PROCEDURES = [
  CertifyByLooks(n=2000, stop=Radii((0.0, 0.2, 0.4))),
  CertifyByLooks(n=2000, stop=Radii((0.3,)), n0="auto"),
  CertifyByLooks(n=2000, stop=Tolerance(0.05)),
  CertifyByLooks(n=500, stop=Anytime()),
  PredictByLooks(n=2000),
]
NAMES = [f"{p.command} {getattr(p, 'stop', '')}"[:24] for p in PROCEDURES]


@pytest.fixture
def smoothed(linear_variables):
  return Smoothed(linear, linear_variables, Gaussian(0.25))


def found(smoothed, procedure, images, execution=Execution(256), **kwargs):
  """(index, n, votes, answer) of each image."""
  outcomes = smoothed.outcomes(procedure, enumerate(images), execution=execution, **kwargs)
  return [(i, o.n, o.votes.tolist(), o.prediction, getattr(o, "radius", None)) for i, o in outcomes]


@pytest.mark.parametrize("procedure", PROCEDURES, ids=NAMES)
def test_rows_devices_depth_and_images_in_flight_change_nothing(procedure, smoothed, images, cpu_mesh):
  wanted = found(smoothed, procedure, images)
  assert [i for i, *_ in wanted] == list(range(len(images)))
  for execution in (
    Execution(64, cpu_mesh(1), depth=0, images=1),
    Execution(1000, cpu_mesh(2), depth=7, images=3),
    Execution(4096, cpu_mesh(8)),
  ):
    assert found(smoothed, procedure, images, execution) == wanted
  assert len({n for _, n, *_ in wanted}) > 1 or isinstance(procedure, CertifyByLooks)


@pytest.mark.parametrize("procedure", PROCEDURES, ids=NAMES)
def test_votes_at_a_look_are_those_of_a_run_with_that_n_fixed(procedure, smoothed, images):
  for i, n, counted, *_ in found(smoothed, procedure, images):
    if procedure.command == "predict":
      continue
    [(_, outcome)] = list(smoothed.outcomes(procedure, [(i, images[i])]))
    fixed = Certify(int(outcome.votes0.sum()), n)
    [(_, wanted)] = list(smoothed.outcomes(fixed, [(i, images[i])]))
    assert counted == wanted.votes.tolist()
    assert outcome.radius <= wanted.radius  # a bound for one look is larger than one for all


class After:
  """Says that a run has ended after it was asked so many times."""

  def __init__(self, times):
    self.left = times

  def __call__(self):
    self.left -= 1
    return self.left < 0


def test_a_run_that_is_ended_has_the_last_look_of_every_image(smoothed, images):
  procedure = CertifyByLooks(n=10_000, stop=Anytime())
  looks = procedure.plan.looks
  ns = []
  for times in (0, 5, 12, 30, 60, 10**9):
    rows = found(smoothed, procedure, images, Execution(256, depth=0), ended=After(times))
    if times == 0:
      assert rows == []
      continue
    assert [i for i, *_ in rows] == list(range(len(images)))
    drawn = [n for _, n, *_ in rows]
    at = [looks.index(n) for n in drawn]
    assert max(at) - min(at) <= 1  # breadth first: none is two looks ahead
    ns.append(max(drawn))
    for i, n, counted, _, radius in rows:
      [(_, fixed)] = list(smoothed.outcomes(Certify(100, n), [(i, images[i])]))
      assert counted == fixed.votes.tolist()
      assert radius <= fixed.radius
  assert ns == sorted(ns) and ns[-1] == 10_000 and ns[0] < 1000


def test_an_interrupt_ends_a_run_that_may_end_and_no_other(smoothed, images):
  def interrupt(draws):
    interrupt.draws += draws
    if interrupt.draws > 5000:
      raise KeyboardInterrupt

  interrupt.draws = 0
  procedure = CertifyByLooks(n=10_000, stop=Anytime())
  rows = found(smoothed, procedure, images, progress=interrupt, ended=lambda: False)
  assert len(rows) == len(images) and max(n for _, n, *_ in rows) < 10_000
  interrupt.draws = 0
  with pytest.raises(KeyboardInterrupt):
    found(smoothed, Certify(n=10_000), images, progress=interrupt)


def test_a_procedure_without_looks_that_is_ended_gives_only_what_is_decided(smoothed, images):
  rows = found(smoothed, Certify(n=2000), images, Execution(256, depth=0), ended=After(20))
  assert len(rows) < len(images) and all(n == 2000 for _, n, *_ in rows)


def test_steps_are_full_while_images_wait_for_their_next_look(smoothed, monkeypatch):
  """At least 95 % of all rows are draws that were asked for."""
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (300, 4, 4, 1)).astype(np.uint8)
  rows, used, dispatch = 512, [], votes.Steps.dispatch
  monkeypatch.setattr(
    votes.Steps,
    "dispatch",
    lambda self, segments: (used.append(sum(s.count for s in segments)), dispatch(self, segments))[1],
  )
  procedure = CertifyByLooks(n=10_000, stop=Radii((0.0, 0.25, 0.5)))
  assert len(found(smoothed, procedure, images, Execution(rows))) == 300
  assert sum(used) / (rows * len(used)) > 0.95


def test_certified_radii_exceed_the_true_one_no_more_often_than_alpha(images):
  """Radii of a linear classifier are known: at alpha = 0.2 errors are seen, and are not more than that."""
  w = np.zeros(16, np.float32)
  w[0] = 1.0
  apply = lambda v, x: jax.numpy.stack([x.reshape(len(x), -1) @ v - 0.5, 0.5 - x.reshape(len(x), -1) @ v], 1)
  sigma, true = 0.5, 0.25
  image = np.full((4, 4, 1), 0.5 + true, np.float32)
  smoothed = Smoothed(apply, w, Gaussian(sigma))
  procedure = CertifyByLooks(n0=20, n=1000, alpha=0.2, stop=Tolerance(0.5, 0.0))
  trials = 600
  outcomes = smoothed.outcomes(procedure, [(k, image) for k in range(trials)])
  wrong = sum(o.radius > true + 1e-6 for _, o in outcomes)
  low, _ = bounds.interval(wrong, trials, 0.999)
  assert low <= 0.2
  assert wrong > 0  # else the test could not fail

"""Many images in flight, each with its own procedure: an adaptive one gets every answer, whatever the speed."""

import dataclasses
import itertools

import numpy as np
import pytest
from helpers import linear

from rsjax.errors import InputError
from rsjax.noise import Gaussian
from rsjax.procedures import Certify, CertifyByLooks, Tolerance
from rsjax.smoothing import Execution, scheduling

NOISE, IMAGES = Gaussian(0.5), 50


@dataclasses.dataclass(frozen=True)
class UntilAgreed:
  """A toy: looks at 100, 200, ... draws, until 60 % agree, or 1,500 were made; its outcome is (n, votes)."""

  def steps(self, noise):
    total = np.zeros(2, np.int64)
    for _ in range(15):
      (votes,) = yield (100,)
      total = total + votes
      if total.max() >= 0.6 * total.sum():
        break
    return int(total.sum()), total.tolist()


@pytest.fixture(scope="module")
def examples():
  """Images about the boundary of the linear classifier: some are decided by 100 draws, some never."""
  rng = np.random.default_rng(0)
  return [(7 * i, rng.integers(78, 178, (4, 4, 1), np.uint8)) for i in range(IMAGES)]


def run(variables, examples, procedure=UntilAgreed(), execution=Execution(64), **kwargs):
  return list(scheduling.outcomes(linear, variables, examples, procedure, NOISE, execution=execution, **kwargs))


@pytest.fixture
def wanted(linear_variables, examples):
  """One image after another, one step at a time."""
  return [found for e in examples for found in run(linear_variables, [e], execution=Execution(100, depth=0))]


def test_the_toy_is_adaptive(wanted):
  ns = [n for _, (n, _) in wanted]
  assert min(ns) == 100 and max(ns) == 1500 and len(set(ns)) > 5
  assert all(sum(votes) == n for _, (n, votes) in wanted)


@pytest.mark.parametrize(
  ("rows", "devices", "depth", "images"),
  [(32, 1, 3, 64), (100, 1, 0, 64), (1000, 1, 4, 3), (1000, 1, 2, 1), (64, 8, 3, 64), (1000, 8, 4, 7)],
)
def test_every_answer_comes_in_order_whatever_the_execution(
  linear_variables, examples, cpu_mesh, wanted, rows, devices, depth, images
):
  execution = Execution(rows, cpu_mesh(devices), depth, images)
  assert run(linear_variables, examples, execution=execution) == wanted


def test_other_images_fill_the_steps(linear_variables, cpu_mesh):
  """With 64 images in flight at least 95 % of the rows are used, up to the last images of the run."""
  rng = np.random.default_rng(1)
  examples = [(i, rng.integers(78, 178, (4, 4, 1), np.uint8)) for i in range(1000)]
  for rows in (100, 1500):  # a step that were not kept back until it is full would be at 82 % of 1,500
    steps = []
    execution = Execution(rows, cpu_mesh(1), images=64)
    found = run(linear_variables, examples, execution=execution, progress=steps.append)
    assert sum(steps) == sum(n for _, (n, _) in found)
    assert max(steps) <= rows
    assert sum(steps) >= 0.95 * rows * len(steps)


def test_the_first_images_are_done_first(linear_variables, examples):
  """A run that is killed halfway has written the rows of a third of its images, though all may be in flight."""
  drawn, there = [0], []
  procedure = CertifyByLooks(100, 10_000, 0.001, Tolerance(0.05))
  settings = dict(execution=Execution(256, images=IMAGES), progress=lambda n: drawn.append(drawn[-1] + n))
  for _ in scheduling.outcomes(linear, linear_variables, examples, procedure, NOISE, **settings):
    there.append(drawn[-1])
  assert sum(at <= drawn[-1] / 2 for at in there) > IMAGES / 3
  assert there[0] < 0.2 * drawn[-1]


def test_a_waiting_image_does_not_end_the_run(linear_variables, examples):
  """With one image in flight every look waits for its votes, and nothing else is there to do."""
  found = run(linear_variables, examples[:5], execution=Execution(1000, images=1))
  assert [index for index, _ in found] == [0, 7, 14, 21, 28]


def test_draws_are_numbered_in_the_order_in_which_they_are_asked_for(linear_variables, examples):
  """The votes of an image's n draws are the same, however its procedure asked for them."""

  class Asking:
    def __init__(self, *groups):
      self.groups = groups

    def steps(self, noise):
      votes = []
      for group in self.groups:
        votes += yield group
      return [v.tolist() for v in votes]

  def votes(*groups):
    [(_, found)] = run(linear_variables, examples[:1], Asking(*groups))
    return np.array(found)

  parts = votes((30,), (20, 50), (1,))
  assert parts.sum(1).tolist() == [30, 20, 50, 1]
  np.testing.assert_array_equal(votes((30, 20, 50, 1)), parts)
  np.testing.assert_array_equal(votes((101,))[0], parts.sum(0))


def test_images_are_taken_only_as_rows_become_free(linear_variables, examples):
  taken = []

  def endless():
    for i in itertools.count():
      taken.append(i)
      yield i, examples[i % IMAGES][1]

  execution = Execution(128, depth=2)
  stream = scheduling.outcomes(
    linear, linear_variables, endless(), Certify(28, 100), NOISE, execution=execution
  )
  for done in range(1, 6):
    next(stream)
    assert len(taken) <= done + 3  # those whose steps are in flight, and the one that is being read


@pytest.mark.parametrize("asked", [(), (0,), (5, -1), (2**32, 1)])
def test_a_procedure_that_asks_for_what_cannot_be_is_refused(linear_variables, examples, asked):
  class Wrong:
    def steps(self, noise):
      yield asked

  with pytest.raises(ValueError, match="a procedure must ask"):
    run(linear_variables, examples, Wrong())


def test_a_procedures_own_error_goes_through(linear_variables, examples):
  class Failing:
    def steps(self, noise):
      yield (10,)
      raise ZeroDivisionError("mine")

  with pytest.raises(ZeroDivisionError, match="mine"):
    run(linear_variables, examples, Failing())


@pytest.mark.parametrize("settings", [dict(rows=0), dict(rows=2**25), dict(depth=-1), dict(images=0)])
def test_an_execution_out_of_range_is_refused(settings):
  with pytest.raises(InputError, match=f"{next(iter(settings))}"):
    Execution(**settings)

import itertools

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import linear

from rsjax import noise, packing, votes
from rsjax.errors import InputError
from rsjax.votes import Execution, Request

SIGMA, SEED = 0.5, 3


def count(apply, variables, requests, execution, **kwargs):
  return list(
    votes.count_votes(apply, variables, requests, seed=SEED, sigma=SIGMA, execution=execution, **kwargs)
  )


def loop(apply, variables, requests):
  """The definition: one draw after the other, in Python."""
  key = noise.base_key(SEED)
  for r in requests:
    total = np.zeros(votes.class_count(apply, variables, r.image.shape), np.int64)
    for draw in range(r.first, r.first + r.count):
      z = noise.standard_normal(key, jnp.uint32([r.index]), jnp.uint32([draw]), r.image.shape)
      logits = np.asarray(apply(variables, r.image[None].astype(np.float32) / 255 + SIGMA * z))[0]
      if np.isfinite(logits).all():
        total[logits.argmax()] += 1
    yield total


@pytest.fixture
def requests(images):
  """Selection and estimation of different sizes, indices out of order."""
  sizes = [(0, 10), (10, 57), (0, 1), (1, 100), (0, 33), (40, 3)]
  return [Request(image, 7 * i % 5, *size) for i, (image, size) in enumerate(zip(images, sizes))]


def test_votes_are_those_of_a_python_loop_over_draws(linear_variables, requests):
  found = count(linear, linear_variables, requests, Execution(16))
  assert [v.dtype for v in found] == [np.int64] * 6
  np.testing.assert_array_equal(found, list(loop(linear, linear_variables, requests)))


@pytest.mark.parametrize("devices", [1, 2, 8])
@pytest.mark.parametrize("rows", [1, 7, 64, 1000])
def test_votes_do_not_depend_on_devices_rows_or_depth(linear_variables, requests, cpu_mesh, devices, rows):
  wanted = count(linear, linear_variables, requests, Execution(16, cpu_mesh(1)))
  execution = Execution(rows, cpu_mesh(devices), depth=rows % 3)
  np.testing.assert_array_equal(count(linear, linear_variables, requests, execution), wanted)


def test_votes_do_not_depend_on_order_or_on_slots(linear_variables, requests):
  wanted = count(linear, linear_variables, requests, Execution(64))
  backwards = count(linear, linear_variables, requests[::-1], Execution(64), smallest_count=60)
  np.testing.assert_array_equal(backwards[::-1], wanted)


def test_draws_are_each_counted_once(linear_variables, images):
  whole = count(linear, linear_variables, [Request(images[0], 4, 0, 500)], Execution(64))
  parts = [Request(images[0], 4, first, 100) for first in range(0, 500, 100)]
  np.testing.assert_array_equal(sum(count(linear, linear_variables, parts, Execution(48))), whole[0])


def test_packing_fills_every_step_and_asks_for_each_draw_once():
  rng = np.random.default_rng(0)
  for _ in range(50):
    requests = [Request(None, i, int(rng.integers(50)), int(rng.integers(1, 300))) for i in range(20)]
    rows, smallest = int(rng.integers(1, 200)), min(r.count for r in requests)
    slots = rows // smallest + 2
    work = packing.Work(requests)
    steps = []
    while segments := work.take(rows, slots):
      steps.append(segments)
    assert len(steps) == -(-sum(r.count for r in requests) // rows)
    assert max(len(step) for step in steps) <= slots
    asked = [(r.index, d) for step in steps for r, first, n, _ in step for d in range(first, first + n)]
    assert asked == [(r.index, d) for r in requests for d in range(r.first, r.first + r.count)]


def test_a_whole_run_compiles_one_program(linear_variables, images):
  compiled = []
  jax.monitoring.register_event_duration_secs_listener(
    lambda event, *_, **__: compiled.append(event) if event.endswith("backend_compile_duration") else None
  )

  def fresh(variables, x):  # not compiled by another test
    return linear(variables, x)

  fresh_variables = jax.device_put(linear_variables)
  run = lambda requests: count(fresh, fresh_variables, requests, Execution(40), smallest_count=10)
  run([Request(images[0], 0, 0, 10)])
  first = len(compiled)
  assert first >= 1
  # Other images, selection and estimation, a last part-filled step, another number of images.
  run([Request(image, i, first, n) for i, image in enumerate(images) for first, n in ((0, 10), (10, 333))])
  assert len(compiled) == first
  jax.monitoring.clear_event_listeners()


def test_no_step_moves_data_unasked_or_waits(linear_variables, requests, monkeypatch):
  """Images go up and votes come down explicitly, votes `depth` steps after their step was dispatched."""
  events, make_step = [], votes._make_step

  class Watched:
    def __init__(self, votes):
      self.votes, self.number = votes, len([e for e in events if e[0] == "dispatch"])
      events.append(("dispatch", self.number))

  def device_get(watched, get=jax.device_get):
    events.append(("read", watched.number))
    return get(watched.votes)

  wanted = count(linear, linear_variables, requests, Execution(16))
  monkeypatch.setattr(votes, "_make_step", lambda *a: lambda *b: Watched(make_step(*a)(*b)))
  monkeypatch.setattr(jax, "device_get", device_get)
  with jax.transfer_guard("disallow"):
    found = count(linear, linear_variables, requests, Execution(16, depth=3))
  np.testing.assert_array_equal(found, wanted)
  steps = -(-sum(r.count for r in requests) // 16)
  assert len(events) == 2 * steps
  for k in range(steps - 3):
    assert events.index(("read", k)) > events.index(("dispatch", k + 3))


@pytest.mark.parametrize("when", ["at dispatch", "at reading", "at compilation"])
def test_too_little_memory_means_fewer_rows_and_the_same_votes(
  linear_variables, requests, monkeypatch, caplog, when
):
  wanted = count(linear, linear_variables, requests, Execution(64))
  make_step, most = votes._make_step, 20

  class Failing:
    def __array__(self, dtype=None, copy=None):
      raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

  def make(apply, mesh, rows, *rest):
    def step(*args):
      if rows > most and when == "at reading":
        return Failing()
      if rows > most:
        Failing().__array__()
      return make_step(apply, mesh, rows, *rest)(*args)

    if rows > most and when == "at compilation":
      Failing().__array__()
    return step

  monkeypatch.setattr(votes, "_make_step", make)
  found = count(linear, linear_variables, requests, Execution(64))
  np.testing.assert_array_equal(found, wanted)
  assert [r.getMessage() for r in caplog.records] == [
    "memory is too small for 64 noisy images a step: going on with 32",
    "memory is too small for 32 noisy images a step: going on with 16",
  ]
  most = 0
  with pytest.raises(InputError, match="too small for 8 noisy"):
    count(linear, linear_variables, requests, Execution(8))


def test_too_little_memory_in_the_middle_loses_and_repeats_nothing(
  linear_variables, requests, monkeypatch, caplog
):
  """The requests of steps in flight, one of them half read, are done again in smaller steps."""
  wanted = count(linear, linear_variables, requests, Execution(64))
  make_step = votes._make_step
  for failing in range(1, 7):
    calls = itertools.count()

    def make(*a, calls=calls, failing=failing):
      def step(*b):
        if next(calls) == failing:
          raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return make_step(*a)(*b)

      return step

    monkeypatch.setattr(votes, "_make_step", make)
    drawn = []
    found = count(linear, linear_variables, requests, Execution(24, depth=2), progress=drawn.append)
    np.testing.assert_array_equal(found, wanted)
    assert sum(drawn) == sum(r.count for r in requests)
  assert len(caplog.records) == 6


def test_other_errors_of_the_runtime_are_not_hidden(linear_variables, requests, monkeypatch):
  def make(*_):
    raise jax.errors.JaxRuntimeError("INTERNAL: something else")

  monkeypatch.setattr(votes, "_make_step", make)
  with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
    count(linear, linear_variables, requests, Execution(8))


def test_one_collective_a_step(linear_variables, cpu_mesh):
  mesh = cpu_mesh(8)
  step = votes._make_step(linear, mesh, 64, 4, 2)
  segments = packing.Work([Request(np.zeros((4, 4, 1), np.uint8), 0, 0, 64)]).take(64, 4)
  arguments = (*packing.step_images(segments, 4), *packing.step_draws(segments, 64, 4))
  text = step.lower(linear_variables, np.uint32(0), np.float32(1), *arguments).compile().as_text()
  assert text.count(" all-reduce(") == 1
  assert "all-gather(" not in text
  assert "all-to-all(" not in text


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_draws_with_logits_that_are_not_finite_vote_for_nobody(linear_variables, images, bad):
  def sick(variables, x):
    logits = linear(variables, x)
    return logits.at[:, 0].set(jnp.where(x[:, 0, 0, 0] > 0.5, bad, logits[:, 0]))

  requests = [Request(images[0], 0, 0, 400)]
  wanted = list(loop(sick, linear_variables, requests))
  np.testing.assert_array_equal(count(sick, linear_variables, requests, Execution(64)), wanted)
  assert 0 < wanted[0].sum() < 400


def test_all_nan_is_no_vote_for_class_0(images):
  nan = lambda variables, x: jnp.full((len(x), 3), jnp.nan)
  assert count(nan, (), [Request(images[0], 0, 0, 100)], Execution(32))[0].tolist() == [0, 0, 0]


def test_float_images_are_taken_as_they_are(linear_variables, images):
  as_float = (images[0] / 255).astype(np.float32)
  a = count(linear, linear_variables, [Request(as_float, 0, 0, 300)], Execution(64))
  b = count(linear, linear_variables, [Request(images[0], 0, 0, 300)], Execution(64))
  np.testing.assert_array_equal(a, b)


def test_requests_are_taken_only_as_rows_become_free(linear_variables, images):
  taken = []

  def requests():
    for i in itertools.count():
      taken.append(i)
      yield Request(images[i % 6], i, 0, 64)

  stream = votes.count_votes(
    linear, linear_variables, requests(), seed=0, sigma=1.0, execution=Execution(64, depth=3)
  )
  next(stream)
  assert len(taken) <= 3 + 2
  next(stream)
  assert len(taken) <= 3 + 3


def test_progress_tells_of_every_draw(linear_variables, requests):
  arrived = []
  count(linear, linear_variables, requests, Execution(50), progress=arrived.append)
  assert sum(arrived) == sum(r.count for r in requests)
  assert max(arrived) <= 50 + 7  # rows, rounded up to the devices


def test_no_requests_no_votes(linear_variables):
  assert count(linear, linear_variables, [], Execution()) == []


def test_images_of_another_shape_are_refused(linear_variables, images):
  requests = [Request(images[0], 0, 0, 5), Request(np.zeros((5, 4, 1), np.uint8), 1, 0, 5)]
  with pytest.raises(InputError, match=r"image 1 uint8\[5, 4, 1\]"):
    count(linear, linear_variables, requests, Execution(16))


@pytest.mark.parametrize("apply", [lambda v, x: x, lambda v, x: x[:, 0, 0, 0], lambda v, x: x @ jnp.ones(7)])
def test_functions_that_give_no_logits_are_refused(images, apply):
  with pytest.raises(InputError):
    count(apply, (), [Request(images[0], 0, 0, 5)], Execution(16))

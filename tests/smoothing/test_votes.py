"""Votes of draws: those of a Python loop, whatever decides speed, and how the device steps are run."""

import functools
import itertools

import jax
import jax.monitoring
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import linear
from jax.sharding import NamedSharding, PartitionSpec

from rsjax.devices import meshes
from rsjax.errors import InputError
from rsjax.noise import Gaussian, threefry
from rsjax.smoothing import Execution, outcomes, votes

NOISE, SEED = Gaussian(0.5), 3

# What each of six images asks for: rounds, and groups of draws within a round.
ASKED = [[(10,)], [(10, 57)], [(1,)], [(1,), (100,)], [(33,)], [(40, 3)]]
DRAWS = 10 + 67 + 1 + 101 + 33 + 43


class Asking:
  """A procedure that asks for given draws, each image for its own, and answers with the votes of all groups."""

  def __init__(self, asked):
    self._asked = iter(asked)

  def steps(self, noise):
    groups = []
    for draws in next(self._asked):
      groups += yield draws
    return groups


def count(apply, variables, examples, asked, execution, **kwargs):
  """[int64[classes] of each group] of each image, in order."""
  found = outcomes(apply, variables, examples, Asking(asked), NOISE, seed=SEED, execution=execution, **kwargs)
  return [groups for _, groups in found]


def loop(apply, variables, examples, asked):
  """The definition: one draw after the other, in Python, numbered from 0 for each image."""
  key = threefry.base_key(SEED)
  for (index, image), rounds in zip(examples, asked):
    draw, groups = itertools.count(), []
    for size in itertools.chain(*rounds):
      total = np.zeros(votes.class_count(apply, variables, image.shape), np.int64)
      for number in itertools.islice(draw, size):
        z = threefry.standard_normal(key, jnp.uint32([index]), jnp.uint32([number]), image.shape)
        logits = np.asarray(apply(variables, image[None].astype(np.float32) / 255 + NOISE.parameters() * z))[0]
        if np.isfinite(logits).all():
          total[logits.argmax()] += 1
      groups.append(total)
    yield groups


def assert_same(found, wanted):
  assert [len(groups) for groups in found] == [len(groups) for groups in wanted]
  np.testing.assert_array_equal(np.concatenate(found), np.concatenate(wanted))


@pytest.fixture
def examples(images):
  """(index, image) of six images, indices out of order, one of them twice."""
  return [(7 * i % 5, image) for i, image in enumerate(images)]


def test_votes_are_those_of_a_python_loop_over_draws(linear_variables, examples):
  found = count(linear, linear_variables, examples, ASKED, Execution(16))
  assert {v.dtype for groups in found for v in groups} == {np.dtype(np.int64)}
  assert_same(found, list(loop(linear, linear_variables, examples, ASKED)))


@pytest.mark.parametrize("devices", [1, 2, 8])
@pytest.mark.parametrize("rows", [1, 7, 64, 1000])
def test_votes_do_not_depend_on_devices_rows_or_depth(linear_variables, examples, cpu_mesh, devices, rows):
  wanted = count(linear, linear_variables, examples, ASKED, Execution(16, cpu_mesh(1)))
  execution = Execution(rows, cpu_mesh(devices), depth=rows % 3)
  assert_same(count(linear, linear_variables, examples, ASKED, execution), wanted)


@pytest.mark.parametrize("devices", [1, 8])
def test_votes_do_not_depend_on_how_weights_lie_in_memory(examples, cpu_mesh, monkeypatch, devices):
  """As cuDNN reads those of convolutions; the order of axes that the function sees stays the same."""

  def apply(variables, x):
    layout = ("NHWC", "HWIO", "NHWC")
    y = jax.lax.conv_general_dilated(x, variables["kernel"], (1, 1), "SAME", dimension_numbers=layout)
    return y.max((1, 2))

  variables = {"kernel": np.random.default_rng(0).normal(size=(3, 3, 1, 5)).astype(np.float32)}
  everywhere = NamedSharding(cpu_mesh(devices), PartitionSpec())
  order = lambda: meshes.put_weights(variables, everywhere)["kernel"].format.layout.major_to_minor
  assert order() == (0, 1, 2, 3)
  wanted = count(apply, variables, examples, ASKED, Execution(64))
  monkeypatch.setitem(meshes._KERNEL_ORDER, "cpu", (3, 0, 1, 2))
  assert order() == (3, 0, 1, 2)
  assert_same(count(apply, variables, examples, ASKED, Execution(64, cpu_mesh(devices))), wanted)


@pytest.mark.parametrize("in_flight", [1, 2, 5])
def test_votes_do_not_depend_on_order_or_on_images_in_flight(linear_variables, examples, in_flight):
  wanted = count(linear, linear_variables, examples, ASKED, Execution(64))
  execution = Execution(64, images=in_flight)
  backwards = count(linear, linear_variables, examples[::-1], ASKED[::-1], execution)
  assert_same(backwards[::-1], wanted)


def test_draws_are_each_counted_once(linear_variables, images):
  run = lambda asked, rows: count(linear, linear_variables, [(4, images[0])], [asked], Execution(rows))[0]
  [whole] = run([(500,)], 64)
  at_once, one_by_one = run([(100,) * 5], 48), run([(100,)] * 5, 48)
  np.testing.assert_array_equal(at_once, one_by_one)
  np.testing.assert_array_equal(sum(at_once), whole)


def test_a_whole_run_compiles_one_program(linear_variables, images):
  compiled = []
  jax.monitoring.register_event_duration_secs_listener(
    lambda event, *_, **__: compiled.append(event) if event.endswith("backend_compile_duration") else None
  )

  def fresh(variables, x):  # not compiled by another test
    return linear(variables, x)

  fresh_variables = jax.device_put(linear_variables)
  run = lambda examples, asked: count(fresh, fresh_variables, examples, asked, Execution(40))
  run([(0, images[0])], [[(10,)]])
  first = len(compiled)
  assert first >= 1
  # Other images, selection and estimation, later rounds, a last part-filled step, more images than slots.
  many = [(i, images[i % 6]) for i in range(20)]
  run(many, [[(10, 333)], [(1,), (50,)]] * 10)
  assert len(compiled) == first
  jax.monitoring.clear_event_listeners()


def test_no_step_moves_data_unasked_or_waits(linear_variables, images, monkeypatch):
  """Images go up and votes come down explicitly, votes `depth` steps after their step was dispatched."""
  events, make_step = [], votes._make_step

  class Watched:
    def __init__(self, votes):
      self.votes, self.number = votes, len([e for e in events if e[0] == "dispatch"])
      events.append(("dispatch", self.number))

  def device_get(watched, get=jax.device_get):
    events.append(("read", watched.number))
    return get(watched.votes)

  examples, asked = list(enumerate(images)), [[(10, 57)], [(100,)], [(1,)]] * 2
  wanted = count(linear, linear_variables, examples, asked, Execution(16))
  monkeypatch.setattr(votes, "_make_step", lambda *a: lambda *b: Watched(make_step(*a)(*b)))
  monkeypatch.setattr(jax, "device_get", device_get)
  with jax.transfer_guard("disallow"):
    found = count(linear, linear_variables, examples, asked, Execution(16, depth=3))
  assert_same(found, wanted)
  steps = -(-2 * (67 + 100 + 1) // 16)
  assert len(events) == 2 * steps
  for k in range(steps - 3):
    assert events.index(("read", k)) > events.index(("dispatch", k + 3))


@pytest.mark.parametrize("when", ["at dispatch", "at reading", "at compilation"])
def test_too_little_memory_means_fewer_rows_and_the_same_votes(
  linear_variables, examples, monkeypatch, caplog, when
):
  wanted = count(linear, linear_variables, examples, ASKED, Execution(64))
  make_step, most = votes._make_step, 20

  class Failing:
    def __array__(self, dtype=None, copy=None):
      raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")

  def make(apply, perturb, mesh, rows, *rest):
    def step(*args):
      if rows > most and when == "at reading":
        return Failing()
      if rows > most:
        Failing().__array__()
      return make_step(apply, perturb, mesh, rows, *rest)(*args)

    if rows > most and when == "at compilation":
      Failing().__array__()
    return step

  monkeypatch.setattr(votes, "_make_step", make)
  assert_same(count(linear, linear_variables, examples, ASKED, Execution(64)), wanted)
  assert [r.getMessage() for r in caplog.records] == [
    "memory is too small for 64 noisy images per step: going on with 32",
    "memory is too small for 32 noisy images per step: going on with 16",
  ]
  most = 0
  with pytest.raises(InputError, match="too small for 8 noisy images per step: give fewer `rows`"):
    count(linear, linear_variables, examples, ASKED, Execution(8))


def test_too_little_memory_in_the_middle_loses_and_repeats_nothing(
  linear_variables, examples, monkeypatch, caplog
):
  """The draws of steps in flight, one of them half read, are done again in smaller steps."""
  wanted = count(linear, linear_variables, examples, ASKED, Execution(64))
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
    execution = Execution(24, depth=2)
    found = count(linear, linear_variables, examples, ASKED, execution, progress=drawn.append)
    assert_same(found, wanted)
    assert sum(drawn) == DRAWS
  assert len(caplog.records) == 6


def test_other_errors_of_the_runtime_are_not_hidden(linear_variables, examples, monkeypatch):
  def make(*_):
    raise jax.errors.JaxRuntimeError("INTERNAL: something else")

  monkeypatch.setattr(votes, "_make_step", make)
  with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
    count(linear, linear_variables, examples, ASKED, Execution(8))


def test_one_collective_a_step(linear_variables, cpu_mesh, compile_voting_step):
  text = compile_voting_step(linear, linear_variables, (4, 4, 1), 2, cpu_mesh(8), 64).as_text()
  assert text.count(" all-reduce(") == 1
  assert "all-gather(" not in text
  assert "all-to-all(" not in text


def test_draws_with_logits_that_are_not_finite_vote_for_nobody(linear_variables, images):
  def sick(bad, variables, x):
    logits = linear(variables, x)
    return logits.at[:, 0].set(jnp.where(x[:, 0, 0, 0] > 0.5, bad, logits[:, 0]))

  examples, asked = [(0, images[0])], [[(400,)]]
  [[wanted]] = loop(functools.partial(sick, jnp.nan), linear_variables, examples, asked)
  assert 0 < wanted.sum() < 400
  for bad in (jnp.nan, jnp.inf, -jnp.inf):
    [[found]] = count(functools.partial(sick, bad), linear_variables, examples, asked, Execution(64))
    np.testing.assert_array_equal(found, wanted)


def test_all_nan_is_no_vote_for_class_0(images):
  nan = lambda variables, x: jnp.full((len(x), 3), jnp.nan)
  [[found]] = count(nan, (), [(0, images[0])], [[(100,)]], Execution(32))
  assert found.tolist() == [0, 0, 0]


def test_float_images_are_taken_as_they_are(linear_variables, images):
  as_float = (images[0] / 255).astype(np.float32)
  found, wanted = (
    count(linear, linear_variables, [(0, image)], [[(300,)]], Execution(64)) for image in (as_float, images[0])
  )
  assert_same(found, wanted)


def test_images_are_taken_only_as_rows_become_free(linear_variables, images):
  taken = []

  def examples():
    for i in itertools.count():
      taken.append(i)
      yield i, images[i % 6]

  stream = lambda draws, execution: outcomes(
    linear, linear_variables, examples(), Asking(itertools.repeat([(draws,)])), NOISE, execution=execution
  )
  filling = stream(64, Execution(64, depth=3))
  next(filling)
  assert len(taken) <= 3 + 2
  next(filling)
  assert len(taken) <= 3 + 3
  taken.clear()
  few = stream(5, Execution(64, images=2))
  next(few)
  assert len(taken) <= 2 + 1


def test_progress_tells_of_every_draw(linear_variables, examples):
  arrived = []
  count(linear, linear_variables, examples, ASKED, Execution(50), progress=arrived.append)
  assert sum(arrived) == DRAWS
  assert max(arrived) <= 50 + 7  # rows, rounded up to the devices


def test_no_images_no_votes(linear_variables):
  assert count(linear, linear_variables, [], [], Execution()) == []


def test_images_of_another_shape_are_refused(linear_variables, images):
  examples = [(0, images[0]), (1, np.zeros((5, 4, 1), np.uint8))]
  with pytest.raises(InputError, match=r"image 1 is uint8\[5, 4, 1\]"):
    count(linear, linear_variables, examples, [[(5,)]] * 2, Execution(16))


@pytest.mark.parametrize("apply", [lambda v, x: x, lambda v, x: x[:, 0, 0, 0]])
def test_functions_that_give_no_logits_are_refused(images, apply):
  with pytest.raises(InputError, match=r"must return logits\[2, classes\]"):
    count(apply, (), [(0, images[0])], [[(5,)]], Execution(16))


def test_what_a_classifier_raises_goes_through_with_a_note_of_how_it_was_called(images):
  raised = KeyError("its own")

  def apply(variables, x):
    raise raised

  with pytest.raises(KeyError) as caught:
    count(apply, (), [(0, images[0])], [[(5,)]], Execution(16))
  assert caught.value is raised
  assert "apply(variables, float32[2, 4, 4, 1])" in "\n".join(raised.__notes__)

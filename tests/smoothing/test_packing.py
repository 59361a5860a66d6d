"""Requests cut into full steps."""

import numpy as np

from rsjax.smoothing import packing
from rsjax.smoothing.packing import Request


def random_requests(rng):
  return [Request(None, i, int(rng.integers(50)), int(rng.integers(1, 300))) for i in range(20)]


def draws(steps):
  """(index, draw number) of each row of these steps, in order."""
  return [(r.index, d) for step in steps for r, first, n in step for d in range(first, first + n)]


def test_packing_fills_every_step_and_asks_for_each_draw_once():
  rng = np.random.default_rng(0)
  for _ in range(50):
    requests = random_requests(rng)
    rows, smallest = int(rng.integers(1, 200)), min(r.count for r in requests)
    slots = rows // smallest + 2
    work, steps = packing.Work(), []
    for request in requests:
      work.add(request)
    total = sum(r.count for r in requests)
    assert (len(work), work.rows) == (len(requests), total)
    while work:
      assert work.fills(rows, slots) == (work.rows >= rows or len(work) >= slots)
      steps.append(work.take(rows, slots))
    assert len(steps) == -(-total // rows)
    assert max(len(step) for step in steps) <= slots
    assert draws(steps) == [(r.index, d) for r in requests for d in range(r.first, r.first + r.count)]
    assert work.take(rows, slots) == [] and work.rows == 0


def test_what_is_put_back_is_taken_again_first_and_in_order():
  rng = np.random.default_rng(1)
  for _ in range(50):
    work, again = packing.Work(), packing.Work()
    for request in random_requests(rng):
      work.add(request)
      again.add(request)
    rows, slots = int(rng.integers(1, 200)), int(rng.integers(1, 10))
    lost = [segment for _ in range(3) for segment in work.take(rows, slots)]
    work.put_back(lost)
    assert work.rows == again.rows
    everything = lambda work: [work.take(7, 3) for _ in iter(lambda: len(work), 0)]
    assert draws(everything(work)) == draws(everything(again))


def test_few_slots_limit_a_step():
  work = packing.Work()
  for index in range(5):
    work.add(Request(None, index, 0, 2))
  assert work.fills(rows=100, slots=3)
  assert [len(work.take(100, 3)) for _ in range(2)] == [3, 2]


def test_a_steps_arrays_name_every_row():
  images = [np.full((2, 2, 1), value, np.uint8) for value in (3, 5)]
  work = packing.Work()
  work.add(Request(images[0], 70, 10, 3))
  work.add(Request(images[1], 80, 0, 9))
  segments = work.take(rows=8, slots=4)
  held, index = packing.step_images(segments, 4)
  slot, draw = packing.step_draws(segments, 8, 4)
  np.testing.assert_array_equal(held[:2], images)
  assert (index.dtype, index[:2].tolist()) == (np.uint32, [70, 80])
  assert (slot.tolist(), draw.tolist()) == ([0] * 3 + [1] * 5, [10, 11, 12, 0, 1, 2, 3, 4])
  slot, draw = packing.step_draws(work.take(rows=8, slots=4), 8, 4)
  assert slot.tolist() == [0] * 4 + [4] * 4  # the last four rows are nobody's
  assert draw[:4].tolist() == [5, 6, 7, 8]

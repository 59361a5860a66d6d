"""How long the process still runs after Ctrl-C and SIGTERM."""

import contextlib
import gc
import signal
import time

import pytest

from rsjax.cli import interrupts


@pytest.fixture
def ended(monkeypatch):
  """The exit codes with which the watching thread ended the process, all times divided by 100."""
  codes = []
  monkeypatch.setattr(interrupts, "_end", codes.append)
  monkeypatch.setattr(interrupts, "AT_ONCE", interrupts.AT_ONCE / 100)
  monkeypatch.setattr(interrupts, "AT_MOST", interrupts.AT_MOST / 100)
  return codes


def blocked(*numbers, seconds):
  """A main thread that gets signals and does not end for some time, as within a compilation."""
  for number in numbers:
    with contextlib.suppress(KeyboardInterrupt):
      signal.raise_signal(number)
  time.sleep(seconds)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_main_thread_that_cannot_end_is_ended(number, code, ended, capfd):
  with interrupts.catching("the same command continues"):
    blocked(number, seconds=0.01)
    assert ended == []
    time.sleep(0.3)
  assert ended == [code]
  assert "the same command continues" in capfd.readouterr().err


def test_one_that_ends_in_time_is_not(ended):
  for _ in range(3):
    with interrupts.catching():
      blocked(signal.SIGTERM, seconds=0.01)
  time.sleep(0.3)
  assert ended == []


def test_a_signal_during_a_garbage_collection_is_not_lost_and_prints_no_trace(ended, capfd):
  callback = lambda phase, info: signal.raise_signal(signal.SIGINT) if phase == "start" else None
  gc.callbacks.append(callback)
  try:
    with interrupts.catching():
      gc.collect()
      with pytest.raises(KeyboardInterrupt):
        interrupts.check()
  finally:
    gc.callbacks.remove(callback)
  assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
  ("numbers", "codes"),
  [
    ([signal.SIGTERM], [143]),  # bounded, whatever is being finished
    ([signal.SIGINT], []),  # who pressed Ctrl-C can press it again
    ([signal.SIGINT, signal.SIGINT], [130]),
    ([signal.SIGTERM, signal.SIGINT], [143]),
  ],
)
def test_what_is_being_finished_has_an_end(numbers, codes, ended):
  with interrupts.catching():
    interrupts.finish_first("saving")
    blocked(*numbers, seconds=0.5)
  assert ended == codes


def test_an_image_is_given_up_when_it_takes_too_long(ended, capfd):
  with interrupts.catching():
    interrupts.finish_first("finishing the image", 0.05)
    signal.raise_signal(signal.SIGTERM)
    interrupts.check_unless_finishing()
    time.sleep(0.06)
    with pytest.raises(KeyboardInterrupt):
      interrupts.check_unless_finishing()
  assert "finishing the image for at most 0 s; interrupt again to stop at once" in capfd.readouterr().err


def test_the_bounds_are_below_what_clusters_wait():
  from rsjax.cli import progress

  assert progress._PATIENCE < interrupts.AT_MOST < 30

"""Ctrl-C and SIGTERM: the first signal lets the work in progress finish, the second stops at once.

    with catching():  # a signal is a KeyboardInterrupt ...
      finish_first("finishing the row", 10)  # ... but from here on the first is only noted ...
      for row in rows:
        write(row)
        check()  # ... and raised here, or by check_unless_finishing once ten seconds are over
    code()  # 130 or 143 if a signal came, else None

A KeyboardInterrupt that is raised during a garbage collection is lost, without a word while `catching`:
long-running code calls `check` now and then.

A KeyboardInterrupt also waits for whatever runs outside Python: a compilation, a device step, other processes.
A thread that the system notifies of signals therefore ends the process if the main thread does not: `AT_ONCE`
seconds after a signal that is to stop at once, and in any case `AT_MOST` seconds after SIGTERM. This loses
nothing that a kill would not lose: files are written whole or can be continued.
"""

import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

CODES: dict[int, int] = {signal.SIGINT: 130, signal.SIGTERM: 143}
AT_ONCE = 5.0  # seconds that the main thread has to end after a signal that lets nothing be finished
AT_MOST = 20.0  # seconds from SIGTERM to the end of the process; clusters kill after 30

_came: list[int] = []  # the signals since `catching`
_patient: list[str | None] = [None]  # what is done first where the first is only noted
_patience: list[float] = [float("inf")]  # seconds for which it may go on
_first: list[float] = []  # when the first signal came
_end = os._exit  # how the process is ended at once
_last: list[Callable[[], None]] = []  # what is done before


@contextlib.contextmanager
def catching(last_words: str = "") -> Iterator[None]:
  """Raises KeyboardInterrupt for SIGINT and SIGTERM within; in the main thread only.

  Args:
    last_words: what is printed if the process ends without the main thread.
  """
  _came.clear()
  _first.clear()
  _patient[0] = None
  if threading.current_thread() is not threading.main_thread():
    yield
    return
  before = {number: signal.signal(number, _handle) for number in CODES}
  unraisable = sys.unraisablehook
  sys.unraisablehook = lambda lost: None if lost.exc_type is KeyboardInterrupt else unraisable(lost)
  wakes, told = os.pipe()
  os.set_blocking(told, False)
  woken = signal.set_wakeup_fd(told, warn_on_full_buffer=False)
  watcher = threading.Thread(target=_watch, args=(wakes, last_words), daemon=True)
  watcher.start()
  try:
    yield
  finally:
    sys.unraisablehook = unraisable
    signal.set_wakeup_fd(woken)
    os.close(told)  # ends the thread
    watcher.join()
    os.close(wakes)
    for number, handler in before.items():
      signal.signal(number, handler)


class Terminated(BaseException):
  """SIGTERM, for a run that Ctrl-C would end for good: it is left as a kill leaves it, to be continued."""


def finish_first(what: str, seconds: float = float("inf")) -> None:
  """From here on a first signal is only noted, until `check` is called.

  Args:
    what: the work to finish first, as the message on a signal names it.
    seconds: how long `check_unless_finishing` lets that work go on.
  """
  _patience[0] = seconds
  _patient[0] = what


def check() -> None:
  """Raises KeyboardInterrupt if a signal came."""
  if _came:
    raise KeyboardInterrupt


def check_for_good() -> None:
  """Raises KeyboardInterrupt if Ctrl-C came, which ends a run for good, and Terminated if SIGTERM did."""
  if _came:
    raise Terminated if _came[0] == signal.SIGTERM else KeyboardInterrupt


def check_unless_finishing() -> None:
  """`check`, unless some work is to finish first and has not taken too long."""
  if _came and (not _patient[0] or len(_came) > 1 or time.monotonic() - _first[0] > _patience[0]):
    raise KeyboardInterrupt


def before_ending(act: Callable[[], None]) -> None:
  """Has `act` called before a signal ends the process; it must be quick and never raise."""
  _last.append(act)


def end(code: int) -> None:
  """Ends the process at once, without its destructors."""
  for act in _last:
    act()
  _end(code)


def code() -> int | None:
  """The exit code for the signal that came, or None."""
  return CODES[_came[0]] if _came else None


def _handle(number: int, frame: Any) -> None:
  _came.append(number)
  _first.append(time.monotonic())
  if _patient[0] and len(_came) == 1:
    most = f" for at most {_patience[0]:.0f} s" if _patience[0] < float("inf") else ""
    with contextlib.suppress(OSError):
      os.write(2, f"\n{_patient[0]}{most}; interrupt again to stop at once\n".encode())
    return
  raise KeyboardInterrupt


def _watch(wakes: int, last_words: str) -> None:
  """Ends the process where the main thread does not; returns when the other end of the pipe is closed."""
  came: list[int] = []
  deadline = None
  while True:
    left = None if deadline is None else max(0.0, deadline - time.monotonic())
    if not select.select([wakes], [], [], left)[0]:
      break
    told = os.read(wakes, 64)
    if not told:
      return
    for number in filter(CODES.__contains__, told):
      came.append(number)
      waits = AT_ONCE if len(came) > 1 or not _patient[0] else AT_MOST
      if waits == AT_ONCE or number == signal.SIGTERM:
        deadline = min(deadline or float("inf"), time.monotonic() + waits)
  with contextlib.suppress(OSError):
    os.write(2, f"\n{last_words}\n".encode())
  end(CODES[came[0]])

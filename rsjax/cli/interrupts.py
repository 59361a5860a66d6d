"""Ctrl-C and SIGTERM: the first lets what is being finished be finished, the second stops at once.

    with catching():  # a signal is a KeyboardInterrupt ...
      finish_first("finishing the row")  # ... but from here on the first is only noted ...
      for row in rows:
        write(row)
        check()  # ... and raised here
    code()  # 130 or 143 where a signal came, else None

Raised within a garbage collection, a KeyboardInterrupt is lost: whoever runs long calls `check` now and then.
"""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

CODES: dict[int, int] = {signal.SIGINT: 130, signal.SIGTERM: 143}

_came: list[int] = []  # the signals since `catching`
_patient: list[str | None] = [None]  # what is done first where the first is only noted


@contextlib.contextmanager
def catching() -> Iterator[None]:
  """Raises KeyboardInterrupt for SIGINT and SIGTERM within; in the main thread only."""
  _came.clear()
  _patient[0] = None
  if threading.current_thread() is not threading.main_thread():
    yield
    return
  before = {number: signal.signal(number, _handle) for number in CODES}
  try:
    yield
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)


def finish_first(what: str) -> None:
  """From here on a first signal is only noted, until `check`; `what` is said then: what is done before."""
  _patient[0] = what


def check() -> None:
  """Raises KeyboardInterrupt if a signal came."""
  if _came:
    raise KeyboardInterrupt


def check_unless_finishing() -> None:
  """`check`, where nothing is to be finished first."""
  if not _patient[0] or len(_came) > 1:
    check()


def code() -> int | None:
  """The exit code for the signal that came, or None."""
  return CODES[_came[0]] if _came else None


def _handle(number: int, frame: Any) -> None:
  _came.append(number)
  if _patient[0] and len(_came) == 1:
    os.write(2, f"\n{_patient[0]}; once more stops at once\n".encode())
    return
  raise KeyboardInterrupt

"""Standard output and error that may be closed, without a reader, or in an encoding other than UTF-8."""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any


class _Tolerant:
  """A text stream whose reader may go away, as `head` does, without ending a run of hours."""

  def __init__(self, stream: Any) -> None:
    self._stream = stream

  def write(self, text: str) -> int:
    try:
      return self._tried(self._stream.write, text)
    except UnicodeEncodeError:  # a name of a file that is not UTF-8, or a terminal that is not
      code = self._stream.encoding
      return self._tried(self._stream.write, text.encode(code, "backslashreplace").decode(code))

  def flush(self) -> None:
    self._tried(self._stream.flush)

  def _tried(self, function: Any, *arguments: Any) -> Any:
    try:
      return function(*arguments)
    except BrokenPipeError:
      _to_nowhere(self._stream.fileno())
      return function(*arguments)

  def __getattr__(self, name: str) -> Any:
    return getattr(self._stream, name)


@contextlib.contextmanager
def tolerant() -> Iterator[None]:
  """Makes `print` safe within, whatever standard output and error are."""
  open_closed()
  before = sys.stdout, sys.stderr
  sys.stdout, sys.stderr = (_Tolerant(stream) for stream in before)  # type: ignore[assignment]
  try:
    yield
  finally:
    sys.stdout, sys.stderr = before


def open_closed() -> None:
  """Opens closed standard streams (`>&-`) to nowhere; otherwise a result file would get their descriptors.

  Libraries write to descriptors 1 and 2, whatever is open there.
  """
  for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
    if getattr(sys, name) is None:
      with contextlib.suppress(OSError):
        os.fstat(number)  # something else has the number: it is left alone
        setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
        continue
      _to_nowhere(number)
      setattr(sys, name, os.fdopen(number, mode, closefd=False))


def flush() -> None:
  """Flushes both streams; a stream without a reader is redirected to nowhere.

  Raises:
    OSError: if standard output cannot be written, as on a full disk.
  """
  for stream in filter(None, (sys.stdout, sys.stderr)):
    try:
      stream.flush()
    except BrokenPipeError:
      _to_nowhere(stream.fileno())
    except OSError:
      _to_nowhere(stream.fileno())
      if stream is sys.stdout:
        raise


def _to_nowhere(number: int) -> None:
  nowhere = os.open(os.devnull, os.O_RDWR)
  if nowhere != number:
    os.dup2(nowhere, number)
    os.close(nowhere)

"""Errors that a user can cause and correct, and warnings."""

import os
import sys
import types
import warnings

_PACKAGE = os.path.dirname(__file__) + os.sep


class InputError(ValueError):
  """Something given to rsjax cannot be used; the message says what, and what to give instead.

  In Python it is a ValueError. Commands print it in one or two lines and exit with 2. A command shows a
  parameter's name in backquotes, as in "give fewer `rows`", as its flag.
  """


class ResultWarning(UserWarning):
  """What a user should know about a result or a run, from Python; shown each time, not once per place."""


# Appended, so that filters that the user sets come first.
warnings.filterwarnings("always", category=ResultWarning, append=True)


def warn(text: str) -> None:
  """Warns with a `ResultWarning` that names the user's line: the innermost one outside of rsjax."""
  frame: types.FrameType | None = sys._getframe(1)  # which stacklevel=2 names
  level = 2
  while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
    frame, level = frame.f_back, level + 1
  warnings.warn(text, ResultWarning, stacklevel=level)


class DivergedError(RuntimeError):
  """Training produced a loss that is not finite. Commands print it and exit with 1."""


class UnfinishedError(Exception):
  """A run ended before everything was done; the finished part is kept, and the same command continues it."""


class ContradictionError(Exception):
  """A file contradicts itself, or what it was checked against. Commands print it and exit with 1."""

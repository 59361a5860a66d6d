"""Errors that a user can cause and correct, and warnings."""

import warnings


class InputError(ValueError):
  """Something given to rsjax cannot be used; the message says what, and what to give instead.

  In Python it is a ValueError. Commands print it in one or two lines and exit with 2. A command shows a
  parameter's name in backquotes, as in "give fewer `rows`", as its flag.
  """


class ResultWarning(UserWarning):
  """What a user should know about a result or a run, from Python; shown each time, not once per place."""


# Appended, so that filters that the user sets come first.
warnings.filterwarnings("always", category=ResultWarning, append=True)


class DivergedError(RuntimeError):
  """Training produced a loss that is not finite. Commands print it and exit with 1."""


class UnfinishedError(Exception):
  """A run ended before everything was done; the finished part is kept, and the same command continues it."""


class ContradictionError(Exception):
  """A file contradicts itself, or what it was checked against. Commands print it and exit with 1."""

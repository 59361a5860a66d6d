"""Errors that a user can cause and correct."""


class InputError(ValueError):
  """Something given to rsjax cannot be used; the message says what, and what to give instead.

  In Python it is a ValueError. Commands print it in one or two lines and exit with 2. A command shows a
  parameter's name in backquotes, as in "give fewer `rows`", as its flag.
  """


class DivergedError(RuntimeError):
  """Training produced a loss that is not finite. Commands print it and exit with 1."""


class UnfinishedError(Exception):
  """A run ended before everything was done; the finished part is kept, and the same command continues it."""


class ContradictionError(Exception):
  """A file contradicts itself, or what it was checked against. Commands print it and exit with 1."""

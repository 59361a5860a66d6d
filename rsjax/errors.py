"""The errors that a user can cause, and mend."""


class InputError(ValueError):
  """Something given to rsjax cannot be used; the message says what, and the mend.

  In Python it is a ValueError. Commands print it in one or two lines and exit with 2. A parameter's name
  between backquotes, as in "give fewer `rows`", is shown by a command as its flag.
  """


class DivergedError(RuntimeError):
  """Training produced a loss that is not finite. Commands print it and exit with 1."""


class UnfinishedError(Exception):
  """A run ended before everything was done; what was done is kept, and the same command continues."""


class ContradictionError(Exception):
  """What was checked contradicts itself, or what it was held against. Commands print it and exit with 1."""

"""The errors that a user can cause, and mend."""


class InputError(ValueError):
  """Something given to rsjax cannot be used; the message says what, and the mend.

  Commands print it in one or two lines and exit with 2; in Python it is a ValueError.
  """


class DivergedError(RuntimeError):
  """Training produced a loss that is not finite. Commands print it and exit with 1."""

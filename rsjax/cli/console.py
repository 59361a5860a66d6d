"""How commands run: exit codes, error lines, and scripts of several commands."""

import os
import pathlib
import re
import shlex
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from rsjax.cli import interrupts, streams
from rsjax.errors import ContradictionError, DivergedError, InputError, UnfinishedError

_INTERRUPTED = "interrupted; the same command continues from here"

# The flags of parameters that errors name between backquotes, where they are not called alike.
_FLAGS = {
  "address": "--coordinator",
  "count": "--processes",
  "data_dir": "--data-dir",
  "give_up": "--give-up",
  "index": "--process",
  "init_from": "--init-from",
  "iterations": "--steps",
  "n": "--N",
  "n0": "--N0",
  "noise_vectors": "--noise-vectors",
  "rows": "--batch",
}


def run(command: str, body: Callable[[Any], int | None], args: Any) -> int:
  """Runs body(args) as `python -m rsjax.COMMAND`, or a script COMMAND.py; returns the exit code.

  Exit codes: 0 done, or the body's own; 1 the run failed; 2 bad input; 130 interrupted; 143 ended by SIGTERM.
  """
  name = command if command.endswith(".py") else f"rsjax.{command}"
  if (typed := program(command)) == f"rsjax {command}":
    name = typed
  with streams.tolerant(), interrupts.catching(f"{name}: {_INTERRUPTED}"):
    try:
      return body(args) or 0
    except InputError as error:
      if interrupts.code():  # a library turned the interrupt into an error of its own
        return _say_interrupted(name)
      print(f"{name}: error: {as_typed(in_flags(str(error)))}", file=sys.stderr)
      return 2
    except (ContradictionError, DivergedError, UnfinishedError, OSError) as error:
      if interrupts.code():
        return _say_interrupted(name)
      print(f"{name}: {_said(error)}", file=sys.stderr)
      return 1
    except (KeyboardInterrupt, interrupts.Terminated):
      return _say_interrupted(name)
    except Exception:
      if interrupts.code():  # so did an extension module that was being imported
        return _say_interrupted(name)
      raise


def _said(error: Exception) -> str:
  """An error in words; one of the system with its file first."""
  if isinstance(error, OSError) and isinstance(error.filename, str | bytes) and error.strerror:
    return f"{os.fsdecode(error.filename)} cannot be read or written: {error.strerror}"
  return str(error)


def program(command: str) -> str:
  """How the command was typed: `rsjax COMMAND`, `python -m rsjax COMMAND`, or `python -m rsjax.COMMAND`."""
  file = pathlib.Path(sys.argv[0] or "-")
  if file.stem == "rsjax":
    return f"rsjax {command}"
  if file.name == "__main__.py" and file.parent.name == "rsjax":
    return f"python -m rsjax {command}"
  return f"python -m rsjax.{command}"


def typed(command: str, argv: list[str]) -> str:
  """A command's line, as it was typed."""
  return f"{program(command)} {shlex.join(argv)}"


def as_typed(text: str) -> str:
  """A text with each `python -m rsjax.COMMAND` in it written in the way this command was typed."""
  return text.replace("python -m rsjax.", program(""))


def in_flags(message: str) -> str:
  """A library's message on one line, with the parameters that it names in backquotes shown as flags."""
  flag = lambda match: _FLAGS.get(match[1], f"--{match[1]}")
  return re.sub(r"`(\w+)`", flag, " ".join(message.split()))


def _say_interrupted(name: str) -> int:
  print(f"\n{name}: {_INTERRUPTED}", file=sys.stderr)
  return interrupts.code() or interrupts.CODES[signal.SIGINT]


def leave(code: int) -> NoReturn:
  """Ends the process with `run`'s exit code, or with 1 if its output could not be written.

  After an interrupt the process ends at once: if Ctrl-C came during a compilation, XLA's destructors can crash,
  and the exit code would be that of the crash.
  """
  try:
    streams.flush()
  except OSError as error:
    print(f"the output could not be written: {error.strerror}", file=sys.stderr)
    code = code or 1
  if code in interrupts.CODES.values():
    interrupts.end(code)
  sys.exit(code)


def type_command(command: str, main: Callable[[list[str]], int], *arguments: Any) -> None:
  """Shows `python -m rsjax.COMMAND ...` and runs its `main` in this process, for scripts of several commands.

  If it fails, this process ends with its exit code.
  """
  argv = [str(a) for a in arguments]
  print(f"\n$ {typed(command, argv)}", flush=True)
  code = main(argv)
  if code in interrupts.CODES.values():
    raise KeyboardInterrupt
  if code:
    sys.exit(code)

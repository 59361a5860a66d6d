"""How commands run: exit codes, error lines, and scripts of several commands."""

import argparse
import os
import re
import shlex
import signal
import sys
from collections.abc import Callable
from typing import Any

from rsjax.cli import interrupts, version
from rsjax.errors import DivergedError, InputError

# The flags of parameters that errors name between backquotes, where they are not called alike.
_FLAGS = {
  "address": "--coordinator",
  "count": "--processes",
  "data_dir": "--data-dir",
  "index": "--process",
  "init_from": "--init-from",
  "rows": "--batch",
}


def run(command: str, body: Callable[[Any], None], args: Any) -> int:
  """Runs body(args) as `python -m rsjax.COMMAND`, or a script COMMAND.py; returns the exit code.

  0 done; 1 the run itself failed; 2 something given cannot be used; 130 interrupted, 143 by SIGTERM.
  """
  name = command if command.endswith(".py") else f"rsjax.{command}"
  with interrupts.catching():
    try:
      body(args)
      return 0
    except InputError as error:
      if interrupts.code():  # a library turned the interrupt into an error of its own
        return _say_interrupted(name)
      print(f"{name}: error: {in_flags(str(error))}", file=sys.stderr)
      return 2
    except (DivergedError, OSError) as error:
      print(f"{name}: {error}", file=sys.stderr)
      return 1
    except KeyboardInterrupt:
      return _say_interrupted(name)
    except Exception:
      if interrupts.code():  # so did an extension module that was being imported
        return _say_interrupted(name)
      raise


def in_flags(message: str) -> str:
  """A library's message on one line, with the parameters that it names between backquotes as flags."""
  flag = lambda match: _FLAGS.get(match[1], f"--{match[1]}")
  return re.sub(r"`(\w+)`", flag, " ".join(message.split()))


def _say_interrupted(name: str) -> int:
  print(f"\n{name}: interrupted; the same command continues from here", file=sys.stderr)
  return interrupts.code() or interrupts.CODES[signal.SIGINT]


def leave(code: int) -> None:
  """Ends the process with `run`'s exit code.

  Interrupted, it ends at once: where Ctrl-C came during a compilation, XLA's destructors can crash, and
  the exit code would be that of the crash.
  """
  try:
    sys.stdout.flush()
  except BrokenPipeError:  # whoever read it, as `head` does, has had enough
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
  sys.stderr.flush()
  if code in interrupts.CODES.values():
    os._exit(code)
  sys.exit(code)


def type_command(command: str, main: Callable[[list[str]], int], *arguments: Any) -> None:
  """Shows `python -m rsjax.COMMAND ...` and runs its `main` in this process, for scripts of several commands.

  Where it fails, this process ends with its exit code.
  """
  argv = [str(a) for a in arguments]
  print(f"\n$ python -m rsjax.{command} {shlex.join(argv)}", flush=True)
  code = main(argv)
  if code in interrupts.CODES.values():
    raise KeyboardInterrupt
  if code:
    sys.exit(code)


def parser(command: str, description: str, epilog: str) -> argparse.ArgumentParser:
  """The argument parser of a command, without its arguments."""
  made = argparse.ArgumentParser(
    f"python -m rsjax.{command}",
    description=description,
    epilog=epilog,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  made.add_argument("--version", action=version.Action)
  return made

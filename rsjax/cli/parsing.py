"""The commands' argument parser: errors with a short usage line, and hints at what was meant."""

import argparse
import difflib
import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from rsjax.cli import console, version

_DEVICES = (
  "rsjax uses all devices that JAX finds: set CUDA_VISIBLE_DEVICES=0 to use one GPU, JAX_PLATFORMS=cpu the CPU"
)
_DEVICE_FLAGS = ("--gpu", "--gpus", "--device", "--devices", "--cuda", "--tpu", "--cpu", "--platform")
LEADERBOARD = "leaderboard"  # stands for the radii of a data set's columns there
_THOUSANDS = {"": 1, "k": 10**3, "m": 10**6}


def parser(command: str, description: str, epilog: str) -> "Parser":
  """The argument parser of a command, without its arguments."""
  made = Parser(
    console.program(command),
    description=description,
    epilog=console.as_typed(epilog),
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,  # else --n, for --N, would be --no-onednn
  )
  made.add_argument("--version", action=version.Action)
  return made


class Parser(argparse.ArgumentParser):
  """argparse's parser, with the correction in its errors, and arguments that are added late."""

  def __init__(self, *args: Any, **kwargs: Any) -> None:
    super().__init__(*args, **kwargs)
    self._late: list[Callable[[Parser], None]] = []

  def add_late(self, add: Callable[["Parser"], None]) -> None:
    """Calls add(parser) when something is parsed or help is shown, for arguments that take time to list."""
    self._late.append(add)

  def complete(self) -> "Parser":
    """The parser with all its arguments."""
    while self._late:
      self._late.pop(0)(self)
    return self

  def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
    """As argparse's."""
    return super(Parser, self.complete()).parse_known_args(args, namespace)

  def format_help(self) -> str:
    """As argparse's."""
    return super(Parser, self.complete()).format_help()

  def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
    """As argparse's; the error for an unknown flag names the flag that may have been meant."""
    known, unknown = self.parse_known_args(args, namespace)
    if unknown:
      flags = [text.split("=")[0] for text in unknown if text.startswith("-")]
      hints = dict.fromkeys(filter(None, [*map(self._meant, flags), self._separated(unknown, known)]))
      self.error("; ".join([f"unrecognized arguments: {' '.join(unknown)}", *hints]))
    return known

  def error(self, message: str) -> NoReturn:
    """Prints one line of usage and the error, and exits with 2."""
    places = [a.metavar + ("..." if a.nargs == "+" else "") for a in self._actions
              if not a.option_strings and isinstance(a.metavar, str)]  # fmt: skip
    required = [f"{a.option_strings[0]} {a.metavar}" for a in self._actions if a.option_strings and a.required]
    usage = " ".join([self.prog, *places, *required])
    self._print_message(f"usage: {usage} [options]; --help lists them\n", sys.stderr)
    self.exit(2, f"{self.prog}: error: {message}\n")

  def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
    """As argparse's; it is not an error if nobody reads the help, as in `--help | head`."""
    if message:
      self._print_message(message, sys.stderr)
    console.leave(status)

  def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
    try:
      return super()._get_value(action, arg_string)  # type: ignore[misc]
    except argparse.ArgumentError as error:
      hint = _number_meant(arg_string, action)
      raise argparse.ArgumentError(action, f"{error.message}{hint}") from error

  def _meant(self, flag: str) -> str | None:
    """What may have been meant by an unknown flag."""
    if flag in _DEVICE_FLAGS:
      return _DEVICES
    flags = [name for action in self._actions for name in action.option_strings]
    alike = {name.lower().replace("_", "-"): name for name in flags}
    near = difflib.get_close_matches(flag.lower().replace("_", "-"), alike, 1)
    return f"did you mean {alike[near[0]]}?" if near else None

  def _separated(self, unknown: list[str], known: argparse.Namespace) -> str | None:
    """A hint if numbers were separated by spaces, after a flag that takes them with commas."""
    given = getattr(known, "radii", None)
    if not isinstance(given, str) or not all(re.fullmatch(r"\d*\.?\d+", text) for text in unknown):
      return None
    return f"give --radii {','.join([given, *unknown])}, separated by commas"


def radius(text: str) -> float | str:
  """The argparse type of a radius, or the word `leaderboard`."""
  return text if text == LEADERBOARD else float(text)


def _number_meant(text: str, action: argparse.Action) -> str:
  """A hint at the number that a text may have been meant for; "" if there is none."""
  whole = action.type not in (float, radius)
  if found := re.fullmatch(r"([\d.]+)([kKmM]?)", text.replace(",", "") if whole else text):
    try:
      value = float(found[1]) * _THOUSANDS[found[2].lower()]
    except ValueError:
      return ""
    return f": give {value:.0f}" if value.is_integer() else ": give a whole number"
  try:
    if whole and float(text).is_integer():
      return f": give {float(text):.0f}"
  except ValueError:
    pass
  parts = text.split(",")
  if whole or not all(re.fullmatch(r"\d*\.?\d+", part) for part in parts):
    return ""
  if len(parts) == 2 and "." not in text and action.nargs is None:
    return f": give {text.replace(',', '.')}, with a decimal point"
  if action.nargs is None:
    return ": give one number, with a decimal point"
  return f": give {' '.join(parts)}, separated by spaces" + (
    f", or {text.replace(',', '.')}, with a decimal point" if len(parts) == 2 and "." not in text else ""
  )

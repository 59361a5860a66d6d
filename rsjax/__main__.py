"""python -m rsjax, or rsjax: lists the commands, or runs the command that is named first."""

import argparse
import difflib
import importlib
import sys

from rsjax.cli import console, version

COMMANDS = (
  *(
    "quickstart",
    "train",
    "certify",
    "predict",
    "attack",
    "analyze",
    "check",
    "visualize",
    "convert",
    "prepare",
  ),
)


def main(argv: list[str] | None = None) -> int:
  """Runs `rsjax COMMAND ARGUMENTS...`, or lists the commands; returns the exit code."""
  name, *arguments = (sys.argv[1:] if argv is None else argv) or ["--help"]
  if name in ("-h", "--help", "help"):
    print(_list())
    return 0
  if name == "--version":
    print(version.version())
    return 0
  if name not in COMMANDS:
    near = difflib.get_close_matches(name, COMMANDS, 1)
    mend = f"did you mean {near[0]}?" if near else f"give one of {', '.join(COMMANDS)}"
    print(f"rsjax: error: unknown command {name!r}: {mend}", file=sys.stderr)
    return 2
  return importlib.import_module(f"rsjax.{name}").main(arguments)


def _list() -> str:
  described = [(name, importlib.import_module(f"rsjax.{name}").parser().description) for name in COMMANDS]
  width = max(map(len, COMMANDS))
  return "\n".join(
    [
      "usage: rsjax COMMAND ...     (or python -m rsjax.COMMAND ...)",
      "",
      "Certified robustness by randomized smoothing (Cohen et al. 2019).",
      "",
      *(f"  {name:{width}}  {text}" for name, text in described),
      "",
      "rsjax COMMAND --help lists a command's arguments, with units and defaults.",
    ]
  )


def parser() -> argparse.ArgumentParser:
  """All commands as one parser, from which shtab writes the shell's completion (docs/commands.md)."""
  made = argparse.ArgumentParser("rsjax", description="Certified robustness by randomized smoothing.")
  commands = made.add_subparsers(metavar="COMMAND")
  for name in COMMANDS:
    command = importlib.import_module(f"rsjax.{name}").parser().complete()
    commands.add_parser(name, help=command.description, parents=[command], add_help=False)
    for action in command._actions:
      if action.nargs != 0 and action.choices is None and action.type is None:
        vars(action)["complete"] = {"bash": "_shtab_compgen_files", "zsh": "_files"}  # shtab.FILE
  return made


def run() -> None:
  """The console script: runs `main` and ends the process as the commands do."""
  console.leave(main())


if __name__ == "__main__":
  run()

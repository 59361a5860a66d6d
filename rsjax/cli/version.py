"""What `--version` prints: the version, and the commit if rsjax runs from a git clone."""

import argparse
import os
import pathlib
import subprocess
from typing import Any

import rsjax


def version() -> str:
  """The version; in a git clone also the commit, with `+changed` if tracked files differ from it."""
  commit = _commit(pathlib.Path(rsjax.__file__).parents[1])
  return f"rsjax {rsjax.__version__}" + (f" (commit {commit})" if commit else "")


def _commit(clone: pathlib.Path) -> str:
  """The commit that is checked out in `clone`; empty where this is no clone, or git cannot tell."""
  git = clone / ".git"
  if not git.exists():
    return ""
  environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
  command = ["git", f"--git-dir={git}", f"--work-tree={clone}", "describe", "--always", "--dirty=+changed"]
  try:
    told = subprocess.run(
      [*command, "--exclude=*", "--abbrev=12"],
      cwd=clone,
      env=environment | {"GIT_OPTIONAL_LOCKS": "0"},
      capture_output=True,
      text=True,
      check=True,
      timeout=10,
    )
  except (OSError, subprocess.SubprocessError):
    return ""
  return told.stdout.strip()


class Action(argparse.Action):
  """The action of `--version`, which asks git only when the flag is given."""

  def __init__(self, option_strings: list[str], dest: str, **options: Any) -> None:
    super().__init__(option_strings, argparse.SUPPRESS, nargs=0, help="show the version and exit", **options)

  def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
    print(version())
    parser.exit()

"""Files that are written whole or not at all, and folders and files that one process at a time writes to."""

import contextlib
import os
import pathlib
from collections.abc import Iterator
from typing import IO

import filelock

from rsjax.errors import InputError


@contextlib.contextmanager
def whole(path: str | pathlib.Path, mode: str = "w", *, shared: bool = False) -> Iterator[IO]:
  """Opens a file that appears at `path`, or replaces what is there, only when the block ends without an error.

  Killed at any instant, the old file or the new one is there. The new one also outlasts a loss of power.

  Args:
    path: of the file; its folder must exist.
    mode: "w" for text (UTF-8), "wb" for bytes.
    shared: whether several processes may write it at once, without a lock; the last one's file stays.

  Raises:
    OSError: where it cannot be written.
  """
  path = pathlib.Path(path)
  new = path.with_name(f".{path.name}.{os.getpid()}.new" if shared else f".{path.name}.new")
  try:
    with open(new, mode, encoding=None if "b" in mode else "utf-8") as file:
      yield file
      file.flush()
      os.fsync(file.fileno())
    new.replace(path)
  finally:
    new.unlink(missing_ok=True)
  sync_folder(path)


def sync_folder(path: str | pathlib.Path) -> None:
  """Makes the name of a file that was just made outlast a loss of power, where the system can."""
  with contextlib.suppress(OSError):
    folder = os.open(pathlib.Path(path).parent, os.O_RDONLY)
    try:
      os.fsync(folder)
    finally:
      os.close(folder)


@contextlib.contextmanager
def alone(path: str | pathlib.Path, target: str | pathlib.Path | None = None) -> Iterator[None]:
  """Holds the lock file `path` for the block, so that one process at a time writes to `target`.

  The lock's folder is made where it is missing. The lock file stays: removing it could let two writers in.

  Args:
    path: of the lock file.
    target: what it guards, as messages name it; by default the lock's folder.

  Raises:
    InputError: where another process holds it, or the folder cannot be written.
  """
  path = pathlib.Path(path)
  target = path.parent if target is None else target
  lock = filelock.FileLock(path, timeout=0)
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock.acquire()
  except filelock.Timeout as error:
    raise InputError(f"{target} is being written by another process") from error
  except OSError as error:
    raise unwritable(target, error) from error
  try:
    yield
  finally:
    lock.release()


def unwritable(path: str | pathlib.Path, error: OSError) -> InputError:
  """The error for a path that cannot be written."""
  return InputError(f"{path} cannot be written: {error.strerror or error}")

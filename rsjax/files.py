"""Paths as users give them, files that are written whole or not at all, and locks against a second writer."""

import contextlib
import errno
import os
import pathlib
import re
import socket
import warnings
from collections.abc import Iterator
from typing import IO, Any

import filelock

from rsjax.errors import InputError

_REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")  # pathlib makes gs:/ of gs://
_GLOB = set("[]*?")
_LONGEST = 240  # bytes of a name: what is beside it (lock, manifest) has a longer one, of 255 at most
_NO_FLOCK = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


def local(path: Any) -> pathlib.Path:
  """The path that a user gave, of a file or folder on this machine.

  Raises:
    InputError: for an address such as gs://bucket/x, which would become a local folder `gs:`; for ~, which
      would become a folder `~`; for -, which other programs take for stdout; for a name that is too long; and
      for anything that is not a path.
  """
  try:
    text = os.fsdecode(path)
  except TypeError as error:
    raise InputError(f"a path must be text or a pathlib path, got {type(path).__name__}") from error
  if _REMOTE.match(text):
    raise InputError(
      f"{text} is not on this machine, and only local paths can be read and written: give a local path and "
      "copy the data, or give the folder where the bucket is mounted (gcsfuse)"
    )
  if "\0" in text:
    raise InputError(f"a path cannot contain a null character: {text!r}")
  if re.match(r"~[\w.-]*(/|$)", text):
    raise InputError(
      f"{text}: ~ is only known to shells: give {os.path.expanduser(text)}, or ./{text} if it is meant"
    )
  if text == "-":
    raise InputError("- is no file here, neither stdin nor stdout: give a path")
  path = pathlib.Path(text)
  if long := [part for part in path.parts if len(os.fsencode(part)) > _LONGEST]:
    raise InputError(
      f"a name in a path must have at most {_LONGEST} bytes, got {long[0][:40]}...: give a shorter one"
    )
  return path


def without_patterns(path: Any, what: str) -> pathlib.Path:
  """The absolute `local` path of `what`; refuses a path that a library would read as a pattern of names.

  Raises:
    InputError: for brackets, * or ?, and as for `local`.
  """
  found = local(path).absolute()
  if odd := sorted(_GLOB & set(str(found))):
    raise InputError(f"{what}'s path cannot contain {' '.join(odd)}: {found}")
  return found


@contextlib.contextmanager
def whole(path: str | pathlib.Path, mode: str = "w", *, shared: bool = False) -> Iterator[IO]:
  """Opens a file that appears at `path`, or replaces what is there, only when the block ends without an error.

  If the process is killed at any instant, either the old file or the new one is there. The new file also
  survives a power failure.

  Args:
    path: the file's path; its folder must exist.
    mode: "w" for text (UTF-8), "wb" for bytes.
    shared: whether several processes may write it at once, without a lock; the last file written remains.

  Raises:
    OSError: if the file cannot be written.
  """
  path = pathlib.Path(path)
  if path.exists() and not path.is_file():  # replacing it would destroy a device, such as /dev/null
    raise OSError(errno.EINVAL, "it exists, and is not a file")
  new = path.with_name(f".{path.name}.{os.getpid()}.new" if shared else f".{path.name}.new")
  try:
    text = {} if "b" in mode else {"encoding": "utf-8", "errors": "backslashreplace"}  # of names not in UTF-8
    with open(new, mode, **text) as file:  # type: ignore[call-overload]
      yield file
      file.flush()
      os.fsync(file.fileno())
    new.replace(path)
  finally:
    new.unlink(missing_ok=True)
  sync_folder(path)


def sync_folder(path: str | pathlib.Path) -> None:
  """Makes the name of a newly created file survive a power failure, where the system supports that."""
  with contextlib.suppress(OSError):
    folder = os.open(pathlib.Path(path).parent, os.O_RDONLY)
    try:
      os.fsync(folder)
    finally:
      os.close(folder)


@contextlib.contextmanager
def alone(path: str | pathlib.Path, target: str | pathlib.Path | None = None) -> Iterator[None]:
  """Holds the lock file `path` for the block, so that one process at a time writes to `target`.

  The lock's folder is created if it is missing. The lock file, which names its last holder, is not removed:
  removing it could let two writers in. On a file system without flock, the file itself is the lock, and is
  removed when the block ends.

  Args:
    path: the path of the lock file.
    target: what the lock guards, as messages name it; by default the lock's folder.

  Raises:
    InputError: if another process holds the lock or it cannot be acquired; the message names the lock and its
      holder.
  """
  path = pathlib.Path(path)
  target = path.parent if target is None else target
  holder = _holder(path)  # before: some versions of filelock empty the file of a lock that they do not get
  lock: Any
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = _acquired(path)
  except filelock.Timeout as error:
    if not path.exists():
      raise InputError(f"{target} cannot be written: no file can be created in {path.parent}") from error
    raise InputError(
      f"{target} is being written by another process{holder and f', {holder}'}: wait for it, or, if it is "
      f"no longer running, delete its lock {path}"
    ) from error
  except OSError as error:
    if path.exists():
      raise InputError(f"{target} cannot be locked: {_why_not(path, holder, error)}") from error
    raise unwritable(target, error) from error
  try:
    yield
  finally:
    lock.release()


def _acquired(path: pathlib.Path) -> Any:
  """The acquired lock: by flock, or, on a file system without flock, by the existence of the file."""
  lock: Any = filelock.FileLock(path, timeout=0)
  try:
    with warnings.catch_warnings():
      warnings.simplefilter("ignore")  # filelock's own, that it goes on as is done here
      lock.acquire()
  except (NotImplementedError, OSError) as error:
    if isinstance(error, OSError) and (isinstance(error, filelock.Timeout) or error.errno not in _NO_FLOCK):
      raise
    if path.exists() and not path.stat().st_size:
      path.unlink()  # made by the attempt
    lock = filelock.SoftFileLock(path, timeout=0)
    lock.acquire()
  with contextlib.suppress(OSError):
    if not path.read_text(errors="replace").startswith(f"{os.getpid()}\n"):  # else filelock has said so
      path.write_text(f"{os.getpid()}\n{socket.gethostname()}\n")
  return lock


def _holder(path: pathlib.Path) -> str:
  """Who a lock file says holds it, or held it last: process and host; "" where it does not say."""
  with contextlib.suppress(OSError):
    pid, host, *_ = [*path.read_text(errors="replace").splitlines(), "", ""]
    if pid.isdecimal() and host:
      return f"{pid} on {host}"
  return ""


def _why_not(path: pathlib.Path, holder: str, error: OSError) -> str:
  """Why an existing lock file cannot be locked, and what to do about it."""
  why = f"its lock {path}: {error.strerror or error}"
  try:
    import pwd

    owner = pwd.getpwuid(path.stat().st_uid).pw_name
  except (ImportError, KeyError, OSError):
    owner = "another user"
  if isinstance(error, PermissionError):
    last = f", and was last held by process {holder}" if holder else ""
    return (
      f"{why}; the file belongs to {owner}{last}. If none of their runs writes there, ask them to delete it"
    )
  return f"{why}; give a path on another file system, and copy the result"


def unwritable(path: str | pathlib.Path, error: OSError) -> InputError:
  """The error for a path that cannot be written."""
  return InputError(f"{path} cannot be written: {error.strerror or error}")


def unreadable(path: str | pathlib.Path, error: OSError) -> InputError:
  """The error for an existing path that cannot be read: no permission, or a failing disk."""
  return InputError(f"{path} cannot be read: {error.strerror or error}")


def check_readable(path: pathlib.Path) -> None:
  """Raises InputError for the first file within a folder that cannot be read, whatever it holds."""
  try:
    for place in (path, *path.rglob("*")):
      if place.is_dir():
        os.listdir(place)
      else:
        with open(place, "rb") as file:
          file.read(1)
  except OSError as error:
    raise unreadable(error.filename or path, error) from error

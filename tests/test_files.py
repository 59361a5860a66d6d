"""Files that appear whole or not at all, and locks."""

import errno
import os
import pathlib
import socket
import subprocess
import sys

import filelock
import pytest

from rsjax import files
from rsjax.errors import InputError


def test_a_file_is_whole_or_the_old_one(tmp_path):
  path = tmp_path / "x.txt"
  with files.whole(path) as file:
    file.write("old")
    assert not path.exists()
  with pytest.raises(ZeroDivisionError), files.whole(path) as file:
    file.write("half of the new")
    raise ZeroDivisionError
  assert path.read_text() == "old"
  with files.whole(path, "wb", shared=True) as file:
    file.write(b"new")
  assert path.read_text() == "new"
  assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_what_is_no_file_is_not_replaced(tmp_path):
  """A named pipe stands for devices such as /dev/null, which root could replace."""
  pipe = tmp_path / "pipe"
  os.mkfifo(pipe)
  with pytest.raises(OSError, match="not a file"), files.whole(pipe):
    pass
  assert pipe.is_fifo() and list(tmp_path.iterdir()) == [pipe]


def test_killed_before_its_end_it_leaves_the_old_one(tmp_path):
  path = tmp_path / "x.txt"
  path.write_text("old")
  code = (
    "import os, sys\n"
    "from rsjax import files\n"
    "with files.whole(sys.argv[1]) as file:\n"
    "  file.write('new'); file.flush(); os._exit(9)\n"
  )
  subprocess.run([sys.executable, "-c", code, path], check=False)
  assert path.read_text() == "old"
  with files.whole(path) as file:  # what the dead one left is no hindrance
    file.write("newer")
  assert path.read_text() == "newer"


def test_one_process_at_a_time(tmp_path):
  lock = tmp_path / "folder" / ".lock"
  code = (
    "import sys\n"
    "from rsjax import files\n"
    "with files.alone(sys.argv[1], 'the target'): print('in', flush=True); sys.stdin.read()\n"
  )
  with subprocess.Popen(
    [sys.executable, "-c", code, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
  ) as other:
    assert other.stdout.readline() == "in\n"
    said = rf"folder is being written by another process, {other.pid} on .*{lock}"
    with pytest.raises(InputError, match=said), files.alone(lock):
      pass
    other.kill()
  with files.alone(lock):  # free again, though it was killed
    pass


@pytest.mark.parametrize(
  "missing", [NotImplementedError("no flock"), OSError(errno.ENOLCK, "No locks available")]
)
def test_where_there_is_no_flock_the_file_itself_is_the_lock(missing, tmp_path, monkeypatch):
  """As on Lustre or NFS, by how they are mounted."""

  def acquire(self, *args, **kwargs):
    raise missing

  monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
  lock = tmp_path / "folder" / ".lock"
  for _ in range(2):
    with files.alone(lock):
      assert lock.read_text().startswith(f"{os.getpid()}\n{socket.gethostname()}\n")
      with pytest.raises(InputError, match=f"written by another process, {os.getpid()} on"), files.alone(lock):
        pass
    assert not lock.exists()
  lock.write_text("123\nnode17\n")  # of a process that was killed on another host
  said = rf"written by another process, 123 on node17: .*if it is no longer running, delete its lock {lock}"
  with pytest.raises(InputError, match=said), files.alone(lock):
    pass
  lock.unlink()
  with files.alone(lock):
    pass


@pytest.mark.parametrize(
  ("error", "said"),
  [
    (
      PermissionError(errno.EACCES, "Permission denied"),
      "Permission denied; the file belongs to .*, and was last held by",
    ),
    (OSError(errno.EIO, "Input/output error"), "Input/output error; give a path on another file system"),
  ],
)
def test_a_lock_that_cannot_be_taken_is_named_with_its_owner_and_the_mend(error, said, tmp_path, monkeypatch):
  lock = tmp_path / ".lock"
  with files.alone(lock):
    pass

  def acquire(self, *args, **kwargs):
    raise error

  monkeypatch.setattr(filelock.FileLock, "acquire", acquire)
  with (
    pytest.raises(InputError, match=f"{tmp_path} cannot be locked: its lock {lock}: {said}"),
    files.alone(lock),
  ):
    pass


def test_where_nothing_can_be_written_it_is_said():
  with pytest.raises(InputError, match="/proc/no cannot be written"), files.alone("/proc/no/.lock"):
    pass
  assert not pathlib.Path("/proc/no").exists()

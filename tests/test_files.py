"""Files that appear whole or not at all, and locks."""

import pathlib
import subprocess
import sys

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
    said = rf"folder is being written by process {other.pid} on .*{lock}"
    with pytest.raises(InputError, match=said), files.alone(lock):
      pass
    other.kill()
  with files.alone(lock):  # free again, though it was killed
    pass


def test_where_nothing_can_be_written_it_is_said():
  with pytest.raises(InputError, match="/proc/no cannot be written"), files.alone("/proc/no/.lock"):
    pass
  assert not pathlib.Path("/proc/no").exists()

"""Dies at each line that changes a result file or its manifest in turn, and continues; needs no JAX.

Lines between which no file changes leave the same files, so that one of them is enough.

python tests/results/killed_writer.py FOLDER
"""

import os
import pathlib
import shutil
import sys

from rsjax import files, results
from rsjax.results import writing

TRACED = (str(pathlib.Path(results.__file__).parent), files.__file__)
INDICES = [0, 2, 4]
MANIFEST = results.Manifest({"n0": 10, "n": 100}, INDICES, {}, {})


def row(index):
  texts = ("0.000000", "1", "0.5", str(90 - index), "0.7", "1:10", f"1:{90 - index},invalid:{10 + index}")
  return dict(zip(results.CERTIFY_COLUMNS, (index, 1, 1, *texts)))


def write(path):
  with results.open_for_append(path, MANIFEST, results.CERTIFY_COLUMNS) as writer:
    for index in INDICES[writer.done :]:
      writer.append(row(index))


def in_a_child(path, at_line):
  """Writes in a child process, which calls `at_line` at each line that it reaches; its exit code."""
  child = os.fork()
  if not child:

    def trace(frame, event, argument):
      if not frame.f_code.co_filename.startswith(TRACED):
        return None
      if event == "line":
        at_line()
      return trace

    sys.settrace(trace)
    write(path)
    sys.settrace(None)
    os._exit(0)
  return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def state(folder):
  """What lies in a folder."""
  return {str(path): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def lines_that_change_files(path, numbers):
  """Writes to `numbers`, for all lines that a run reaches, those before which the files were others."""
  reached, before = 0, None

  def look():
    nonlocal reached, before
    reached += 1
    if (now := state(path.parent)) != before:
      before = now
      with open(numbers, "a") as file:
        file.write(f"{reached}\n")

  assert in_a_child(path, look) == 0


def die_at(number):
  """What ends the process at the line of this number."""
  left = number

  def count():
    nonlocal left
    left -= 1
    if not left:
      os._exit(9)

  return count


def begin(path, rows):
  """Leaves a file of so many rows and half of one more, or none."""
  shutil.rmtree(path.parent, ignore_errors=True)
  if rows:
    write(path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: rows + 1]) + lines[rows + 1][:9])


def main(folder):
  writing._FSYNC_SECONDS = 0
  whole, path = folder / "whole.tsv", folder / "killed" / "r.tsv"
  write(whole)
  died = 0
  for begun in (0, 2):
    begin(path, begun)
    lines_that_change_files(path, folder / f"lines_{begun}")
    for line in map(int, (folder / f"lines_{begun}").read_text().split()):
      begin(path, begun)
      assert in_a_child(path, die_at(line)) == 9, line
      write(path)
      assert path.read_bytes() == whole.read_bytes(), line
      assert results.read(path).complete, line
      died += 1
  print(died)


if __name__ == "__main__":
  main(pathlib.Path(sys.argv[1]))

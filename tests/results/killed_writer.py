"""Dies at each line that writes a result file in turn, and continues; needs no JAX.

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


def write_and_die(path, line):
  """Writes in a child process that dies at its `line`th line; whether it got there."""
  child = os.fork()
  if not child:
    left = line

    def trace(frame, event, argument):
      nonlocal left
      if not frame.f_code.co_filename.startswith(TRACED):
        return None
      if event == "line":
        left -= 1
        if not left:
          os._exit(9)
      return trace

    sys.settrace(trace)
    write(path)
    os._exit(0)
  return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def main(folder):
  writing._FSYNC_SECONDS = 0
  whole, path = folder / "whole.tsv", folder / "killed" / "r.tsv"
  write(whole)
  died = 0
  for begun in (0, 2):  # rows that are there, and half of one more
    line = 1
    while True:
      if begun:
        write(path)
        rows = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(rows[: begun + 1]) + rows[begun + 1][:9])
      if not write_and_die(path, line):
        break
      line += 1
      write(path)
      assert path.read_bytes() == whole.read_bytes(), line
      assert results.read(path).complete, line
      shutil.rmtree(path.parent)
    died += line - 1
    shutil.rmtree(path.parent)
  print(died)


if __name__ == "__main__":
  main(pathlib.Path(sys.argv[1]))

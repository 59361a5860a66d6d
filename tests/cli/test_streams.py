"""Commands whose output nobody reads, cannot be written, or cannot be shown as it is."""

import io
import os
import subprocess
import sys

import pytest
from helpers import DIGITS

from rsjax import certify
from rsjax.cli import console


class Pipe:
  """A text stream into a pipe whose reader has gone."""

  def __init__(self):
    reads, self.number = os.pipe()
    os.close(reads)
    self.stream = os.fdopen(self.number, "w", buffering=1)


def test_a_reader_that_goes_away_ends_no_run(monkeypatch):
  """As `| head` does, of the table as of the bar."""
  out, err = Pipe(), Pipe()
  monkeypatch.setattr(sys, "stdout", out.stream)
  monkeypatch.setattr(sys, "stderr", err.stream)
  done = []

  def body(args):
    for line in range(3):
      print(line, flush=True)
      print(line, file=sys.stderr, flush=True)
      done.append(line)

  assert console.run("certify", body, None) == 0
  assert done == [0, 1, 2]
  with pytest.raises(SystemExit, match="0"):
    console.leave(0)
  with pytest.raises(SystemExit, match="0"):
    certify.main(["--help"])
  out.stream.close()
  err.stream.close()


def test_names_that_a_terminal_cannot_show_are_written_out(monkeypatch):
  shown = io.TextIOWrapper(io.BytesIO(), "ascii")
  monkeypatch.setattr(sys, "stdout", shown)
  assert console.run("certify", lambda args: print("n\udcff \u03c3"), None) == 0
  shown.flush()
  assert shown.buffer.getvalue() == b"n\\udcff \\u03c3\n"


def test_output_that_cannot_be_written_is_an_error(monkeypatch, capsys):
  full = open("/dev/full", "w")  # noqa: SIM115
  monkeypatch.setattr(sys, "stdout", full)
  assert console.run("certify", lambda args: print("a table"), None) == 0
  with pytest.raises(SystemExit, match="1"):
    console.leave(0)
  assert "could not be written: No space left on device" in capsys.readouterr().err
  full.close()


def test_closed_streams_do_not_get_into_files(tmp_path):
  """Libraries write to the numbers 1 and 2: a result file must not have them. And tables come before print."""
  code = (
    "import os, sys\n"
    "from rsjax import analyze\n"
    "from rsjax.cli import console\n"
    "assert sys.stdout is sys.stderr is None\n"
    "code = analyze.main(sys.argv[1:])\n"
    "with open(sys.argv[-1] + '/new', 'w') as file:\n"
    "  assert file.fileno() > 2\n"
    "console.leave(code)\n"
  )
  command = [sys.executable, "-c", code, *map(str, DIGITS), "-o", str(tmp_path / "t")]
  closing = 'exec "$@" <&- >&- 2>&-'
  ran = subprocess.run(["sh", "-c", closing, "sh", *command], check=False)
  assert ran.returncode == 0
  assert len(list((tmp_path / "t").iterdir())) == 8

"""Two real processes of four CPU devices each, over loopback."""

import json
import os
import socket
import subprocess
import sys

import pytest
from helpers import without_time


def start(argv, count, index, port):
  """python -m rsjax.ARGV as one of `count` processes of four devices; of its own where port is None."""
  environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"} | {
    "JAX_NUM_CPU_DEVICES": "4",
    "JAX_PLATFORMS": "cpu",
  }
  cluster = ["--distributed", "--coordinator", f"localhost:{port}", "--processes", str(count)]
  cluster += ["--process", str(index)]
  return subprocess.Popen(
    [sys.executable, "-m", *map(str, argv), *(cluster if port else [])],
    env=environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def finish(*started):
  """[(exit code, stdout, stderr)] of processes; kills what hangs."""
  try:
    said = [process.communicate(timeout=150) for process in started]
  finally:
    for process in started:
      process.kill()
  return [(process.returncode, *pair) for process, pair in zip(started, said)]


@pytest.fixture
def port():
  with socket.socket() as s:
    s.bind(("localhost", 0))
    return s.getsockname()[1]


def certify(checkpoint, outfile, *flags):
  argv = ["rsjax.certify", "digits", checkpoint, 0.25, outfile, "--N", 2000, "--skip", 60, "--batch", 512]
  return [*argv, *flags]


def test_two_processes_give_the_file_of_one_and_continue_it(trained, tmp_path, port):
  alone, shared = tmp_path / "alone.tsv", tmp_path / "shared.tsv"
  kept = tmp_path / "programs"
  [(code, _, said)] = finish(start(certify(trained, alone, "--compilation-cache", kept), 1, 0, None))
  assert code == 0, said
  assert list(kept.iterdir())
  # process 1 has another name for the file: only process 0 may write, and only it knows how far it is
  other = tmp_path / "other.tsv"
  both = finish(*(start(certify(trained, (shared, other)[i]), 2, i, port) for i in (0, 1)))
  assert [code for code, *_ in both] == [0, 0], both
  assert without_time(shared) == without_time(alone)
  assert not other.exists()
  assert "6 of 6 images" in both[0][1]
  assert "images" not in both[1][1] + both[1][2]
  session = json.loads(shared.with_name("shared.tsv.json").read_text())["sessions"][0]
  assert (session["hosts"], session["devices"]) == (2, 8)

  lines = shared.read_bytes().splitlines(keepends=True)
  shared.write_bytes(b"".join(lines[:3]) + lines[3][:7])
  both = finish(*(start(certify(trained, shared), 2, i, port) for i in (0, 1)))
  assert [code for code, *_ in both] == [0, 0], both
  assert without_time(shared) == without_time(alone)


def test_what_one_process_refuses_ends_all_of_them(trained, tmp_path, port):
  argv = certify(trained, tmp_path / "out.tsv")
  both = finish(start(argv, 2, 0, port), start([*argv, "--data-dir", "/", "--split", "none"], 2, 1, port))
  assert [code for code, *_ in both] == [2, 2], both
  assert "process 1 of 2 could not start" in both[0][2]
  assert "none" in both[1][2]


def test_processes_that_differ_are_refused(trained, tmp_path, port):
  argv = certify(trained, tmp_path / "out.tsv")
  both = finish(start(argv, 2, 0, port), start([*argv, "--seed", "1"], 2, 1, port))
  assert [code for code, *_ in both] == [2, 2], both
  assert all("process 1 has other settings" in said for *_, said in both)
  assert not (tmp_path / "out.tsv").exists()

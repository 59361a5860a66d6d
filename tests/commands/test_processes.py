"""Two real processes of four CPU devices each, over loopback."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from helpers import without_time

import rsjax.certify
from rsjax import results


def start(argv, count, index, port):
  """python -m rsjax.ARGV as one of `count` processes of four devices."""
  environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"} | {
    "JAX_NUM_CPU_DEVICES": "4",
    "JAX_PLATFORMS": "cpu",
  }
  cluster = ["--distributed", "--coordinator", f"localhost:{port}", "--processes", str(count)]
  cluster += ["--process", str(index)]
  return subprocess.Popen(
    [sys.executable, "-m", *map(str, argv), *cluster],
    env=environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def finish(*started):
  """[(exit code, stdout, stderr)] of processes; kills what hangs."""
  try:
    said = [process.communicate(timeout=400) for process in started]
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
  """By looks, where each process decides by the votes what it draws next."""
  alone, shared = tmp_path / "alone.tsv", tmp_path / "shared.tsv"
  rule = ("--radii", "0.1,0.2,0.4", "--N", 5000)
  assert rsjax.certify.main([str(a) for a in certify(trained, alone, *rule)[1:]]) == 0
  # process 1 has another name for the file: only process 0 may write, and only it knows how far it is
  other = tmp_path / "other.tsv"
  both = finish(*(start(certify(trained, (shared, other)[i], *rule), 2, i, port) for i in (0, 1)))
  assert [code for code, *_ in both] == [0, 0], both
  assert without_time(shared) == without_time(alone)
  assert len(set(results.read(shared).columns["n"])) > 1
  assert not other.exists()
  assert "6 of 6 images" in both[0][1]
  assert "images" not in both[1][1] + both[1][2]
  session = json.loads(shared.with_name("shared.tsv.json").read_text())["sessions"][0]
  assert (session["hosts"], session["devices"]) == (2, 8)

  lines = shared.read_bytes().splitlines(keepends=True)
  shared.write_bytes(b"".join(lines[:3]) + lines[3][:7])
  both = finish(*(start(certify(trained, shared, *rule), 2, i, port) for i in (0, 1)))
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


IMPATIENT = """
import sys
from rsjax import certify
from rsjax.cli import console
from rsjax.devices import processes
processes._TELL, processes.WAIT = 0.5, float(sys.argv[1])
console.leave(certify.main(sys.argv[2:]))
"""


def alone_of_two(index, port, wait, tmp_path):
  """One of two processes, whose other never comes."""
  arguments = ["digits", "c", "0.25", tmp_path / "o.tsv", "--distributed", "--coordinator", f"localhost:{port}"]
  arguments += ["--processes", "2", "--process", index]
  return subprocess.Popen(
    [sys.executable, "-c", IMPATIENT, *map(str, [wait, *arguments])],
    env=os.environ | {"JAX_PLATFORMS": "cpu"},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def test_a_process_that_waits_says_for_whom_and_obeys_sigterm(tmp_path, port):
  first, second = alone_of_two(0, port, 2, tmp_path), alone_of_two(1, port + 1, 300, tmp_path)
  try:
    said = second.stderr.readline()
    assert f"process 1 waits for 1 more of 2 processes at localhost:{port + 1}: " in said
    assert said.endswith(" s so far, for at most 300 s\n")
    second.send_signal(signal.SIGTERM)
    assert second.wait(timeout=10) == 143
  finally:
    both = finish(first, second)
  assert [code for code, *_ in both] == [2, 143]
  assert "process 0 waits for 1 more of 2 processes" in both[0][2]
  assert "did not come within 2 s: start all of them, with the same --coordinator and --processes" in both[0][2]
  assert "the same command continues" in both[1][2]
  for *_, said in both:
    assert "***" not in said and "Traceback" not in said


def test_sigterm_ends_a_process_at_work_and_the_others_say_so(trained, tmp_path, port):
  """JAX takes SIGTERM for its preemption service: the process must still end by it."""
  argv = [*certify(trained, tmp_path / "o.tsv"), "--N", 10_000_000, "--N0", 10]
  both = [start(argv, 2, i, port) for i in (0, 1)]
  try:
    for line in both[0].stderr:
      if "compiling for" in line:
        break
    time.sleep(1.5)
    both[1].send_signal(signal.SIGTERM)
    assert both[1].wait(timeout=25) == 143
  finally:
    ended = finish(*both)
  assert [code for code, *_ in ended] == [1, 143], ended
  assert "another process ended or cannot be reached" in ended[0][2]
  assert "start all processes again, and they continue" in ended[0][2]
  for *_, said in ended:
    assert "***" not in said and "Traceback" not in said, said

"""Runs that are killed, interrupted or out of room at any instant end, continued, in the same file."""

import concurrent.futures
import contextlib
import itertools
import random
import resource
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from helpers import without_time

from rsjax import certify, predict, results
from rsjax.classifiers import checkpoint
from rsjax.cli import progress

CODES = {signal.SIGKILL: {-9}, signal.SIGINT: {130}, signal.SIGTERM: {143}}


class Command:
  """`python -m rsjax.COMMAND ... OUTFILE` in a process of its own, within a `with`."""

  def __init__(self, command, *arguments):
    self.outfile = arguments[-1]
    self.said = self.outfile.with_suffix(".stderr")
    self._argv = [sys.executable, "-m", f"rsjax.{command}", *map(str, arguments)]

  def __enter__(self):
    with open(self.said, "w") as stderr:
      self._process = subprocess.Popen(self._argv, stdout=subprocess.DEVNULL, stderr=stderr)
    return self

  def __exit__(self, *_):
    self._process.kill()
    self._process.wait()

  def wait(self):
    return self._process.wait(timeout=300)

  def done(self):
    return self._process.poll() is not None

  def rows(self):
    return max(0, self.outfile.read_bytes().count(b"\n") - 1) if self.outfile.exists() else 0

  def wait_for_rows(self, rows, seconds):
    """Waits for so many rows, or so long."""
    deadline = time.monotonic() + seconds
    while self.rows() < rows and not self.done() and time.monotonic() < deadline:
      time.sleep(0.002)

  def signal(self, number):
    self._process.send_signal(number)


def kill_again_and_again(command, arguments, folder, kills):
  """Ends a run by each of `kills`, (signal, whether it is still starting); returns the finished file.

  While it starts, it imports, loads, compiles or writes the manifest.
  """
  rng, out = random.Random(command), folder / f"{command}.tsv"
  for number, early in kills:
    with Command(command, *arguments, out) as process:
      begun = process.rows()
      process.wait_for_rows(begun + rng.randint(1, 5), rng.uniform(0.3, 3) if early else 120)
      time.sleep(rng.uniform(0, 0.03))
      assert not process.done(), (number, early, process.said.read_text())
      rows = process.rows()
      process.signal(number)
      code = process.wait()
      assert early or rows > begun
      # before the first row Python itself may still be starting, without a handler
      assert code in CODES[number] | ({-number} if rows == begun else set()), process.said.read_text()
      assert code < 0 or "the same command continues" in process.said.read_text()
  assert 0 < rows < IMAGES
  with Command(command, *arguments, out) as process:
    assert process.wait() == 0, process.said.read_text()
  return out


IMAGES = 120  # of the 360 of digits
KILLS = {
  "certify": [(signal.SIGKILL, True), (signal.SIGKILL, False), (signal.SIGINT, False), (signal.SIGTERM, False)],
  "predict": [(signal.SIGTERM, True), (signal.SIGKILL, False)],
}


def test_killed_again_and_again_and_continued_it_is_the_same_file(trained, tmp_path):
  common = ["digits", trained, 0.25, "--N", 3000, "--batch", 512, "--skip", 3]
  own = {"certify": [], "predict": ["--fixed"]}  # by looks, predict would often be done before it is killed
  for main, command in ((certify.main, "certify"), (predict.main, "predict")):
    assert main([str(a) for a in (*common, *own[command], tmp_path / f"{command}_whole.tsv")]) == 0
  common += ["--compilation-cache", tmp_path / "programs"]
  with concurrent.futures.ThreadPoolExecutor() as pool:
    runs = [
      pool.submit(kill_again_and_again, command, [*common, *own[command]], tmp_path, kills)
      for command, kills in KILLS.items()
    ]
  for command, run in zip(KILLS, runs):
    out = run.result()
    assert list((tmp_path / "programs").iterdir())
    assert without_time(out) == without_time(tmp_path / f"{command}_whole.tsv")
    read = results.read(out)
    assert read.complete and len(read) == IMAGES


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("times", [1, 2])
def test_an_interrupt_finishes_the_image_in_flight_and_a_second_does_not(
  trained, tmp_path, number, times, monkeypatch, capfd
):
  draws, arrived = progress.RunProgress.draws, itertools.count()

  def interrupted_draws(self, count):
    draws(self, count)
    if next(arrived) == 3:
      for _ in range(times):
        signal.raise_signal(number)

  monkeypatch.setattr(progress.RunProgress, "draws", interrupted_draws)
  arguments = ["digits", trained, "0.25", str(tmp_path / "o.tsv"), "--max", "2", "--N", "5000", "--batch", "64"]
  assert certify.main(arguments) == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
  said = capfd.readouterr().err
  assert "interrupt again to stop at once" in said
  assert "the same command continues" in said
  assert len(results.read(tmp_path / "o.tsv")) == (1 if times == 1 else 0)
  monkeypatch.undo()
  assert certify.main(arguments) == 0


@contextlib.contextmanager
def room_for(size):
  """No file of this process may grow beyond `size` bytes; what it says must not go into files, then."""
  soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_no_room_is_one_line_that_says_how_to_go_on(trained, tmp_path, capsys):
  arguments = ["digits", trained, "0.25", "--max", "60", "--N", "500", "--batch", "512"]
  whole, cramped = tmp_path / "whole.tsv", tmp_path / "cramped.tsv"
  assert certify.main([*arguments, str(whole)]) == 0
  room = results.manifest_path(whole).stat().st_size + 500
  assert room < whole.stat().st_size
  capsys.readouterr()
  for _ in range(2):
    with room_for(room):
      assert certify.main([*arguments, str(cramped)]) == 1
    said = capsys.readouterr().err
    last = said.splitlines()[-1]
    assert "cramped.tsv cannot be written to: File too large" in last
    assert "the same command continues" in last
    assert "Traceback" not in said
  assert cramped.stat().st_size == room  # with a torn row
  assert certify.main([*arguments, str(cramped)]) == 0
  assert without_time(cramped) == without_time(whole)


def test_a_checkpoint_that_was_replaced_is_refused(trained, tmp_path, capsys):
  model, out = tmp_path / "m", tmp_path / "o.tsv"
  arguments = ["digits", str(model), "0.25", str(out), "--max", "3", "--N", "100"]
  shutil.copytree(trained, model)
  assert certify.main(arguments) == 0
  lines = out.read_bytes().splitlines(keepends=True)
  out.write_bytes(b"".join(lines[:2]))
  shutil.rmtree(model)
  first = checkpoint.load(trained)
  other = jax.tree.map(lambda leaf: leaf * np.float32(0.99), first.variables)
  checkpoint.save(model / "checkpoint", other, first.metadata)
  before = out.read_bytes()
  capsys.readouterr()
  assert certify.main(arguments) == 2
  assert "begun with other settings (the checkpoint is another one (digest " in capsys.readouterr().err
  assert out.read_bytes() == before


SAVING_ALWAYS = """
import sys
from rsjax import train
from rsjax.runs import training
training.SAVE_SECONDS = training.SAVE_WITHIN_SECONDS = 0.0
training.SAVE_SHARE = float("inf")
sys.exit(train.main(sys.argv[1:]))
"""


def test_a_killed_training_resumes_to_the_same_weights(tmp_path):
  """SIGKILL as soon as the k-th state appears, wherever the process then is."""
  arguments = ["digits", "convnet", "--noise", "0.25", "--epochs", "3", "--batch", "479"]
  command = lambda out: [sys.executable, "-c", SAVING_ALWAYS, *arguments[:2], str(out), *arguments[2:]]
  subprocess.run(command(tmp_path / "whole"), check=True, stderr=subprocess.DEVNULL)
  out, saves = tmp_path / "killed", 5
  with subprocess.Popen([*command(out), "--resume"], stderr=subprocess.DEVNULL) as process:
    deadline = time.monotonic() + 120
    while max(checkpoint.steps(out / "state"), default=0) < saves and time.monotonic() < deadline:
      time.sleep(0.002)
    process.kill()
    assert process.wait() == -9
  subprocess.run([*command(out), "--resume"], check=True, stderr=subprocess.DEVNULL)
  assert checkpoint.load(out).metadata["step"] == 9
  assert checkpoint.load(out).digest == checkpoint.load(tmp_path / "whole").digest

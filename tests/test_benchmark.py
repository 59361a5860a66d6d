"""The benchmark measures the same function in JAX and in PyTorch, and counts its work rightly."""

import json
import pathlib
import sys

import benchmark
import benchmark_training
import jax
import numpy as np
import pytest
import torch_process

from rsjax import models
from rsjax.training import objectives


@pytest.fixture(scope="module")
def lines():
  return benchmark.Lines("cifar_resnet8", "float32", rows=8)


def test_a_draws_work_is_counted(lines):
  """By hand: 3x3 convolutions of ResNet-8 at 32x32, 16x16 and 8x8, two shortcuts, the linear layer."""
  layers = [(1024, 27, 16), *[(1024, 144, 16)] * 2]
  layers += [(256, 144, 32), (256, 288, 32), (256, 16, 32), (64, 288, 64), (64, 576, 64), (64, 32, 64)]
  products = 2 * sum(pixels * inputs * outputs for pixels, inputs, outputs in layers)
  counted = benchmark.flops(lines.apply, lines.variables, lines.shape)
  assert counted == products + 2 * 64 * 10
  values = 1024 * (3 + 16) + 2 * 1024 * 32 + (16384 + 8192) + 2 * 8192 + (16384 + 8192)
  values += (8192 + 4096) + 2 * 4096 + (8192 + 4096)
  assert benchmark.least_bytes(lines.apply, lines.variables, lines.shape, "float32") == 4 * values
  assert benchmark.least_bytes(lines.apply, lines.variables, lines.shape, "bfloat16") == 2 * values


def test_each_line_does_the_draws_it_is_paid_for(lines):
  assert lines.certify(2000) == 2 * (100 + 900)
  assert lines.predict(50, 200) == 200
  assert lines.bare(20) == 24  # whole steps
  assert lines.plain_jax(20) == 24


def test_a_line_that_fails_is_told_and_the_others_measured():
  def broken(draws):
    raise ValueError("out of order")

  found = {}
  benchmark.measure({"broken": broken, "whole": lambda draws: draws}, 1e-6, 2, found)
  assert "out of order" in found["broken"]["failed"]
  assert len(found["whole"]["draws/s"]) == 2
  assert "failed: ValueError" in benchmark.table("title", found, 1.0)


def test_an_interrupted_run_keeps_what_it_measured(tmp_path, monkeypatch, capsys):
  """Ctrl-C in the second repetition, between the two lines of a ratio."""
  rests = iter(range(3))  # one before each line of a repetition

  def rest(seconds):
    if next(rests, None) is None:
      raise KeyboardInterrupt

  lines = dict.fromkeys(("rsjax CERTIFY", "PyTorch, best"), lambda draws: draws)
  monkeypatch.setattr(benchmark.time, "sleep", rest)
  monkeypatch.setattr(benchmark, "ceilings", lambda: {"copy bytes/s": 1.0, "float32 product FLOP/s": 1.0})
  monkeypatch.setattr(benchmark.Lines, "all", lambda self, peer: lines)
  monkeypatch.setattr(benchmark.importlib.util, "find_spec", lambda name: None)
  out = tmp_path / "record.json"
  flags = ["--arch", "cifar_resnet8", "--rows", "8", "--repeats", "3", "--seconds", "1e-6"]
  with pytest.raises(SystemExit, match="130"):
    benchmark.main([*flags, "--dtype", "float32", "--out", str(out)])
  assert f"what was measured before is in {out}" in capsys.readouterr().err
  found = json.loads(out.read_text())["architectures"]["cifar_resnet8"]["lines"]
  assert [len(found[name]["draws/s"]) for name in lines] == [2, 1]
  assert benchmark.ratio(found, "rsjax CERTIFY", "PyTorch, best") is not None
  assert "CERTIFY over these two" in benchmark.markdown(json.loads(out.read_text()))


def test_the_readmes_tables_are_made_from_records():
  root = pathlib.Path(__file__).parents[1]
  readme = (root / "README.md").read_text()
  load = lambda path: json.loads(path.read_text())
  records = list((root / "experiments" / "benchmarks").glob("*.json"))
  tables = [benchmark.markdown(record) for record in map(load, records) if "architectures" in record]
  assert readme.count("| draws/s, ") == sum(table in readme for table in tables) > 0


def test_a_python_without_pytorch_is_told(tmp_path):
  with pytest.raises(torch_process.TorchError, match="does not start"):
    torch_process.TorchProcess(tmp_path / "python", tmp_path)
  (tmp_path / "torch.py").write_text("raise ImportError")
  python = tmp_path / "python"
  python.write_text(f"#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} $@ 2>/dev/null\n")
  python.chmod(0o755)
  with pytest.raises(torch_process.TorchError, match="ended with exit code 1"):
    torch_process.TorchProcess(python, tmp_path)


def test_pytorchs_network_is_the_same_function(lines, tmp_path):
  pytest.importorskip("torch", reason="PyTorch is not installed", exc_type=ImportError)
  with torch_process.TorchProcess(None, tmp_path) as peer:
    peer.network("cifar_resnet8", 10, benchmark.MEAN, benchmark.STD, lines.plain)
    benchmark.check_parity(peer, lines)
    peer.ask("paper_form", name="paper", batch=30)
    image = peer.save("image", np.full((32, 32, 3), 0.5, np.float32))
    assert peer.ask("count", name="paper", image=image, n=100, sigma=0.1) == 100
    with pytest.raises(torch_process.TorchError, match="KeyError"):
      peer.ask("count", name="another", image=image, n=100, sigma=0.1)
    other = models.init(lines.model, jax.random.key(1), lines.shape)
    peer.network("cifar_resnet8", 10, (0.5,) * 3, (0.2,) * 3, other)
    with pytest.raises(SystemExit, match="another function"):
      benchmark.check_parity(peer, lines)


def test_pytorchs_objectives_are_the_same_functions(tmp_path):
  """One of them; each run of the benchmark compares all that it measures."""
  pytest.importorskip("torch", reason="PyTorch is not installed", exc_type=ImportError)
  chosen = {"macer": objectives.Macer(0.5, noise_vectors=4)}
  with torch_process.TorchProcess(None, tmp_path) as peer:
    found = benchmark_training.losses_of(chosen, peer)
    assert found.keys() == chosen.keys()
    given = handed(peer, chosen["macer"])
    peer.ask("training", name="line", objective="macer", dtype="float32", mode="eager", batch=2, **given)
    assert peer.ask("steps", name="line", count=2) > 0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_pytorch_trains_in_the_dtype_that_is_compared(dtype):
  torch = pytest.importorskip("torch", reason="PyTorch is not installed", exc_type=ImportError)
  from torch_peer import Training

  seen = []
  net = torch.nn.Sequential(torch.nn.Conv2d(3, 1, 8), torch.nn.Flatten(), torch.nn.LazyLinear(10))
  net(torch.zeros(1, 3, 8, 8))
  net[0].register_forward_hook(lambda layer, given, result: seen.append(str(result.dtype)))
  images, votes = np.zeros((4, 8, 8, 3), np.uint8), np.zeros((4, 10), np.float32)
  line = Training(net, "gaussian", {"noise_sd": 0.5}, images, np.arange(4), votes, 2, dtype, "eager")
  assert line.steps(1) > 0 and seen == [f"torch.{dtype}"]


def handed(peer, objective):
  rng = np.random.default_rng(0)
  arrays = {"images": rng.integers(0, 256, (4, 8, 8, 3), np.uint8), "labels": np.arange(4)}
  arrays |= {"votes": rng.dirichlet(np.ones(10), 4).astype(np.float32)}
  settings = benchmark_training.settings_of(objective)
  return {"settings": settings, **{name: peer.save(name, array) for name, array in arrays.items()}}


def test_costs_of_objectives_are_those_of_their_passes():
  """As the specification of the field's costs has them, for the settings of CIFAR-10 at sigma 0.25."""
  found = {name: benchmark_training.cost(kind(0.25)) for name, kind in objectives.OBJECTIVES.items()}
  wanted = dict(gaussian=1, stability=2, consistency=2, smoothmix=9.3, macer=16, catrs=18.7, smoothadv=30.7)
  wanted |= dict(smoothadv_consistency=30.7, reweighted=12)
  assert found == pytest.approx(wanted, abs=0.05)


def test_an_objectives_line_has_ratios_within_repetitions():
  seconds = {"gaussian": ([1.0, 2.0], [2.0, 4.0]), "macer": ([16.0, 30.0], [40.0, 60.0])}
  keys = ("rsjax, seconds an image", "PyTorch, seconds an image")
  lines = {name: dict(zip(keys, both), **{"passes over gaussian": 1.0}) for name, both in seconds.items()}
  del lines["gaussian"][keys[1]]  # failed there
  [_, _, macer] = benchmark_training.table({"lines": {**lines}}).splitlines()
  assert "15.50x (15.00 to 16.00)" in macer
  assert "0.45x (0.40 to 0.50)" in macer

"""The benchmark measures the same function in JAX and in PyTorch, and counts its work rightly."""

import json
import pathlib

import benchmark
import jax
import numpy as np
import pytest

from rsjax import models


@pytest.fixture(scope="module")
def lines():
  return benchmark.Lines("cifar_resnet8", "float32", rows=8)


def test_a_draws_work_is_counted(lines):
  """By hand: 3x3 convolutions of ResNet-8 at 32x32, 16x16 and 8x8, two shortcuts, the linear layer."""
  layers = [(1024, 27, 16), *[(1024, 144, 16)] * 2]
  layers += [(256, 144, 32), (256, 288, 32), (256, 16, 32), (64, 288, 64), (64, 576, 64), (64, 32, 64)]
  products = 2 * sum(pixels * inputs * outputs for pixels, inputs, outputs in layers)
  counted = benchmark.flops(lines.apply, lines.variables, lines.shape)
  assert 0.9 * products < counted < 1.1 * products  # the compiler leaves out what falls on the padding
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

  found = benchmark.measure({"broken": broken, "whole": lambda draws: draws}, 1e-6, 2)
  assert "out of order" in found["broken"]["failed"]
  assert len(found["whole"]["draws/s"]) == 2
  assert "failed: ValueError" in benchmark.table("title", found, 1.0)


def test_the_readmes_tables_are_made_from_records():
  root = pathlib.Path(__file__).parents[1]
  readme = (root / "README.md").read_text()
  records = list((root / "experiments" / "benchmarks").glob("*.json"))
  tables = [benchmark.markdown(json.loads(path.read_text())) for path in records]
  assert readme.count("| draws/s, ") == sum(table in readme for table in tables) > 0


def test_pytorchs_network_is_the_same_function(lines):
  torch_peer = pytest.importorskip("torch_peer", reason="PyTorch is not installed", exc_type=ImportError)
  net = torch_peer.network("cifar_resnet8", 10, benchmark.MEAN, benchmark.STD, lines.plain)
  benchmark.check_parity(torch_peer, net, lines)
  form = torch_peer.PaperForm(net, 10, batch=30)
  counts = form.count(np.full((32, 32, 3), 0.5, np.float32), 100, 0.1)
  assert counts.sum() == 100
  other = models.init(lines.model, jax.random.key(1), lines.shape)
  with pytest.raises(SystemExit, match="another function"):
    benchmark.check_parity(
      torch_peer, torch_peer.network("cifar_resnet8", 10, (0.5,) * 3, (0.2,) * 3, other), lines
    )

"""PyTorch's files of the field, read and written as a library."""

import sys

import numpy as np
import pytest
from helpers import SHARED
from scipy import stats

from rsjax import models
from rsjax.classifiers import torch_files
from rsjax.classifiers.classifier import Spec
from rsjax.errors import InputError
from rsjax.noise import Gaussian
from rsjax.procedures import Predict
from rsjax.smoothing import Smoothed

torch = pytest.importorskip("torch", reason="PyTorch is not installed: conversion is not tested")
networks = pytest.importorskip("torch_networks")

CIFAR = SHARED / "cifar10" / "cifar10_exact_test1000.npz"


def test_old_and_half_precision_and_safetensors_files_are_read(tmp_path):
  _, state = networks.published("cifar_resnet8", 10)
  torch.save(networks.LAYOUTS["paper"](state), tmp_path / "old", _use_new_zipfile_serialization=False)
  torch.save(
    {name: t.half() if t.dtype == torch.float32 else t for name, t in state.items()}, tmp_path / "half"
  )
  safetensors = pytest.importorskip("safetensors.torch")
  safetensors.save_file(state, tmp_path / "c.safetensors")
  for name in ("old", "half", "c.safetensors"):
    variables = torch_files.to_variables(torch_files.read(tmp_path / name))
    assert variables["params"]["fc"]["bias"].dtype == np.float32
    np.testing.assert_allclose(variables["params"]["fc"]["bias"], state["1.fc.bias"], atol=1e-3)


def test_a_network_that_the_papers_code_lacks_is_not_written(tmp_path):
  with pytest.raises(InputError, match="has no convnet"):
    torch_files.write(tmp_path / "x", {}, {"arch": "convnet"})
  assert not (tmp_path / "x").exists()


def test_a_missing_pytorch_is_named_with_the_command_that_mends_it(tmp_path, monkeypatch):
  (tmp_path / "c").touch()
  monkeypatch.setitem(sys.modules, "torch", None)
  with pytest.raises(InputError, match="pip install torch safetensors"):
    torch_files.read(tmp_path / "c")


def torch_votes(net, image, sigma, n, seed):
  """int64[classes]: CERTIFY's counting in PyTorch, with PyTorch's noise."""
  torch.manual_seed(seed)
  x, counts = torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32) / 255), np.zeros(10, np.int64)
  with torch.no_grad():
    for _ in range(n // 100):
      answers = net(x + sigma * torch.randn(100, *x.shape)).argmax(1)
      counts += np.bincount(answers.numpy(), minlength=10)
  return counts


@pytest.mark.skipif(not CIFAR.exists(), reason="CIFAR-10 is not here")
def test_counts_agree_with_pytorchs_within_binomial_error(tmp_path):
  """ResNet-20, real CIFAR-10 images, other noise; and under the wrong normalisation they do not agree."""
  sigma, n, images = 0.25, 600, np.load(CIFAR)["images"][[0, 3, 6]]
  net, _ = networks.published("cifar_resnet20", 10)
  x = torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32) / 255)
  with torch.no_grad():  # no class ahead of the others
    net[1].fc.bias -= net((x + sigma * torch.randn(40, *x.shape)).flatten(0, 1)).mean(0)
  file = torch_files.read(networks.save(tmp_path / "c", net.state_dict()))
  wanted = [torch_votes(net, image, sigma, n, seed) for seed, image in enumerate(images)]
  assert min((w > 30).sum() for w in wanted) >= 2  # else there is nothing to compare
  p_values = {}
  for name, std in (("right", networks.STD), ("wrong", (1.0, 1.0, 1.0))):
    model = Spec(file.arch, file.num_classes, file.image_shape, networks.MEAN, std).model("float32")
    smoothed = Smoothed(*models.inference(model, torch_files.to_variables(file)), Gaussian(sigma))
    p_values[name] = []
    for (_, ours), theirs in zip(smoothed.outcomes(Predict(n), enumerate(images)), wanted):
      both = np.array([ours.votes, theirs])[:, ours.votes + theirs > 10]
      p_values[name].append(stats.chi2_contingency(both).pvalue)
  assert min(p_values["right"]) > 1e-3
  assert min(p_values["wrong"]) < 1e-6

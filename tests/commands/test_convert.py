"""PyTorch's checkpoints become rsjax's: the same function, under the right normalisation, or a refusal."""

import argparse
import json
import pathlib
import pickle
import re
import zipfile

import jax
import numpy as np
import pytest
from helpers import ROOT

from rsjax import certify, convert, devices, models
from rsjax.classifiers import checkpoint, normalization, torch_files

torch = pytest.importorskip("torch", reason="PyTorch is not installed: conversion is not tested")
networks = pytest.importorskip("torch_networks")
MEAN, STD, LAYOUTS = networks.MEAN, networks.STD, networks.LAYOUTS
published, save = networks.published, networks.save


def converted(argv, capsys=None):
  assert convert.main([str(a) for a in argv]) == 0, capsys and capsys.readouterr().err
  return checkpoint.load(argv[1])


def logits(classifier, images, folded):
  model = classifier.model("float32")
  apply, variables = models.apply(model), classifier.variables
  if folded:
    apply, variables = models.inference(model, variables)
  with jax.default_matmul_precision("highest"):
    return np.asarray(devices.jit(apply)(variables, images))


@pytest.mark.parametrize(
  ("arch", "classes", "parallel"),
  [
    ("cifar_resnet8", 10, False),
    ("cifar_resnet20", 100, True),
    ("cifar_resnet110", 10, False),
    ("resnet50", 1000, True),
    ("wide_resnet10_2", 10, True),
    ("vit_tiny_patch8", 10, False),
  ],
)
def test_logits_are_those_of_pytorch_and_what_this_assumes_is_told(arch, classes, parallel, tmp_path, capsys):
  net, state = published(arch, classes, parallel=parallel)
  path = save(tmp_path / "checkpoint.pth.tar", state)
  found = converted([path, tmp_path / "out", "--normalization", "cifar10"])
  assert (found.metadata["arch"], found.metadata["num_classes"]) == (arch, classes)
  side = 224 if arch == "resnet50" else 32
  images = np.random.default_rng(0).normal(0.5, 0.5, (2, side, side, 3)).astype(np.float32)
  inner = net[1].module if parallel else net[1]
  with torch.no_grad():
    wanted = inner(net[0](torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))).numpy()
  assert wanted.std() > 0.01
  for folded in (False, True):
    difference = np.abs(logits(found, images, folded) - wanted).max() / np.abs(wanted).max()
    assert difference < 1e-4, (folded, difference)
  told = capsys.readouterr().err
  for norm in (m for m in inner.modules() if isinstance(m, (torch.nn.BatchNorm2d, torch.nn.LayerNorm))):
    assert f"eps {norm.eps:.0e}".replace("e-0", "e-") in told
  activation = "exact GELU" if arch.startswith("vit") else "ReLU"
  assert activation in told and ("3 heads" in told) == arch.startswith("vit")
  assert "if yours differs, give its module to rsjax.from_torch" in told


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("parallel", [True, False])
def test_every_published_layout_is_read(layout, normalize, parallel, tmp_path, capsys):
  _, state = published("cifar_resnet8", 10, normalize, parallel)
  path = save(tmp_path / "c.pth", state, layout)
  found = converted([path, tmp_path / "out", "--normalization", "none", "--noise", 0.25])
  own = published("cifar_resnet8", 10, normalize=False)[1]
  np.testing.assert_array_equal(found.variables["params"]["fc"]["kernel"], own["fc.weight"].numpy().T)
  assert (found.metadata["mean"], found.metadata["std"]) == ([0, 0, 0], [1, 1, 1])
  assert found.metadata["noise_sd"] == 0.25
  origin = found.metadata["origin"]
  assert (origin["file"], len(origin["sha256"])) == ("c.pth", 64)
  assert origin.get("epoch") == {"paper": 90, "macer": 440, "bare": None}[layout]
  assert "10 classes" in capsys.readouterr().out


def test_there_and_back_is_exact(tmp_path):
  for arch, parallel in (("cifar_resnet8", False), ("resnet50", True)):
    net, state = published(arch, 10, parallel=parallel)
    out, again = tmp_path / arch, tmp_path / f"{arch}.pth.tar"
    converted([save(tmp_path / "c", state), out, "--normalization", "cifar10"])
    assert convert.main([str(out), str(again), "--to-torch"]) == 0
    written = torch.load(again, weights_only=True)
    assert written["arch"] == arch
    assert set(written["state_dict"]) == set(state)
    for name, tensor in state.items():
      assert torch.equal(written["state_dict"][name], tensor), name
    net.load_state_dict(written["state_dict"])  # strictly
    back = converted([again, tmp_path / f"{arch}-back"])  # the file holds its normalisation
    assert back.digest == checkpoint.load(out).digest


def test_the_page_says_what_is_assumed_of_each_network():
  page = (ROOT / "docs" / "migrating.md").read_text()
  for arch in ("cifar_resnet20", "resnet50", "wide_resnet28_10", "vit_tiny_patch4"):
    assert torch_files.assumed(arch) in page


def test_help_and_documentation_give_the_numbers_of_each_named_normalisation():
  for text in (convert.EPILOG, (ROOT / "docs" / "frameworks.md").read_text()):
    for name, (mean, std) in normalization.NAMED.items():
      [line] = re.findall(rf'^\W*{name}["`]*[ |].*\d.*', text, re.MULTILINE)
      numbers = re.findall(r"(?<![\w.])0?\.\d+", line)
      assert [*map(float, numbers[:6])] == [*mean, *std], name


def test_normalisation_is_never_guessed(tmp_path, capsys):
  path = save(tmp_path / "c", published("cifar_resnet8", 10)[1])
  assert convert.main([str(path), str(tmp_path / "out")]) == 2
  assert "does not record the normalisation" in capsys.readouterr().err
  assert not (tmp_path / "out").exists()
  numbers = converted([path, tmp_path / "numbers", "--normalization", ".1,.2,.3,.4,.5,.6"])
  assert (numbers.metadata["mean"], numbers.metadata["std"]) == ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
  center = converted([path, tmp_path / "center", "--normalization", "center"])
  assert (center.metadata["mean"], center.metadata["std"]) == (list(MEAN), [1, 1, 1])
  held = save(tmp_path / "held", published("cifar_resnet8", 10, saved=True)[1])
  assert converted([held, tmp_path / "held-out"]).metadata["std"] == pytest.approx(list(STD))
  assert convert.main([str(held), str(tmp_path / "no"), "--normalization", "none"]) == 2
  assert "holds its normalisation" in capsys.readouterr().err


def test_a_normalisation_that_cannot_be_used_is_refused(tmp_path, capsys):
  _, state = published("cifar_resnet8", 10, saved=True)
  for change in ({"0.sds": torch.zeros(3)}, {"0.means": torch.tensor([0.1, float("nan"), 0.1])}):
    path = save(tmp_path / "c", state | change)
    assert convert.main([str(path), str(tmp_path / "out")]) == 2
    assert "its normalisation cannot be used" in capsys.readouterr().err
  path = save(tmp_path / "c", {k: v for k, v in state.items() if k != "0.sds"})
  assert convert.main([str(path), str(tmp_path / "out"), "--normalization", "none"]) == 2
  assert "a mean or a standard deviation, but not both" in capsys.readouterr().err
  torch.save({"state_dict": state, "normalization": {"mean": 0.5, "std": 0.2}}, tmp_path / "c")
  assert convert.main([str(tmp_path / "c"), str(tmp_path / "out")]) == 2
  assert "three numbers each" in capsys.readouterr().err
  assert not (tmp_path / "out").exists()


def test_what_else_a_file_says_of_its_training_is_read_or_told(tmp_path, capsys):
  state = published("cifar_resnet8", 10)[1]

  def said(beside, *flags):
    torch.save({"state_dict": state, **beside}, tmp_path / "c")
    out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
    assert convert.main([str(tmp_path / "c"), str(out), *flags]) == 0
    return checkpoint.load(out).metadata, capsys.readouterr().err

  half = ("--normalization", "half")
  metadata, _ = said({"normalization": "ImageNet"})
  assert metadata["mean"] == [0.485, 0.456, 0.406]
  metadata, err = said({"args": {"noise_sd": 0.5}}, *half)
  assert metadata["noise_sd"] == 0.5 and "noise_sd = 0.5, as the file says" in err
  metadata, err = said({"noise_sd": 0.5}, "--noise", "0.25", *half)
  assert metadata["noise_sd"] == 0.25 and "trained with noise_sd = 0.5, not 0.25" in err
  for pair in ({"mean": 0.5, "std": 0.5}, {"mean": "0.5,0.5,0.5", "std": "0.5,0.5,0.5"}):
    _, err = said({"args": pair}, *half)
    told = f"mean = {pair['mean']} and std = {pair['std']} in args are not read: do they normalise images?"
    assert told in err
  _, err = said({"avg_acc_model": [torch.zeros(3), torch.ones(3)]}, *half)
  assert "tensors that are not converted: avg_acc_model (2 tensors)" in err


def test_a_training_noise_in_grey_levels_is_refused_whoever_says_it(tmp_path, capsys):
  torch.save({"state_dict": published("cifar_resnet8", 10)[1], "noise_sd": 64}, tmp_path / "c")
  argv = [str(tmp_path / "c"), str(tmp_path / "out"), "--normalization", "half"]
  for flags in ([], ["--noise", "64"]):
    assert convert.main([*argv, *flags]) == 2
    assert "give 64 / 255" in capsys.readouterr().err and not (tmp_path / "out").exists()
  assert convert.main([*argv, "--noise", "0.25"]) == 0


SOME = torch.tensor([0.1, 0.2, 0.3])


@pytest.mark.parametrize(
  ("change", "found"),
  [
    ({"0.means": torch.tensor(0.5), "0.sds": torch.tensor([0.25])}, ([0.5] * 3, [0.25] * 3)),
    ({"0.means": SOME.view(3, 1, 1)}, ([0.1, 0.2, 0.3], list(STD))),
    ({"0.means": SOME.view(1, 3, 1, 1).repeat(1, 1, 32, 32)}, ([0.1, 0.2, 0.3], list(STD))),
    ({"copy.mean": torch.tensor(MEAN), "copy.std": torch.tensor(STD)}, (list(MEAN), list(STD))),
  ],
)  # fmt: skip
def test_a_normalisation_of_any_clear_form_is_read(change, found, tmp_path):
  path = save(tmp_path / "c", published("cifar_resnet8", 10, saved=True)[1] | change)
  metadata = converted([path, tmp_path / "out"]).metadata
  np.testing.assert_allclose((metadata["mean"], metadata["std"]), found, atol=1e-6)


@pytest.mark.parametrize(
  "beside",
  [
    {"normalize": {"mean": [0.1, 0.2, 0.3], "std": STD}},
    {"config": {"data": {"transform": {"mean": SOME, "std": torch.tensor(STD)}}}},
    {"mean": SOME.tolist(), "std": list(STD)},
    {"args": {"image_mean": SOME.tolist(), "image_std": list(STD)}},
  ],
)
def test_a_normalisation_beside_the_network_is_read_wherever_it_is(beside, tmp_path, capsys):
  plain, held = (published("cifar_resnet8", 10, saved=saved)[1] for saved in (False, True))
  others = {
    "lr_steps": {10: 0.1},
    "history": {"mean": [0.5] * 3, "std": [0.1] * 3},
    "weights": {"mean": 3.0, "std": 1.0},
  }
  torch.save({"state_dict": plain, **others, **beside}, tmp_path / "c")
  metadata = converted([tmp_path / "c", tmp_path / "out"]).metadata
  np.testing.assert_allclose((metadata["mean"], metadata["std"]), ([0.1, 0.2, 0.3], STD), atol=1e-6)
  assert convert.main([str(tmp_path / "c"), str(tmp_path / "no"), "--normalization", "none"]) == 2
  assert "holds its normalisation" in capsys.readouterr().err
  torch.save({"state_dict": held, **beside}, tmp_path / "c")
  assert convert.main([str(tmp_path / "c"), str(tmp_path / "no")]) == 2
  assert "holds different normalisations, in the network's tensors and in" in capsys.readouterr().err


@pytest.mark.parametrize(
  ("change", "words"),
  [
    (
      {"0.means": torch.tensor([125.3, 123.0, 113.9]), "0.sds": torch.tensor([63.0, 62.1, 66.7])},
      "divide it by 255",
    ),
    (
      {"0.means": torch.zeros(64), "0.sds": torch.ones(64)},
      "0.means is [64], not one number for each of three",
    ),
    ({"feature.mean": torch.zeros(64), "feature.sigma": torch.ones(64)}, "feature.mean is [64]"),
    ({"0.means": torch.rand(3, 32, 32)}, "0.means is [3, 32, 32]"),
    ({"other.mean": torch.zeros(3), "other.std": torch.ones(3)}, "several means, 0.means, other.mean"),
  ],
)
def test_an_unclear_normalisation_is_refused_by_name(change, words, tmp_path, capsys):
  path = save(tmp_path / "c", published("cifar_resnet8", 10, saved=True)[1] | change)
  assert convert.main([str(path), str(tmp_path / "out")]) == 2
  assert words in capsys.readouterr().err
  assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("second", [True, False])
def test_a_normalisation_that_is_there_twice_is_told(second, tmp_path, capsys):
  """The network may subtract it twice, in a layer around it and itself; no tensor shows it."""
  state = published("cifar_resnet8", 10, saved=True)[1]
  again = {"1.mean": state["0.means"], "1.std": state["0.sds"]} if second else {}
  converted([save(tmp_path / "c", state | again), tmp_path / "out"])
  told = "holds the same mean in 0.means, 1.mean: its network is taken to subtract it once"
  assert (told in capsys.readouterr().err) == second


def test_the_flag_takes_the_sets_names_and_no_grey_levels(tmp_path, capsys):
  path = save(tmp_path / "c", published("cifar_resnet8", 10)[1])
  assert convert.main([str(path), str(tmp_path / "no"), "--normalization", "125.3,123,113.9,63,62.1,66.7"]) == 2
  assert "divide it by 255" in capsys.readouterr().err
  found = converted([path, tmp_path / "out", "--normalization", "cifar100"])
  assert found.metadata["mean"] == pytest.approx([0.507075, 0.486549, 0.440918])


def test_a_swapped_normalisation_is_told(tmp_path, capsys):
  path = save(tmp_path / "c", published("cifar_resnet8", 10)[1])
  text = lambda *groups: ",".join(f"{v:.4f}" for group in groups for v in group)
  for name, pair, swapped in (("a", text(STD, MEAN), True), ("b", text(MEAN, STD), False)):
    converted([path, tmp_path / name, "--normalization", pair])
    assert ("are they swapped?" in capsys.readouterr().err) == swapped
  for name in ("cifar10", "imagenet", "cifar100", "svhn_cropped", "center", "none"):
    converted([path, tmp_path / name, "--normalization", name])
    assert "are they swapped" not in capsys.readouterr().err


def test_tensors_that_are_not_converted_are_told(tmp_path, capsys):
  state = published("cifar_resnet8", 10)[1]
  count = sum(tensor.numel() > 1 for tensor in state.values())
  average = {"decay": 0.999, "shadow_params": [tensor.clone() for tensor in state.values()]}
  beside = {
    "opt": {"state": {0: {"exp_avg": torch.zeros(16, 3, 3, 3)}}},
    "optimizer": {"state": {0: {"momentum_buffer": torch.zeros(16, 3, 3, 3)}}},
    "rng_state": torch.zeros(10),
    "best_acc": torch.tensor(0.5),
  }
  path = tmp_path / "c.pth"
  torch.save({"state_dict": state, "ema": average} | beside, path)
  converted([path, tmp_path / "a", "--normalization", "none"])
  err = capsys.readouterr().err
  assert f"not converted: ema/shadow_params ({count} tensors)" in err and "(EMA)" in err
  torch.save({"state_dict": state} | beside, path)
  converted([path, tmp_path / "b", "--normalization", "none"])
  assert "not converted" not in capsys.readouterr().err


def test_what_is_not_the_papers_is_not_written_as_such(tmp_path, capsys):
  path = save(tmp_path / "c", published("cifar_resnet8", 10)[1])
  converted([path, tmp_path / "out", "--normalization", "none"])
  assert convert.main([str(tmp_path / "out"), str(path), "--to-torch"]) == 2
  assert "exists: give a new file" in capsys.readouterr().err
  assert convert.main([str(tmp_path / "out"), str(tmp_path / "new"), "--to-torch"]) == 0
  assert "warning: the paper's code normalises with its own constants" in capsys.readouterr().err


def test_parameters_and_odd_keys(tmp_path, capsys):
  net, _ = published("cifar_resnet8", 10)
  path = save(tmp_path / "c", net.state_dict(keep_vars=True), "bare")
  converted([path, tmp_path / "out", "--normalization", "none"])
  torch.save({1: torch.zeros(1)}, tmp_path / "numbers")
  assert convert.main([str(tmp_path / "numbers"), str(tmp_path / "no"), "--normalization", "none"]) == 2
  assert "holds no state_dict of tensors" in capsys.readouterr().err


def averaged():
  """Two state_dicts of one network, the second with other weights, as an average has."""
  return [networks.random_network("cifar_resnet8", 10, seed).state_dict() for seed in (0, 1)]


def prefixed(state, prefix):
  return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
  ("file", "keys"),
  [
    (lambda a, b: {"state_dict": a, "state_dict_ema": b}, ("state_dict", "state_dict_ema")),
    (lambda a, b: {"state_dict": {"net": a, "ema": b}}, ("state_dict/net", "state_dict/ema")),
    (lambda a, b: {"ensemble": [a, b]}, ("ensemble/0", "ensemble/1")),
    (lambda a, b: prefixed(a, "student.1.") | prefixed(b, "teacher.1."), ("student.1", "teacher.1")),
    (
      lambda a, b: {"model": a | prefixed(b, "ema.module.") | {"ema.n_averaged": torch.tensor(9)}},
      ("model/", "model/ema.module"),
    ),
    (lambda a, b: prefixed(a, "") | prefixed(b, "_orig_mod."), ("", "_orig_mod")),
  ],
)
def test_which_of_several_networks_must_be_said(file, keys, tmp_path, capsys):
  states = averaged()
  torch.save(file(*states), tmp_path / "c")
  argv = [tmp_path / "c", tmp_path / "out", "--normalization", "none"]
  assert convert.main([str(a) for a in argv]) == 2
  said = capsys.readouterr().err
  assert "holds several networks" in said and "choose one by its --key" in said
  assert all((key or "''") in said for key in keys)
  assert not (tmp_path / "out").exists()
  for i, (key, state) in enumerate(zip(keys, states)):
    found = converted([argv[0], tmp_path / f"out{i}", *argv[2:], "--key", key])
    np.testing.assert_array_equal(found.variables["params"]["fc"]["kernel"], state["fc.weight"].numpy().T)
    assert found.metadata["origin"]["key"] == key
    assert f"the network under {key!r}" in capsys.readouterr().err
  assert convert.main([*(str(a) for a in argv), "--key", "ema9"]) == 2
  assert "no network under the key 'ema9'" in capsys.readouterr().err


def test_an_average_of_the_parameters_alone_is_refused_with_its_mend(tmp_path, capsys):
  state, average = averaged()
  kept = {name: tensor for name, tensor in average.items() if "running" not in name and "num_" not in name}
  torch.save({"state_dict": state, "ema": kept}, tmp_path / "c")
  argv = [str(tmp_path / "c"), str(tmp_path / "out"), "--normalization", "none", "--key", "ema"]
  assert convert.main(argv) == 2
  said = capsys.readouterr().err
  assert "missing bn1.running_mean" in said and "update_bn" in said
  assert not (tmp_path / "out").exists()


def test_copies_that_are_the_same_counters_and_wrappers_are_no_question(tmp_path, capsys):
  state, _ = averaged()
  swa = prefixed(state, "module.") | {"n_averaged": torch.tensor(5)}
  compiled = prefixed(state, "module._orig_mod.")
  inner = {f"0._orig_mod.{name}": tensor for name, tensor in state.items()}
  for i, file in enumerate((swa, compiled, inner, {"state_dict": state, "best": dict(state)})):
    torch.save(file, tmp_path / "c")
    found = converted([tmp_path / "c", tmp_path / f"out{i}", "--normalization", "none"])
    np.testing.assert_array_equal(found.variables["params"]["fc"]["kernel"], state["fc.weight"].numpy().T)
  assert "the network under 'state_dict'" in capsys.readouterr().err


def test_statistics_that_were_never_updated_are_told(tmp_path, capsys):
  torch.save(networks.Network("cifar_resnet8", 10).state_dict(), tmp_path / "c")
  converted([tmp_path / "c", tmp_path / "out", "--normalization", "none"])
  assert "still needs torch.optim.swa_utils.update_bn" in capsys.readouterr().err


def trained_network(images, labels, mean, std, steps=20):
  """A small network that knows these images, under one normalisation."""
  net = networks.random_network("cifar_resnet8", 3).train()
  x = torch.from_numpy(images.transpose(0, 3, 1, 2).astype(np.float32) / 255)
  shape = (1, 3, 1, 1)
  mean, std, y = torch.tensor(mean).view(shape), torch.tensor(std).view(shape), torch.from_numpy(labels)
  sgd = torch.optim.SGD(net.parameters(), 0.05, momentum=0.9)
  for _ in range(steps):
    loss = torch.nn.functional.cross_entropy(net((x + 0.1 * torch.randn_like(x) - mean) / std), y)
    sgd.zero_grad()
    loss.backward()
    sgd.step()
  return net.eval()


def test_check_finds_the_normalisation_that_the_weights_were_trained_under(tmp_path, capsys, write_npz):
  data = write_npz(shape=(32, 32, 3), size=90)
  arrays = np.load(data)
  net = trained_network(arrays["x_train"], arrays["y_train"], MEAN, STD)
  path = save(tmp_path / "c", net.state_dict())
  assert convert.main([str(path), "--check", str(data), "--sigma", "0.1"]) == 0
  said = capsys.readouterr().out
  assert "90 test images" in said
  assert {line.split()[0] for line in said.splitlines() if "95 %" in line} == {
    "cifar10",
    "imagenet",
    "cifar100",
    "svhn_cropped",
    "center",
    "half",
    "none",
  }
  assert "best with noise:" in said
  assert not (tmp_path / "out").exists()
  rates = {line.split()[0]: float(line.split()[2]) for line in said.splitlines() if "95 %" in line}
  assert rates["cifar10"] > 0.9 and rates["cifar10"] > rates["none"]
  assert convert.main([str(path), "--check", "digits"]) == 2
  assert "images of (8, 8, 1)" in capsys.readouterr().err


class Bomb:
  def __reduce__(self):
    return pathlib.Path.touch, (pathlib.Path("exploded"),)


def claims_ten_gigabytes(path, state):
  """The tensor conv1.weight says that it has 2.5e9 numbers, and so does its storage."""
  torch.save(state, path)
  with zipfile.ZipFile(path) as old:
    parts = {name: old.read(name) for name in old.namelist()}
  [name] = [name for name in parts if name.endswith("data.pkl")]
  size = state["conv1.weight"].numel()
  small, large = b"M" + size.to_bytes(2, "little"), b"\x8a\x05" + (2_500_000_000).to_bytes(5, "little")
  assert small in parts[name]
  parts[name] = parts[name].replace(small, large)
  with zipfile.ZipFile(path, "w") as new:
    for part, content in parts.items():
      new.writestr(part, content)


def hostile(kind, path):
  _, state = published("cifar_resnet8", 10, normalize=False)
  if kind == "code":
    path.write_bytes(pickle.dumps({"state_dict": Bomb()}))
  elif kind == "code in PyTorch's format":
    torch.save({"state_dict": state, "extra": Bomb()}, path)
  elif kind == "truncated":
    torch.save(state, path)
    path.write_bytes(path.read_bytes()[:-2000])
  elif kind == "truncated old format":
    torch.save(state, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:-2000])
  elif kind == "truncated safetensors":
    pytest.importorskip("safetensors.torch").save_file(state, path)
    path.write_bytes(path.read_bytes()[:-2000])
  elif kind == "one changed byte":
    torch.save(state, path)
    content = bytearray(path.read_bytes())
    content[content.index(state["layer3.0.conv2.weight"].numpy().tobytes()) + 7] ^= 64
    path.write_bytes(content)
  elif kind == "ten gigabytes":
    claims_ten_gigabytes(path, state)
  elif kind == "ten gigabytes by strides":
    state["fc.weight"] = torch.zeros(1).as_strided((50_000, 50_000), (0, 0))
    torch.save(state, path)
  elif kind == "text":
    path.write_text("not a checkpoint")
  elif kind == "empty":
    path.write_bytes(b"")
  elif kind == "no weights":
    torch.save({"epoch": 3, "arch": "cifar_resnet20"}, path)
  else:
    change = {
      "NaN": lambda: state["layer2.0.conv1.weight"][0, 0].fill_(float("nan")),
      "a variance below 0": lambda: state["layer1.0.bn1.running_var"][3].fill_(-0.1),
      "integers": lambda: state.update({"fc.weight": state["fc.weight"].int()}),
      "missing": lambda: state.pop("layer3.0.bn2.running_var"),
      "left over": lambda: state.update({"layer1.0.extra.weight": torch.zeros(1)}),
      "one class": lambda: state.update({name: state[name][:1] for name in ("fc.weight", "fc.bias")}),
      "left over outside": lambda: state.update({"head.weight": torch.zeros(2)}),
      "shape": lambda: state.update({"layer1.0.conv1.weight": torch.zeros(16, 16, 1, 1)}),
      "other network": lambda: state.update({"conv1.weight": torch.zeros(32, 3, 3, 3)}),
      "no network": lambda: [state.pop(name) for name in list(state) if name.startswith(("conv1", "fc"))],
    }
    change[kind]()
    torch.save(state, path)


@pytest.mark.parametrize(
  ("kind", "said"),
  [
    ("code", "cannot be read as PyTorch's weights"),
    ("code in PyTorch's format", "which could run code"),
    ("truncated", "cut short or damaged"),
    ("truncated old format", "cut short or damaged"),
    ("truncated safetensors", "cut short or damaged"),
    ("one changed byte", "the checksum of"),
    ("a variance below 0", "variances must be at least 0, these are not: layer1.0.bn1.running_var"),
    ("ten gigabytes", "c.pth"),
    ("ten gigabytes by strides", "c.pth"),
    ("text", "it is not a file that PyTorch wrote"),
    ("empty", "c.pth is empty: copy or download it again"),
    ("one class", "a network with one output, which is no classifier"),
    ("no weights", "holds no state_dict of tensors: it has epoch, arch"),
    ("NaN", "weights are not finite: layer2.0.conv1.weight"),
    ("integers", "weights are not floating-point numbers: fc.weight"),
    ("missing", "missing layer3.0.bn2.running_var"),
    ("left over", "left over layer1.0.extra.weight"),
    ("left over outside", "left over head.weight"),
    ("shape", "layer1.0.conv1.weight is [16, 16, 1, 1], not [16, 16, 3, 3]"),
    ("other network", "does not hold a known network"),
    ("no network", "does not hold a known network"),
  ],
)
def test_hostile_files_are_refused_and_leave_nothing(kind, said, tmp_path, capsys, monkeypatch):
  monkeypatch.chdir(tmp_path)
  path = tmp_path / ("c.safetensors" if "safetensors" in kind else "c.pth")
  hostile(kind, path)
  assert convert.main([str(path), "out", "--normalization", "none"]) == 2
  err = capsys.readouterr().err
  assert said in err
  assert len([line for line in err.splitlines() if "error" in line]) == 1 and "Traceback" not in err
  assert list(tmp_path.iterdir()) == [path]


def test_the_command_that_takes_the_weights_out_of_a_file_with_more_works(tmp_path, capsys, monkeypatch):
  monkeypatch.chdir(tmp_path)
  state = published("cifar_resnet8", 10)[1]
  torch.save({"state_dict": state, "args": argparse.Namespace(lr=0.1)}, "c.pth")
  assert convert.main(["c.pth", "out", "--normalization", "none"]) == 2
  exec(re.search(r"run (torch\.save\(.*\)) in Python", capsys.readouterr().err)[1], {"torch": torch})
  assert torch.load("weights.pth", weights_only=True).keys() == state.keys()


@pytest.mark.parametrize(
  ("argv", "said"),
  [
    (["missing.pth", "out"], "is not a file"),
    (["c.pth"], "OUTDIR is missing"),
    (["c.pth", "out", "--normalization", "mnist"], "normalization must be cifar10"),
    (["c.pth", "out", "--normalization", "1,1,1,1,1,0"], "deviations > 0"),
    (["c.pth", "out", "--normalization", ".4,.4,nan,.2,.2,.2"], "deviations > 0"),
    (["c.pth", "full", "--normalization", "none"], "exists: give a new directory"),
    (["c.pth", "out", "--to-torch"], "is a file: give a directory that rsjax.train wrote"),
    (["c.pth", "out", "--normalization", "none", "--noise", "-1"], "noise_sd must be"),
  ],
)
def test_bad_input(argv, said, tmp_path, capsys, monkeypatch):
  monkeypatch.chdir(tmp_path)
  save(tmp_path / "c.pth", published("cifar_resnet8", 10)[1])
  (tmp_path / "full").mkdir()
  (tmp_path / "full" / "something").touch()
  assert convert.main(argv) == 2
  assert said in capsys.readouterr().err
  assert not (tmp_path / "out").exists()


def test_from_a_published_file_to_certificates(tmp_path, write_npz, capsys):
  path = save(tmp_path / "checkpoint.pth.tar", published("cifar_resnet8", 3)[1])
  converted([path, tmp_path / "out", "--normalization", "cifar10", "--noise", 0.5])
  argv = [write_npz(shape=(32, 32, 3)), tmp_path / "out", 0.5, tmp_path / "r.tsv", "--max", 2, "--N", 100]
  assert certify.main([str(a) for a in argv]) == 0
  assert "note" not in capsys.readouterr().err
  origin = json.loads((tmp_path / "r.tsv.json").read_text())["about"]["checkpoint"]["origin"]
  assert origin["file"] == "checkpoint.pth.tar"

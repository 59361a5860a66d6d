"""Each line of the table in docs/frameworks.md, as it stands there, on a small model with random weights."""

import os
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ROOT

import rsjax
from rsjax.smoothing.votes import class_count

SHAPE = (8, 8, 3)
PAGE = (ROOT / "docs" / "frameworks.md").read_text()
LINES = dict(re.findall(r"^\| (.+?) \| `(.*apply, variables = .+)` \| .* \|$", PAGE, re.MULTILINE))
CIFAR10 = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


def installed(*names):
  """The packages, or a skip that says which is missing."""
  return [pytest.importorskip(name, reason=f"{name} is not installed: its line is not tried") for name in names]


def numpy(x):
  return np.asarray(x, np.float32)


def of_torch(model, mean=(0, 0, 0), std=(1, 1, 1)):
  """The logits of a PyTorch module for normalised images, by PyTorch."""
  import torch

  model.eval()

  def logits(x):
    x = np.moveaxis((x - numpy(mean)) / numpy(std), -1, 1)
    with torch.no_grad():
      found = model(torch.from_numpy(np.ascontiguousarray(x)))
    return getattr(found, "logits", found).numpy()

  return logits


def function():
  weights = numpy(np.random.default_rng(0).normal(size=(192, 4)))
  net = lambda v, x: x.reshape(len(x), -1) @ v
  return {"net": net, "weights": weights}, lambda x: x.reshape(len(x), -1) @ weights


def linen():
  import flax.linen as nn

  model = nn.Sequential([nn.Conv(4, (3, 3)), nn.relu, lambda x: x.reshape(len(x), -1), nn.Dense(4)])
  weights = model.init(jax.random.key(0), jnp.zeros((1, *SHAPE)))
  return {"model": model, "weights": weights}, lambda x: model.apply(weights, x)


def nnx():
  from flax import nnx

  rngs = nnx.Rngs(0)
  layers = nnx.Conv(3, 4, (3, 3), rngs=rngs), nnx.BatchNorm(4, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)
  model = nnx.Sequential(*layers, lambda x: x.reshape(len(x), -1), nnx.Linear(256, 4, rngs=rngs))
  return {"nnx": nnx, "model": model}, lambda x: model(x)


def equinox():
  [eqx] = installed("equinox")
  keys = jax.random.split(jax.random.key(0))
  first = eqx.nn.Lambda(lambda x: x.transpose(2, 0, 1))
  layers = eqx.nn.Conv2d(3, 4, 3, key=keys[0]), eqx.nn.Dropout(), eqx.nn.Lambda(jnp.ravel)
  model = eqx.nn.Sequential([first, *layers, eqx.nn.Linear(144, 4, key=keys[1])])
  return {"eqx": eqx, "jax": jax, "model": model}, jax.vmap(eqx.nn.inference_mode(model))


def haiku():
  [hk] = installed("haiku")

  def net(x, training=False):
    x = hk.BatchNorm(True, True, 0.9)(hk.Conv2D(4, 3)(x), training)
    return hk.Linear(4)(hk.Flatten()(x))

  made = hk.without_apply_rng(hk.transform_with_state(net))
  params, state = made.init(jax.random.key(0), jnp.ones((1, *SHAPE)), True)
  known = {"hk": hk, "net": net, "params": params, "state": state}
  return known, lambda x: made.apply(params, state, x)[0]


def keras():
  os.environ.setdefault("KERAS_BACKEND", "jax")
  [keras] = installed("keras")
  if keras.backend.backend() != "jax":
    pytest.skip("Keras runs on another backend: set KERAS_BACKEND=jax")
  layers = keras.layers
  inner = (
    layers.Conv2D(4, 3),
    layers.BatchNormalization(),
    layers.Dropout(0.5),
    layers.Flatten(),
    layers.Dense(4),
  )
  model = keras.Sequential([keras.Input(SHAPE), *inner])
  return {"model": model}, lambda x: model(x, training=False)


def torch_module():
  installed("torchax", "torch")
  from torch_networks import random_network

  model = random_network("cifar_resnet8", 4)
  return {"model": model, "rsjax": rsjax}, of_torch(model, *CIFAR10)


def hugging_face():
  _, _, transformers = installed("torchax", "torch", "transformers")
  sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
  settings = transformers.ViTConfig(image_size=8, patch_size=4, num_labels=4, **sizes)
  model = transformers.ViTForImageClassification(settings)
  processor = type("Processor", (), {"image_mean": [0.5] * 3, "image_std": [0.25] * 3})
  known = {"model": model, "processor": processor, "rsjax": rsjax}
  return known, of_torch(model, processor.image_mean, processor.image_std)


def timm():
  _, _, timm = installed("torchax", "torch", "timm")
  sizes = {"img_size": 8, "patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 2}
  model = timm.create_model("vit_tiny_patch16_224", num_classes=4, **sizes)
  known = {"model": model, "rsjax": rsjax}
  return known, of_torch(model, model.pretrained_cfg["mean"], model.pretrained_cfg["std"])


def onnx():
  _, _, onnx, onnx2torch = installed("torchax", "torch", "onnx", "onnx2torch")
  make = onnx.helper
  values = {
    "k": np.random.default_rng(0).normal(size=(4, 3, 3, 3)),
    "w": np.random.default_rng(1).normal(size=(144, 4)),
  }
  nodes = [("Conv", "xk", "a"), ("Relu", "a", "b"), ("Flatten", "b", "c"), ("MatMul", "cw", "y")]
  graph = make.make_graph(
    [make.make_node(kind, [*before], [after]) for kind, before, after in nodes],
    "net",
    [make.make_tensor_value_info("x", 1, ["b", 3, 8, 8])],
    [make.make_tensor_value_info("y", 1, ["b", 4])],
    [onnx.numpy_helper.from_array(numpy(value), name) for name, value in values.items()],
  )
  onnx.save(make.make_model(graph, opset_imports=[make.make_opsetid("", 13)]), "model.onnx")
  return {"onnx2torch": onnx2torch, "rsjax": rsjax}, of_torch(onnx2torch.convert("model.onnx"))


MODELS = {
  "a function of JAX": function,
  "Flax Linen": linen,
  "Flax NNX": nnx,
  "Equinox": equinox,
  "Haiku": haiku,
  "Keras 3, on JAX": keras,
  "a PyTorch module": torch_module,
  "Hugging Face transformers": hugging_face,
  "timm": timm,
  "an ONNX file": onnx,
}


@pytest.mark.parametrize("name", MODELS)
def test_a_line_of_the_table_of_frameworks_certifies_its_model(name, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  x = np.random.default_rng(1).normal(0.5, 0.5, (3, *SHAPE)).astype(np.float32)
  with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):  # as users have them
    known, logits = MODELS[name]()
    exec(LINES[name], known)
    apply, variables = known["apply"], known["variables"]
    assert class_count(apply, variables, SHAPE) == 4
    np.testing.assert_allclose(jax.jit(apply)(variables, x), logits(x), atol=1e-4)
    images = np.random.default_rng(2).integers(0, 256, (2, *SHAPE), np.uint8)
    found = rsjax.smooth(apply, variables, sigma=0.25).certify(images, n=100, progress=False)
  assert (found.n == 100).all() and found.votes[0].count(":") >= 1


def test_the_table_of_frameworks_has_a_test_for_each_line():
  assert set(LINES) == set(MODELS)

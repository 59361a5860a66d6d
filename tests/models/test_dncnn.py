"""DnCNN has the published layers, computes what a reference in PyTorch computes, and begins as the identity."""

import copy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsjax import devices, models
from rsjax.classifiers import torch_dncnn
from rsjax.models import cpu, dncnn


@pytest.mark.parametrize(
  ("arch", "depth", "features"), [("dncnn", 17, 64), ("dncnn5", 5, 64), ("dncnn17_128", 17, 128)]
)
def test_it_has_as_many_parameters_as_its_layers(arch, depth, features):
  """Convolutions of 9 weights per pair of channels, one bias, and norms with two numbers per channel."""
  layout = dncnn.find(arch)
  assert (layout.depth, layout.features) == (depth, features)
  assert dncnn.find(layout.name) == layout
  for channels in (1, 3):
    ends, middle = 2 * 9 * channels * features + features, 9 * features**2 + 2 * features
    count = models.parameter_count(layout.variables_shapes(channels))
    assert count == ends + (depth - 2) * middle
  if arch == "dncnn":
    assert count == 558_400


@pytest.mark.parametrize(
  "arch", ["dncnn2", "dncnn05", "dncnn5_", "dncnn5_0", "cifar_dncnn", "DnCNN", "convnet"]
)
def test_other_names_are_none(arch):
  assert dncnn.find(arch) is None


def test_training_begins_with_the_identity_and_orthogonal_weights():
  model, x = dncnn.find("dncnn3_8").model("float32"), np.random.default_rng(0).random((2, 4, 5, 3), np.float32)

  def begun(key):
    variables = models.init(model, key, (4, 5, 3))
    return variables, models.apply(model)(variables, x)

  variables, found = devices.jit(begun, once=True)(jax.random.key(0))
  np.testing.assert_array_equal(found, x)
  columns = np.asarray(variables["params"]["2"]["kernel"]).reshape(-1, 8)
  np.testing.assert_allclose(columns.T @ columns, np.eye(8), atol=1e-5)


def test_the_published_one_has_the_references_names_and_shapes():
  torch, reference = pytest.importorskip("torch"), pytest.importorskip("torch_dncnn")
  with torch.device("meta"):
    state = reference.DnCNN().state_dict()
  parameters = [tensor for name, tensor in state.items() if not name.endswith(("mean", "var", "tracked"))]
  assert sum(tensor.numel() for tensor in parameters) == 558_400
  # converted: refuses what is left over, missing or of other shapes
  zeros = {name: torch.zeros(tensor.shape) for name, tensor in state.items()}
  _, _, metadata = torch_dncnn.of("file", {"arch": "cifar_dncnn", "state_dict": zeros})
  assert metadata == {"denoiser": "dncnn", "arch": "dncnn", "image_shape": [32, 32, 3]}


@pytest.fixture(scope="module")
def converted():
  """(the reference's network, its variables here, images in its order of axes, and in ours)."""
  torch, reference = pytest.importorskip("torch"), pytest.importorskip("torch_dncnn")
  net = reference.random_network(4, 8)
  _, variables, _ = torch_dncnn.of("file", reference.published(net, "cifar_dncnn"))
  images = np.random.default_rng(0).normal(0.5, 0.5, (4, 8, 6, 3)).astype(np.float32)
  return net, jax.tree.map(np.array, variables), torch.from_numpy(images.transpose(0, 3, 1, 2)), images


def outputs(net, x):
  return net(x).detach().numpy().transpose(0, 2, 3, 1)


def test_it_computes_what_the_reference_computes(converted):
  net, variables, x, images = converted
  wanted = outputs(net, x)
  assert np.abs(wanted - images).max() > 0.1
  model = dncnn.find("dncnn4_8").model("float32")
  folded, own = models.inference(model, variables)
  both = devices.jit(lambda whole, own, x: (models.apply(model)(whole, x), folded(own, x)))
  for found in both(variables, own, images):
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_in_training_it_does_by_the_batchs_statistics(converted):
  """Of which the running ones keep a twentieth of what they were."""
  net, variables, x, images = converted
  trained = copy.deepcopy(net).train()
  wanted = outputs(trained, x)
  assert np.abs(wanted - outputs(net, x)).max() > 1e-2
  model = dncnn.find("dncnn4_8").model("float32")

  def pass_of(variables, x):
    with cpu.gradients():  # as in training on a CPU
      return model.apply(variables, x, train=True, mutable=["batch_stats"])

  found, updates = devices.jit(pass_of)(variables, images)
  np.testing.assert_allclose(found, wanted, atol=1e-4)
  state, pixels = trained.state_dict(), images[..., 0].size
  for number, own in updates["batch_stats"].items():
    np.testing.assert_allclose(own["mean"], state[f"dncnn.{number}.running_mean"], atol=1e-4)
    left = 0.05 * variables["batch_stats"][number]["var"]
    unbiased = left + (own["var"] - left) * pixels / (pixels - 1)  # as PyTorch has it
    np.testing.assert_allclose(unbiased, state[f"dncnn.{number}.running_var"], rtol=1e-4)


def test_in_half_precision_only_the_convolutions_between_are():
  """Norms are folded into them; the last convolution and the difference stay float32."""
  layout = dncnn.find("dncnn3_8")
  rng = np.random.default_rng(0)
  draw = lambda leaf: rng.uniform(0.1, 0.5, leaf.shape).astype(np.float32)
  apply, ready = models.inference(layout.model("bfloat16"), jax.tree.map(draw, layout.variables_shapes(1)))
  dtypes = {name: layer["kernel"].dtype for name, layer in ready["params"].items()}
  assert dtypes == {"0": jnp.bfloat16, "2": jnp.bfloat16, "5": np.float32}
  assert set(ready) == {"params"}
  assert jax.eval_shape(apply, ready, np.zeros((2, 4, 4, 1), np.float32)).dtype == np.float32

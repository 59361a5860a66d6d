"""oneDNN's convolutions, which JAX calls experimental, give on CPUs what XLA's own give."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsjax import devices, models
from rsjax.noise import Gaussian
from rsjax.procedures import Predict
from rsjax.smoothing import Smoothed

pytestmark = pytest.mark.skipif(
  jax.default_backend() != "cpu" or not devices.onednn(), reason="this jaxlib has no oneDNN for CPUs"
)

ARCHITECTURES = {"convnet": (8, 8, 1), "cifar_resnet8": (16, 16, 3), "resnet50": (32, 32, 3)}
MOST = 33


@pytest.fixture(scope="module", params=models.DTYPES)
def dtype(request):
  return request.param


@pytest.fixture(scope="module", params=ARCHITECTURES)
def network(request, dtype):
  """(the program with oneDNN, the one without, images); functions of images."""
  shape = ARCHITECTURES[request.param]
  model = models.create(
    request.param, num_classes=10, mean=(0.5,) * shape[2], std=(0.25,) * shape[2], dtype=dtype
  )
  apply, variables = models.inference(model, models.init(model, jax.random.key(0), shape))
  with_it = devices.jit(devices.keep_nan(apply, "cpu"))
  devices.use_onednn(False)
  without = devices.jit(apply)
  devices.use_onednn(True)
  images = np.random.default_rng(0).normal(0.5, 0.5, (MOST, *shape)).astype(np.float32)
  return (lambda x: np.asarray(with_it(variables, x))), (lambda x: np.asarray(without(variables, x))), images


def test_it_is_in_the_program_unless_it_is_switched_off(monkeypatch):
  monkeypatch.delenv("ONEDNN_DEFAULT_FPMATH_MODE", raising=False)
  x = np.zeros((8, 8, 8, 16), np.float32)
  text = lambda: devices.jit(conv).lower(x).compile().as_text()
  assert "__onednn" in text()
  assert devices.settings() == {"convolutions": "onednn"}
  monkeypatch.setenv("ONEDNN_DEFAULT_FPMATH_MODE", "strict")
  assert devices.settings() == {"convolutions": "onednn"}
  monkeypatch.setenv("ONEDNN_DEFAULT_FPMATH_MODE", "bf16")
  assert devices.settings() == {"convolutions": "onednn", "onednn_fpmath": "BF16"}
  devices.use_onednn(False)
  try:
    assert "__onednn" not in text()
    assert devices.settings() == {}
  finally:
    devices.use_onednn(True)


@pytest.mark.parametrize("rows", [1, 8, MOST])
def test_logits_are_those_without_it(network, dtype, rows):
  with_it, without, images = network
  expected = without(images[:rows])
  tolerance = (2e-5 if dtype == "float32" else 0.05) * np.abs(expected).max()
  np.testing.assert_allclose(with_it(images[:rows]), expected, rtol=0, atol=tolerance)


def test_a_row_does_not_depend_on_its_companions(network):
  with_it, _, images = network
  whole = with_it(images)
  np.testing.assert_array_equal(with_it(images), whole)
  others = images[::-1].copy()
  others[5] = images[5]
  np.testing.assert_array_equal(with_it(others)[5], whole[5])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_shows_in_its_row_alone(network, value):
  with_it, without, images = network
  whole, spoilt = with_it(images), images.copy()
  spoilt[3, 4, 4, 0] = value
  found = with_it(spoilt)
  assert np.isfinite(found[3]).all() == np.isfinite(without(spoilt)[3]).all()
  np.testing.assert_array_equal(np.delete(found, 3, 0), np.delete(whole, 3, 0))


def conv(x):
  kernel = np.random.default_rng(0).normal(size=(3, 3, 16, 16)).astype(np.float32)
  return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def block(x):
  return jax.nn.relu(conv(x))


@jax.custom_vjp
def with_its_own_gradient(x):
  return block(x)


with_its_own_gradient.defvjp(lambda x: (block(x), None), lambda _, g: (g,))

INSIDE = {
  "scan": lambda x: jax.lax.scan(lambda y, _: (block(y), None), x, length=1)[0],
  "condition": lambda x: jax.lax.cond(x[0, 0, 0, 0] > -1e9, block, lambda x: x, x),
  "while": lambda x: jax.lax.while_loop(lambda c: c[0] < 1, lambda c: (c[0] + 1, block(c[1])), (0, x))[1],
  "checkpoint": jax.checkpoint(block),
  "gradient of its own": with_its_own_gradient,
  "vmap": lambda x: jax.vmap(block)(x[None])[0],
}
ACTIVATIONS = {
  "relu": jax.nn.relu,
  "relu6": jax.nn.relu6,
  "maximum": lambda x: jnp.maximum(jnp.zeros_like(x), x),
  "clip": lambda x: jnp.clip(x, -1, 1),
  "clamp": lambda x: jax.lax.clamp(np.float32(0), x, np.float32(6)),
  "elu": jax.nn.elu,
  "gelu": jax.nn.gelu,
  "exact gelu": lambda x: jax.nn.gelu(x, approximate=False),
  "silu": jax.nn.silu,
  "tanh": jnp.tanh,
  "leaky relu": jax.nn.leaky_relu,
  "softplus": jax.nn.softplus,
}


@pytest.mark.parametrize("name", [*ACTIVATIONS, *INSIDE])
def test_no_activation_hides_a_nan(name):
  """Compiled as it is, a ReLU after a convolution makes 0 of NaN."""
  activation = ACTIVATIONS.get(name)
  function = INSIDE[name] if activation is None else lambda x: activation(conv(x))
  x = np.random.default_rng(1).normal(size=(4, 8, 8, 16)).astype(np.float32)
  kept = devices.jit(devices.keep_nan(function, "cpu"))
  np.testing.assert_allclose(kept(x), function(x), rtol=1e-4, atol=1e-4)
  x[2, 3, 3, 5] = np.nan
  np.testing.assert_array_equal(np.isnan(kept(x)), np.isnan(np.asarray(function(x))))


def test_a_network_with_a_nan_in_it_votes_for_nobody():
  model = models.create("convnet", num_classes=3, mean=(0.5,), std=(0.25,), dtype="float32")
  apply, variables = models.inference(model, models.init(model, jax.random.key(0), (8, 8, 1)))
  variables = jax.tree.map(np.array, variables)
  variables["params"]["conv1"]["kernel"][0, 0, 0, 0] = np.nan
  smoothed = Smoothed(apply, variables, Gaussian(0.5))
  ((_, outcome),) = smoothed.outcomes(Predict(100), [(0, np.zeros((8, 8, 1), np.uint8))])
  assert outcome.votes.sum() == 0

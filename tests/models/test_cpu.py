"""Gradients made for CPUs are those of the plain layers: the same functions, the same statistics."""

import contextlib
import functools
from types import SimpleNamespace

import jax
import jax.experimental
import jax.numpy as jnp
import numpy as np
import pytest

from rsjax import devices, models
from rsjax.models import cifar_resnet, cpu, layers, normalize, resnet

x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64  # the latter until jax 0.8

# (h, w, c, o, k, stride): every kind of convolution of the architectures, and shapes that suit no trick.
CONVOLUTIONS = [
  (8, 8, 3, 16, 3, 1), (8, 8, 16, 16, 3, 1), (8, 8, 16, 32, 3, 2), (8, 8, 32, 32, 3, 1), (8, 8, 16, 32, 1, 2),
  (4, 4, 64, 64, 3, 1), (8, 8, 24, 8, 1, 1), (16, 16, 3, 8, 7, 2), (9, 7, 16, 8, 3, 2), (9, 7, 8, 8, 1, 2),
  (7, 7, 16, 16, 3, 1), (8, 6, 5, 7, 3, 2),
]  # fmt: skip


@pytest.fixture(autouse=True)
def float64():
  with x64(True):
    yield


def draw(*shape, seed=0):
  return np.random.default_rng([seed, *shape]).normal(size=shape)


def gap(found, wanted):
  """The largest difference of two trees' leaves, over the largest value of each leaf."""
  gaps = jax.tree.map(lambda a, b: np.abs(np.asarray(a) - b).max() / np.abs(b).max(), found, wanted)
  return max(jax.tree.leaves(gaps))


@pytest.mark.parametrize(("batch", "onednn"), [(3, False), (48, True)])
@pytest.mark.parametrize("shape", CONVOLUTIONS, ids=str)
def test_gradients_of_convolutions_to_rounding_in_float64(shape, batch, onednn, monkeypatch):
  monkeypatch.setattr(cpu, "_CACHED", 1)  # else such small batches would not be cut into parts
  h, w, c, o, k, stride = shape
  x, kernel = draw(batch, h, w, c), draw(k, k, c, o)

  def plain(x, kernel):
    pads = ((k // 2, k // 2),) * 2
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (stride,) * 2, pads, dimension_numbers=layout)

  loss = lambda f: lambda x, kernel: jnp.sin(f(x, kernel)).sum()
  ours = functools.partial(lambda x, kernel: cpu.convolution(x, kernel, stride, onednn))
  np.testing.assert_array_equal(ours(x, kernel), plain(x, kernel))
  found, wanted = (devices.jit(jax.grad(loss(f), (0, 1)), once=True)(x, kernel) for f in (ours, plain))
  assert gap(found, wanted) < 1e-13


@pytest.mark.parametrize("shape", [(8, 8, 16, 16, 3, 1), (8, 8, 16, 32, 3, 2), (8, 8, 16, 32, 1, 2)], ids=str)
def test_gradients_of_convolutions_in_bfloat16_are_summed_in_float32(shape, monkeypatch):
  monkeypatch.setattr(cpu, "_CACHED", 1)
  h, w, c, o, k, stride = shape
  half = lambda *shape: jnp.asarray(draw(*shape), jnp.bfloat16)
  x, kernel, dy = half(256, h, w, c), half(k, k, c, o), half(256, h // stride, w // stride, o)

  def gradients(dtype):
    convolution = lambda x, kernel: cpu.convolution(x, kernel, stride, True)
    weights = kernel.astype(jnp.float64 if dtype == jnp.float64 else jnp.float32)
    result, back = jax.vjp(convolution, x.astype(dtype), weights)
    return result, *back(dy.astype(dtype))

  found, exact = (devices.jit(gradients, once=True, static_argnums=0)(d) for d in (jnp.bfloat16, jnp.float64))
  assert [value.dtype for value in found] == [jnp.bfloat16, jnp.bfloat16, jnp.float32]
  result, to_x, to_kernel = (distance([np.asarray(a)], [np.asarray(b)]) for a, b in zip(found, exact))
  assert result < 2**-8 and to_x < 2**-8
  assert to_kernel < 2**-9  # each part is rounded once; their sum is not


def test_a_rectifier_in_bfloat16_is_the_usual_one():
  x = jnp.asarray([-2, -0.0, 0, 1e-30, 3, np.inf], jnp.bfloat16)
  for function in (lambda x: x, lambda x: x.astype(jnp.float32)):
    for ours, usual in zip(*(jax.vjp(f, function(x)) for f in (cpu.relu, jax.nn.relu))):
      if callable(ours):
        ours, usual = (back(function(x + 1))[0] for back in (ours, usual))
      assert ours.dtype == usual.dtype
      np.testing.assert_array_equal(ours, usual)


@pytest.mark.parametrize("shape", [(4, 8, 8, 5), (3, 7, 5, 4), (64, 1, 1, 3)], ids=str)
def test_batch_norm_and_its_gradients_to_rounding_in_float64(shape):
  x, scale, bias = 1 + draw(*shape), draw(shape[-1], seed=1), draw(shape[-1], seed=2)

  def plain(x, scale, bias):
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    wide = lambda v: v.reshape(1, 1, 1, -1)
    return (x - wide(mean)) * wide(scale / jnp.sqrt(var + 1e-5)) + wide(bias), mean, var

  ours = lambda *args: cpu.batch_norm(*args, 1e-5)
  assert gap(ours(x, scale, bias), plain(x, scale, bias)) < 1e-12
  loss = lambda f: lambda *args: jnp.sin(f(*args)[0]).sum()
  found, wanted = (devices.jit(jax.grad(loss(f), (0, 1, 2)), once=True)(x, scale, bias) for f in (ours, plain))
  assert gap(found, wanted) < 1e-11


def network(arch, dtype, monkeypatch):
  """A network that computes in `dtype`, also where its code says float32."""
  names = SimpleNamespace(**{**vars(jnp), "float32": dtype})
  for module in (layers, cifar_resnet, resnet, normalize) if dtype != jnp.bfloat16 else ():
    monkeypatch.setattr(module, "jnp", names)
  fields = dict(num_classes=3, mean=(0.5,) * 3, std=(0.2,) * 3, dtype=dtype)
  return resnet.ResNet50(**fields) if arch == "resnet50" else cifar_resnet.CifarResNet(depth=8, **fields)


def initial(model, image_shape):
  """Variables as training begins with them."""
  shapes = jax.eval_shape(lambda key: models.init(model, key, image_shape), jax.random.key(0))
  rng = np.random.default_rng(0)

  def value(path, leaf):
    if path[-1].key == "kernel":
      return rng.normal(0, np.sqrt(2 / np.prod(leaf.shape[:-1])), leaf.shape).astype(np.float32)
    return np.full(leaf.shape, path[-1].key in ("scale", "var"), np.float32)

  return jax.tree_util.tree_map_with_path(value, shapes)


def step(model, variables, x, labels, dtype, onednn, once):
  """(loss, batch statistics, gradients), by the plain layers (onednn None) or by those for CPUs."""
  cast = lambda tree: jax.tree.map(lambda leaf: np.asarray(leaf, dtype), tree)

  def loss_of(params):
    given = {**cast(variables), "params": params}
    with contextlib.nullcontext() if onednn is None else cpu.gradients(onednn):
      logits, updates = model.apply(given, cast(x), train=True, mutable=["batch_stats"])
    return -jax.nn.log_softmax(logits)[jnp.arange(len(labels)), labels].mean(), updates

  step = devices.jit(jax.value_and_grad(loss_of, has_aux=True), barriers=True, once=once)
  found = step(cast(variables["params"]))
  (loss, updates), gradients = jax.device_get(found)
  return loss, updates, gradients


@pytest.mark.parametrize(
  ("arch", "side", "forms", "once"),
  [("cifar_resnet8", 16, (False, True), False), ("resnet50", 32, (True,), True)],  # the second compiles long
)
def test_a_network_trains_as_with_the_plain_layers(arch, side, forms, once, monkeypatch):
  """In float64 to rounding; in float32 no farther from that than the plain layers are, or hardly.

  ResNet-50 has its first two stages of two blocks here, which are of all its kinds, and a quarter of its width.
  """

  def shorter(block, blocks, features, stride, *rest, **named):
    return layers.Layer(block, 2, features // 4, stride, *rest, **named) if features < 256 else lambda x, _: x

  monkeypatch.setattr(resnet, "Layer", shorter)
  model = network(arch, jnp.float32, monkeypatch)
  with x64(False):
    variables = initial(model, (side, side, 3))
  x, labels = 0.5 + 0.2 * draw(16, side, side, 3), np.arange(16) % 3
  single = [step(model, variables, x, labels, np.float32, onednn, once) for onednn in (None, *forms)]
  model = network(arch, jnp.float64, monkeypatch)
  with jax.numpy_dtype_promotion("standard"):  # Flax's own layers name float32, too
    exact, *others = (step(model, variables, x, labels, np.float64, form, True) for form in (None, *forms))
  for found in others:
    assert jax.tree.structure(found) == jax.tree.structure(exact)
    assert found[2]["fc"]["kernel"].dtype == np.float64
    assert gap(found, exact) < 1e-8
  errors = [[distance(found[i], exact[i]) for i in range(3)] for found in single]
  assert errors[0][2] > 1e-8  # the plain layers computed in float32
  for found in errors[1:]:
    assert all(ours <= 2 * plain + 1e-7 for ours, plain in zip(found, errors[0]))


def test_a_network_trains_in_bfloat16_no_less_exactly_than_with_the_plain_layers(monkeypatch):
  model = network("cifar_resnet8", jnp.bfloat16, monkeypatch)
  with x64(False):
    variables = initial(model, (16, 16, 3))
  x, labels = 0.5 + 0.2 * draw(64, 16, 16, 3), np.arange(64) % 3
  plain, ours = (step(model, variables, x, labels, np.float32, form, True) for form in (None, True))
  model = network("cifar_resnet8", jnp.float64, monkeypatch)
  with jax.numpy_dtype_promotion("standard"):  # Flax's own layers name float32
    exact = step(model, variables, x, labels, np.float64, None, True)
  assert {leaf.dtype for leaf in jax.tree.leaves(ours[2])} == {np.dtype(np.float32)}
  assert distance(plain[2], exact[2]) > 1e-4  # it did compute in bfloat16
  for found, usual, wanted in zip(ours, plain, exact):
    assert distance(found, wanted) <= 1.2 * distance(usual, wanted) + 1e-4


def distance(found, wanted):
  """The Euclidean distance of two trees over the length of the second."""
  length = lambda tree: np.sqrt(
    sum(float((leaf.astype(np.float64) ** 2).sum()) for leaf in jax.tree.leaves(tree))
  )
  return length(jax.tree.map(np.subtract, found, wanted)) / length(wanted)


@pytest.mark.parametrize(("batch", "part"), [(128, 16), (96, 16), (20, 20), (40, 20), (17, 17), (3, 3)])
def test_a_batch_is_cut_into_equal_parts(batch, part):
  assert cpu._part((batch, 32, 32, 16), 4) == part


def test_outside_its_context_nothing_changes():
  model = models.create("cifar_resnet8", num_classes=3, mean=(0.5,) * 3, std=(0.2,) * 3)
  with x64(False):
    variables = initial(model, (8, 8, 3))
    x = draw(2, 8, 8, 3).astype(np.float32)

    def program():
      apply = lambda v: model.apply(v, x, train=True, mutable=["batch_stats"])
      return jax.jit(apply).lower(variables).as_text()

    before = program()
    with cpu.gradients():
      within = program()
    assert program() == before != within
    assert "optimization_barrier" in within
    assert "optimization_barrier" not in before

"""What a step of training computes and keeps, read from its program: cheap attacks, no calls of the host."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsjax import devices, models
from rsjax.data import Dataset
from rsjax.errors import InputError
from rsjax.models.cifar_resnet import Block
from rsjax.models.layers import Layer
from rsjax.training import Recipe, batches, initial_state
from rsjax.training.objectives import OBJECTIVES, Consistency, Gaussian, SmoothAdv
from rsjax.training.step import make_step

SIZE, ROWS = 48, 16


def made(arch, side, objective, recipe=Recipe(batch=ROWS, augment="none")):
  """(step, its arguments) on one device."""
  channels = 1 if arch == "convnet" else 3
  shape, rng = (side, side, channels), np.random.default_rng(0)
  model = models.create(arch, num_classes=3, mean=(0.5,) * channels, std=(0.2,) * channels)
  labels, votes = np.arange(SIZE) % 3, np.full((SIZE, 3), 1 / 3, np.float32)
  images = rng.integers(0, 256, (SIZE, *shape), np.uint8)
  place = batches.Place(devices.batch_mesh(jax.devices()[:1]))
  source = batches.Held(Dataset("toy", "train", images, labels, 3, None, ""), place, votes)
  step = make_step(model, objective, recipe, 10, source.select, place.replicated)
  shapes = jax.eval_shape(lambda: models.init(model, jax.random.key(0), shape))
  draw = lambda leaf: rng.normal(0.05, 0.1, leaf.shape).astype(np.float32)
  variables = jax.tree.map(draw, shapes["params"])
  stats = jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), shapes.get("batch_stats", {}))
  state = initial_state(model, shape, objective, recipe, {"params": variables, "batch_stats": stats})
  return step, (place.everywhere(state), source.arrays, place.shared(np.arange(ROWS, dtype=np.int32)))


def flops(program, *args):
  """Of a program as it is handed to the compiler."""
  return program.lower(*args).cost_analysis()["flops"]


@pytest.mark.parametrize(("arch", "side"), [("convnet", 8), ("cifar_resnet8", 8)])
def test_a_step_of_an_attack_costs_a_forward_pass_and_the_gradient_of_the_images(arch, side, monkeypatch):
  """T steps cost T times as much as one, and none computes gradients of weights."""

  def unrolled(first, end, step, carry):  # the count has the body of a loop once
    for k in range(first, end):
      carry = step(jnp.int32(k), carry)
    return carry

  monkeypatch.setattr(jax.lax, "fori_loop", unrolled)
  cost = lambda objective: (lambda step, args: flops(step, *args))(*made(arch, side, objective))
  without = cost(Consistency(0.25, noise_vectors=2))
  one, two = (cost(SmoothAdv(0.25, noise_vectors=2, steps=steps)) - without for steps in (1, 2))
  _, (state, *_) = made(arch, side, Gaussian(0.25))
  model = models.create(arch, num_classes=3, mean=(0.5,), std=(0.2,))
  summed = lambda variables, x: model.apply(variables, x, train=False).sum()
  x = np.zeros((2 * ROWS, side, side, 1 if arch == "convnet" else 3), np.float32)
  gradients = lambda *of: flops(devices.jit(jax.grad(summed, of)), state.variables, x)
  assert one == pytest.approx(gradients(1), rel=0.1)
  assert two == pytest.approx(2 * gradients(1), rel=0.1)
  assert gradients(0, 1) > 1.4 * gradients(1)  # what would be counted if weights were not frozen


def equations(jaxpr):
  """All equations, those within loops, branches and functions included."""
  for equation in jaxpr.eqns:
    yield equation
    for value in equation.params.values():
      for inner in value if isinstance(value, (tuple, list)) else (value,):
        inner = getattr(inner, "jaxpr", inner)
        if hasattr(inner, "eqns"):
          yield from equations(inner)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_no_step_calls_the_host_and_each_image_is_read_once(name):
  """m noisy copies share one gather of their image."""
  step, args = made("convnet", 8, OBJECTIVES[name](noise_sd=0.25))
  found = list(equations(step.trace(*args).jaxpr.jaxpr))
  assert not [equation for equation in found if "callback" in equation.primitive.name]
  reads = [e for e in found if e.primitive.name == "gather" and e.invars[0].aval.dtype == jnp.uint8]
  assert [e.outvars[0].aval.shape for e in reads] == [(ROWS, 8, 8, 1)]


def test_a_call_of_the_host_would_be_seen():
  def call(x):
    return jax.lax.fori_loop(0, 3, lambda _, x: (jax.debug.print("{}", x), x + 1)[1], x)

  names = [equation.primitive.name for equation in equations(jax.make_jaxpr(call)(0).jaxpr)]
  assert any("callback" in name or "debug_print" in name for name in names)


def test_remat_takes_less_memory_for_the_same_gradients():
  def gradients(remat):
    blocks = Layer(Block, 4, 8, 1, jnp.float32, False, remat)
    x = np.random.default_rng(0).random((ROWS, 8, 8, 8), np.float32)
    variables = jax.tree.map(
      lambda leaf: np.linspace(0.1, 0.9, leaf.size, dtype=np.float32).reshape(leaf.shape),
      jax.eval_shape(lambda: blocks.init(jax.random.key(0), x, True)),
    )
    loss = lambda variables: blocks.apply(variables, x, True, mutable=["batch_stats"])[0].std()
    compiled = devices.jit(jax.grad(loss), once=True, barriers=True).lower(variables).compile()
    return compiled.memory_analysis().temp_size_in_bytes, compiled(variables)["params"]

  (size, plain), (less, again) = gradients(False), gradients(True)
  assert less < 0.75 * size
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), plain, again)


def test_remat_is_what_a_step_does_if_the_recipe_says_so():
  for remat in (False, True):
    recipe = Recipe(batch=ROWS, augment="none", remat=remat)
    step, args = made("cifar_resnet8", 8, Gaussian(0.25), recipe)
    names = [equation.primitive.name for equation in equations(step.trace(*args).jaxpr.jaxpr)]
    assert remat == any("remat" in name or "checkpoint" in name for name in names)


def test_remat_is_refused_without_blocks():
  with pytest.raises(InputError, match="`remat` is for convolutional residual networks, not for ConvNet"):
    made("convnet", 8, Gaussian(0.25), Recipe(remat=True))

"""Programs compiled as they must be, and processes that agree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsjax import data, devices, models
from rsjax.devices import farewell, processes
from rsjax.errors import InputError
from rsjax.training import Gaussian, Recipe, initial_state, step


def residual_block(x, k1, k2, k3):
  def conv(x, kernel, stride):
    pad = kernel.shape[0] // 2
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, kernel, (stride, stride), [(pad, pad)] * 2, dimension_numbers=layout)

  y = jax.nn.relu(conv(jax.nn.relu(conv(x, k1, 2)), k2, 1) + conv(x, k3, 2))
  return y.astype(jnp.float32).mean((1, 2))


@pytest.mark.parametrize("shape", [(64, 16, 16, 16), (64, 32, 32, 16), (16, 8, 8, 16)])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_a_residual_block_compiles_to_what_it_says(shape, dtype):
  """Compiled with jaxlib 0.11 and 0.12's defaults, the bfloat16 block gives NaN on CPU."""
  rng = np.random.default_rng(0)
  x = jnp.asarray(rng.normal(size=shape), dtype)
  kernels = [
    jnp.asarray(0.1 * rng.normal(size=s), dtype) for s in ((3, 3, 16, 32), (3, 3, 32, 32), (1, 1, 16, 32))
  ]
  compiled, eager = devices.jit(residual_block), residual_block(x, *kernels)
  for _ in range(3):
    np.testing.assert_allclose(compiled(x, *kernels), eager, rtol=0, atol=0.01 * np.abs(eager).max())


def small(dtype="bfloat16"):
  model = models.create("cifar_resnet8", num_classes=3, mean=(0.4,), std=(0.3,), dtype=dtype)
  return model, jax.eval_shape(lambda: models.init(model, jax.random.key(0), (8, 8, 1)))


@pytest.mark.parametrize("dtype", models.DTYPES)
def test_the_hot_program_has_none_of_those_fusions(cpu_mesh, compile_voting_step, dtype):
  model, variables = small(dtype)
  text = compile_voting_step(models.apply(model), variables, (8, 8, 1), 3, cpu_mesh(1), 16).as_text()
  assert "convolution" in text
  assert "ynn" not in text


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="the fusions are XLA:CPU's")
def test_the_training_step_has_none_of_those_fusions(small_npz, compile_training_step):
  train_set = data.load(small_npz, "train")
  objective, recipe = Gaussian(), Recipe(batch=16)
  text = compile_training_step(small("float32")[0], train_set, objective, recipe, 1).as_text()
  assert "convolution" in text
  assert "ynn" not in text


def test_unknown_platforms_need_no_options():
  assert devices.compiler_options("gpu") == {}


@pytest.fixture
def beside_a_gpu(monkeypatch):
  """As if the first devices were GPUs, and the CPU one more."""
  step.make_init.cache_clear()
  monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
  yield
  step.make_init.cache_clear()


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="compares with a CPU's")
def test_beside_a_gpu_training_begins_with_the_weights_of_the_cpu(beside_a_gpu, monkeypatch):
  model, _ = small()
  from_host = initial_state(model, (8, 8, 1), Gaussian(), Recipe()).params
  monkeypatch.undo()
  step.make_init.cache_clear()
  usual = initial_state(model, (8, 8, 1), Gaussian(), Recipe()).params
  assert isinstance(from_host["fc"]["kernel"], np.ndarray) and isinstance(usual["fc"]["kernel"], jax.Array)
  jax.tree.map(np.testing.assert_array_equal, from_host, usual)


def test_beside_a_gpu_programs_for_the_cpu_are_not_onednns(beside_a_gpu):
  assert not devices.onednn()
  assert not any("onednn" in option for option in devices.compiler_options("cpu"))


@pytest.mark.parametrize(
  ("cluster", "words"),
  [
    (("h:1", None, None), "`count`, `index` must be given"),
    (("h:1", 2, 2), "`index` must be from 0 to 1"),
    ((None, None, None), r"give `address` \(HOST:PORT of process 0\), `count` and `index`"),
  ],
)
def test_half_a_cluster_is_refused(cluster, words):
  with pytest.raises(InputError, match=words):
    processes.start(*cluster)


def test_one_process_agrees_with_itself():
  assert processes.agree(3) == 3
  assert processes.together(lambda: 4) == 4
  assert processes.first()
  processes.check_alike("text")
  with pytest.raises(ValueError, match="own"):
    processes.together(lambda: int("its own error"))


class Service:
  """A coordination service of which another process says farewell at the third question, or that ends then."""

  def __init__(self, says):
    self.questions, self._says = 0, says

  def key_value_try_get(self, key):
    self.questions += 1
    if self.questions < 3:
      raise RuntimeError(f"NOT_FOUND: {key}")
    if self._says is None:
      raise RuntimeError("UNAVAILABLE: no service")
    return self._says


@pytest.mark.parametrize(("says", "codes"), [("1", [1]), (None, [])])
def test_a_process_that_learns_of_anothers_end_ends_too(says, codes, monkeypatch, capsys):
  ended, service = [], Service(says)
  monkeypatch.setattr(farewell, "_end", ended.append)
  monkeypatch.setattr(farewell, "_EVERY", 0.0)
  monkeypatch.setattr(farewell, "_PATIENCE", 0.0)
  farewell._watch(service)
  assert ended == codes and service.questions == 3
  said = capsys.readouterr().err
  assert ("process 1 was stopped" in said and "start all processes again" in said) == bool(codes)


def test_without_other_processes_nobody_is_told():
  farewell.say(0)

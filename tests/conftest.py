"""Strict JAX settings for every test, eight CPU devices, and the classifiers that tests certify."""

import os
import tempfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_configure(config):
  """What one test compiled, others find, in other workers and processes too; nothing outlasts the tests."""
  if "PYTEST_XDIST_WORKER" not in os.environ:
    config.programs = tempfile.TemporaryDirectory(prefix="rsjax-programs-")
    settings = {
      "jax_compilation_cache_dir": config.programs.name,
      "jax_persistent_cache_min_compile_time_secs": 0.2,
      "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    for name, value in settings.items():
      jax.config.update(name, value)
      os.environ[name.upper()] = str(value)


def pytest_unconfigure(config):
  if hasattr(config, "programs"):
    config.programs.cleanup()


def linear(variables, images):
  """Class 1 where w . x + b > 0. Its smoothed classifier's radius is |w . x + b| / |w|."""
  w, b = variables
  score = images.reshape(len(images), -1) @ w + b
  return jnp.stack([jnp.zeros_like(score), score], 1)


@pytest.fixture
def linear_variables():
  """Weights for 4x4x1 images, |w| = 1."""
  w = np.random.default_rng(0).normal(size=16).astype(np.float32)
  w /= np.linalg.norm(w)
  return w, np.float32(-w.sum() / 2)


@pytest.fixture
def images():
  """uint8[6, 4, 4, 1]."""
  return np.random.default_rng(1).integers(0, 256, (6, 4, 4, 1), np.uint8)


@pytest.fixture(scope="session")
def cpu_mesh():
  """mesh(k): the first k CPU devices."""
  from rsjax import devices

  return lambda k: devices.draws_mesh(jax.devices("cpu")[:k])


@pytest.fixture(scope="session")
def compile_training_step():
  """compile(model, train_set, recipe, count) -> the program of a step on the first `count` devices."""
  from rsjax import batches, devices, training

  def compile(model, train_set, recipe, count):
    recipe = recipe.for_dataset(train_set)
    place = batches.Place(devices.batch_mesh(jax.devices()[:count]))
    source = batches.Held(train_set, place)
    step = training._make_step(model, training.gaussian, recipe, 3, source.select, place.replicated)
    state = place.everywhere(training.initial_state(model, train_set.image_shape, recipe))
    return step.lower(state, source.arrays, place.shared(np.arange(recipe.batch, dtype=np.int32))).compile()

  return compile


@pytest.fixture
def write_npz(tmp_path):
  """write_npz(name, seed=0, size=40, shape=(8, 8, 1), classes=3, **overrides) -> path of a data set."""

  def write(name="data.npz", seed=0, size=40, shape=(8, 8, 1), classes=3, **overrides):
    rng = np.random.default_rng(seed)
    arrays = {}
    for split in ("train", "test"):
      labels = np.arange(size) % classes
      noise = rng.integers(0, 64, (size, *shape))
      arrays[f"x_{split}"] = (noise + 60 * labels[:, None, None, None]).astype(np.uint8)
      arrays[f"y_{split}"] = labels
    path = tmp_path / name
    np.savez(path, **{k: v for k, v in (arrays | overrides).items() if v is not None})
    return path

  return write


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
  """The path of a classifier for digits, barely trained at noise 0.25."""
  from rsjax import train

  out = tmp_path_factory.mktemp("trained") / "digits"
  arguments = ["digits", "convnet", out, "--noise", "0.25", "--epochs", "2", "--batch", "128"]
  assert train.main([str(a) for a in arguments]) == 0
  return str(out)


def without_time(path):
  """The cells of a result file but for the column that no two runs share."""
  rows = [line.split("\t") for line in path.read_text().splitlines()]
  column = rows[0].index("time")
  return [row[:column] + row[column + 1 :] for row in rows]

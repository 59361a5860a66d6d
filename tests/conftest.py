"""Strict JAX settings for every test, eight CPU devices, and the fixtures that several folders use."""

import os
import tempfile

import helpers
import jax
import numpy as np
import pytest

# Files that take more than half a minute.
LONG = (
  "test_killed", "test_published_code", "test_processes", "test_commands", "test_notebooks",
  "test_robust_training", "test_models", "test_cpu", "test_docs", "test_imagenet", "test_training_runs",
)  # fmt: skip

jax.config.update("jax_num_cpu_devices", 8)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_configure(config):
  """Programs that one test compiled are found by others, in other processes too.

  They go when the tests end, unless JAX_COMPILATION_CACHE_DIR names a folder: then the next run finds them.
  """
  if "PYTEST_XDIST_WORKER" not in os.environ:
    folder = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if not folder:
      config.programs = tempfile.TemporaryDirectory(prefix="rsjax-programs-")
      folder = config.programs.name
    settings = {
      "jax_compilation_cache_dir": folder,
      "jax_persistent_cache_min_compile_time_secs": 0.2,
      "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    for name, value in settings.items():
      jax.config.update(name, value)
      os.environ[name.upper()] = str(value)


def pytest_unconfigure(config):
  if hasattr(config, "programs"):
    config.programs.cleanup()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
  """`-n 2` gives whole files to processes: if two shared a file, both would compile and train what it needs."""
  if config.getvalue("dist") != "load":
    return None
  from xdist.scheduler import LoadFileScheduling

  config.option.loadscopereorder = False
  return LoadFileScheduling(config, log)


def pytest_collection_modifyitems(items):
  """The longest files come first, so that processes end together."""
  items.sort(key=lambda item: item.path.stem not in LONG)


@pytest.fixture
def linear_variables():
  """Weights of `helpers.linear` for 4x4x1 images, |w| = 1."""
  w = np.random.default_rng(0).normal(size=16).astype(np.float32)
  w /= np.linalg.norm(w)
  return w, np.float32(-w.sum() / 2)


@pytest.fixture
def images():
  """uint8[6, 4, 4, 1]."""
  return np.random.default_rng(1).integers(0, 256, (6, 4, 4, 1), np.uint8)


@pytest.fixture(scope="session")
def cpu_mesh():
  """cpu_mesh(k): the first k CPU devices."""
  from rsjax import devices

  return lambda k: devices.draws_mesh(jax.devices("cpu")[:k])


@pytest.fixture(scope="session")
def compile_voting_step():
  """compile(apply, variables, image_shape, classes, mesh, rows) -> the program of certification's step."""
  from rsjax.noise import Gaussian
  from rsjax.smoothing import packing, votes

  def compile(apply, variables, image_shape, classes, mesh, rows, slots=4):
    noise, work = Gaussian(1.0), packing.Work()
    work.add(packing.Request(np.zeros(image_shape, np.uint8), 0, 0, rows))
    segments = work.take(rows, slots)
    step = votes._make_step(apply, noise.perturb, mesh, rows, slots, classes)
    arguments = (*packing.step_images(segments, slots), *packing.step_draws(segments, rows, slots))
    return step.lower(variables, np.uint32(0), noise.parameters(), *arguments).compile()

  return compile


@pytest.fixture(scope="session")
def compile_training_step():
  """compile(model, train_set, objective, recipe, count) -> the program of a step on `count` devices."""
  from rsjax import devices
  from rsjax.training import batches, initial_state, step

  def compile(model, train_set, objective, recipe, count):
    recipe = recipe.for_dataset(train_set)
    place = batches.Place(devices.batch_mesh(jax.devices()[:count]))
    source = batches.Held(train_set, place)
    made = step.make_step(model, objective, recipe, 3, source.select, place.replicated)
    state = place.everywhere(initial_state(model, train_set.image_shape, objective, recipe))
    return made.lower(state, source.arrays, place.shared(np.arange(recipe.batch, dtype=np.int32))).compile()

  return compile


@pytest.fixture
def write_npz(tmp_path):
  """write_npz(name, seed=0, size=40, shape=(8, 8, 1), classes=3, **overrides) -> path of a data set."""
  return lambda name="data.npz", **settings: helpers.write_npz(tmp_path / name, **settings)


@pytest.fixture(scope="session")
def small_npz(tmp_path_factory):
  """The path of the data set that `write_npz()` writes, for tests that leave it as it is."""
  return str(helpers.write_npz(tmp_path_factory.mktemp("small") / "data.npz"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
  """The path of a classifier for digits, barely trained at noise 0.25."""
  from rsjax import train

  out = tmp_path_factory.mktemp("trained") / "digits"
  arguments = ["digits", "convnet", out, "--noise", "0.25", "--epochs", "2", "--batch", "128"]
  assert train.main([str(a) for a in arguments]) == 0
  return str(out)


@pytest.fixture
def places(tmp_path):
  """(folder of originals, data_dir)."""
  (tmp_path / "originals").mkdir()
  return tmp_path / "originals", tmp_path / "tfds"

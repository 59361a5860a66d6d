"""Checkpoints: what is saved is loaded, and anything else is refused."""

import json
import re
import subprocess
import sys
import traceback

import jax
import numpy as np
import pytest

from rsjax import models
from rsjax.classifiers import checkpoint
from rsjax.errors import InputError
from rsjax.training import State

METADATA = {
  "arch": "convnet",
  "num_classes": 3,
  "image_shape": [8, 8, 1],
  "mean": [0.4],
  "std": [0.3],
  "noise_sd": 0.25,
}


@pytest.fixture
def variables():
  model = models.create("convnet", num_classes=3, mean=(0.4,), std=(0.3,))
  return jax.device_get(jax.jit(lambda key: models.init(model, key, (8, 8, 1)))(jax.random.key(0)))


@pytest.fixture
def path(tmp_path, variables):
  checkpoint.save(tmp_path / "out" / "checkpoint", variables, METADATA)
  return tmp_path / "out" / "checkpoint"


def test_what_was_saved_is_loaded_from_either_path(path, variables):
  for given in (path, path.parent):
    found = checkpoint.load(given)
    jax.tree.map(np.testing.assert_array_equal, found.variables, variables)
    assert found.metadata["noise_sd"] == 0.25
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(found.variables))
  model = found.model("bfloat16")
  assert (model.num_classes, model.mean, model.std, model.dtype) == (3, (0.4,), (0.3,), "bfloat16")


def test_arrays_saved_from_many_devices_load(path, variables, cpu_mesh):
  everywhere = jax.sharding.NamedSharding(cpu_mesh(8), jax.P())
  checkpoint.save(path, jax.device_put(variables, everywhere), METADATA)
  jax.tree.map(np.testing.assert_array_equal, checkpoint.load(path).variables, variables)


def test_the_digest_is_of_weights_and_function(path, variables):
  digests = [checkpoint.load(path).digest]
  checkpoint.save(path, variables, METADATA | {"noise_sd": 0.5, "history": "other"})
  assert checkpoint.load(path).digest == digests[0]
  checkpoint.save(path, variables, METADATA | {"mean": [0.5]})
  digests.append(checkpoint.load(path).digest)
  variables["params"]["fc"]["bias"] = np.nextafter(variables["params"]["fc"]["bias"], np.float32(1))
  checkpoint.save(path, variables, METADATA)
  digests.append(checkpoint.load(path).digest)
  assert len(set(digests)) == 3


def test_saving_again_replaces_and_leaves_nothing_else(path, variables):
  variables["params"]["fc"]["bias"] = variables["params"]["fc"]["bias"] + 1
  checkpoint.save(path, variables, METADATA)
  jax.tree.map(np.testing.assert_array_equal, checkpoint.load(path).variables, variables)
  assert [p.name for p in path.parent.iterdir()] == ["checkpoint"]


def test_a_save_that_was_killed_leaves_the_old_one(path, variables, monkeypatch):
  monkeypatch.setattr(checkpoint.ocp, "save", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
  with pytest.raises(KeyboardInterrupt):
    checkpoint.save(path, jax.tree.map(np.zeros_like, variables), METADATA)
  jax.tree.map(np.testing.assert_array_equal, checkpoint.load(path).variables, variables)


def test_a_tree_with_types_comes_back(tmp_path):
  state = State(np.int32(3), {"w": np.ones(2, np.float32)}, {}, (np.zeros(2, np.float32), None), np.zeros(2))
  checkpoint.save(tmp_path / "s", state._asdict(), {"epoch": 3})
  assert checkpoint.read_metadata(tmp_path / "s")["epoch"] == 3
  assert State(**checkpoint.load_tree(tmp_path / "s", state._asdict())).opt_state[0].shape == (2,)


def test_missing_and_foreign_checkpoints_are_refused(tmp_path, path, variables):
  (tmp_path / "empty").mkdir()
  (tmp_path / "file").write_text("x")
  for other in (tmp_path / "missing", tmp_path / "empty", tmp_path / "file"):
    with pytest.raises(InputError, match=r"rsjax\.train"):
      checkpoint.load(other)
  checkpoint.ocp.save(tmp_path / "foreign", variables, custom_metadata={"format": "other"})
  with pytest.raises(InputError, match="not a checkpoint of rsjax"):
    checkpoint.load(tmp_path / "foreign")
  checkpoint.save(tmp_path / "tree", {"x": np.zeros(1)}, {})
  with pytest.raises(InputError, match="lacks arch"):
    checkpoint.load(tmp_path / "tree")


def test_a_training_that_has_not_ended_is_called_so(tmp_path):
  (tmp_path / "log.tsv").write_text("epoch\n")
  saved = r"saved nothing yet: the same rsjax\.train command continues it"
  with pytest.raises(InputError, match=saved) as raised:
    checkpoint.load(tmp_path)
  assert "orbax" not in "".join(traceback.format_exception(raised.value))


def test_damaged_checkpoints_are_refused(path):
  victims = sorted((f for f in path.rglob("*") if f.is_file()), key=lambda f: -f.stat().st_size)
  victims[0].write_bytes(b"")
  # In a process of its own: Orbax leaves tasks behind that complain in whatever test comes next.
  command = [sys.executable, "-m", "rsjax.certify", "digits", path, "0.25", path.with_name("out.tsv")]
  run = subprocess.run(command, capture_output=True, text=True)
  assert run.returncode == 2
  assert re.search(r"rsjax\.certify: error: the checkpoint .* is damaged", run.stderr)


def test_weights_that_do_not_fit_are_refused(tmp_path, variables):
  path = tmp_path / "c"
  checkpoint.save(path, variables, METADATA | {"num_classes": 4})
  with pytest.raises(InputError, match=r"params/fc/bias, params/fc/kernel"):
    checkpoint.load(path)
  checkpoint.save(path, variables, METADATA | {"arch": "cifar_resnet20"})
  with pytest.raises(InputError, match="do not fit cifar_resnet20"):
    checkpoint.load(path)
  variables["params"]["fc"]["bias"] = np.full(3, np.nan, np.float32)
  checkpoint.save(path, variables, METADATA)
  with pytest.raises(InputError, match="not finite: params/fc/bias"):
    checkpoint.load(path)


def test_metadata_is_json(path):
  json.dumps(checkpoint.load(path).metadata)

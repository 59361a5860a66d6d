"""What manifests say of a run, and digests of what it was given."""

import jax
import numpy as np

from rsjax.runs import provenance


def test_the_environment_is_stamped():
  stamp = provenance.environment()
  assert stamp["jax"] == jax.__version__
  assert stamp["devices"] == jax.device_count()
  assert provenance.versions().items() <= stamp.items()
  assert {"started": "now", "rows": 64, **stamp} == provenance.session(rows=64) | {"started": "now"}


def test_a_digest_tells_trees_apart():
  tree = {"w": np.arange(6.0), "key": jax.random.key(0)}
  digest = provenance.digest(tree)
  assert provenance.digest({"key": jax.random.key(0), "w": np.arange(6.0)}) == digest
  others = [
    tree | {"w": np.arange(6.0).reshape(2, 3)},
    tree | {"w": np.arange(6.0).astype(np.float32)},
    tree | {"w": np.nextafter(tree["w"], 9)},
    tree | {"key": jax.random.key(1)},
    {"v": tree["w"], "key": tree["key"]},
  ]
  assert digest not in {provenance.digest(other) for other in others}

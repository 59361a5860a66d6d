"""What ran where: versions, devices and digests, for manifests and checkpoints."""

import datetime
import hashlib
import platform
from typing import Any

import jax
import numpy as np

import rsjax


def environment() -> dict[str, str | int]:
  """Versions and devices."""
  import flax
  import jaxlib
  import scipy

  device = jax.devices()[0]
  return {
    "rsjax": rsjax.__version__,
    "python": platform.python_version(),
    "jax": jax.__version__,
    "jaxlib": jaxlib.__version__,
    "flax": flax.__version__,
    "numpy": np.__version__,
    "scipy": scipy.__version__,
    "platform": device.platform,
    "device": device.device_kind,
    "devices": jax.device_count(),
    "hosts": jax.process_count(),
  }


def versions() -> dict[str, str | int]:
  """The versions that processes which work together must share."""
  found = environment()
  return {name: found[name] for name in ("rsjax", "jax", "jaxlib", "flax", "numpy")}


def session(**facts: Any) -> dict[str, Any]:
  """What a manifest says of one run: when it started, `facts`, versions and devices."""
  started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
  return {"started": started, **facts, **environment()}


def digest(tree: Any) -> str:
  """SHA-256 of the arrays of a tree, with their names, shapes and dtypes."""
  found = hashlib.sha256()
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      leaf = jax.random.key_data(leaf)
    array = np.asarray(leaf)
    found.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
    found.update(np.ascontiguousarray(array).tobytes())
  return found.hexdigest()

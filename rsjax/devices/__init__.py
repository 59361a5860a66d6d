"""Where programs run: meshes of devices, compilation, and several processes that work together.

meshes: which devices share a step, and how arrays reach them. compiling: `jax.jit` with the options that a
platform needs to be correct. processes: what several processes must agree on.
farewell: how one that must end says so to the others.
"""

from rsjax.devices.compiling import (
  as_recorded,
  compiler_options,
  default_dtype,
  jax_defaults,
  jit,
  keep_compiled,
  matmul_precision,
  onednn,
  settings,
  use_onednn,
)
from rsjax.devices.meshes import (
  AXIS,
  TRAIN_AXIS,
  batch_mesh,
  draws_mesh,
  host,
  keep_pages,
  memory_free,
  memory_peak,
  put,
  put_weights,
  weight_formats,
)
from rsjax.devices.nonfinite import keep_nan

__all__ = [
  "AXIS",
  "TRAIN_AXIS",
  "as_recorded",
  "batch_mesh",
  "compiler_options",
  "default_dtype",
  "draws_mesh",
  "host",
  "jax_defaults",
  "jit",
  "keep_compiled",
  "keep_nan",
  "keep_pages",
  "matmul_precision",
  "memory_free",
  "memory_peak",
  "onednn",
  "put",
  "put_weights",
  "settings",
  "use_onednn",
  "weight_formats",
]

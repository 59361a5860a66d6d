"""Where programs run: meshes of devices, compilation, and several processes that work together.

meshes: which devices share a step, and how arrays reach them. compiling: `jax.jit` with the options that a
platform needs to be right. processes: what several processes must agree on.
"""

from rsjax.devices.compiling import (
  compiler_options,
  default_dtype,
  jit,
  keep_compiled,
  matmul_precision,
)
from rsjax.devices.meshes import (
  AXIS,
  TRAIN_AXIS,
  batch_mesh,
  draws_mesh,
  memory_free,
  put,
  put_weights,
  weight_formats,
)

__all__ = [
  "AXIS",
  "TRAIN_AXIS",
  "batch_mesh",
  "compiler_options",
  "default_dtype",
  "draws_mesh",
  "jit",
  "keep_compiled",
  "matmul_precision",
  "memory_free",
  "put",
  "put_weights",
  "weight_formats",
]

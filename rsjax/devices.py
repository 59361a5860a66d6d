"""Devices: the mesh, the compiler's options, the default dtype and the environment stamp."""

import functools
import os
import platform

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh

import rsjax

AXIS = "draws"
TRAIN_AXIS = "batch"

# XLA:CPU's YNNPACK fusions give wrong sums (jax-ml/jax#39103), NaN for bfloat16 residual blocks, and
# run convolutions at half the speed, in jaxlib 0.10 to 0.12 at least.
_CPU_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": ""}
_UNOPTIMIZED = {"xla_backend_optimization_level": 0}


def draws_mesh(devices=None):
  """A one-axis mesh over which the rows of a step are sharded; all devices by default."""
  devices = jax.devices() if devices is None else devices
  return Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))


def batch_mesh(devices=None):
  """A one-axis mesh over which the images of a training step are sharded; all devices by default."""
  devices = jax.devices() if devices is None else devices
  return Mesh(np.array(devices), (TRAIN_AXIS,), axis_types=(AxisType.Auto,))


def jit(function, device=None, *, once=False, **kwargs):
  """`jax.jit` with the options that `device`'s compiler needs to be right; the default device's.

  A program that runs `once` is not optimised on CPUs: optimising it takes longer than it can save.
  """
  name = (jax.devices()[0] if device is None else device).platform
  options = compiler_options(name) | (_UNOPTIMIZED if once and name == "cpu" else {})
  return jax.jit(function, compiler_options=options, **kwargs)


@functools.cache
def compiler_options(platform_name):
  """XLA options for a platform; {} where this jaxlib does not know (or need) them."""
  if platform_name != "cpu":
    return {}
  try:
    jax.jit(lambda x: x, compiler_options=_CPU_OPTIONS).lower(jnp.float32(0)).compile()
  except Exception:  # an option unknown to this jaxlib: too old to have these fusions
    return {}
  return _CPU_OPTIONS


def put(tree, sharding):
  """A tree of host arrays, the same in every process, on the devices of a sharding."""
  if sharding.is_fully_addressable:
    return jax.device_put(tree, sharding)
  as_array = lambda a: jax.make_array_from_callback(np.shape(a), sharding, lambda part: np.asarray(a)[part])
  return jax.tree.map(as_array, tree)


def keep_compiled(directory):
  """Keeps compiled programs in a directory, for later processes; whoever can write there can run code here.

  JAX's own variable JAX_COMPILATION_CACHE_DIR does the same.
  """
  jax.config.update("jax_compilation_cache_dir", str(directory))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def memory_free(device):
  """Bytes that are free on a device, or None where it does not say; on CPU a device's share."""
  stats = device.memory_stats()
  if stats and "bytes_limit" in stats:
    return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
  try:
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
  except (AttributeError, ValueError, OSError):
    return None
  return free // jax.local_device_count()


def default_dtype():
  """The compute dtype used where none is asked for: float32 on CPU, bfloat16 on accelerators."""
  return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def matmul_precision():
  """JAX's setting for float32 products: "default" is TF32 on recent GPUs and bfloat16 passes on TPUs."""
  return jax.config.jax_default_matmul_precision or "default"


def environment():
  """Versions and devices, for result files: a dict of strings and ints."""
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

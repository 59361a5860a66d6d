"""Meshes of devices, and how arrays reach them."""

import contextlib
import ctypes
import os
import resource
import sys
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental.layout import Format, Layout
from jax.sharding import AxisType, Mesh, Sharding

# M_MMAP_MAX, M_TRIM_THRESHOLD (-1: never), M_TOP_PAD and M_ARENA_MAX of glibc's malloc.h.
_KEEP = ((-4, 0), (-1, -1), (-2, 2**28), (-8, 1))

AXIS = "draws"
TRAIN_AXIS = "batch"

# By platform, the order in which its library reads the axes of a convolution's weights [h, w, in, out].
_KERNEL_ORDER = {"gpu": (3, 0, 1, 2)}  # cuDNN


def draws_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
  """A one-axis mesh over which the rows of a step are sharded; all devices by default."""
  devices = jax.devices() if devices is None else devices
  return Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))


def batch_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
  """A one-axis mesh over which the images of a training step are sharded; all devices by default."""
  devices = jax.devices() if devices is None else devices
  return Mesh(np.array(devices), (TRAIN_AXIS,), axis_types=(AxisType.Auto,))


def host() -> jax.Device | None:
  """A CPU of this process beside its other devices; None if the devices are CPUs, or JAX may use no CPU."""
  if jax.default_backend() == "cpu":
    return None
  try:
    return jax.local_devices(backend="cpu")[0]
  except RuntimeError:  # JAX_PLATFORMS names others alone
    return None


def put(tree: Any, sharding: Sharding) -> Any:
  """A tree of host arrays, the same in every process, on the devices of a sharding."""
  if sharding.is_fully_addressable:
    return jax.device_put(tree, sharding)
  as_array = lambda a: jax.make_array_from_callback(np.shape(a), sharding, lambda part: np.asarray(a)[part])
  return jax.tree.map(as_array, tree)


def keep_pages() -> None:
  """Lets a process on Linux keep the memory that it frees, so that training steps need no new pages.

  This affects the whole process, which then never gives memory back: only commands call it, not library code.
  It affects only threads that start later: call it before JAX looks for devices. On other systems it does
  nothing.
  """
  if not sys.platform.startswith("linux"):
    return
  with contextlib.suppress(OSError, AttributeError):
    mallopt = ctypes.CDLL(None).mallopt
    for parameter, value in _KEEP:
      mallopt(parameter, value)


def put_weights(tree: Any, sharding: Sharding) -> Any:
  """As `put`, with the memory layout of `weight_formats`."""
  return jax.tree.map(jax.device_put, put(tree, sharding), weight_formats(tree, sharding))


def weight_formats(tree: Any, sharding: Sharding) -> Any:
  """The memory layout of a network's weights: each array's `Format`, or the sharding for the usual layout.

  Arrays of four axes are taken to be weights of convolutions. They have the layout that the platform's library
  reads; otherwise each step would convert them. This affects only speed, since a program takes its arguments in
  any layout.
  """
  device: Any = next(iter(sharding.device_set))
  order = _KERNEL_ORDER.get(device.platform)
  as_read = Format(Layout(order), sharding) if order else sharding
  return jax.tree.map(lambda a: as_read if np.ndim(a) == 4 else sharding, tree)


def memory_free(device: jax.Device) -> int | None:
  """Free bytes on a device, or None if it does not say; on CPU a device's share."""
  stats = device.memory_stats()
  if stats and "bytes_limit" in stats:
    return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
  try:
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
  except (AttributeError, ValueError, OSError):
    return None
  return free // jax.local_device_count()


def memory_peak() -> int | None:
  """Peak bytes of the first device, or on CPUs of this process; None if not known."""
  stats = jax.local_devices()[0].memory_stats()
  if stats and "peak_bytes_in_use" in stats:
    return stats["peak_bytes_in_use"]
  kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return kilobytes if sys.platform == "darwin" else kilobytes * 1024

"""Compilation: `jax.jit` with the options that a platform's compiler needs to be correct."""

import contextlib
import functools
import os
import pathlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import jaxlib

from rsjax import files
from rsjax.errors import InputError

# XLA:CPU's YNNPACK fusions give wrong sums (jax-ml/jax#39103), NaN for bfloat16 residual blocks, and
# run convolutions at half the speed, in jaxlib 0.10 to 0.12 at least.
_NO_YNN = {"xla_cpu_experimental_ynn_fusion_type": ""}
# oneDNN's convolutions are twice as fast as XLA's own, fused with bias, residual and ReLU. jaxlib 0.10 takes
# the option and has no oneDNN in it.
_ONEDNN = {"xla_cpu_experimental_onednn_custom_call": True}
_FIRST_WITH_ONEDNN = (0, 11)
_FPMATH = "ONEDNN_DEFAULT_FPMATH_MODE"  # lets oneDNN compute float32 in fewer digits, such as BF16
_KEEP_BARRIERS = {"xla_disable_hlo_passes": "cse_barrier_expander"}  # else they vanish before fusion
_UNOPTIMIZED = {"xla_backend_optimization_level": 0}

_wanted = [True]  # whether oneDNN is used where it is there


def jit(
  function: Callable,
  device: jax.Device | None = None,
  *,
  once: bool = False,
  barriers: bool = False,
  **kwargs: Any,
) -> Any:
  """`jax.jit` with the options that the compiler of `device` (by default the first one) needs.

  Args:
    function: the function to compile.
    device: the device that it runs on.
    once: on CPUs the program is not optimised, which would take longer than it could save.
    barriers: on CPUs optimisation barriers hold until fusion.
    kwargs: as for `jax.jit`.
  """
  name = (jax.devices()[0] if device is None else device).platform
  options = compiler_options(name)
  if name == "cpu":
    options = options | (_UNOPTIMIZED if once else {}) | (_known(_KEEP_BARRIERS) if barriers else {})
  return jax.jit(function, compiler_options=options, **kwargs)


def compiler_options(platform_name: str) -> dict[str, Any]:
  """XLA options for a platform; {} if this jaxlib does not know (or need) them."""
  if platform_name != "cpu":
    return {}
  if not onednn():
    return _known(_NO_YNN)
  # Such a program cannot be kept in JAX's cache of compiled programs, and compiles again in little time.
  warnings.filterwarnings("ignore", r"Error writing persistent compilation cache entry for .*: MemoryError")
  return _known(_NO_YNN) | _ONEDNN


def onednn() -> bool:
  """Whether programs for CPUs use oneDNN's convolutions: if jaxlib has them, unless `use_onednn(False)`.

  Beside other devices they do not: beside a GPU, jaxlib 0.11.2 crashes when it writes such a program to JAX's
  cache.
  """
  if jax.default_backend() != "cpu":
    return False
  version = tuple(int(part) for part in jaxlib.__version__.split(".")[:2])
  return _wanted[0] and version >= _FIRST_WITH_ONEDNN and bool(_known(_ONEDNN))


def use_onednn(use: bool) -> None:
  """Sets whether programs that are compiled from now on may use oneDNN; call it before anything else."""
  _wanted[0] = use


def settings() -> dict[str, Any]:
  """JAX's and its compiler's settings for a manifest: those that can change logits and are not elsewhere."""
  by = {}
  if onednn():
    by["convolutions"] = "onednn"
    mode = os.environ.get(_FPMATH, "").upper()
    by |= {"onednn_fpmath": mode} if mode not in ("", "STRICT") else {}
  return by | ({"x64": True} if jax.config.jax_enable_x64 else {})  # type: ignore[attr-defined]


@contextlib.contextmanager
def jax_defaults() -> Iterator[None]:
  """A context with JAX's defaults for settings that would change random numbers and dtypes."""
  with _x64(False), jax.threefry_partitionable(True):
    yield


@contextlib.contextmanager
def as_recorded(said: dict[str, Any]) -> Iterator[None]:
  """A context with JAX and its compiler set to the `settings` and `precision` of a manifest, if it has them.

  Raises:
    InputError: for a precision that JAX does not know.
  """
  precision, before = said.get("precision", "default"), _wanted[0]
  try:
    precisely = jax.default_matmul_precision(None if precision == "default" else precision)
    precisely.__enter__()
  except ValueError as error:
    raise InputError(f"precision must be one that JAX knows, got {precision!r}") from error
  try:
    use_onednn(said.get("convolutions") == "onednn")
    with _x64(bool(said.get("x64"))):
      yield
  finally:
    use_onednn(before)
    precisely.__exit__(None, None, None)


def _x64(enable: bool) -> Any:
  """A context in which JAX has, or has not, dtypes of 64 bits."""
  recent = hasattr(jax, "enable_x64")  # since jax 0.8
  context: Any = jax.enable_x64 if recent else jax.experimental.enable_x64  # type: ignore[attr-defined]
  return context(enable)


def _known(options: dict[str, Any]) -> dict[str, Any]:
  """The options, or {} where this jaxlib does not know them."""
  return options if _is_known(tuple(options.items())) else {}


@functools.cache
def _is_known(options: tuple[tuple[str, Any], ...]) -> bool:
  try:
    jax.jit(lambda x: x, compiler_options=dict(options)).lower(jnp.float32(0)).compile()
  except Exception:
    return False
  return True


def keep_compiled(directory: str | pathlib.Path) -> None:
  """Keeps compiled programs in a directory, for later processes; anyone who can write to it can run code here.

  JAX's own variable JAX_COMPILATION_CACHE_DIR does the same.
  """
  jax.config.update("jax_compilation_cache_dir", str(files.local(directory)))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def default_dtype() -> str:
  """The compute dtype if none is asked for: float32 on CPU, bfloat16 on accelerators."""
  return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def matmul_precision() -> str:
  """JAX's setting for float32 products: "default" is TF32 on recent GPUs and bfloat16 passes on TPUs."""
  return jax.config.jax_default_matmul_precision or "default"  # type: ignore[attr-defined]

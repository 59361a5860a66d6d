"""Compilation: `jax.jit` with the options that a platform's compiler needs to be right."""

import functools
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

# XLA:CPU's YNNPACK fusions give wrong sums (jax-ml/jax#39103), NaN for bfloat16 residual blocks, and
# run convolutions at half the speed, in jaxlib 0.10 to 0.12 at least.
_CPU_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": ""}
_UNOPTIMIZED = {"xla_backend_optimization_level": 0}


def jit(function: Callable, device: jax.Device | None = None, *, once: bool = False, **kwargs: Any) -> Any:
  """`jax.jit` with the options that the compiler of `device` (by default the first one) needs to be right.

  A program that runs `once` is not optimised on CPUs: optimising it takes longer than it can save.
  """
  name = (jax.devices()[0] if device is None else device).platform
  options = compiler_options(name) | (_UNOPTIMIZED if once and name == "cpu" else {})
  return jax.jit(function, compiler_options=options, **kwargs)


@functools.cache
def compiler_options(platform_name: str) -> dict[str, Any]:
  """XLA options for a platform; {} where this jaxlib does not know (or need) them."""
  if platform_name != "cpu":
    return {}
  try:
    jax.jit(lambda x: x, compiler_options=_CPU_OPTIONS).lower(jnp.float32(0)).compile()
  except Exception:  # an option unknown to this jaxlib: too old to have these fusions
    return {}
  return _CPU_OPTIONS


def keep_compiled(directory: str | pathlib.Path) -> None:
  """Keeps compiled programs in a directory, for later processes; whoever can write there can run code here.

  JAX's own variable JAX_COMPILATION_CACHE_DIR does the same.
  """
  jax.config.update("jax_compilation_cache_dir", str(directory))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def default_dtype() -> str:
  """The compute dtype used where none is asked for: float32 on CPU, bfloat16 on accelerators."""
  return "float32" if jax.default_backend() == "cpu" else "bfloat16"


def matmul_precision() -> str:
  """JAX's setting for float32 products: "default" is TF32 on recent GPUs and bfloat16 passes on TPUs."""
  return jax.config.jax_default_matmul_precision or "default"  # type: ignore[attr-defined]

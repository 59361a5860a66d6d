"""What XLA makes of CERTIFY's step for an H100, without having one: which convolutions cuDNN will run fused.

  pip install 'jax[cuda12]'
  JAX_PLATFORMS=cpu JAX_SKIP_CUDA_CONSTRAINTS_CHECK=1 python experiments/gpu_program.py

Compiles only, half a minute for all; nothing is tuned or run, so that it says nothing of speed. Counts the
convolutions that stand alone, those that take bias, residual and ReLU along, and the other kernels of a step.
"""

import argparse
import re

import benchmark
import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from rsjax import devices, models
from rsjax.noise import Gaussian
from rsjax.smoothing import Execution, packing, votes

# What a H100 says of itself, as XLA's compiler asks.
H100 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152
  shared_memory_per_core: 233472 threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535 block_dim_limit_z: 65535 memory_bandwidth: 3352320000000 l2_cache_size: 52428800
  clock_rate_ghz: 1.98 device_memory_size: 84942979072 shared_memory_per_block_optin: 232448
  cuda_compute_capability { major: 9 minor: 0 } registers_per_core_limit: 65536 registers_per_block_limit: 65536
}
platform_name: "CUDA" device_description_str: "sm_90"
dnn_version_info { major: 9 minor: 10 patch: 0 } runtime_version { major: 12 minor: 9 patch: 0 }
"""


def program(arch, dtype, rows, classes=10):
  """The text of the compiled step, and its temporary memory in bytes."""
  topology = topologies.get_topology_desc("1x1x1", platform="cuda", target_config=H100, topology="1x1x1")
  mesh, noise = devices.draws_mesh(topology.devices), Gaussian(benchmark.SIGMA)
  shape = (224, 224, 3) if arch == "resnet50" else (32, 32, 3)
  slots = Execution(rows, mesh).resolve(shape).slots
  model = models.create(arch, num_classes=classes, mean=benchmark.MEAN, std=benchmark.STD, dtype=dtype)
  apply, variables = models.inference(model, benchmark.random_variables(model, shape))
  work = packing.Work()
  work.add(packing.Request(np.zeros(shape, np.uint8), 0, 0, rows))
  segments = work.take(rows, slots)
  on = lambda tree, spec: jax.tree.map(
    lambda a: jax.ShapeDtypeStruct(np.shape(a), np.asarray(a).dtype, sharding=NamedSharding(mesh, spec)), tree
  )
  same = (variables, np.uint32(0), noise.parameters(), *packing.step_images(segments, slots))
  arguments = (*on(same, P()), *on(packing.step_draws(segments, rows, slots), P(devices.AXIS)))
  compiled = votes._make_step(apply, noise.perturb, mesh, rows, slots, classes).lower(*arguments).compile()
  return compiled.as_text(), compiled.memory_analysis().temp_size_in_bytes


def main(argv=None):
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--arch", nargs="+", default=["cifar_resnet20", "cifar_resnet110", "resnet50"])
  parser.add_argument("--dtype", nargs="+", default=["bfloat16", "float32"], choices=models.DTYPES)
  args = parser.parse_args(argv)
  print(f"{'':28}{'rows':>6}{'alone':>7}{'fused':>7}{'other kernels':>15}{'MB':>7}")
  for arch in args.arch:
    for dtype in args.dtype:
      rows = 256 if arch == "resnet50" else 4096
      text, memory = program(arch, dtype, rows)
      count = lambda target, text=text: len(re.findall(rf'custom_call_target="__cudnn\$conv{target}"', text))
      entry = text[text.index("\nENTRY") :]
      kernels = len(re.findall(r" (?:fusion|copy|transpose|scatter)\(", entry))
      print(
        f"{arch + ', ' + dtype:28}{rows:6}{count('Forward'):7}{count('BiasActivationForward'):7}"
        f"{kernels:15}{memory / 1e6:7.0f}"
      )


if __name__ == "__main__":
  main()

"""What XLA makes of CERTIFY's step for an H100, without having one: which convolutions cuDNN will run fused.

  pip install 'jax[cuda12]'
  JAX_PLATFORMS=cpu JAX_SKIP_CUDA_CONSTRAINTS_CHECK=1 python experiments/gpu_program.py

Compiles only, half a minute for all; nothing is tuned or run, so that it says nothing of speed. Counts the
convolutions that stand alone, those that take bias, residual and ReLU along, and the other kernels of a step:
those that bring a convolution's weights into the order that cuDNN reads, were they not kept in it and as it is,
and the rest, which --kernels lists with what they write. GB is what all of them read and write in a step.
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
from rsjax.noise import of_kind
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


BYTES = {"pred": 1, "bf16": 2}  # of an element; the other dtypes' names end with their bits


def program(arch, dtype, rows, formats=devices.weight_formats, classes=10, kind="gaussian"):
  """The text of the compiled step, and its temporary memory in bytes.

  formats: how weights lie in memory; kind: of noise.
  """
  topology = topologies.get_topology_desc("1x1x1", platform="cuda", target_config=H100, topology="1x1x1")
  mesh, noise = devices.draws_mesh(topology.devices), of_kind(kind, benchmark.SIGMA)
  shape = (224, 224, 3) if arch == "resnet50" else (32, 32, 3)
  slots = Execution(rows, mesh).resolve(shape).slots
  model = models.create(arch, num_classes=classes, mean=benchmark.MEAN, std=benchmark.STD, dtype=dtype)
  apply, variables = models.inference(model, benchmark.random_variables(model, shape))
  work = packing.Work()
  work.add(packing.Request(np.zeros(shape, np.uint8), 0, 0, rows))
  segments = work.take(rows, slots)
  everywhere, over_draws = NamedSharding(mesh, P()), NamedSharding(mesh, P(devices.AXIS))
  on = lambda tree, formats: jax.tree.map(
    lambda a, format: jax.ShapeDtypeStruct(np.shape(a), np.asarray(a).dtype, sharding=format), tree, formats
  )
  all_on = lambda tree, sharding: on(tree, jax.tree.map(lambda _: sharding, tree))
  same = (np.uint32(0), noise.parameters(), *packing.step_images(segments, slots))
  draws = packing.step_draws(segments, rows, slots)
  step = votes._make_step(apply, noise.perturb, mesh, rows, slots, classes)
  weights = on(variables, formats(variables, everywhere))
  compiled = step.lower(weights, *all_on(same, everywhere), *all_on(draws, over_draws)).compile()
  return compiled.as_text(), compiled.memory_analysis().temp_size_in_bytes


def as_usual(tree, sharding):
  """`devices.weight_formats` of a platform that has no other order."""
  return jax.tree.map(lambda _: sharding, tree)


def kernels(text):
  """([what it writes and where it comes from] of the kernels on weights alone, the same of the others).

  Convolutions are in neither: they are calls of cuDNN.
  """
  entry = text[text.index("\nENTRY") :]
  found = re.findall(r" = (.+?) (?:fusion|copy|transpose|scatter)\((.*)", entry)
  name = lambda rest: (re.findall(r'op_name="(.*?)"', rest) or re.findall(r"calls=%(\S+),", rest) or [""])[0]
  lines = [(written, name(rest)) for written, rest in found]
  of_weights = [
    line for line in lines if line[1].startswith("args[0]")
  ]  # the argument itself, otherwise placed
  return of_weights, [line for line in lines if line not in of_weights]


def traffic(text):
  """Bytes that kernels and convolutions read and write in a step, each array once for each that takes it."""
  size, total = {}, 0
  line = r" (%\S+) = (\(.*?\)|\S+) ([\w-]+)\((.*?)\)"
  for name, written, op, taken in re.findall(line, text[text.index("\nENTRY") :]):
    arrays = re.findall(r"\b(pred|bf16|[fsu]\d+)\[([\d,]*)\]", written)
    size[name] = sum(
      BYTES.get(dtype, int(re.sub(r"\D", "", dtype) or 8) // 8)
      * np.prod([int(n) for n in dims.split(",") if n])
      for dtype, dims in arrays
    )
    if op in ("fusion", "custom-call", "copy", "transpose", "scatter"):
      total += size[name] + sum(size.get(one, 0) for one in re.findall(r"%[\w.-]+", taken))
  return total


def main(argv=None):
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--arch", nargs="+", default=["cifar_resnet20", "cifar_resnet110", "resnet50"])
  parser.add_argument("--dtype", nargs="+", default=["bfloat16", "float32"], choices=models.DTYPES)
  parser.add_argument("--noise-kind", default="gaussian", help="as of rsjax certify (default: gaussian)")
  parser.add_argument("--kernels", action="store_true", help="list the kernels that are no convolutions")
  args = parser.parse_args(argv)
  print(
    f"{'':27}{'rows':>6}{'alone':>7}{'fused':>7}{'weights, were':>15}{'are':>5}{'others':>8}{'MB':>7}{'GB':>8}"
  )
  for arch in args.arch:
    for dtype in args.dtype:
      rows = 256 if arch == "resnet50" else 4096
      before, _ = kernels(program(arch, dtype, rows, as_usual, kind=args.noise_kind)[0])
      text, memory = program(arch, dtype, rows, kind=args.noise_kind)
      of_weights, others = kernels(text)
      count = lambda target, text=text: len(re.findall(rf'custom_call_target="__cudnn\$conv{target}"', text))
      print(
        f"{arch + ', ' + dtype:27}{rows:6}{count('Forward'):7}{count('BiasActivationForward'):7}"
        f"{len(before):15}{len(of_weights):5}{len(others):8}{memory / 1e6:7.0f}{traffic(text) / 1e9:8.2f}"
      )
      for written, origin in of_weights + others if args.kernels else ():
        print(f"  {origin}: {written}")


if __name__ == "__main__":
  main()

"""The first ten minutes on a GPU, in one command: whether rsjax is right there, and how fast.

  python experiments/gpu_first.py            everything to out/gpu_first
  python experiments/gpu_first.py --short    a small form, to try it on a CPU in three minutes

Parts, those first that tell most in the least time: the machine; tests of the noise; CERTIFY with ResNet-110;
its benchmark, short, without --torch-python, with a profile; a training step of the preset `fast`; CERTIFY at
other numbers of rows; tests of votes and devices; the whole benchmark, an architecture at a time. Each is a
process with a time limit of its own, and leaves OUT/PART.json as it ends, OUT/PART.txt (what it printed) and
what it wrote itself. Cut off at any moment, the same command goes on, and --minutes may be more: parts that
passed are not run again, those that failed are. OUT/summary.json has all of them.

Exit code 0: every part passed.
"""

import argparse
import ctypes
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
NOISE, VOTES = ("tests/noise",), ("tests/smoothing/test_votes.py", "tests/devices")
LEAST = 5  # seconds that a part must have left to be started


def say(*words):
  print(*words, file=sys.stderr, flush=True)


# What follows up to `parts` runs in processes of its own, and prints its result as one line of JSON.


def machine():
  import jax

  from rsjax.runs import provenance

  device = jax.devices()[0]
  return {"environment": provenance.environment(), "memory": device.memory_stats()}


def _model(arch, dtype):
  from rsjax import models

  return models.create(arch, num_classes=10, mean=(0.5,) * 3, std=(0.25,) * 3, dtype=dtype)


def certify(arch, rows, budget):
  """Draws a second of CERTIFY with random weights, after a first run that compiles."""
  import jax
  import numpy as np

  from rsjax import devices, models
  from rsjax.noise import Gaussian
  from rsjax.procedures import Certify
  from rsjax.smoothing import Execution, Smoothed

  rng, dtype = np.random.default_rng(0), devices.default_dtype()
  model = _model(arch, dtype)
  shapes = jax.eval_shape(lambda: models.init(model, jax.random.key(0), (32, 32, 3)))
  variables = jax.tree.map(lambda a: rng.uniform(0.01, 0.1, a.shape).astype(np.float32), shapes)
  smoothed = Smoothed(*models.inference(model, variables), Gaussian(0.5))
  image = rng.integers(0, 256, (32, 32, 3), np.uint8)

  def seconds(draws):
    before = time.perf_counter()
    list(smoothed.outcomes(Certify(n=draws), [(0, image)], execution=Execution(rows)))
    return time.perf_counter() - before

  first, steps, spent = seconds(max(rows, 100)), 1, 0
  while spent < budget:
    steps *= 2
    spent = seconds(steps * rows)
  stats = jax.devices()[0].memory_stats() or {}
  found = {"arch": arch, "dtype": dtype, "rows": rows, "draws/s": (steps * rows + 100) / spent}
  return found | {"first s": first, "most memory": stats.get("peak_bytes_in_use")}


def training(arch, batch, budget):
  """Seconds a training step of cifar10.py's preset `fast`, on random images of CIFAR-10's size."""
  import tempfile

  import cifar10
  import numpy as np

  from rsjax import data, devices
  from rsjax.training import Gaussian, Recipe, batches, initial_state, step

  settings = {name.replace("-", "_"): value for name, value in cifar10.PRESETS["fast"].train.items()}
  settings["batch"] = batch or settings["batch"]
  rng, size = np.random.default_rng(0), 4096
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "random.npz"
    images, labels = rng.integers(0, 256, (size, 32, 32, 3), np.uint8), rng.integers(0, 10, size)
    np.savez(path, x_train=images, y_train=labels, x_test=images[:10], y_test=np.arange(10))
    dataset = data.load(str(path), "train")
  objective, recipe = Gaussian(noise_sd=0.5), Recipe(**settings).for_dataset(dataset)
  model, updates = _model(arch, devices.default_dtype()), 50_000 // recipe.batch
  place = batches.Place(devices.batch_mesh())
  source = batches.Held(dataset, place)
  update = step.make_step(model, objective, recipe, updates, source.select, place.replicated)
  state = place.everywhere(initial_state(model, dataset.image_shape, objective, recipe))

  def seconds(steps):
    nonlocal state
    before = time.perf_counter()
    for _ in range(steps):
      chosen = place.shared(rng.integers(0, size, recipe.batch).astype(np.int32))
      state, loss = update(state, source.arrays, chosen)
    loss.block_until_ready()
    return time.perf_counter() - before

  first, steps, spent = seconds(1), 1, 0
  while spent < budget:
    steps *= 2
    spent = seconds(steps)
  a_step = spent / steps
  found = {"arch": arch, "dtype": devices.default_dtype(), "batch": recipe.batch, "s a step": a_step}
  whole = a_step * updates * recipe.epochs / 60
  return found | {"images/s": recipe.batch / a_step, "first s": first, "training's steps, minutes": whole}


def parts(platform, out, short, torch_python):
  """{name: (command, seconds that it may take of ten minutes)}, in their order."""
  arch = "cifar_resnet8" if short else "cifar_resnet110"
  counts = (8, 16, 32, 64) if platform == "cpu" else (1024, 2048, 4096, 8192, 16384)
  own = lambda what, *arguments: [str(HERE / "gpu_first.py"), "--part", what, *map(str, arguments)]
  budget = 0.5 if short else 2.0

  def tests(name, paths):
    few = ["-k", "bit_for_bit or python_loop or unknown"] if short else []
    return ["-m", "pytest", "-q", "-n", "2", "--junitxml", str(out / f"{name}.xml"), *few, *paths]

  def benchmark(name, *flags):
    brief = ["--repeats", "1", "--seconds", "0.2", "--rows", "64"] if short else []
    return [str(HERE / "benchmark.py"), "--out", str(out / f"{name}_record.json"), *flags, *brief]

  most = 32 if platform == "cpu" else 4096
  rows = {f"rows_{count}": (own("certify", arch, count, budget), 60) for count in counts}
  few = ("--repeats", "2", "--seconds", "1", "--rows", str(most))
  batch = 0 if platform != "cpu" else 32 if short else 128  # 0: the preset's
  found = {
    "noise": (tests("noise", NOISE), 90),
    f"rows_{most}": (rows[f"rows_{most}"][0], 90),
    "benchmark": (benchmark("benchmark", "--arch", arch, *few, "--profile", str(out / "profile")), 150),
    "training": (own("training", arch, batch, budget), 120),
  }
  found |= {name: part for name, part in rows.items() if name not in found}
  found["votes"] = (tests("votes", VOTES), 150)
  whole = ["--training", "--objectives", "gaussian", "--repeats", "3", "--seconds", "2"]
  whole += ["--torch-python", torch_python] if torch_python else []
  for one in [arch] if short else [arch, "resnet50", "cifar_resnet20"]:
    found[f"benchmark_{one}"] = (benchmark(f"benchmark_{one}", "--arch", one, *whole), 600)
  return found


def ended_along():
  """In a part's process: ended by the system when this one is, lest it hold the GPU (Linux)."""
  if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def run(name, command, limit, out):
  """Runs a part; its record, which is written to OUT."""
  say(f"{name}: at most {limit:.0f} s")
  text, benchmarks, before = out / f"{name}.txt", out / f"{name}_record.json", time.time()
  benchmarks.unlink(missing_ok=True)  # of an earlier run, which failed
  path = os.pathsep.join(filter(None, (str(HERE.parent), os.environ.get("PYTHONPATH"))))
  # Tests share the memory of a GPU among their processes.
  environment = os.environ | {"PYTHONPATH": path} | (
    {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"} if "pytest" in command else {}
  )  # fmt: skip
  with text.open("wb") as file:
    process = subprocess.Popen(
      [sys.executable, *command], stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
      cwd=HERE.parent, env=environment, start_new_session=True, preexec_fn=ended_along,
    )  # fmt: skip
    try:
      code = process.wait(limit)
    except BaseException as error:  # ended with all that it started
      os.killpg(process.pid, signal.SIGKILL)
      process.wait()
      if not isinstance(error, subprocess.TimeoutExpired):
        raise
      code = None
  lines = text.read_text(errors="replace").splitlines()
  record = {"passed": code == 0, "code": code, "seconds": time.time() - before, "command": command}
  record["why"] = None if code == 0 else "over its time limit" if code is None else f"exit code {code}"
  record["result"] = result(lines, benchmarks)
  record["tail"] = lines[-15:]
  write(out / f"{name}.json", record)
  say(f"{name}: {'passed' if record['passed'] else record['why']}, {record['seconds']:.0f} s")
  return record


def result(lines, benchmarks):
  """What a part found: the medians of a benchmark's record, or the JSON that it printed last, or None."""
  try:
    if benchmarks.exists():
      [measured] = json.loads(benchmarks.read_text())["architectures"].values()
      return {name: line["median"] for name, line in measured["lines"].items() if "median" in line}
    return next((json.loads(line) for line in reversed(lines) if line.startswith('{"')), None)
  except ValueError:  # ended while it wrote
    return None


def write(path, record):
  """Whole or not at all."""
  partial = path.with_suffix(".partial")
  partial.write_text(json.dumps(record, indent=1) + "\n")
  partial.replace(path)


def earlier(name, out):
  """The record of a part that passed before, or None."""
  try:
    record = json.loads((out / f"{name}.json").read_text())
  except (OSError, ValueError):
    return None
  return record if record["passed"] else None


def summarize(records, out):
  write(out / "summary.json", {"passed": all(r and r["passed"] for r in records.values()), "parts": records})


def told(record):
  """A record in a line."""
  if record is None:
    return "not started"
  last = next((line for line in reversed(record["tail"]) if line.strip()), "")
  found = record["result"] or {}
  shown = ", ".join(f"{name} {value:,.5g}" for name, value in found.items() if isinstance(value, float))
  shown = found["environment"]["device"] if "environment" in found else shown
  state = "passed" if record["passed"] else f"FAILED ({record['why']})"
  return f"{state}, {record['seconds']:.0f} s: {shown or last}"


def main(argv=None):
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--out", type=pathlib.Path, help="for all (default: out/gpu_first, out/gpu_first_short)")
  parser.add_argument("--minutes", type=float, help="for all parts together (default: 10; with --short 5)")
  parser.add_argument("--short", action="store_true", help="a tiny network, few tests and rows, on a CPU")
  parser.add_argument("--torch-python", metavar="PATH", help="handed to the whole benchmark")
  parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
  args = parser.parse_args(argv)
  if args.part:
    what, *arguments = args.part
    measure = {"machine": machine, "certify": certify, "training": training}[what]
    print(json.dumps(measure(*(number(a) for a in arguments))), flush=True)
    return 0
  minutes = args.minutes or (5 if args.short else 10)
  deadline = time.time() + 60 * minutes
  out = (args.out or pathlib.Path("out", "gpu_first_short" if args.short else "gpu_first")).resolve()
  out.mkdir(parents=True, exist_ok=True)

  def part(name, command, limit):
    record, left = earlier(name, out), deadline - time.time()
    if record:
      say(f"{name}: passed before")
    elif left > LEAST:
      record = run(name, command, min(limit * minutes / 10, left), out)
    return record

  records = {"machine": part("machine", [str(HERE / "gpu_first.py"), "--part", "machine"], 120)}
  found = (records["machine"] or {}).get("result") or {"environment": {"platform": "gpu"}}
  planned = parts(found["environment"]["platform"], out, args.short, args.torch_python)
  records |= dict.fromkeys(planned)
  for name, (command, limit) in planned.items():
    summarize(records, out)
    records[name] = part(name, command, limit)
  summarize(records, out)
  for name, record in records.items():
    print(f"{name:26} {told(record)}")
  print("summary:", out / "summary.json")
  return 0 if all(record and record["passed"] for record in records.values()) else 1


def number(text):
  """An argument of a part: int, float or text."""
  for kind in (int, float):
    try:
      return kind(text)
    except ValueError:
      pass
  return text


if __name__ == "__main__":
  sys.exit(main())

"""Draws a second: rsjax beside plain JAX, PyTorch as in the paper and at its best, and the machine's limits.

  python experiments/benchmark.py            every architecture; about 25 minutes on 2 CPU cores
  python experiments/benchmark.py --quick    ResNet-20, briefly; about 2 minutes there
  python experiments/benchmark.py --objectives --arch cifar_resnet20   its training by every objective

Everything is measured in one run, on one machine, with the same random weights, in interleaved repetitions
after a first, uncounted one. Prints one table per architecture and writes a JSON record. PyTorch runs in a
process of its own, of this Python or of that of --torch-python; without it its lines are left out.
"""

import argparse
import collections
import contextlib
import datetime
import functools
import importlib.util
import itertools
import json
import math
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time

import benchmark_training
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from measuring import MEAN, REST, SIGMA, STD, random_variables, say, spread, times, told
from torch_process import TorchError, TorchProcess

from rsjax import devices, models
from rsjax.noise import Gaussian
from rsjax.procedures import Certify, Predict
from rsjax.runs import provenance
from rsjax.smoothing import Execution, Smoothed, packing, tuning
from rsjax.training.objectives import OBJECTIVES

HERE = pathlib.Path(__file__).parent
if __name__ == "__main__":
  devices.keep_pages()  # as `rsjax train` does, before JAX looks for devices
ON_CPU = jax.default_backend() == "cpu"
MODES = ("eager", "compiled") if ON_CPU else ("eager", "compiled", "max-autotune")  # of PyTorch, that are tried
PEERS = ("PyTorch, paper's form", "PyTorch, best")


def products(apply, variables, shape):
  """The equations of an apply's convolutions and matrix products, for one row."""

  def visit(jaxpr):
    for equation in jaxpr.eqns:
      if equation.primitive.name in ("conv_general_dilated", "dot_general"):
        yield equation
      for inner in equation.params.values():
        if hasattr(inner, "jaxpr"):
          yield from visit(inner.jaxpr)

  return list(visit(jax.make_jaxpr(apply)(variables, jnp.zeros((1, *shape), jnp.float32)).jaxpr))


def least_bytes(apply, variables, shape, dtype):
  """Bytes a draw that a network moves if each convolution reads its input and writes its output once.

  Residuals read again and weights, which many draws share, are left out.
  """
  convolutions = (e for e in products(apply, variables, shape) if e.primitive.name == "conv_general_dilated")
  values = sum(e.invars[0].aval.size + e.outvars[0].aval.size for e in convolutions)
  return values * jnp.dtype(dtype).itemsize


def flops(apply, variables, shape):
  """Floating-point operations a draw, of convolutions and matrix products alone: two per multiplication.

  The compiler's own count leaves out what a GPU's libraries compute, which is nearly everything.
  """
  total = 0
  for equation in products(apply, variables, shape):
    out, weights = equation.outvars[0].aval, equation.invars[1].aval
    if equation.primitive.name == "conv_general_dilated":
      features = weights.shape[equation.params["dimension_numbers"].rhs_spec[0]]
      total += 2 * out.size * weights.size // features
    else:
      (_, contracted), _ = equation.params["dimension_numbers"]
      total += 2 * out.size * math.prod(weights.shape[axis] for axis in contracted)
  return total


def fused_convolutions(apply, variables, shape, rows):
  """How many convolutions the GPU compiler fused with bias and ReLU, and how many it did not."""
  if jax.default_backend() != "gpu":
    return "does not apply to this platform"
  text = devices.jit(apply).lower(variables, np.zeros((rows, *shape), np.float32)).compile().as_text()
  return {
    name: text.count(f'"{name}"') for name in ("__cudnn$convBiasActivationForward", "__cudnn$convForward")
  }


def seconds(function, *args):
  before = time.perf_counter()
  jax.block_until_ready(function(*args))
  return time.perf_counter() - before


def ceilings():
  """Bytes a second of a large copy (read and written) and operations a second of large products."""
  size = 2**28 if ON_CPU else 2**30
  copy, x = devices.jit(lambda x: x + 1, donate_argnums=0), jnp.zeros(size // 4, jnp.float32)
  times = []
  for _ in range(8):
    before = time.perf_counter()
    x = copy(x).block_until_ready()
    times.append(time.perf_counter() - before)
  found = {"copy bytes/s": 2 * size / min(times)}
  side = 2048 if ON_CPU else 8192
  for dtype in ("float32", "bfloat16"):
    a = jax.random.normal(jax.random.key(0), (side, side)).astype(dtype)
    product = devices.jit(jnp.matmul)
    product(a, a).block_until_ready()
    found[f"{dtype} product FLOP/s"] = 2 * side**3 / min(seconds(product, a, a) for _ in range(3))
  return found


class Lines:
  """What is measured of one architecture: each a function(draws), with its true number of draws returned."""

  def __init__(self, arch, dtype, rows, torch_modes=None):
    self.shape = (224, 224, 3) if arch == "resnet50" else (32, 32, 3)
    self.classes = 1000 if arch == "resnet50" else 10
    fields = dict(num_classes=self.classes, mean=MEAN, std=STD)
    self.arch, self.dtype, self.candidates = arch, dtype, {}
    self.torch_modes = torch_modes or MODES
    self.model = models.create(arch, dtype=dtype, **fields)
    self.plain = random_variables(self.model, self.shape)
    apply, variables = models.inference(self.model, self.plain)
    self.apply, self.variables = apply, jax.device_put(variables)
    name = f"{arch} {dtype}"
    if rows is None:
      with tempfile.TemporaryDirectory() as folder:  # searched for anew, not remembered
        cache = pathlib.Path(folder) / "rows.json"
        rows = tuning.best_rows(self.apply, self.variables, self.shape, lambda: name, draws=10**9, cache=cache)
    self.rows = Execution(rows).resolve(self.shape).rows
    self.smoothed = Smoothed(self.apply, self.variables, Gaussian(SIGMA))

  def example(self, index):
    return np.random.default_rng(index).integers(0, 256, self.shape, np.uint8)

  def certify(self, draws):
    images = max(1, min(3, draws // 1000))
    n = max(100, -(-draws // self.rows) * self.rows // images - 100)  # whole steps, but for the last
    examples = ((i, self.example(i)) for i in range(images))
    found = self.smoothed.outcomes(Certify(n=n), examples, execution=Execution(self.rows))
    return sum(int(c.votes.sum() + c.votes0.sum()) for _, c in found)

  def predict(self, n, draws):
    images = max(1, draws // n)
    examples = ((i, self.example(i)) for i in range(images))
    found = self.smoothed.outcomes(Predict(n), examples, execution=Execution(self.rows))
    return sum(int(p.votes.sum()) for _, p in found)

  def bare(self, draws):
    step, variables, x = self._bare
    steps = -(-draws // self.rows)
    for _ in range(steps):
      logits = step(variables, x)
    logits.block_until_ready()
    return steps * self.rows

  @functools.cached_property
  def _bare(self):
    mesh = devices.draws_mesh()
    x = np.random.default_rng(0).random((self.rows, *self.shape), np.float32)
    x = jax.device_put(x, NamedSharding(mesh, P(devices.AXIS)))
    apply = devices.keep_nan(self.apply, jax.default_backend())
    return devices.jit(apply), devices.put_weights(self.variables, NamedSharding(mesh, P())), x

  def plain_jax(self, draws):
    rows, counts = self.rows, np.zeros(self.classes, int)
    for i in range(-(-draws // rows)):
      counts += np.bincount(
        self._plain(self.plain_on_device, self.example(0), jax.random.key(i)), minlength=self.classes
      )
    return counts.sum()

  @functools.cached_property
  def plain_on_device(self):
    return jax.device_put(self.plain)

  @functools.cached_property
  def _plain(self):
    apply = models.apply(self.model)

    @devices.jit
    def predictions(variables, image, key):
      x = image.astype(jnp.float32)[None] / 255
      return apply(variables, x + SIGMA * jax.random.normal(key, (self.rows, *self.shape))).argmax(-1)

    return predictions

  def all(self, peer):
    """{name: function(draws) -> draws done}; PyTorch's where its process is given, and agrees."""
    lines = {
      "rsjax CERTIFY": self.certify,
      "rsjax PREDICT n=1000": functools.partial(self.predict, 1000),
      "rsjax PREDICT n=100": functools.partial(self.predict, 100),
      "rsjax bare network": self.bare,
      "plain JAX loop": self.plain_jax,
    }
    if peer is None:
      return lines
    peer.network(self.arch, self.classes, MEAN, STD, self.plain)
    check_parity(peer, self)
    image = peer.save("image", self.example(0).astype(np.float32) / 255)
    count = lambda name: lambda draws: peer.ask("count", name=name, image=image, n=draws, sigma=SIGMA)
    peer.ask("paper_form", name="paper", batch=400 if not ON_CPU and self.shape[0] == 32 else 64)
    lines["PyTorch, paper's form"] = count("paper")
    best = self._best_of_pytorch(peer, count)
    if best is not None:
      lines["PyTorch, best"] = count(best)
    return lines

  def _best_of_pytorch(self, peer, count):
    """The fastest of PyTorch's modes and batches, by name; `candidates` keeps what each reached in a trial."""
    sizes = (16, 64) if ON_CPU else (256, 1024) if self.shape[0] > 32 else (1024, 4096)
    self.candidates = {}
    for mode, size in itertools.product(self.torch_modes, sizes):
      name = f"{mode}, batch {size}"
      say("  trial of PyTorch:", name)
      try:
        peer.ask("best", name=name, batch=size, dtype=self.dtype, mode=mode)
        count(name)(2 * size)
        steps = max(1, int(1 / seconds(count(name), size)))
        self.candidates[name] = steps * size / seconds(count(name), steps * size)
      except TorchError as error:  # one mode's failure is told, and the others tried
        self.candidates[name] = told(error)
    rates = {name: rate for name, rate in self.candidates.items() if not isinstance(rate, str)}
    return max(rates, key=rates.get) if rates else None


def check_parity(peer, lines):
  """Ends the run if PyTorch's network is not the same function."""
  images = np.random.default_rng(2).random((2, *lines.shape), dtype=np.float32)
  model = models.create(lines.arch, num_classes=lines.classes, mean=MEAN, std=STD)
  with jax.default_matmul_precision("highest"):
    apply, variables = models.inference(model, lines.plain)
    ours = np.asarray(devices.jit(apply)(variables, images))
  theirs = np.array(peer.ask("logits", images=peer.save("images", images)))
  if not np.abs(ours - theirs).max() < 1e-3 * np.abs(theirs).max():
    sys.exit(f"PyTorch's {lines.arch} is another function than rsjax's: {ours[:, :3]} and {theirs[:, :3]}")


def since(before):
  """Seconds since a reading of the clock; never 0, which a coarse clock may say."""
  return max(time.perf_counter() - before, 1e-9)


def measure(lines, budget, repeats, found):
  """Fills {line: {"draws/s": [...], "median", "first s": of the first call}}, repetitions interleaved."""
  size = {}
  for name, function in lines.items():
    say("  first call:", name)
    try:
      first = seconds(function, 1)
      draws, rate = 32, 0
      while draws < rate * budget / 4 or not rate:
        draws *= 2
        before = time.perf_counter()
        rate = function(draws) / since(before)
    except Exception as error:  # one line's failure is told, and the others measured
      found[name] = {"failed": told(error)}
      continue
    found[name], size[name] = {"first s": first, "draws/s": []}, max(64, int(rate * budget))
  for repeat in range(repeats):
    say(f"  repetition {repeat + 1} of {repeats}")
    for name, draws in size.items():
      time.sleep(REST)
      before = time.perf_counter()
      done = lines[name](draws)
      rates = found[name]["draws/s"]
      rates.append(float(done / since(before)))
      found[name]["median"] = float(np.median(rates))


def ratio(found, name, other):
  """How many times the draws/s of one line are another's, by repetition: (median, least, most), or None.

  Within a repetition both met the machine in about the same state.
  """
  rates = [found.get(n, {}).get("draws/s", ()) for n in (name, other)]
  whole = min(map(len, rates))  # an interrupted repetition may have one of the two
  return spread(np.divide(*(values[:whole] for values in rates))) if whole else None


def table(title, found, limit):
  rows = [
    f"\n{title}",
    f"{'':24}{'draws/s':>12}{'least':>12}{'most':>12}{'of limit':>10}{'first s':>9}",
  ]
  for name, line in found.items():
    if "failed" in line:
      rows.append(f"{name:24}failed: {line['failed']}")
      continue
    rows.append(
      f"{name:24}{line['median']:12,.0f}{min(line['draws/s']):12,.0f}{max(line['draws/s']):12,.0f}"
      f"{line['median'] / limit:10.1%}{line['first s']:9.1f}"
    )
  for peer in PEERS:
    rows.append(f"CERTIFY over {peer}: {times(ratio(found, 'rsjax CERTIFY', peer))}")
  return "\n".join(rows)


def markdown(record):
  """The README's table of a record: medians of draws a second, and how many times PyTorch's CERTIFY's are."""
  names = ("rsjax CERTIFY", "rsjax PREDICT n=100", "rsjax bare network", "plain JAX loop", *PEERS)
  rows = [["draws/s, " + record["dtype"], *names, "CERTIFY over these two"]]
  rows.append(["---", *["---:"] * (len(names) + 1)])
  for arch, measured in record["architectures"].items():
    lines = measured.get("lines", {})
    medians = [lines.get(name, {}).get("median") for name in names]
    cells = ("-" if value is None else f"{value:,.0f}" for value in medians)
    rows.append([arch, *cells, ", ".join(times(ratio(lines, "rsjax CERTIFY", peer)) for peer in PEERS)])
  return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def architecture(args, arch, dtype, budget, repeats, machine, peer, record):
  """Fills the record of an architecture as it goes."""
  say(arch)
  lines = Lines(arch, dtype, args.rows, args.torch_modes)
  draw_flops = flops(lines.apply, lines.variables, lines.shape)
  draw_bytes = least_bytes(lines.apply, lines.variables, lines.shape, dtype)
  limit = min(machine[f"{dtype} product FLOP/s"] / draw_flops, machine["copy bytes/s"] / draw_bytes)
  record |= {"rows": lines.rows, "FLOPs a draw": draw_flops, "least bytes a draw": draw_bytes}
  record["limit draws/s"] = limit
  record["convolutions"] = fused_convolutions(lines.apply, lines.variables, lines.shape, min(lines.rows, 256))
  record["lines"] = found = {}
  measured = lines.all(peer)
  record["candidates for PyTorch, best"] = lines.candidates
  measure(measured, budget, repeats, found)
  print(table(f"{arch}, {dtype}, {lines.rows} rows a step", found, limit))
  bare = ratio(found, "rsjax bare network", "rsjax CERTIFY")
  if bare:
    record["overhead"] = bare[0] - 1
    print(f"CERTIFY's cost over the bare network: {record['overhead']:+.1%}")


def start_up():
  """Seconds of importing, and of the first row with and without kept programs, in fresh processes."""
  code = (
    "import time; t = [time.perf_counter()]\n"
    "import jax, numpy as np; from rsjax import models, devices, noise, procedures, smoothing; import sys\n"
    "t.append(time.perf_counter()); devices.keep_compiled(sys.argv[1])\n"
    "model = models.create('cifar_resnet20', num_classes=10, mean=(.5,)*3, std=(.2,)*3)\n"
    "shapes = jax.eval_shape(lambda: models.init(model, jax.random.key(0), (32, 32, 3)))\n"
    "apply, variables = models.inference(model, jax.tree.map(lambda a: np.ones(a.shape, a.dtype), shapes))\n"
    "t.append(time.perf_counter())\n"
    "images = [(0, np.zeros((32, 32, 3), np.uint8))]\n"
    "smoothed = smoothing.Smoothed(apply, variables, noise.Gaussian(.5))\n"
    "next(smoothed.outcomes(procedures.Certify(n=100, alpha=.1), images))\n"
    "t.append(time.perf_counter()); print(t[1] - t[0], t[3] - t[2])"
  )
  with tempfile.TemporaryDirectory() as cache:
    run = lambda: subprocess.run(
      [sys.executable, "-c", code, cache], capture_output=True, text=True, check=True
    )
    (imports, first), (_, again) = ([float(s) for s in run().stdout.split()] for _ in range(2))
  return {"import s": imports, "first row s, nothing kept": first, "first row s, programs kept": again}


def dispatch():
  """For a very small network: the host's seconds a step beside the device's, by rows a step."""
  shape = (8, 8, 1)
  model = models.create("convnet", num_classes=10, mean=(0.5,), std=(0.25,), dtype=devices.default_dtype())
  apply, variables = models.inference(model, random_variables(model, shape))
  smoothed, image = Smoothed(apply, variables, Gaussian(SIGMA)), np.zeros(shape, np.uint8)
  steps, found = 50, {}
  for rows in (1024, 4096, 16384) if ON_CPU else (4096, 16384, 65536):
    resolved = Execution(rows).resolve(shape)
    rows, slots = resolved.rows, resolved.slots
    count = lambda rows=rows: list(
      smoothed.outcomes(Predict(rows * steps), [(0, image)], execution=Execution(rows))
    )
    count()
    whole = seconds(count) / steps
    work = packing.Work()
    work.add(packing.Request(image, 0, 0, rows * steps))
    before = time.perf_counter()
    for _ in range(steps):
      jax.device_put(packing.step_draws(work.take(rows, slots), rows, slots))
    host = (time.perf_counter() - before) / steps
    found[rows] = {"step s": whole, "host s": host, "draws/s": rows / whole}
    print(f"convnet 8x8, {rows} rows a step: {1e3 * whole:.2f} ms a step, host work {1e3 * host:.2f} ms of it")
  return found


def busiest(directory, most=20):
  """{operation: share of the devices' busy time} of the newest profile in a directory, the largest first.

  {} on CPU, whose profile leaves out the convolutions.
  """
  profile = max(pathlib.Path(directory).rglob("*.xplane.pb"), key=os.path.getmtime)
  spent = collections.Counter()
  for plane in jax.profiler.ProfileData.from_file(str(profile)).planes:
    for line in plane.lines:
      wanted = plane.name.startswith("/device:") and ("Stream" in line.name or line.name == "XLA Ops")
      for event in line.events if wanted else ():
        spent[event.name] += event.duration_ns
  return {name: ns / spent.total() for name, ns in spent.most_common(most)}


def processor():
  try:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
  except OSError:
    return platform.processor()
  return next(
    (line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine()
  )


def main(argv=None):
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--arch", nargs="+", default=["cifar_resnet20", "cifar_resnet110", "resnet50"])
  parser.add_argument("--quick", action="store_true", help="cifar_resnet20 alone, 2 short repetitions")
  parser.add_argument("--training", action="store_true", help="training steps, too")
  parser.add_argument("--training-only", action="store_true", help="training steps, and no more")
  parser.add_argument(
    "--objectives",
    nargs="*",
    choices=OBJECTIVES,
    metavar="NAME",
    help="training steps of the first ARCH by these objectives (default: all); without --training, no more",
  )
  parser.add_argument(
    "--objective-rows", type=int, help="noisy images of their training passes (default: 32 on CPU, else 512)"
  )
  parser.add_argument("--dtype", choices=models.DTYPES, help="default: float32 on CPU, else bfloat16")
  parser.add_argument(
    "--torch-python", type=pathlib.Path, metavar="PATH", help="interpreter that has PyTorch (default: this one)"
  )
  parser.add_argument(
    "--torch-modes", nargs="+", choices=MODES, metavar="MODE",
    help="of PyTorch, to try for its best CERTIFY and training step; compiling may take minutes (default: "
    f"{', '.join(MODES)})",
  )  # fmt: skip
  parser.add_argument("--no-onednn", action="store_true", help="as of `rsjax certify`")
  parser.add_argument("--rows", type=int, help="noisy images a step (default: as --batch auto chooses)")
  parser.add_argument("--repeats", type=int, default=5)
  parser.add_argument("--seconds", type=float, default=3.0, help="of a repetition of a line (default: 3)")
  parser.add_argument(
    "--out", type=pathlib.Path, help="JSON record (default: experiments/benchmarks/DATE-DEVICE.json)"
  )
  parser.add_argument("--markdown", type=pathlib.Path, help="print the README's table of a record, and no more")
  parser.add_argument(
    "--profile", help="directory for a profile of CERTIFY with the first ARCH; the record keeps its summary"
  )
  args = parser.parse_args(argv)
  if args.markdown:
    print(markdown(json.loads(args.markdown.read_text())))
    return
  devices.use_onednn(not args.no_onednn)
  environment, today = provenance.environment(), datetime.date.today().isoformat()
  device = "".join(c if c.isalnum() else "-" for c in environment["device"].lower())
  out = args.out or HERE / "benchmarks" / f"{today}-{device}{'-quick' if args.quick else ''}.json"
  out.parent.mkdir(parents=True, exist_ok=True)
  record = {
    "date": today,
    "command": " ".join(["python experiments/benchmark.py", *(argv or sys.argv[1:])]),
    "environment": environment | {"processor": processor(), "cores": os.cpu_count(), "torch": None},
    "compiler": devices.settings(),
    "dtype": args.dtype or devices.default_dtype(),
  }
  with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
    try:
      if args.torch_python is None and importlib.util.find_spec("torch") is None:
        raise TorchError("PyTorch is not installed")
      peer = stack.enter_context(TorchProcess(args.torch_python, pathlib.Path(folder)))
      record["environment"]["torch"] = peer.version
    except TorchError as error:
      if args.torch_python:
        sys.exit(f"--torch-python: {error}")
      say(f"{error}: PyTorch's lines are left out (pip install torch, or --torch-python PATH)")
      peer = None
    write = lambda: out.write_text(json.dumps(record, indent=1) + "\n")
    try:
      for _ in parts(args, record, peer):
        write()
    except KeyboardInterrupt:
      say(f"interrupted; what was measured before is in {out}")
      sys.exit(130)
    finally:
      write()  # what is measured is kept, whatever comes next
  say("record:", out)


def parts(args, record, peer):
  """Measures part by part into the record; yields after each."""
  archs = ["cifar_resnet20"] if args.quick else args.arch
  repeats, budget = (2, 0.5) if args.quick else (args.repeats, args.seconds)
  dtype, training = record["dtype"], args.training or args.training_only
  if not args.training_only and (args.training or args.objectives is None):
    yield from certifying(args, record, peer, archs, budget, repeats)
  if training:
    record["training"] = {}
    modes = [mode for mode in benchmark_training.MODES if mode in (args.torch_modes or MODES)]
    for arch in archs:
      record["training"][arch] = benchmark_training.steps(arch, dtype, budget, repeats, peer, modes)
      yield
  if training or args.objectives is not None:
    names, rows = args.objectives or list(OBJECTIVES), args.objective_rows or (32 if ON_CPU else 512)
    found = benchmark_training.objectives(names, archs[0], dtype, rows, budget, repeats, peer)
    record["objectives"] = {archs[0]: found}
    yield


def certifying(args, record, peer, archs, budget, repeats):
  """All but training."""
  dtype = record["dtype"]
  record["machine"] = ceilings()
  print(", ".join(f"{name} {value / 1e9:,.0f} G" for name, value in record["machine"].items()))
  record["architectures"] = {}
  for arch in archs:
    found = record["architectures"][arch] = {}
    architecture(args, arch, dtype, budget, repeats, record["machine"], peer, found)
    yield
  record["start-up"] = start_up()
  print("\nstart-up:", ", ".join(f"{name} {value:.2f}" for name, value in record["start-up"].items()))
  record["dispatch"] = dispatch()
  yield
  if args.profile:
    lines = Lines(archs[0], dtype, record["architectures"][archs[0]]["rows"])
    lines.certify(1)
    with jax.profiler.trace(args.profile):
      lines.certify(20 * lines.rows)
    record["profile"] = busiest(args.profile)
    print(f"\nwhere CERTIFY's time goes ({archs[0]}):", "" if record["profile"] else "see the profile itself")
    for name, share in record["profile"].items():
      print(f"{share:7.1%}  {name}")
    yield


if __name__ == "__main__":
  main()

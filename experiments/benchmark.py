"""Draws a second: rsjax beside plain JAX, PyTorch as in the paper and at its best, and the machine's limits.

  python experiments/benchmark.py            every architecture; about 25 minutes on 2 CPU cores
  python experiments/benchmark.py --quick    ResNet-20, briefly; about 2 minutes there

Everything is measured in one run, on one machine, with the same random weights, in interleaved repetitions
after a first, uncounted one. Prints a table an architecture and writes a JSON record. Without PyTorch its
lines are left out (`pip install torch`).
"""

import argparse
import collections
import datetime
import functools
import itertools
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from rsjax import data, devices, models, training
from rsjax.noise import Gaussian
from rsjax.procedures import Certify, Predict
from rsjax.runs import provenance
from rsjax.smoothing import Execution, Smoothed, packing, tuning
from rsjax.training import Recipe, batches
from rsjax.training import step as training_step

HERE = pathlib.Path(__file__).parent
SIGMA, MEAN, STD = 0.5, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
ON_CPU = jax.default_backend() == "cpu"
REST = 0.5  # seconds between lines, for threads of the one before that still spin
PEERS = ("PyTorch, paper's form", "PyTorch, best")


def say(*words):
  print(*words, file=sys.stderr, flush=True)


def random_variables(model, shape):
  """Weights of the usual size and running statistics that are not neutral; not trained."""
  rng = np.random.default_rng(0)
  shapes = jax.eval_shape(lambda: models.init(model, jax.random.key(0), shape))

  def draw(path, leaf):
    if path[-1].key in ("var", "scale"):
      return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
    size = np.sqrt(2 / np.prod(leaf.shape[:-1])) if path[-1].key == "kernel" else 0.1
    return rng.normal(0, size, leaf.shape).astype(np.float32)

  return jax.tree_util.tree_map_with_path(draw, shapes)


def least_bytes(apply, variables, shape, dtype):
  """Bytes a draw that a network moves if each convolution reads its input and writes its output once.

  Residuals read again and weights, which many draws share, are left out.
  """
  jaxpr = jax.make_jaxpr(apply)(variables, jnp.zeros((1, *shape), jnp.float32))
  values = 0

  def visit(jaxpr):
    nonlocal values
    for equation in jaxpr.eqns:
      if equation.primitive.name == "conv_general_dilated":
        values += equation.invars[0].aval.size + equation.outvars[0].aval.size
      for inner in equation.params.values():
        if hasattr(inner, "jaxpr"):
          visit(inner.jaxpr)

  visit(jaxpr.jaxpr)
  return values * jnp.dtype(dtype).itemsize


def flops(apply, variables, shape):
  """Floating-point operations a draw, by the compiler's count."""
  rows = 4
  analysis = devices.jit(apply).lower(variables, np.zeros((rows, *shape), np.float32)).cost_analysis()
  return analysis["flops"] / rows


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

  def __init__(self, arch, dtype, rows):
    self.shape = (224, 224, 3) if arch == "resnet50" else (32, 32, 3)
    self.classes = 1000 if arch == "resnet50" else 10
    fields = dict(num_classes=self.classes, mean=MEAN, std=STD)
    self.arch, self.dtype, self.candidates = arch, dtype, {}
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
    return devices.jit(self.apply), jax.device_put(self.variables, NamedSharding(mesh, P())), x

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

  def all(self):
    """{name: function(draws) -> draws done}; PyTorch's where it is installed and agrees."""
    lines = {
      "rsjax CERTIFY": self.certify,
      "rsjax PREDICT n=1000": functools.partial(self.predict, 1000),
      "rsjax PREDICT n=100": functools.partial(self.predict, 100),
      "rsjax bare network": self.bare,
      "plain JAX loop": self.plain_jax,
    }
    try:
      import torch_peer
    except ImportError:
      say("PyTorch is not installed: its lines are left out (pip install torch)")
      return lines
    net = torch_peer.network(self.arch, self.classes, MEAN, STD, self.plain)
    check_parity(torch_peer, net, self)
    image = self.example(0).astype(np.float32) / 255
    form = torch_peer.PaperForm(net, self.classes, 400 if not ON_CPU and self.shape[0] == 32 else 64)
    lines["PyTorch, paper's form"] = lambda draws: form.count(image, draws, SIGMA).sum()
    best = self._best_of_pytorch(torch_peer, net, image)
    if best is not None:
      lines["PyTorch, best"] = lambda draws: best.count(image, draws, SIGMA).sum()
    return lines

  def _best_of_pytorch(self, torch_peer, net, image):
    """The fastest of PyTorch's modes and batches; `candidates` keeps what each reached in a short trial."""
    dtype = getattr(torch_peer.torch, self.dtype)
    if ON_CPU:
      sizes, modes = (16, 64), ("eager", "compiled")
    else:
      sizes = (256, 1024) if self.shape[0] > 32 else (1024, 4096)
      modes = ("eager", "compiled", "max-autotune")
    peers, self.candidates = {}, {}
    for mode, size in itertools.product(modes, sizes):
      name = f"{mode}, batch {size}"
      say("  trial of PyTorch:", name)
      try:
        peer = torch_peer.Best(net, self.classes, size, dtype, mode)
        peer.count(image, 2 * size, SIGMA)
        steps = max(1, int(1 / seconds(peer.count, image, size, SIGMA)))
        self.candidates[name] = steps * size / seconds(peer.count, image, steps * size, SIGMA)
        peers[name] = peer
      except Exception as error:  # one mode's failure is told, and the others tried
        self.candidates[name] = told(error)
    return peers[max(peers, key=self.candidates.get)] if peers else None


def told(error):
  return f"{type(error).__name__}: {error}"[:300]


def check_parity(torch_peer, net, lines):
  """Ends the run if PyTorch's network is not the same function."""
  images = np.random.default_rng(2).random((2, *lines.shape), dtype=np.float32)
  model = models.create(lines.arch, num_classes=lines.classes, mean=MEAN, std=STD)
  with jax.default_matmul_precision("highest"):
    apply, variables = models.inference(model, lines.plain)
    ours = np.asarray(devices.jit(apply)(variables, images))
  theirs = torch_peer.logits(net, images)
  if not np.abs(ours - theirs).max() < 1e-3 * np.abs(theirs).max():
    sys.exit(f"PyTorch's {lines.arch} is another function than rsjax's: {ours[:, :3]} and {theirs[:, :3]}")


def measure(lines, budget, repeats):
  """{line: {"draws/s": [...], "first s": seconds of the first call}}, repetitions interleaved."""
  found, size = {}, {}
  for name, function in lines.items():
    say("  first call:", name)
    try:
      first = seconds(function, 1)
      draws, rate = 32, 0
      while draws < rate * budget / 4 or not rate:
        draws *= 2
        before = time.perf_counter()
        rate = function(draws) / (time.perf_counter() - before)
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
      found[name]["draws/s"].append(float(done / (time.perf_counter() - before)))
  for line in found.values():
    if "draws/s" in line:
      line["median"] = float(np.median(line["draws/s"]))
  return found


def ratio(found, name, other):
  """How many times the draws/s of one line are another's, or None: the median over repetitions.

  Within a repetition both met the machine in about the same state.
  """
  rates = [found.get(n, {}).get("draws/s") for n in (name, other)]
  return float(np.median(np.divide(*rates))) if all(rates) else None


def times(value):
  return "-" if value is None else f"{value:.2f}x"


def table(title, found, limit):
  rows = [
    f"\n{title}",
    f"{'':24}{'draws/s':>12}{'least':>12}{'most':>12}{'of paper':>9}{'of limit':>10}{'first s':>9}",
  ]
  for name, line in found.items():
    if "failed" in line:
      rows.append(f"{name:24}failed: {line['failed']}")
      continue
    over_paper = times(ratio(found, name, PEERS[0]))
    rows.append(
      f"{name:24}{line['median']:12,.0f}{min(line['draws/s']):12,.0f}{max(line['draws/s']):12,.0f}{over_paper:>9}"
      f"{line['median'] / limit:10.1%}{line['first s']:9.1f}"
    )
  return "\n".join(rows)


def markdown(record):
  """The README's table of a record: medians of draws a second, and how many times PyTorch's CERTIFY's are."""
  names = ("rsjax CERTIFY", "rsjax PREDICT n=100", "rsjax bare network", "plain JAX loop", *PEERS)
  rows = [["draws/s, " + record["dtype"], *names, "CERTIFY over these two"]]
  rows.append(["---", *["---:"] * (len(names) + 1)])
  for arch, measured in record["architectures"].items():
    lines = measured["lines"]
    medians = [lines.get(name, {}).get("median") for name in names]
    cells = ("-" if value is None else f"{value:,.0f}" for value in medians)
    rows.append([arch, *cells, ", ".join(times(ratio(lines, "rsjax CERTIFY", peer)) for peer in PEERS)])
  return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def architecture(arch, dtype, rows, budget, repeats, machine):
  say(arch)
  lines = Lines(arch, dtype, rows)
  draw_flops = flops(lines.apply, lines.variables, lines.shape)
  draw_bytes = least_bytes(lines.apply, lines.variables, lines.shape, dtype)
  limit = min(machine[f"{dtype} product FLOP/s"] / draw_flops, machine["copy bytes/s"] / draw_bytes)
  record = {"rows": lines.rows, "FLOPs a draw": draw_flops, "least bytes a draw": draw_bytes}
  record |= {"limit draws/s": limit}
  record["convolutions"] = fused_convolutions(lines.apply, lines.variables, lines.shape, min(lines.rows, 256))
  record["lines"] = found = measure(lines.all(), budget, repeats)
  print(table(f"{arch}, {dtype}, {lines.rows} rows a step", found, limit))
  record["candidates for PyTorch, best"] = lines.candidates
  bare = ratio(found, "rsjax bare network", "rsjax CERTIFY")
  if bare:
    record["overhead"] = bare - 1
    print(f"CERTIFY over the bare network: {record['overhead']:+.1%}")
  return record


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


def train(arch, dtype, budget, repeats):
  """Images a second of training steps, data on the device, beside PyTorch's."""
  batch, size = 128 if ON_CPU else 400, 4096
  rng = np.random.default_rng(0)
  images, labels = rng.integers(0, 256, (size, 32, 32, 3), np.uint8), rng.integers(0, 10, size)
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "random.npz"
    np.savez(path, x_train=images, y_train=labels, x_test=images[:10], y_test=np.arange(10))
    dataset = data.load(str(path), "train")
  objective = training.Gaussian(noise_sd=SIGMA)
  recipe = Recipe(batch=batch, augment="crop-flip").for_dataset(dataset)
  model = models.create(arch, num_classes=10, mean=MEAN, std=STD, dtype=dtype)
  place = batches.Place(devices.batch_mesh())
  source = batches.Held(dataset, place)
  step = training_step.make_step(model, objective, recipe, 1000, source.select, place.replicated)
  state = [place.everywhere(training.initial_state(model, dataset.image_shape, objective, recipe))]

  def ours(steps):
    before = time.perf_counter()
    for _ in range(steps):
      state[0], loss = step(
        state[0], source.arrays, place.shared(rng.integers(0, size, batch).astype(np.int32))
      )
    loss.block_until_ready()
    return time.perf_counter() - before

  lines = {"rsjax": ours}
  try:
    import torch_peer
  except ImportError:
    pass
  else:
    net = torch_peer.network(arch, 10, MEAN, STD, random_variables(model, (32, 32, 3)))
    lines["PyTorch, eager"] = torch_peer.Training(net, images, labels, batch, SIGMA).steps
  counts, found = {}, {name: [] for name in lines}
  for name, line in lines.items():
    line(1)
    counts[name] = max(2, int(budget / line(1)))
  for _ in range(repeats):
    for name, line in lines.items():
      time.sleep(REST)
      found[name].append(batch * counts[name] / line(counts[name]))
  for name, rates in found.items():
    print(f"training {arch}, batch {batch}, {name}: {np.median(rates):,.0f} images/s "
          f"({min(rates):,.0f} to {max(rates):,.0f})")  # fmt: skip
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
  parser.add_argument("--dtype", choices=models.DTYPES, help="default: float32 on CPU, else bfloat16")
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
  archs = ["cifar_resnet20"] if args.quick else args.arch
  repeats, budget = (2, 0.5) if args.quick else (args.repeats, args.seconds)
  dtype = args.dtype or devices.default_dtype()
  environment, today = provenance.environment(), datetime.date.today().isoformat()
  try:
    import torch

    environment["torch"] = torch.__version__
  except ImportError:
    environment["torch"] = None
  record = {
    "date": today,
    "command": " ".join(["python experiments/benchmark.py", *(argv or sys.argv[1:])]),
    "environment": environment | {"processor": processor(), "cores": os.cpu_count()},
    "dtype": dtype,
    "machine": ceilings(),
  }
  print(", ".join(f"{name} {value / 1e9:,.0f} G" for name, value in record["machine"].items()))
  record["architectures"] = {
    arch: architecture(arch, dtype, args.rows, budget, repeats, record["machine"]) for arch in archs
  }
  record["start-up"] = start_up()
  print("\nstart-up:", ", ".join(f"{name} {value:.2f}" for name, value in record["start-up"].items()))
  record["dispatch"] = dispatch()
  if args.training:
    small = [arch for arch in archs if arch.startswith("cifar_")]
    record["training"] = {arch: train(arch, dtype, budget, repeats) for arch in small}
  if args.profile:
    lines = Lines(archs[0], dtype, record["architectures"][archs[0]]["rows"])
    lines.certify(1)
    with jax.profiler.trace(args.profile):
      lines.certify(20 * lines.rows)
    record["profile"] = busiest(args.profile)
    print(f"\nwhere CERTIFY's time goes ({archs[0]}):", "" if record["profile"] else "see the profile itself")
    for name, share in record["profile"].items():
      print(f"{share:7.1%}  {name}")
  device = "".join(c if c.isalnum() else "-" for c in environment["device"].lower())
  out = args.out or HERE / "benchmarks" / f"{today}-{device}{'-quick' if args.quick else ''}.json"
  out.parent.mkdir(parents=True, exist_ok=True)
  out.write_text(json.dumps(record, indent=1) + "\n")
  say("record:", out)


if __name__ == "__main__":
  main()

"""Training steps beside PyTorch's: what a step takes, and what each objective costs beside `gaussian`."""

import dataclasses
import time

import jax
import jax.numpy as jnp
import numpy as np
from measuring import MEAN, REST, SIGMA, STD, random_variables, say, spread, times, told
from torch_process import TorchError

from rsjax import data, devices, models, training
from rsjax.training import Recipe, batches
from rsjax.training import step as training_step
from rsjax.training.objectives import OBJECTIVES, Batch

EPOCH = 50_000  # images of an epoch of CIFAR-10
MEASURED = {  # seconds per epoch over those of gaussian, ResNet-110, in the logs of CAT-RS's authors
  "gaussian": 1.0, "stability": 1.9, "consistency": 2.0, "smoothmix": 8.5, "macer": 13.9, "catrs": 16.3,
  "smoothadv": 26.6,
}  # fmt: skip
MODES = ("eager", "compiled")  # of PyTorch's step
ALIKE = 1e-3  # the relative difference of the two frameworks' losses, at most


class Problem:
  """Random images on the device, a network, and the steps of training it."""

  def __init__(self, arch, dtype, size, seed=0):
    photos = arch == "resnet50"
    side, self.classes = (224, 1000) if photos else (32, 10)
    self.arch, self.dtype, self.rng = arch, dtype, np.random.default_rng(seed)
    self.images = self.rng.integers(0, 256, (size, side, side, 3), np.uint8)
    self.labels = self.rng.integers(0, self.classes, size)
    self.labels[-1] = self.classes - 1
    self.votes = self.rng.dirichlet(np.ones(self.classes), size).astype(np.float32)
    self.dataset = data.Dataset(
      "random", "train", self.images, self.labels, self.classes, None, "", augment="crop-flip"
    )
    self.model = models.create(arch, num_classes=self.classes, mean=MEAN, std=STD, dtype=dtype)
    self.place = batches.Place(devices.batch_mesh())
    self.source = batches.Held(self.dataset, self.place, self.votes)

  def ours(self, objective, batch):
    """seconds(steps) of rsjax, on `batch` images each."""
    recipe = Recipe(batch=batch).for_dataset(self.dataset)
    step = training_step.make_step(
      self.model, objective, recipe, 1000, self.source.select, self.place.replicated
    )
    shape = self.dataset.image_shape
    state = [self.place.everywhere(training.initial_state(self.model, shape, objective, recipe))]

    def seconds(steps):
      before = time.perf_counter()
      for _ in range(steps):
        chosen = self.place.shared(self.rng.integers(0, len(self.images), batch).astype(np.int32))
        state[0], loss = step(state[0], self.source.arrays, chosen)
      loss.block_until_ready()
      return time.perf_counter() - before

    return seconds

  def hand_to(self, peer):
    """Gives PyTorch the network, and the images; returns the paths of these."""
    shape = self.dataset.image_shape
    peer.network(self.arch, self.classes, MEAN, STD, random_variables(self.model, shape))
    arrays = {"images": self.images, "labels": self.labels, "votes": self.votes}
    return {name: peer.save(name, array) for name, array in arrays.items()}


def theirs(peer, name):
  """seconds(steps) of a line of PyTorch's process."""
  return lambda count: peer.ask("steps", name=name, count=count)


def in_turns(lines, budget, repeats):
  """({line: seconds of a step, by repetition}, {line: what failed}): each repetition has all lines once."""
  counts, found, failed = {}, {}, {}
  for name, line in lines.items():
    say("  first steps:", *name)
    try:
      line(1)
      counts[name], found[name] = max(1, int(budget / line(1))), []
    except TorchError as error:
      failed[name] = told(error)
  for repeat in range(repeats):
    say(f"  repetition {repeat + 1} of {repeats}")
    for name, count in counts.items():
      time.sleep(REST)
      found[name].append(lines[name](count) / count)
  return found, failed


def steps(arch, dtype, budget, repeats, peer, modes=MODES):
  """The step of `gaussian` beside PyTorch's in some modes: images/s, and the ratio to the best one."""
  on_cpu, photos = jax.default_backend() == "cpu", arch == "resnet50"
  batch = (16 if photos else 128) if on_cpu else (256 if photos else 400)
  problem = Problem(arch, dtype, 256 if photos else 4096)
  lines = {("rsjax",): problem.ours(training.Gaussian(noise_sd=SIGMA), batch)}
  if peer is not None:
    arrays = problem.hand_to(peer)
    for mode in modes:
      name = f"PyTorch, {mode}"
      peer.ask(
        "training",
        name=name,
        objective="gaussian",
        settings={"noise_sd": SIGMA},
        batch=batch,
        dtype=dtype,
        mode=mode,
        **arrays,
      )
      lines[name,] = theirs(peer, name)
  say("training", arch)
  found, failed = in_turns(lines, budget, repeats)
  rates = {name: [batch / s for s in seconds] for (name,), seconds in found.items()}
  for name, values in rates.items():
    middle, least, most = spread(values)
    print(f"training {arch}, batch {batch}, {name}: {middle:,.1f} images/s ({least:,.1f} to {most:,.1f})")
  record = {"batch": batch, "images/s": rates} | {f"{name}, failed": why for (name,), why in failed.items()}
  peers = [name for name in rates if name != "rsjax"]
  if peers:
    best = max(peers, key=lambda name: np.median(rates[name]))
    record["time over PyTorch's best"] = ratio = spread(np.divide(rates[best], rates["rsjax"]))
    print(f"time of a step over {best}: {times(ratio)}")
  return record


def settings_of(objective):
  """Its settings, as JSON has them."""
  return {name: value for name, value in vars(objective).items() if name != "noise"}


def passes(objective):
  """(forward, backward to the images alone, full backward) passes of one image in an epoch."""
  m, steps = getattr(objective, "noise_vectors", 1), getattr(objective, "steps", 0)
  trained = m * {"stability": 2, "smoothmix": 2, "catrs": 2}.get(objective.name, 1)
  return trained + m * steps, m * steps, trained


def cost(objective):
  """Passes of an objective over those of `gaussian`; a full backward pass counts twice."""
  forward, to_images, full = passes(objective)
  return (forward + to_images + 2 * full) / 3


def objectives(names, arch, dtype, rows, budget, repeats, peer):
  """Seconds per image of each objective, with its default settings, by repetition; prints a table.

  Args:
    names: of the objectives; `gaussian` is always measured, too.
    rows: noisy images of a training pass; an objective with m noisy copies has rows / m images in a step.
    peer: PyTorch's process, or None. Its step is plain: eager, channels last, in the same dtype.
  """
  chosen = {name: OBJECTIVES[name](noise_sd=SIGMA) for name in dict.fromkeys(("gaussian", *names))}
  if "reweighted" in chosen:
    chosen["reweighted"] = dataclasses.replace(chosen["reweighted"], easy_from=0)  # its costly epochs
  images = {name: max(1, rows // getattr(o, "noise_vectors", 1)) for name, o in chosen.items()}
  record = {"rows": rows, "lines": {name: {"images a step": images[name]} for name in chosen}}
  if peer is not None:
    for name, losses in losses_of(chosen, peer).items():
      record["lines"][name]["loss: rsjax, PyTorch"] = losses
  problem = Problem(arch, dtype, 1024)
  arrays = {} if peer is None else problem.hand_to(peer)
  lines = {}
  for name, objective in chosen.items():
    lines[name, "rsjax"] = problem.ours(objective, images[name])
    if peer is not None:
      settings = settings_of(objective)
      peer.ask(
        "training",
        name=name,
        objective=name,
        settings=settings,
        batch=images[name],
        dtype=dtype,
        mode="eager",
        **arrays,
      )
      lines[name, "PyTorch"] = theirs(peer, name)
  say("objectives", arch)
  found, failed = in_turns(lines, budget, repeats)
  for (name, whose), seconds in found.items():
    record["lines"][name][f"{whose}, seconds an image"] = [s / images[name] for s in seconds]
  for (name, whose), why in failed.items():
    record["lines"][name][f"{whose}, failed"] = why
  for name, objective in chosen.items():
    record["lines"][name] |= {
      "settings": settings_of(objective),
      "passes over gaussian": cost(objective),
    }
  record["device"] = f"{jax.devices()[0].device_kind}, {jax.device_count()} of them"
  print(f"\ntraining {arch}, {dtype}, {rows} rows in a pass, {record['device']}\n{table(record)}")
  return record


def table(record):
  """A line for each objective of a record of `objectives`."""
  head = f"{'':22}{'s/epoch':>9}  {'over gaussian':22}{'passes':>7}{'logs':>6}"
  rows = [f"{head}  {'PyTorch over its gaussian':26}time over PyTorch"]
  lines = record["lines"]
  for name, line in lines.items():
    ours, other = (line.get(f"{whose}, seconds an image") for whose in ("rsjax", "PyTorch"))

    def over(values, whose):
      other = lines["gaussian"].get(f"{whose}, seconds an image")
      return times(spread(np.divide(values, other)) if values and other else None)

    measured = f"{MEASURED[name]:.1f}" if name in MEASURED else "-"
    against = times(spread(np.divide(ours, other))) if other else "-"
    rows.append(
      f"{name:22}{EPOCH * np.median(ours):9,.0f}  {over(ours, 'rsjax'):22}{line['passes over gaussian']:7.1f}"
      f"{measured:>6}  {over(other, 'PyTorch'):26}{against}"
    )
  return "\n".join(rows)


def losses_of(chosen, peer, arch="cifar_resnet8", side=8, images=6):
  """{objective: (our loss, PyTorch's)} of a small network, for the same weights, images and draws.

  Attacks have two steps here, to save time.

  Raises:
    SystemExit: if two differ.
  """
  model = models.create(arch, num_classes=10, mean=MEAN, std=STD)
  variables = random_variables(model, (side, side, 3))
  peer.network(arch, 10, MEAN, STD, variables)
  rng, found = np.random.default_rng(1), {}
  x = rng.random((images, side, side, 3), np.float32)
  labels, votes = np.arange(images) % 10, rng.dirichlet(np.ones(10), images).astype(np.float32)
  for name, objective in chosen.items():
    if hasattr(objective, "steps"):
      objective = dataclasses.replace(objective, steps=2)
    m = getattr(objective, "noise_vectors", 1)
    noise = SIGMA * rng.normal(size=(images, m, side, side, 3)).astype(np.float32)
    lam, uniform = rng.random(images, np.float32) / 2, rng.random((images, m), np.float32)
    draws = {
      "gaussian": (x + noise[:, 0],),
      "stability": (x + noise[:, 0],),
      "consistency": (x[:, None] + noise,),
      "smoothadv": (noise, lambda step: jnp.ones_like(x)),
      "smoothmix": (noise, lam),
      "catrs": (noise, uniform),
    }.get(name, (noise,))

    def loss(params, objective=objective, draws=draws):
      network = training_step.make_network(model, params, variables["batch_stats"])
      epoch = jnp.int32(100)
      batch = Batch(x, labels.astype(np.int32), np.arange(images), None, epoch, epoch, votes)
      return objective.loss(network, batch, *draws).value

    with jax.default_matmul_precision("highest"):
      ours = float(devices.jit(loss, once=True)(variables["params"]))
    arrays = {"images": x, "labels": labels, "votes": votes, "noise": noise, "lam": lam, "uniform": uniform}
    paths = {key: peer.save(key, array) for key, array in arrays.items()}
    other = peer.ask("loss", objective=name, settings=settings_of(objective), **paths)
    if not abs(ours - other) <= ALIKE * abs(other):
      raise SystemExit(f"PyTorch's {name} is another objective than rsjax's: {other:.6g}, not {ours:.6g}")
    found[name] = ours, other
  return found

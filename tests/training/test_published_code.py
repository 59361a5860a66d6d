"""Every objective equals its authors' code, number by number; see published/README.md."""

import contextlib
import dataclasses
import functools
import itertools
import json
import pathlib

import flax.linen as nn
import jax
import jax.experimental
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from rsjax import devices
from rsjax.training import Recipe, initial_state, objectives
from rsjax.training.objectives import Batch
from rsjax.training.objectives.consistency import consistency_loss
from rsjax.training.objectives.terms import warmed_up
from rsjax.training.recipe import make_optimizer, make_schedule
from rsjax.training.step import make_network, make_step

x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64  # the latter until jax 0.8

FOLDER = pathlib.Path(__file__).parent / "published"
CASES = json.loads((FOLDER / "cases.json").read_text())
NUMBERS = dict(np.load(FOLDER / "numbers.npz"))
COMMON = {key.split("/")[1]: value for key, value in NUMBERS.items() if key.startswith("common/")}
NAMES = [(family, name) for family in CASES for name in CASES[family] if family != "consistency_fn"]
# In float64, inputs that move by a rounding of float32 (6e-8) move these gradients by 2e-4 to 5e-4. In float32,
# which rounds each step, they move by 2e-3 on some CPUs.
LOOSE = [("consistency", "zeroprob"), ("smoothadv_consistency", "zerograd"), ("smoothmix", "zeroprob")]
ONLY_X64 = [("smoothadv_consistency", "tinygrad")]  # the authors' float32 differs completely


class Tiny(nn.Module):
  """The network of the published numbers."""

  bn: bool

  @nn.compact
  def __call__(self, x, train):
    given = lambda name: self.param(name, lambda key: None)
    h = x.transpose(0, 3, 1, 2).reshape(len(x), -1) @ given("W1").T + given("b1")[None]
    if self.bn:
      h = self.norm(h, train) * given("gamma")[None] + given("beta")[None]
    return jnp.tanh(h) @ given("W2").T + given("b2")[None]

  def norm(self, h, train):
    means, variances = (self.variable("batch_stats", name) for name in ("rmean", "rvar"))
    mean, var = means.value, variances.value
    if train:
      mean, var, n = h.mean(0), h.var(0), len(h)
      means.value = 0.9 * means.value + 0.1 * mean
      variances.value = 0.9 * variances.value + 0.1 * var * n / (n - 1)
    return (h - mean[None]) / jnp.sqrt(var + 1e-5)[None]


@contextlib.contextmanager
def unrolled():
  """Runs loops as Python does, one operation at a time: such small programs compile longer than they run."""

  def loop(first, end, step, carry):
    for k in range(first, end):
      carry = step(jnp.asarray(k), carry)
    return carry

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(jax.lax, "fori_loop", loop)
    yield


def images_of(channels_first):
  return np.moveaxis(channels_first, -3, -1)


def settings_of(family, case):
  """The objective of a case."""
  common = {"noise_sd": case["sigma"]}
  copies = {"noise_vectors": case["m"]} if "m" in case else {}
  attack = {name: case[given] for name, given in (("steps", "T"), ("epsilon", "epsilon")) if given in case}
  regularised = {name: case[name] for name in ("lbd", "eta") if name in case}
  kind, own = {
    "gaussian": ("gaussian", {}),
    "stability": ("stability", regularised),
    "smoothadv_pgd": ("smoothadv", attack | dict(first_noise_only=not case.get("multi", True))),
    "smoothadv_ddn": ("smoothadv", attack | dict(attack="ddn")),
    "consistency": ("consistency", regularised),
    "smoothadv_consistency": ("smoothadv_consistency", attack | regularised),
    "macer": ("macer", regularised | dict(beta=case.get("beta"), hinge=case.get("gamma"))),
    "smoothmix": (
      "smoothmix",
      attack | regularised | {k: case[k] for k in ("alpha", "mix_step", "maxnorm") if k in case},
    ),
    "catrs": ("catrs", attack | regularised | dict(confidence_mask=case.get("confidence_mask", False))),
  }[family]
  own |= {"no_grad_attack": True} if case.get("no_grad") else {}
  own |= {"noise_vectors": case["k"]} if "k" in case else {}
  own |= {"doubled_from": case.get("epoch", 0)} if case.get("late") else {}
  return objectives.OBJECTIVES[kind](**common, **copies, **own)


def draws_of(family, case, dtype):
  """What is drawn at random in the step of a case."""
  copies = case.get("m", case.get("k", 1))
  noise = np.swapaxes(images_of(COMMON["Z"][:copies]).astype(dtype) * dtype(case["sigma"]), 0, 1)
  directions = images_of(COMMON["R"]).astype(dtype)
  if family in ("gaussian", "stability"):
    return (noise[:, 0],)
  if family.startswith("smoothadv_") and family != "smoothadv_consistency":
    return noise, lambda t: directions[t % len(directions)]
  if family == "smoothmix":
    return noise, COMMON["lam"].astype(dtype)
  if family == "catrs":  # below any probability as often as K says, above it otherwise
    return noise, np.where(np.arange(copies) < np.array(case["K"])[:, None], -1.0, 2.0).astype(dtype)
  return (noise,)


def given_to(objective, images, noise, *more):
  """What an objective's loss is given of these draws: objectives for any noise are given noisy images."""
  if objective.any_noise:
    noise = noise + (images if noise.ndim == images.ndim else images[:, None])
  return noise, *more


@dataclasses.dataclass
class Passes:
  """A network that remembers its passes."""

  network: objectives.Network
  trace: list = dataclasses.field(default_factory=list)
  trained_on: list = dataclasses.field(default_factory=list)

  def watched(self):
    rows = lambda x: int(np.prod(x.shape[:-3]))

    def train(x, batch_stats):
      self.trace.append((1, rows(x), 1))
      self.trained_on.append(x)
      return self.network.train(x, batch_stats)

    def evaluate(x, batch_stats):
      self.trace.append((0, rows(x), 0))
      return self.network.evaluate(x, batch_stats)

    return objectives.Network(train, evaluate, self.network.batch_stats)


def weights_of(case, dtype):
  """(params, batch_stats) of a case."""
  names = ("W1", "b1", "W2", "b2", *(("bn_gamma", "bn_beta", "bn_rmean", "bn_rvar") if case.get("bn") else ()))
  given = {name.removeprefix("bn_"): COMMON[name].astype(dtype) for name in names}
  given["W2"] = given["W2"] * dtype(case.get("w2_scale", 1))
  return given, {name: given.pop(name) for name in ("rmean", "rvar") if name in given}


def batch_of(family, name, case, dtype):
  votes = NUMBERS[f"catrs/{name}/pb"].astype(dtype) if family == "catrs" else None
  labels = COMMON[f"labels_{case.get('labels', 'y')}"]
  labels = labels.astype(np.int64 if dtype == np.float64 else np.int32)  # that of argmax
  images = images_of(COMMON["x"]).astype(dtype)
  epoch = jnp.int32(case.get("epoch", 20))
  return Batch(jnp.asarray(images), jnp.asarray(labels), jnp.arange(6), None, epoch, epoch, votes)


def step(family, name, dtype):
  """One step of a case: everything that the published numbers have, under their names."""
  case = CASES[family][name]
  objective, batch = settings_of(family, case), batch_of(family, name, case, dtype)
  params, batch_stats = weights_of(case, dtype)
  draws = draws_of(family, case, dtype)
  seen = {}

  def loss_of(params):
    passes = Passes(make_network(Tiny(case.get("bn", False)), params, batch_stats))
    loss = objective.loss(passes.watched(), batch, *given_to(objective, batch.images, *draws))
    seen["trace"] = passes.trace
    return loss.value, (loss, passes.trained_on)

  with unrolled():
    (value, (loss, trained_on)), gradients = jax.value_and_grad(loss_of, has_aux=True)(params)
  assert set(loss.statistics) == set(objective.statistics)
  found = {"loss": value, **{f"g{key}": v for key, v in gradients.items()}, **loss.batch_stats}
  found |= {ours: loss.statistics[name] for name, ours in TERMS[family].items()}
  return case, found, seen["trace"], perturbed(family, batch, draws, trained_on)


TERMS = {
  "gaussian": {},
  "stability": {"xent": "loss_xent", "stability": "loss_stab"},
  "smoothadv_pgd": {"epsilon": "eps"},
  "smoothadv_ddn": {"epsilon": "eps"},
  "consistency": {"xent": "loss_xent", "kl": "kl", "entropy": "entropy"},
  "smoothadv_consistency": {"xent": "loss_xent", "kl": "kl", "entropy": "entropy", "epsilon": "eps"},
  "macer": {"classification": "loss_cls", "robustness": "loss_rob"},
  "smoothmix": {"xent": "xent", "weight": "weight_mix"},
  "catrs": {"low": "loss_low"},
}


def perturbed(family, batch, draws, trained_on):
  """What the attacks made of images and noise, from what the network was trained on."""
  first, noise = np.asarray(batch.images), np.asarray(draws[0])
  if family.startswith("smoothadv"):
    return {"delta": trained_on[0][:, 0] - noise[:, 0] - first}
  if family == "smoothmix":
    clean, mixed = (np.asarray(x[:, 0] - noise[:, 0]) for x in trained_on)
    lam = draws[1][:, None, None, None]
    return {"delta_init": clean - first, "delta": (mixed - (1 - lam) * clean) / lam - first}
  if family == "catrs":
    return {"dnoise": np.swapaxes(trained_on[1] - first[:, None] - noise, 0, 1)}
  return {}


def thinned(field, value):
  """The values of a long array that are kept."""
  if field in ("delta", "delta_init", "dnoise"):
    value = np.moveaxis(value, -1, -3).reshape(*value.shape[:-3], -1)
  return value[..., ::5] if field in ("gW1", "delta", "delta_init", "dnoise") else value


def runs(trace):
  """The rows of passes of the same kind in a row; an attack's may come in one pass or in several."""
  grouped = itertools.groupby(np.asarray(trace).tolist(), lambda entry: (entry[0], entry[2]))
  return [(kind, sum(rows for _, rows, _ in group)) if not kind[0] else (kind, [r for _, r, _ in group])
          for kind, group in grouped]  # fmt: skip


def check(family, name, dtype, tolerance):
  case, found, trace, attacked = step(family, name, dtype)
  wanted = {key.split("/")[2]: value for key, value in NUMBERS.items() if key.startswith(f"{family}/{name}/")}
  repeated = case["m"] if not case.get("multi", True) else 1  # there, the images were given m times
  assert runs(trace) == runs(wanted["trace"] // [[1, repeated, 1]])
  for field, value in {**found, **attacked}.items():
    if field == "gb1" and case.get("bn"):
      assert np.abs(value).max() < 1e-3 * np.abs(found["gb2"]).max()  # zero: the norm subtracts it
      continue
    right = (
      wanted[field] if np.shape(value) else wanted[field].mean()
    )  # a term is kept for each image, or its mean
    value = thinned(field, np.asarray(value, np.float64))
    assert value.shape == right.shape, field
    scale = np.abs(right).max() or 1.0
    assert np.abs(value - right).max() <= tolerance * scale, (field, np.abs(value - right).max() / scale)


@pytest.mark.parametrize(("family", "name"), NAMES)
def test_in_float64(family, name):
  with x64(True):
    check(family, name, np.float64, 1e-6)


@pytest.mark.parametrize(("family", "name"), [n for n in NAMES if n not in ONLY_X64])
def test_in_float32(family, name):
  check(family, name, np.float32, 5e-3 if (family, name) in LOOSE else 2e-5)


@pytest.mark.parametrize("name", CASES["consistency_fn"])
def test_forms_of_consistency(name):
  """The loss without its first term, and its gradient with respect to given logits."""
  case = CASES["consistency_fn"][name]
  wanted = {key: NUMBERS[f"consistency_fn/{name}/{key}"] for key in ("logits", "loss", "glogits")}
  labels = jnp.asarray(COMMON["labels_y"])

  def regularisation(logits):
    value, terms = consistency_loss(logits, labels, case["lbd"], case["eta"], case["form"])
    return value - terms["xent"]

  for dtype, tolerance in ((np.float64, 1e-6), (np.float32, 2e-5)):
    with x64(dtype == np.float64):
      logits = np.swapaxes(wanted["logits"], 0, 1).astype(dtype)
      value, gradient = jax.value_and_grad(regularisation)(logits)
      assert float(value) == pytest.approx(float(wanted["loss"]), rel=tolerance)
      right = np.swapaxes(wanted["glogits"], 0, 1)
      np.testing.assert_allclose(gradient, right, rtol=0, atol=tolerance * np.abs(right).max())


def sequence(name, dtype):
  """(objective, [(images, labels, draws) of each update]) of a sequence."""
  x, y, z = (
    images_of(COMMON["x"]),
    COMMON["labels_y"].astype(np.int32),
    images_of(COMMON["Z"]) * np.float32(0.25),
  )
  batches = [(x, y), (x[::-1], y[::-1])]
  by_image = lambda c: z[c].reshape(3, 2, *z.shape[2:])  # row 2 k + j is noise j of image k
  halves = [(images[part], labels[part]) for images, labels in batches for part in (slice(3), slice(3, 6))]
  if name == "gaussian":
    return objectives.Gaussian(0.25), [(x, y, z[0]), (x[::-1][:5], y[::-1][:5], z[1][:5])]
  if name == "consistency":  # chunks of 3, 3, and of the last batch's five images 2 and 2
    shorter = [halves[0], halves[1], *((x[::-1][part], y[::-1][part]) for part in (slice(2), slice(2, 4)))]
    noises = (np.swapaxes(z[2 * c : 2 * c + 2, : len(labels)], 0, 1) for c, (_, labels) in enumerate(shorter))
    return objectives.Consistency(0.25, lbd=2.0, eta=0.5), [
      (*part, noise) for part, noise in zip(shorter, noises)
    ]
  attack = dict(epsilon=255.0, steps=2, noise_vectors=2)
  if name == "smoothadv":
    return objectives.SmoothAdv(0.25, **attack), [(*part, by_image(c)) for c, part in enumerate(halves)]
  noises = (np.concatenate([by_image(2 * s), by_image(2 * s + 1)]) for s in range(2))
  return (
    objectives.SmoothAdv(0.25, **attack, first_noise_only=True),
    [(*batch, noise) for batch, noise in zip(batches, noises)],
  )


@dataclasses.dataclass(frozen=True)
class Given:
  """An objective whose noise is that of the published numbers: `Batch.votes` brings it."""

  objective: objectives.Objective
  noise_sd: float = 0.25
  name = "given"

  @property
  def statistics(self):
    return self.objective.statistics

  def __call__(self, network, batch):
    more = (lambda t: batch.images,) if isinstance(self.objective, objectives.SmoothAdv) else ()
    draws = given_to(self.objective, batch.images, batch.votes, *more)
    return self.objective.loss(network, batch._replace(epoch=jnp.int32(20)), *draws)


@pytest.mark.parametrize("name", ["gaussian", "consistency", "smoothadv", "smoothadv_onenoise"])
def test_updates_by_the_step_of_training(name, monkeypatch):
  monkeypatch.setattr(devices, "jit", functools.partial(devices.jit, once=True))  # compiled faster
  objective, parts = sequence(name, np.float32)
  recipe = Recipe(epochs=1, batch=6, lr=0.1, weight_decay=0.01, augment="none")
  replicated = jax.sharding.NamedSharding(
    jax.sharding.Mesh(jax.devices()[:1], "batch"), jax.sharding.PartitionSpec()
  )
  given, model = Given(objective), Tiny(False)
  made = make_step(model, given, recipe, 1000, lambda arrays, batch: batch, replicated)
  params, _ = weights_of({}, np.float32)
  state = initial_state(model, (8, 8, 3), given, recipe, {"params": params})
  for images, labels, noise in parts:
    pixels = np.round(images * 255).astype(np.uint8)
    state, _ = made(state, (), (pixels, labels, np.arange(len(labels), dtype=np.int32), noise))
  for key, value in state.params.items():
    right = NUMBERS[f"sequence/{name}/{key}"]
    found = np.asarray(value)[:, ::5] if key == "W1" else value
    np.testing.assert_allclose(found, right, rtol=0, atol=2e-5 * np.abs(right).max(), err_msg=key)


@pytest.mark.parametrize("name", ["gaussian", "consistency", "smoothadv", "smoothadv_onenoise"])
def test_updates_in_float64(name):
  recipe = Recipe(epochs=1, batch=6, lr=0.1, weight_decay=0.01)
  with x64(True):
    objective, parts = sequence(name, np.float64)
    optimizer = make_optimizer(recipe, 1000)
    params, _ = weights_of({}, np.float64)
    opt_state = optimizer.init(params)
    loss = lambda params, batch: Given(objective)(make_network(Tiny(False), params, {}), batch).value
    gradient, update = devices.jit(jax.grad(loss), once=True), devices.jit(optimizer.update, once=True)
    for images, labels, noise in parts:
      batch = Batch(
        images.astype(np.float64),
        labels.astype(np.int64),
        None,
        None,
        0,
        jnp.int32(20),
        noise.astype(np.float64),
      )
      updates, opt_state = update(gradient(params, batch), opt_state, params)
      params = optax.apply_updates(params, updates)
    for key, value in params.items():
      right = NUMBERS[f"sequence/{name}/{key}"]
      found = np.asarray(value)[:, ::5] if key == "W1" else value
      np.testing.assert_allclose(found, right, rtol=0, atol=1e-6 * np.abs(right).max(), err_msg=key)


SCHEDULES = {
  "sal_gaussian": Recipe(epochs=150, lr_step_size=50),
  "sal_pgd": Recipe(epochs=150, lr_step_size=50),
  "sal_ddn": Recipe(epochs=150, lr_step_size=50),
  **{
    name: Recipe(epochs=150, lr_drops=(51, 101))
    for name in (
      "con_gaussian",
      "con_salman",
      "con_consistency_adv",
      "con_macer_deferred",
      "smx_onestep",
      "cat_cifar",
    )
  },
  "mac": Recipe(epochs=440, lr=0.01, lr_drops=(199, 399)),
  "cat_imagenet": Recipe(epochs=90, lr_drops=(31, 61), lr_dips=(85,)),
}


@pytest.mark.parametrize("name", SCHEDULES)
def test_learning_rates_and_warm_ups_of_each_epoch(name):
  wanted = NUMBERS[f"schedule/{name}"]
  epochs = np.arange(len(wanted))
  rates = np.array([float(rate) for rate in jax.vmap(make_schedule(SCHEDULES[name], 3))(3 * epochs)])
  np.testing.assert_allclose(rates, wanted[:, 0], rtol=1e-5)
  batch = Batch(jnp.zeros(1), None, None, None, None, jnp.asarray(epochs))
  warm = lambda value: np.asarray(warmed_up(value, batch, 10))
  if name in ("sal_pgd", "sal_ddn", "con_salman"):
    np.testing.assert_allclose(warm(255 / 256), wanted[:, 1], rtol=1e-6)
  elif name == "con_consistency_adv":
    np.testing.assert_allclose(warm(512 / 256), wanted[:, 1], rtol=1e-6)
  elif name == "smx_onestep":
    np.testing.assert_allclose(warm(1.0), wanted[:, 3], rtol=1e-6)

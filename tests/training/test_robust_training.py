"""What training promises, it promises for every objective: on any devices, continued, in half precision."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsjax import data, devices
from rsjax.errors import InputError
from rsjax.training import Recipe, batches, initial_state, step, train
from rsjax.training.objectives import (
  CatRs,
  Consistency,
  Gaussian,
  Loss,
  Macer,
  Reweighted,
  SmoothAdv,
  SmoothAdvConsistency,
  SmoothMix,
  Stability,
)
from rsjax.training.recipe import make_schedule
from rsjax.training.step import make_network, make_step

ALL = [
  Gaussian(0.25),
  Stability(0.25),
  SmoothAdv(0.25, noise_vectors=2, steps=2),
  SmoothAdv(0.25, noise_vectors=2, steps=2, attack="ddn", first_noise_only=True),
  SmoothAdv(0.25, noise_vectors=2, steps=2, no_grad_attack=True),
  Consistency(0.25),
  SmoothAdvConsistency(0.25, noise_vectors=2, steps=2),
  Macer(0.25, noise_vectors=3, deferred=1),
  SmoothMix(0.25, steps=2, mix_step=1),
  CatRs(0.25, noise_vectors=2, steps=2),
  Reweighted(0.25, noise_vectors=2, steps=2, easy_from=1, threshold=0.6),
]
RECIPE = Recipe(epochs=2, batch=32, lr=0.05, augment="crop-flip")


class Network(nn.Module):
  """A batch norm and two linear layers: compiled in no time."""

  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x, train=False):
    x = nn.BatchNorm(not train, momentum=0.9, name="bn1")(x)
    x = nn.tanh(nn.Dense(5, dtype=self.dtype)(x.reshape(len(x), -1)))
    return nn.Dense(3)(x.astype(jnp.float32))


@pytest.fixture(autouse=True)
def unoptimised(monkeypatch):
  """Programs are compiled faster; optimised ones are those of test_training.py and of the command's tests."""
  monkeypatch.setattr(devices, "jit", functools.partial(devices.jit, once=True))


@pytest.fixture(scope="module")
def sets(small_npz):
  return data.load(small_npz, "train"), data.load(small_npz, "test")


def run(sets, objective, recipe=RECIPE, model=Network(), **kwargs):
  votes = np.eye(3, dtype=np.float32)[sets[0].labels] * 0.7 + np.float32(0.1)
  return [
    dataclasses.replace(epoch, state=jax.device_get(epoch.state))
    for epoch in train(model, *sets, objective, recipe, votes=votes, **kwargs)
  ]


def each(*chosen):
  """A test for some of ALL, by number: as few as cover every kind of pass, attack and draw, to save time."""
  return pytest.mark.parametrize("objective", [ALL[i] for i in chosen], ids=lambda o: o.name)


def one_step(sets, objective, model=Network(), count=1):
  """(loss, state) after a step on 32 images, on some devices."""
  place = batches.Place(devices.batch_mesh(jax.devices()[:count]))
  votes = np.eye(3, dtype=np.float32)[sets[0].labels] * 0.7 + np.float32(0.1)
  source = batches.Held(sets[0], place, votes)
  made = make_step(model, objective, RECIPE, 10, source.select, place.replicated)
  state = place.everywhere(initial_state(model, (8, 8, 1), objective, RECIPE))
  state, loss = made(state, source.arrays, place.shared(np.arange(32, dtype=np.int32)))
  return float(loss), jax.device_get(state)


@each(3, 7, 8, 9)
def test_one_step_on_eight_devices_is_one_step_on_one(sets, objective):
  (_, one), (_, eight) = (one_step(sets, objective, count=count) for count in (1, 8))
  assert one.step == eight.step == 1
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=5e-6), one, eight)


@each(8, 9, 10)
def test_stopped_within_an_epoch_and_continued_is_uninterrupted_bit_for_bit(sets, objective):
  states = []
  whole = run(sets, objective, save=lambda state: states.append(jax.device_get(state)), save_seconds=0.0)
  [within] = [s for s in states if s.step == states[-1].step][:1]
  continued = run(sets, objective, state=jax.tree.map(jnp.asarray, within))
  jax.tree.map(np.testing.assert_array_equal, continued[-1].state, whole[-1].state)
  assert whole[-1].state.sampling is None or 0 < np.count_nonzero(whole[-1].state.sampling) < len(sets[0])
  assert continued[-1].statistics == whole[-1].statistics
  assert set(whole[-1].statistics) == set(objective.statistics)


@each(7, 9)
def test_it_computes_in_bfloat16(sets, objective):
  loss, state = one_step(sets, objective, Network(jnp.bfloat16))
  assert np.isfinite(loss)
  assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {np.dtype(np.float32)}


@dataclasses.dataclass(frozen=True)
class Saturated:
  """An objective whose network is sure of everything; the loss is finite, and so must its gradient be."""

  objective: object
  noise_sd: float = 0.25
  name = "saturated"

  @property
  def statistics(self):
    return self.objective.statistics

  def __call__(self, network, batch):
    wider = lambda logits: 1e4 * logits
    train = lambda x, stats: (wider(network.train(x, stats)[0]), network.train(x, stats)[1])
    sure = network._replace(train=train, evaluate=lambda x, stats: wider(network.evaluate(x, stats)))
    return self.objective(sure, batch)


@each(2, 3, 5, 7, 8, 9)
def test_gradients_of_a_network_that_is_sure_are_finite(sets, objective):
  loss, state = one_step(sets, Saturated(objective))
  assert np.isfinite(loss) and step.all_finite(state.params)


def test_no_gradient_reaches_the_weights_through_an_attack():
  model = Network()
  variables = model.init(jax.random.key(0), jnp.zeros((1, 8, 8, 1)))

  def loss(params, x):
    return make_network(model, params, variables["batch_stats"]).evaluate(x, variables["batch_stats"]).sum()

  of_weights, of_images = jax.grad(loss, (0, 1))(variables["params"], jnp.ones((2, 3, 8, 8, 1)))
  assert not any(np.any(leaf) for leaf in jax.tree.leaves(of_weights))
  assert np.all(of_images != 0)


def test_votes_reach_their_images(sets):
  @dataclasses.dataclass(frozen=True)
  class Telling:
    noise_sd: float = 0.0
    name = "telling"
    statistics = ("hits",)
    needs_votes = True

    def __call__(self, network, batch):
      logits, batch_stats = network.train(batch.images, network.batch_stats)
      hits = (batch.votes.argmax(-1) == batch.labels).mean(dtype=jnp.float32)
      return Loss(logits.sum() * 0, logits, batch_stats, {"hits": hits})

  assert run(sets, Telling())[-1].statistics["hits"] == 1
  with pytest.raises(InputError, match="needs `votes`"):
    next(train(Network(), *sets, Telling(), RECIPE))


def test_drops_at_given_epochs():
  schedule = make_schedule(Recipe(lr=0.1, epochs=5, lr_drops=(2, 3)), 7)
  rates = [float(schedule(7 * epoch)) for epoch in range(5)]
  assert rates == pytest.approx([0.1, 0.1, 0.01, 0.001, 0.001])
  assert float(schedule(13)) == pytest.approx(0.1)  # the last update before a drop
  for wrong in (
    dict(lr_drops=(3, 2)),
    dict(lr_drops=(0,)),
    dict(lr_drops=(2,), schedule="cosine"),
    dict(lr_dips=(2,)),
  ):
    with pytest.raises(InputError, match="lr_drops"):
      Recipe(**wrong)


@pytest.mark.parametrize(
  ("kind", "wrong"),
  [(SmoothAdv, dict(steps=0)), (SmoothAdv, dict(attack="fgsm")), (SmoothAdv, dict(steps=1.5)),
   (SmoothAdv, dict(no_grad_attack=True, noise_vectors=1)), (SmoothMix, dict(maxnorm=-1.0)),
   (Consistency, dict(form="l1")), (Macer, dict(hinge=float("nan"))), (CatRs, dict(noise_vectors=True)),
   (Consistency, dict(form="mse", noise_vectors=1)), (CatRs, dict(confidence_mask=1))],
)  # fmt: skip
def test_settings_out_of_range_are_refused(kind, wrong):
  with pytest.raises(InputError, match=next(iter(wrong))):
    kind(**wrong)

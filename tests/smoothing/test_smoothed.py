"""Certificates and predictions of classifiers whose answers are known, and of any framework's."""

import time

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import linear
from scipy import optimize, stats

from rsjax.errors import InputError
from rsjax.noise import Gaussian
from rsjax.procedures import ABSTAIN, Certify, Predict
from rsjax.smoothing import Execution, Smoothed, inspection

IMAGE = (np.arange(16, dtype=np.uint8) * 16).reshape(4, 4, 1)


def outcomes(apply, variables, examples, sigma, procedure, execution=Execution(), **kwargs):
  """The outcome of each example, in order."""
  smoothed = Smoothed(apply, variables, Gaussian(sigma))
  return [o for _, o in smoothed.outcomes(procedure, examples, execution=execution, **kwargs)]


def true_margin(variables, image):
  w, b = (np.asarray(v, np.float64) for v in variables)
  return (image.reshape(-1) / 255) @ w + b


@pytest.mark.parametrize("sigma", [0.25, 1.0])
def test_radii_of_a_linear_classifier_fail_as_often_as_they_may(linear_variables, sigma):
  """Its radius is known exactly, so the number of failures has a known binomial law.

  The test accepts CERTIFY's bound and rejects one that is wrong by little: alpha doubled, and the
  two-sided bound (alpha halved) taken for the one-sided.
  """
  trials, alpha = 3000, 0.05
  truth = 0.8 * sigma
  w, b = linear_variables
  variables = (w, np.float32(b + truth - true_margin(linear_variables, IMAGE)))
  truth = true_margin(variables, IMAGE)
  examples = ((i, IMAGE) for i in range(trials))
  votes = [
    c.votes for c in outcomes(linear, variables, examples, sigma, Certify(5, 200, alpha), Execution(4096))
  ]

  def failures(used_alpha):
    used, right = Certify(5, 200, used_alpha), np.array([0, 5])
    return sum(used.outcome(right, v, Gaussian(sigma)).radius > truth for v in votes)

  k = np.arange(201)
  lower = np.array(
    [stats.binomtest(int(i), 200, alternative="greater").proportion_ci(1 - alpha).low for i in k]
  )
  p = stats.norm.cdf(truth / sigma)
  failing = stats.binom.pmf(k, 200, p)[lower > p].sum()  # the law of a failure, without our code
  assert 0.5 * alpha < failing <= alpha
  low, high = stats.binom.ppf([0.0005, 0.9995], trials, failing)
  assert low <= failures(alpha) <= high
  assert failures(2 * alpha) > high
  assert failures(alpha / 2) < low


def test_radii_of_a_linear_classifier_approach_the_truth_as_n_grows(linear_variables):
  truth = abs(true_margin(linear_variables, IMAGE))
  sigma = truth / 1.2
  gaps = []
  for n in (100, 1000, 10_000, 100_000):
    [c] = outcomes(linear, linear_variables, [(0, IMAGE)], sigma, Certify(n=n), Execution(8192))
    gaps.append(1 - c.radius / truth)
  assert all(gap > 0 for gap in gaps)
  assert gaps == sorted(gaps, reverse=True)
  assert gaps[-1] < 0.02


def test_radii_of_a_slab_are_below_its_radius():
  """Class 1 within |x_0 - c| < w: p(d) is known, and so the distance at which it falls to 1/2."""
  sigma, width = 0.5, 0.9

  def slab(variables, x):
    score = width - jnp.abs(x[:, 0, 0, 0] - variables)
    return jnp.stack([jnp.zeros_like(score), score], 1)

  p = lambda d: stats.norm.cdf((width - d) / sigma) - stats.norm.cdf((-width - d) / sigma)
  edge = optimize.brentq(lambda d: p(d) - 0.5, 0, 3)
  image = np.full((4, 4, 1), 0.5, np.float32)
  for d in (0.0, 0.2, 0.5):
    [c] = outcomes(slab, np.float32(0.5 - d), [(0, image)], sigma, Certify(n=50_000), Execution(8192))
    assert c.prediction == 1
    assert 0.5 * (edge - d) < c.radius < edge - d
    assert c.n_a / 50_000 == pytest.approx(p(d), abs=0.01)


def test_certificates_do_not_depend_on_devices_rows_or_companions(linear_variables, images, cpu_mesh):
  smoothed = Smoothed(linear, linear_variables, Gaussian(0.5))

  def run(examples, *execution):
    found = smoothed.outcomes(Certify(n0=20, n=1000), examples, seed=9, execution=Execution(*execution))
    return [(i, c.prediction, c.radius, c.votes0.tolist(), c.votes.tolist()) for i, c in found]

  wanted = run(enumerate(images), 256, cpu_mesh(1))
  assert [i for i, *_ in wanted] == list(range(6))
  assert run(enumerate(images), 50, cpu_mesh(8)) == wanted
  assert run([(i, images[i]) for i in (4, 1)], 333, cpu_mesh(2)) == [wanted[4], wanted[1]]


def test_selection_and_estimation_draws_are_disjoint_and_complete(linear_variables):
  """Estimation's draws begin after selection's: their votes are those of all n0 + n draws together."""
  run = lambda procedure: outcomes(linear, linear_variables, [(3, IMAGE)], 0.5, procedure)
  [c], [both], [first] = run(Certify(n0=40, n=160)), run(Predict(n=200)), run(Predict(n=40))
  np.testing.assert_array_equal(c.votes0, first.votes)
  np.testing.assert_array_equal(c.votes0 + c.votes, both.votes)


def test_predict_is_wrong_no_more_often_than_alpha(linear_variables):
  """At a margin of almost nothing nearly every answer is a coin's; few may be given."""
  w, b = linear_variables
  variables = (w, np.float32(b - true_margin(linear_variables, IMAGE) - 1e-3))
  examples = ((i, IMAGE) for i in range(2000))
  answers = [p.prediction for p in outcomes(linear, variables, examples, 0.5, Predict(n=100, alpha=0.05))]
  given = sum(a != ABSTAIN for a in answers)
  assert given <= stats.binom.ppf(0.999, 2000, 0.05)
  assert given >= stats.binom.ppf(0.001, 2000, 0.03)


def nnx_classifier():
  from flax import nnx

  class Net(nnx.Module):
    def __init__(self, rngs):
      self.norm = nnx.BatchNorm(16, rngs=rngs)
      self.fc = nnx.Linear(16, 3, rngs=rngs)

    def __call__(self, x):
      return self.fc(self.norm(x.reshape(len(x), -1)))

  model = Net(nnx.Rngs(0))
  model.eval()
  graph, state = nnx.split(model)
  return lambda s, x: nnx.merge(graph, s)(x), state


def linen_classifier():
  model = nn.Dense(3)
  variables = model.init(jax.random.key(0), jnp.zeros((1, 16)))
  return lambda v, x: model.apply(v, x.reshape(len(x), -1)), variables


def equinox_classifier():
  eqx = pytest.importorskip("equinox")
  model = eqx.nn.Linear(16, 3, key=jax.random.key(0))
  arrays, static = eqx.partition(model, eqx.is_array)
  return lambda p, x: jax.vmap(eqx.combine(p, static))(x.reshape(len(x), -1)), arrays


@pytest.mark.parametrize("make", [nnx_classifier, linen_classifier, equinox_classifier])
def test_any_framework_is_certified_through_one_function(make, images):
  apply, variables = make()
  found = outcomes(apply, variables, enumerate(images), 0.25, Certify(n=500))
  assert len(found) == 6
  assert all(c.votes.sum() + c.invalid == 500 and len(c.votes) == 3 for c in found)


@pytest.mark.parametrize(
  ("image", "message"),
  [
    (np.zeros((4, 4), np.uint8), "uint8"),
    (np.zeros((4, 4, 1), np.float64), "float64"),
    (np.full((4, 4, 1), 2.0, np.float32), r"from 2 to 2, not within \[0, 1\]"),
    (np.full((4, 4, 1), np.nan, np.float32), "holds NaN"),
  ],
)
def test_bad_images_are_refused(linear_variables, image, message):
  certify = lambda examples: outcomes(linear, linear_variables, examples, 0.5, Certify())
  with pytest.raises(InputError, match=message):
    certify([(0, image)])
  with pytest.raises(InputError, match="index"):
    certify([(-1, IMAGE)])
  with pytest.raises(InputError, match="enumerate"):
    certify([IMAGE])


@pytest.mark.parametrize("sigma", [0.0, -1.0, float("nan"), float("inf"), 1e-50, 1e50])
def test_noise_that_certifies_nothing_is_refused(linear_variables, sigma):
  with pytest.raises(InputError, match="sigma"):
    Smoothed(linear, linear_variables, Gaussian(sigma))


def test_what_cannot_be_smoothed_is_refused(linear_variables):
  with pytest.raises(InputError, match=r"give Gaussian\(sigma\)"):
    Smoothed(linear, linear_variables, 0.5)
  with pytest.raises(InputError, match="apply must be a function"):
    Smoothed(linear_variables, linear, Gaussian(0.5))
  with pytest.raises(InputError, match="seed"):
    Smoothed(linear, linear_variables, Gaussian(0.5)).outcomes(Certify(), [], seed=-1)


def test_a_classifier_of_one_logit_is_refused(linear_variables):
  with pytest.raises(InputError, match="always class 0"):
    outcomes(lambda v, x: linear(v, x)[:, :1], linear_variables, [(0, IMAGE)], 0.5, Certify())


def test_an_image_buffer_may_be_used_again(linear_variables, images):
  def through_one_buffer():
    buffer = np.empty_like(images[0])
    for i, image in enumerate(images):
      buffer[:] = image
      yield i, buffer

  found, wanted = (
    [
      c.votes.tolist()
      for c in outcomes(linear, linear_variables, examples, 0.5, Certify(n=100), Execution(1000))
    ]
    for examples in (through_one_buffer(), enumerate(images))
  )
  assert found == wanted


def test_classifiers_with_loops_are_certified(images):
  def looped(variables, x):
    start = jnp.zeros((len(x), 3))
    return jax.lax.fori_loop(0, 4, lambda i, y: y + x.reshape(len(x), -1)[:, :3], start)

  assert len(outcomes(looped, (), enumerate(images), 0.5, Certify(n=100))) == 6


def test_callable_objects_without_a_hash_are_certified(linear_variables, images):
  class Classifier:
    __hash__ = None

    def __call__(self, variables, x):
      return linear(variables, x)

  found, wanted = (
    [c.radius for c in outcomes(apply, linear_variables, enumerate(images), 0.5, Certify(n=100))]
    for apply in (Classifier(), linear)
  )
  assert found == wanted


def drops_by_place(variables, x):
  return linear(variables, x) * (jnp.arange(len(x), dtype=jnp.float32) % 3)[:, None]


def nan_spreads(variables, x):
  return linear(variables, x) + jnp.where(x.max() > 2, jnp.nan, 0.0)


def statistics_of_the_batch(variables, x):
  return linear(variables, (x - x.mean(0, keepdims=True)) / (x.std(0, keepdims=True) + 0.1))


def hard(apply):
  return lambda variables, x: jax.nn.one_hot(apply(variables, x).argmax(1), 2)


def confident(apply, factor=30):
  return lambda variables, x: jax.nn.softmax(factor * apply(variables, x))


def with_a_masked_class(apply):
  return lambda variables, x: jnp.pad(apply(variables, x), ((0, 0), (0, 1)), constant_values=-1e9)


def in_bfloat16(variables, x):
  return linear([jnp.asarray(v, jnp.bfloat16) for v in variables], x.astype(jnp.bfloat16))


def with_a_fixed_key(variables, x):
  return linear(variables, x + 0.1 * jax.random.normal(jax.random.key(0), (1, *x.shape[1:])))


HIDING = [lambda apply: apply, confident, hard, with_a_masked_class]


@pytest.mark.parametrize("hide", HIDING)
@pytest.mark.parametrize("coupled", [drops_by_place, nan_spreads, statistics_of_the_batch])
def test_logits_that_depend_on_the_other_images_are_refused(linear_variables, images, coupled, hide):
  """Also where probabilities are saturated, where only answers are given, and beside a large number."""
  if hide is hard and coupled is not statistics_of_the_batch:
    return  # such answers hardly change
  for some in (images, images[:1], (images[:1] / 255).astype(np.float32)):
    with pytest.raises(InputError, match="depend on the other images of its batch"):
      Smoothed(hide(coupled), linear_variables, Gaussian(0.5)).inspector.soundness(some)


@pytest.mark.parametrize("hide", HIDING)
@pytest.mark.parametrize("honest", [linear, in_bfloat16, with_a_fixed_key, jax.jit(linear)])
def test_classifiers_of_each_image_by_itself_are_not_refused(linear_variables, images, honest, hide):
  for some in (images, images[:1]):
    assert Smoothed(hide(honest), linear_variables, Gaussian(0.5)).inspector.soundness(some) == []


def test_a_constant_and_an_ensemble_that_votes_are_not_refused(linear_variables, images):
  members = [hard(apply) for apply in (linear, in_bfloat16, with_a_fixed_key)]
  for apply in (lambda v, x: sum(member(v, x) for member in members), lambda v, x: 0 * linear(v, x)):
    assert Smoothed(apply, linear_variables, Gaussian(0.5)).inspector.soundness(images) == []


def drawn(rng):
  """Functions that draw numbers in Python when they are traced."""

  def augmented(variables, x):
    return linear(variables, jnp.roll(x, rng.integers(4), 1)) * rng.uniform(0.7, 1.3)

  def fixed_noise(variables, x):
    return linear(variables, x + 0.3 * rng.normal(size=(1, *x.shape[1:])).astype(np.float32))

  def one_member(variables, x):
    return linear(variables, x) * (1, -1)[rng.integers(2)]

  compiled = jax.jit(augmented)  # JAX keeps its trace
  return [augmented, fixed_noise, one_member, compiled, lambda v, x: compiled(v, x), hard(fixed_noise)]


@pytest.mark.parametrize("kind", range(6))
def test_numbers_that_python_draws_in_apply_are_refused(linear_variables, images, kind):
  """They are frozen when a program is compiled, so each number of rows has a classifier of its own."""
  apply = drawn(np.random.default_rng(0))[kind]
  for _ in range(2):
    with pytest.raises(
      InputError, match=r"different logits for the same images each time.*leave out random numbers"
    ):
      Smoothed(apply, linear_variables, Gaussian(0.5)).inspector.soundness(images)


def test_a_function_that_is_traced_in_two_ways_but_gives_the_same_is_not_refused(linear_variables, images):
  rng = np.random.default_rng(0)
  apply = lambda v, x: linear(v, x) if rng.integers(2) else linear(v, x) + np.float32(rng.integers(9)) * 0
  assert Smoothed(apply, linear_variables, Gaussian(0.5)).inspector.soundness(images) == []


def test_a_function_whose_globals_changed_since_it_was_compiled_is_refused(linear_variables, images):
  """JAX keeps its first program, which would vote, beside the new logits in a manifest."""
  scale = [np.float32(1.0)]

  def apply(variables, x):
    return linear(variables, x * scale[0])

  sound = lambda f: Smoothed(f, linear_variables, Gaussian(0.5)).inspector.soundness(images)
  assert sound(apply) == sound(apply) == []
  scale[0] = np.float32(0.0)
  for _ in range(2):
    with pytest.raises(InputError, match=r"other logits than the program .* has changed: define it again"):
      sound(apply)
  assert sound(lambda v, x: apply(v, x)) == []  # defined again
  scale[0] = np.float32(1.0)
  assert sound(apply) == []


def test_images_of_another_size_are_another_program_that_is_compiled_once(images, monkeypatch):
  apply = lambda variables, x: jnp.stack([x.mean((1, 2, 3)), variables - x.mean((1, 2, 3))], 1)
  inspector = Smoothed(apply, np.float32(1.0), Gaussian(0.25)).inspector
  compiled, compile = [], inspector._compiled
  monkeypatch.setattr(inspector, "_compiled", lambda: compiled.append(1) or compile())
  for some in (images, images[:, :2], images[:, :2], images, images[:, :2]):
    assert inspector.soundness(list(some)) == []
  assert len(compiled) == 1


def test_a_masked_class_does_not_hide_that_logits_differ():
  """A file is not continued by another classifier, whose other logits differ."""
  assert inspection.different([1.0, 2.0, -1e9], [1.5, 2.0, -1e9], same_program=True)
  assert not inspection.different([1.0, 2.0, -1e9], [1.0, 2.000001, -1e9], same_program=True)
  assert not inspection.different([0.0, 0.0, 1.0], [0.0, 0.0, 1.0], same_program=True)
  assert inspection.different([-1e9, 2.0, 1.0], [2.0, -1e9, 1.0], same_program=False)


@pytest.mark.parametrize(("seconds", "each"), [(0.1, 1), (0.0, 2)])
def test_a_classifier_is_traced_again_and_again_only_once(linear_variables, seconds, each):
  """Tracing a large network takes seconds, and users certify image by image; a small one is looked at anew."""
  traced = []

  def apply(variables, x):
    traced.append(x)
    time.sleep(seconds)
    return linear(variables, x)

  inspector = Smoothed(apply, linear_variables, Gaussian(0.25)).inspector
  images, counts = [np.full((4, 4, 1), 99, np.uint8)], []
  for _ in range(3):
    assert inspector.soundness(images) == []
    counts.append(len(traced))
  assert counts[0] > 3 and counts[2] - counts[0] <= 2 * each

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import linear
from scipy import optimize, stats

from rsjax import devices, models, smoothing
from rsjax.errors import InputError
from rsjax.smoothing import ABSTAIN, Smoothing, certify, predict
from rsjax.votes import Execution

IMAGE = (np.arange(16, dtype=np.uint8) * 16).reshape(4, 4, 1)


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
  settings = Smoothing(sigma, n0=5, n=200, alpha=alpha)
  examples = ((i, IMAGE) for i in range(trials))
  votes = [c.votes for c in certify(linear, variables, examples, settings, Execution(4096))]

  def failures(used_alpha):
    used = Smoothing(sigma, n0=5, n=200, alpha=used_alpha)
    right = np.array([0, 5])
    return sum(smoothing.certificate(0, right, v, used).radius > truth for v in votes)

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
    [c] = certify(linear, linear_variables, [(0, IMAGE)], Smoothing(sigma, n=n), Execution(8192))
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
    [c] = certify(slab, np.float32(0.5 - d), [(0, image)], Smoothing(sigma, n=50_000), Execution(8192))
    assert c.prediction == 1
    assert 0.5 * (edge - d) < c.radius < edge - d
    assert c.n_a / 50_000 == pytest.approx(p(d), abs=0.01)


def test_certificates_do_not_depend_on_devices_rows_or_companions(linear_variables, images, cpu_mesh):
  settings = Smoothing(0.5, n0=20, n=1000, seed=9)
  run = lambda examples, *e: list(certify(linear, linear_variables, examples, settings, Execution(*e)))
  plain = lambda c: (c.index, c.prediction, c.radius, c.votes0.tolist(), c.votes.tolist())
  wanted = [plain(c) for c in run(enumerate(images), 256, cpu_mesh(1))]
  assert [plain(c) for c in run(enumerate(images), 50, cpu_mesh(8))] == wanted
  assert [plain(c) for c in run([(i, images[i]) for i in (4, 1)], 333, cpu_mesh(2))] == [wanted[4], wanted[1]]


def test_selection_and_estimation_draws_are_disjoint_and_complete(linear_variables):
  """Estimation's draws begin after selection's: their votes are those of all n0 + n draws together."""
  [c] = certify(linear, linear_variables, [(3, IMAGE)], Smoothing(0.5, n0=40, n=160))
  [both] = predict(linear, linear_variables, [(3, IMAGE)], Smoothing(0.5, n=200))
  [first] = predict(linear, linear_variables, [(3, IMAGE)], Smoothing(0.5, n=40))
  np.testing.assert_array_equal(c.votes0, first.votes)
  np.testing.assert_array_equal(c.votes0 + c.votes, both.votes)


def test_the_class_is_selected_from_the_selection_votes_alone():
  settings = Smoothing(0.5, n0=10, n=1000)
  c = smoothing.certificate(0, np.array([6, 4]), np.array([100, 900]), settings)
  assert (c.selected, c.n_a, c.prediction, c.radius) == (0, 100, ABSTAIN, 0.0)


def test_the_radius_is_of_the_noise_that_was_drawn():
  """Noise is float32: where that rounds sigma down, the radius is of the smaller sigma."""
  sigma = 1 + 2**-24  # halfway to the next float32; rounds to 1
  c = smoothing.certificate(0, np.array([9, 0]), np.array([9900, 100]), Smoothing(sigma, n0=9, n=10_000))
  assert c.radius == smoothing.bounds.certified_radius(c.p_lower, 1.0)


def test_invalid_draws_count_in_n():
  settings = Smoothing(0.5, n0=10, n=1000)
  whole = smoothing.certificate(0, np.array([10, 0]), np.array([990, 10]), settings)
  sick = smoothing.certificate(0, np.array([8, 0]), np.array([990, 0]), settings)
  assert (sick.invalid0, sick.invalid) == (2, 10)
  assert sick.radius == whole.radius
  none = smoothing.certificate(0, np.array([0, 0]), np.array([0, 0]), settings)
  assert (none.prediction, none.radius, none.invalid) == (ABSTAIN, 0.0, 1000)


@pytest.mark.parametrize(
  ("votes", "answer"),
  [([0, 11], 1), ([1, 10], ABSTAIN), ([500, 500], ABSTAIN), ([400, 600], 1), ([0, 0], ABSTAIN), ([600, 0], 0)],
)
def test_predict_answers_where_the_two_sided_test_is_significant(votes, answer):
  settings = Smoothing(0.5, n=max(sum(votes), 11))
  p = smoothing.prediction(0, np.array([*votes, 0]), settings)
  assert p.prediction == answer
  top = sorted(votes)[-2:]
  assert p.p_value == pytest.approx(stats.binomtest(top[1], sum(top), 0.5).pvalue if sum(top) else 1.0)


def test_predict_is_wrong_no_more_often_than_alpha(linear_variables):
  """At a margin of almost nothing nearly every answer is a coin's; few may be given."""
  w, b = linear_variables
  variables = (w, np.float32(b - true_margin(linear_variables, IMAGE) - 1e-3))
  settings = Smoothing(0.5, n=100, alpha=0.05)
  answers = [p.prediction for p in predict(linear, variables, ((i, IMAGE) for i in range(2000)), settings)]
  given = sum(a != ABSTAIN for a in answers)
  assert given <= stats.binom.ppf(0.999, 2000, 0.05)
  assert given >= stats.binom.ppf(0.001, 2000, 0.03)


@pytest.mark.parametrize("dtype", models.DTYPES)
@pytest.mark.parametrize("arch", ["convnet", "cifar_resnet20"])
def test_one_draws_logits_do_not_depend_on_the_other_rows(arch, dtype):
  model = models.create(arch, num_classes=4, mean=(0.4,), std=(0.3,), dtype=dtype)
  variables = jax.jit(lambda key: models.init(model, key, (8, 8, 1)))(jax.random.key(0))
  x = np.random.default_rng(0).normal(size=(16, 8, 8, 1)).astype(np.float32)
  other = np.random.default_rng(1).normal(size=x.shape).astype(np.float32)
  other[::3] = x[::3]
  apply = devices.jit(models.apply(model))
  logits = np.asarray(apply(variables, x))
  np.testing.assert_array_equal(logits[::3], apply(variables, other)[::3])
  # Nor on the row's place: a continued run packs its rows otherwise, and must find the same votes.
  order = np.random.default_rng(2).permutation(16)
  np.testing.assert_array_equal(logits[order], apply(variables, x[order]))


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
  import flax.linen as nn

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
  found = list(certify(apply, variables, enumerate(images), Smoothing(0.25, n=500)))
  assert [c.index for c in found] == list(range(6))
  assert all(c.votes.sum() + c.invalid == 500 and len(c.votes) == 3 for c in found)


@pytest.mark.parametrize(
  "settings",
  [
    dict(sigma=0.0), dict(sigma=-1.0), dict(sigma=float("nan")), dict(sigma=0.5, n0=0), dict(sigma=0.5, n=0),
    dict(sigma=0.5, alpha=0.0), dict(sigma=0.5, alpha=1.0), dict(sigma=0.5, seed=-1), dict(sigma=0.5, n=2**32),
    dict(sigma=0.5, n=10.5), dict(sigma=1e-50), dict(sigma=1e50), dict(sigma=float("inf")),
  ],
)  # fmt: skip
def test_bad_settings_are_refused(settings):
  with pytest.raises(InputError):
    Smoothing(**settings)


def test_an_n_that_can_never_certify_is_refused_at_once(linear_variables):
  with pytest.raises(InputError, match="n >= 10"):
    certify(linear, linear_variables, [], Smoothing(0.5, n=9))
  with pytest.raises(InputError, match="n >= 11"):
    predict(linear, linear_variables, [], Smoothing(0.5, n=10))


@pytest.mark.parametrize(
  ("image", "message"),
  [
    (np.zeros((4, 4), np.uint8), "uint8"),
    (np.zeros((4, 4, 1), np.float64), "float64"),
    (np.full((4, 4, 1), 2.0, np.float32), "within the classifier"),
    (np.full((4, 4, 1), np.nan, np.float32), "or NaN"),
  ],
)
def test_bad_images_are_refused(linear_variables, image, message):
  with pytest.raises(InputError, match=message):
    list(certify(linear, linear_variables, [(0, image)], Smoothing(0.5)))
  with pytest.raises(InputError, match="index"):
    list(certify(linear, linear_variables, [(-1, IMAGE)], Smoothing(0.5)))
  with pytest.raises(InputError, match="enumerate"):
    list(certify(linear, linear_variables, [IMAGE], Smoothing(0.5)))
  with pytest.raises(InputError, match="Smoothing"):
    certify(linear, linear_variables, [(0, IMAGE)], 0.5)


def test_a_classifier_of_one_logit_is_refused(linear_variables):
  with pytest.raises(InputError, match="always class 0"):
    list(certify(lambda v, x: linear(v, x)[:, :1], linear_variables, [(0, IMAGE)], Smoothing(0.5)))


def test_an_image_buffer_may_be_used_again(linear_variables, images):
  def through_one_buffer():
    buffer = np.empty_like(images[0])
    for i, image in enumerate(images):
      buffer[:] = image
      yield i, buffer

  settings, execution = Smoothing(0.5, n=100), Execution(1000)
  found, wanted = (
    [c.votes.tolist() for c in certify(linear, linear_variables, examples, settings, execution)]
    for examples in (through_one_buffer(), enumerate(images))
  )
  assert found == wanted


def test_classifiers_with_loops_are_certified(images):
  def looped(variables, x):
    start = jnp.zeros((len(x), 3))
    return jax.lax.fori_loop(0, 4, lambda i, y: y + x.reshape(len(x), -1)[:, :3], start)

  assert len(list(certify(looped, (), enumerate(images), Smoothing(0.5, n=100)))) == 6


def test_callable_objects_without_a_hash_are_certified(linear_variables, images):
  class Classifier:
    __hash__ = None

    def __call__(self, variables, x):
      return linear(variables, x)

  settings = Smoothing(0.5, n=100)
  found, wanted = (
    [c.radius for c in certify(f, linear_variables, enumerate(images), settings)]
    for f in (Classifier(), linear)
  )
  assert found == wanted

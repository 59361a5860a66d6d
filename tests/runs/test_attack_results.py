"""What `attack` returns says what it is of, and fits certificates of the same images."""

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import linear

import rsjax
from rsjax import analysis
from rsjax.errors import ResultWarning

LABELS = np.arange(6) % 2


@pytest.fixture(scope="module")
def g():
  w = np.ones(16, np.float32) / 4
  return rsjax.smooth(linear, (w, np.float32(-2.0)), sigma=0.25)


@pytest.fixture(scope="module")
def pictures():
  return np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1), np.uint8)


@pytest.fixture(scope="module")
def attacked(g, pictures):
  return g.attack(pictures, LABELS, radii=[0.25, 0.5], iterations=2, noise_vectors=4, n=1000, progress=False)


@pytest.fixture(scope="module")
def certified(g, pictures):
  return g.certify(pictures, LABELS, n=1000, progress=False)


@pytest.mark.parametrize("radii", [64, [0.25, 4.01], np.float32([64, 128])])
def test_radii_that_images_of_this_size_cannot_have_between_them_are_refused(radii, g, pictures):
  with pytest.raises(
    rsjax.InputError, match=r"at most 4, .* images of 4x4x1 .*: divide radii in grey levels by 255"
  ):
    g.attack(pictures, LABELS, radii=radii, progress=False)


def test_beyond_the_attacks_last_radius_it_warns_and_up_to_it_it_does_not(attacked):
  assert attacked.attacked_accuracy([0.0, 0.5]).shape == (2,)
  with pytest.warns(ResultWarning, match=r"nothing was searched beyond .* 0\.5, but 0\.75 is asked for"):
    attacked.attacked_accuracy([0.0, 0.75])


USES = {
  "table": lambda found: found.table(),
  "plot": lambda found: found.plot(),
  "certified_accuracy": lambda found: found.certified_accuracy(0.25),
  "acr": lambda found: found.acr(),
  "analysis.table": lambda found: analysis.table(found, [0.25]),
  "with_norm": lambda found: analysis.with_norm(found, "linf"),
  "with_bound": lambda found: analysis.with_bound(found, "multi"),
  "with_top_k": lambda found: analysis.with_top_k(found, 1),
}


@pytest.mark.parametrize("use", USES)
def test_what_needs_certificates_names_the_attack(use, attacked):
  with pytest.raises(
    rsjax.InputError, match="is from an attack, which certifies no radius: use attacked_accuracy"
  ):
    USES[use](attacked)


AGAIN = {
  "with_norm": lambda f: analysis.with_norm(f, "linf"),
  "with_bound": lambda f: analysis.with_bound(f, "multi"),
  "with_top_k": lambda f: analysis.with_top_k(f, 1),
  "with_alpha": lambda f: analysis.with_alpha(f, 0.01),
  "with_draws": lambda f: analysis.with_draws(f, 100),
  "as_predictions": analysis.as_predictions,
}


@pytest.mark.parametrize("name", AGAIN)
def test_what_certify_returned_is_taken_as_its_file_is(name, certified):
  if name == "with_top_k":
    certified = analysis.Found(three_classes())
  again, wanted = AGAIN[name](certified), AGAIN[name](certified.results)
  assert again.settings == wanted.settings
  for column in wanted.columns:
    np.testing.assert_array_equal(again.columns[column], wanted.columns[column])


def three_classes():
  rng = np.random.default_rng(0)
  apply = lambda v, x: x.reshape(len(x), -1) @ v
  images = rng.integers(0, 256, (6, 4, 4, 1), np.uint8)
  g = rsjax.smooth(apply, rng.normal(size=(16, 3)).astype(np.float32), sigma=0.25)
  return g.certify(images, LABELS, n=1000, progress=False).results


def test_certificates_and_an_attack_are_compared_as_returned_and_as_read(certified, attacked):
  for one, other in ((certified, attacked), (certified.results, attacked.results)):
    assert analysis.compare(one, other).contradictions == ()
  with pytest.raises(rsjax.InputError, match="give the certificates, then the attack"):
    analysis.compare(attacked, certified)


@pytest.mark.parametrize("chosen", [slice(0, 3), slice(3, 6)])
def test_an_attack_of_other_images_is_told_what_to_give(chosen, g, pictures, certified):
  fewer = g.attack(pictures[chosen], LABELS[chosen], radii=0.25, iterations=1, noise_vectors=4, progress=False)
  said = "^the attack does not fit the certificates: .* give both the same images, labels and `indices`$"
  with pytest.raises(rsjax.InputError, match=said):
    analysis.compare(certified, fewer)


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("change", [lambda logits: jnp.roll(logits, 1, 1), lambda logits: logits - 1e-5])
def test_an_attack_on_another_function_of_these_variables_is_refused(change, in_memory, g, pictures, tmp_path):
  other = rsjax.smooth(lambda variables, x: change(linear(variables, x)), g.variables, sigma=0.25)
  given = dict(n=100, progress=False)
  files = [{}] * 2 if in_memory else [{"file": tmp_path / f"{name}.tsv"} for name in "ca"]
  ours = g.certify(pictures, LABELS, **given, **files[0])
  attack = dict(radii=0.25, iterations=1, noise_vectors=4)
  theirs = other.attack(pictures, LABELS, **attack, **given, **files[1])
  with pytest.raises(rsjax.InputError, match="its `apply` answers otherwise, with the same variables"):
    analysis.compare(ours, theirs)
  again = rsjax.smooth(lambda variables, x: linear(variables, x), g.variables, sigma=0.25)
  fits = again.attack(pictures, LABELS, **attack, **given)
  assert analysis.compare(g.certify(pictures, LABELS, **given), fits).left_out == 0

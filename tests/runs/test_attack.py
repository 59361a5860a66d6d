"""The attack on the smoothed classifier: what it verifies is true, and files of it keep every promise."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import linear, without_time
from scipy import special

import rsjax
from rsjax import analysis, bounds, data, devices, results
from rsjax.errors import InputError, ResultWarning
from rsjax.noise import Gaussian
from rsjax.procedures import Attack, Certify
from rsjax.runs import attack, certification
from rsjax.smoothing import Execution, Smoothed

FEW = Execution(rows=4096, mesh=devices.draws_mesh(jax.devices()[:1]))  # of tiny images


def attacked(smoothed, images, labels, procedure, seed=0, execution=FEW):
  job = attack.AttackJob(smoothed, images, labels, list(range(len(images))), procedure, seed)
  return certification.into_memory(job, execution)


@pytest.fixture(scope="module")
def on_lines():
  """(smoothed linear classifier, 8 uint8 images whose pixels are never clipped, labels, true radii)."""
  w = np.random.default_rng(0).normal(size=16)
  w = (w / np.linalg.norm(w)).astype(np.float32)
  images = np.random.default_rng(1).integers(80, 176, (80, 4, 4, 1), np.uint8)
  scores = images.reshape(80, -1) / 255 @ w - 0.5 * w.sum()
  images, scores = (values[np.abs(scores) > 0.12][:8] for values in (images, scores))
  variables = (w, np.float32(-0.5 * w.sum()))
  return Smoothed(linear, variables, Gaussian(0.25)), images, (scores > 0).astype(int), np.abs(scores)


def test_on_linear_classifiers_the_attack_meets_the_true_radius(on_lines):
  """It finds an example at the first or second radius above the true one, and never one below it."""
  smoothed, images, labels, true = on_lines
  procedure = Attack(tuple(np.round(np.arange(1, 11) * 0.05, 6)), iterations=2, noise_vectors=4)
  found = attacked(smoothed, images, labels, procedure).columns
  assert (found["norm"] > true).all() and (found["norm"] <= found["epsilon"]).all()
  assert (found["epsilon"] < true + 0.1).all() and (found["predict"] != labels).all()
  near = dataclasses.replace(procedure, radii=(0.1,))
  wrong, right = (attacked(smoothed, images, given, near).columns for given in (1 - labels, labels))
  for name, value in (("epsilon", 0), ("norm", 0), ("predict", labels)):
    np.testing.assert_array_equal(wrong[name], value)
  for name, value in (("epsilon", np.inf), ("norm", np.inf), ("predict", labels)):
    np.testing.assert_array_equal(right[name], value)


def test_a_certificate_that_is_too_large_is_contradicted(on_lines):
  """The attack at 1.06 times the true radius finds an example: a radius 1.1 times too large is then wrong."""
  smoothed, images, labels, true = on_lines
  radii = tuple(sorted(np.round(1.06 * true[:4], 6)))
  found = attacked(smoothed, images, labels, Attack(radii, iterations=2, noise_vectors=4, n=40_000))
  job = certification.Job(smoothed, images, labels, list(range(len(images))), Certify(n=1000))
  certified = certification.into_memory(job, FEW)
  assert analysis.compare(certified, found).contradictions == ()
  for factor in (1.0, 1.1):
    certified.columns.update(radius=bounds.round_down(true * factor, 6), predict=labels)
    told = analysis.compare(certified, found).contradictions
    assert bool(told) == (factor > 1)
  assert "inside the radius" in told[0] and "is wrong there" in told[0] and "more image" in told[-1]


def test_no_example_is_found_inside_a_certified_radius(trained):
  """More than a thousand tries on a trained network: images, radii, methods and seeds."""
  test, g = data.load("digits", "test"), rsjax.load(trained, sigma=0.25)
  how = [dataclasses.replace(FEW, rows=rows) for rows in (1024, 256)]  # an attack verifies with a quarter
  common = {"indices": range(0, 360, 10), "progress": False}
  certified = g.certify(test.images, test.labels, n=1000, execution=how[1], **common)
  right, tries, examples = certified.correct == 1, 0, 0
  steps = {"method": "both", "iterations": 2, "noise_vectors": 4, "n": 200, "execution": how[0]}
  for seed in (1, 2):
    radii = np.round((np.arange(24) + 0.5 * seed) * 0.026, 6).tolist()
    found = g.attack(test.images, test.labels, radii=radii, seed=seed, **steps, **common)
    gap = analysis.compare(certified.results, found.results)
    assert gap.contradictions == () and not gap.left_out
    assert (found.norm[right] >= certified.radius[right]).all()
    tries += 2 * sum(int((np.array(radii) < radius).sum()) for radius in certified.radius[right])
    examples += int(np.isfinite(found.norm[right]).sum())
    low, high = certified.certified_accuracy([0.1, 0.3]), found.attacked_accuracy([0.1, 0.3])
    assert (low <= high).all() and (high < 1).all()
  assert tries > 1000 and examples > 10, (tries, examples)


def spikes(variables, images):
  """Class 1 where any pixel is above 1.45: few pixels decide, so that draws can be learned by heart."""
  top = images.reshape(len(images), -1).max(1) - variables
  return 4 * jnp.stack([jnp.zeros_like(top), top], 1)


def of_spikes(points, sigma):
  """The true probability of class 1 at points."""
  return 1 - np.exp(special.log_ndtr((1.45 - points.reshape(len(points), -1)) / sigma).sum(1))


@pytest.mark.parametrize("reused", [False, True])
def test_a_point_is_not_verified_by_the_draws_that_it_was_optimised_for(reused, monkeypatch):
  """If verification took the attack's draws (`reused`), false examples would pass: this test can fail."""
  if reused:
    monkeypatch.setattr(attack, "FIRST_DRAW", 0)
  images = np.full((12, 16, 16, 1), 0.5, np.float32)
  smoothed = Smoothed(spikes, np.float32(1.45), Gaussian(0.25))
  assert of_spikes(images[:1], 0.25) < 0.02
  procedure = Attack((1.1,), iterations=30, noise_vectors=8, n=8, alpha=0.3)
  seen = []
  within = attack.within
  monkeypatch.setattr(attack, "within", lambda *args: seen.append(within(*args)) or seen[-1])
  found = attacked(smoothed, images, np.zeros(12, int), procedure).columns
  false = (found["predict"] == 1) & (of_spikes(np.stack([p for p, _ in seen]), 0.25) < 0.5)
  assert (false.sum() > 6) == reused


def test_distances_are_those_of_the_points_used_and_rounded_up():
  rng = np.random.default_rng(0)
  for radius in (1e-6, 0.001, 0.37, 5.0):
    image, point = (rng.uniform(0, 1, (8, 8, 3)).astype(np.float32) for _ in range(2))
    point = image + (point - image) * np.float32(radius)
    used, norm = attack.within(image, np.float32(1.2) * point, radius)
    exact = float(np.sqrt(((used.astype(np.longdouble) - image) ** 2).sum()))
    assert used.dtype == np.float32 and used.min() >= 0 and used.max() <= 1
    assert exact <= norm <= radius and norm < exact + 1e-6
  assert attack.within(image, np.full_like(image, np.nan), 1.0)[1] == 0


def test_a_file_is_that_of_one_never_stopped_and_is_read_saved_and_checked(on_lines, tmp_path):
  smoothed, images, labels, _ = on_lines
  g = rsjax.smooth(linear, smoothed.variables, sigma=0.25)
  settings = {"radii": [0.1, 0.2, 0.3], "method": "both", "iterations": 2, "noise_vectors": 4, "n": 500}
  settings |= {"progress": False, "execution": FEW}
  whole = g.attack(images, labels, file=tmp_path / "whole.tsv", **settings)
  lines = (tmp_path / "whole.tsv").read_bytes().splitlines(keepends=True)
  for kept in (0, 1, 5, 8):  # killed within the row that follows
    part = tmp_path / f"{kept}.tsv"
    part.write_bytes(b"".join(lines[: 1 + kept]) + b"7\t1")
    (tmp_path / f"{kept}.tsv.json").write_bytes((tmp_path / "whole.tsv.json").read_bytes())
    g.attack(images, labels, file=part, **settings)
    assert without_time(part) == without_time(tmp_path / "whole.tsv")
  for name, value in (("radii", [0.5]), ("iterations", 3), ("noise_vectors", 5), ("n", 501), ("method", "pgd")):
    with pytest.raises(InputError, match=rf"other settings \(.*{name} was"):
      g.attack(images, labels, file=tmp_path / "whole.tsv", **settings | {name: value})
  with pytest.raises(InputError, match="command was"):
    g.certify(images, labels, file=tmp_path / "whole.tsv", progress=False)
  assert "8 images attacked" in repr(whole) and whole.contradictions() == []
  read = rsjax.read(tmp_path / "whole.tsv")
  in_memory = g.attack(images, labels, **settings)
  in_memory.save(tmp_path / "saved.tsv")
  assert without_time(tmp_path / "saved.tsv") == without_time(tmp_path / "whole.tsv")
  for name in ("epsilon", "norm", "predict", "n", "draws", "votes"):
    np.testing.assert_array_equal(read[name], in_memory[name])
  place = results.ATTACK_COLUMNS.index("norm")
  norms = [line.split("\t")[place] for line in (tmp_path / "whole.tsv").read_text().splitlines()]
  assert norms.count("none") == int(np.isinf(read.norm).sum()) > 0


@pytest.mark.parametrize(
  ("old", "new", "said"),
  [
    ("\t0.200000\t", "\t0.100000\t", "outside its radius"),
    ("\t0.200000\t", "\tinf\t", "norm cannot be 'inf'|epsilon cannot be 'inf'"),
  ],
)
def test_a_row_that_was_changed_is_told(on_lines, tmp_path, old, new, said):
  smoothed, images, labels, _ = on_lines
  g = rsjax.smooth(linear, smoothed.variables, sigma=0.25)
  path = tmp_path / "a.tsv"
  settings = {"radii": [0.2], "iterations": 2, "noise_vectors": 4, "n": 500, "progress": False}
  g.attack(images, labels, file=path, execution=FEW, **settings)
  text = path.read_text()
  assert old in text
  path.write_text(text.replace(old, new, 1))
  with pytest.raises(InputError, match=said) if "inf" in new else pytest.warns(ResultWarning):
    read = rsjax.read(path)
    assert any("was searched" in text or "outside" in text for text in read.contradictions())


@pytest.mark.parametrize(
  ("given", "said"),
  [
    ({"radii": ()}, "radii must be numbers above 0"),
    ({"radii": (0.0, 1.0)}, "radii must be numbers above 0"),
    ({"radii": (0.5, 0.25)}, "radii must increase"),
    ({"radii": (0.1234567,)}, "six decimals|6 decimals"),
    ({"radii": "0.5"}, "radii must be numbers"),
    ({"method": "fgsm"}, "pgd, ddn or both"),
    ({"iterations": 0}, "`iterations`"),
    ({"noise_vectors": 2**21}, "`noise_vectors`"),
    ({"n": 5}, "can never answer"),
    ({"alpha": 0.9}, "alpha"),
  ],
)
def test_settings_that_cannot_be_used_are_refused(given, said):
  with pytest.raises(InputError, match=said):
    Attack(**{"radii": (0.5,)} | given)


def test_only_gaussian_noise_and_images_with_labels_are_attacked(on_lines):
  smoothed, images, labels, _ = on_lines
  for noise in (rsjax.GridGaussian(0.25), rsjax.Uniform(0.25)):
    with pytest.raises(InputError, match="for Gaussian noise"):
      attacked(dataclasses.replace(smoothed, noise=noise), images, labels, Attack((0.5,)))
  with pytest.raises(InputError, match="give `labels`"):
    attacked(smoothed, images, None, Attack((0.5,)))


def test_one_program_serves_all_images_and_radii(on_lines, caplog):
  smoothed, images, labels, _ = on_lines
  procedure = Attack((0.1, 0.3), iterations=2, noise_vectors=4, n=300)
  attacked(smoothed, images, labels, procedure)
  with jax.log_compiles():
    attacked(smoothed, images[::-1], labels[::-1], dataclasses.replace(procedure, radii=(0.2, 0.5)))
  assert [r.message for r in caplog.records if "search" in r.message] == []

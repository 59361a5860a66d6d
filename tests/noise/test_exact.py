"""Splitting noise and column ablation: certificates held against every attack there is, on small images."""

import functools
import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import without_time

import rsjax
from rsjax import analysis, bounds, devices, results
from rsjax.analysis import contradictions
from rsjax.errors import InputError, ResultWarning
from rsjax.noise import Columns, Splitting, from_settings, threefry
from rsjax.noise.splitting import template
from rsjax.procedures import Certify, Counts, Exact, Predict, PredictByLooks, certify_exactly
from rsjax.smoothing import Execution, Smoothed

SMALL = Splitting.of_lambda(7.5 / 510)  # 7 draws


def chaos(variables, images):
  """Three classes by a hash of everything that the classifier sees: the least change may change the class."""
  seen = (images.reshape(len(images), -1) * 1020 + 0.5).astype(jnp.uint32)
  mixed = ((seen + 1) * variables).sum(1, dtype=jnp.uint32)
  for shift, factor in ((15, 0x2C1B3C6D), (12, 0x297A2D39), (15, 1)):
    mixed = (mixed ^ (mixed >> shift)) * jnp.uint32(factor)
  return jnp.eye(3)[jnp.maximum(mixed % 4, 1) - 1]  # half of them class 0


def hashed(noise, shape, seed=0):
  words = np.random.default_rng(seed).integers(1, 2**32, (1, int(np.prod(shape))), np.uint32)
  return Smoothed(chaos, words | np.uint32(1), noise)


def certificates(smoothed, images, **settings):
  """{field: array} of the outcomes for some images."""
  procedure = Exact.of(smoothed.noise, images[0].shape)
  found = [o for _, o in smoothed.outcomes(procedure, enumerate(images), **settings)]
  return {name: np.array([getattr(o, name) for o in found]) for name in ("prediction", "radius", "votes", "n")}


def wrong(answers, radius, distance):
  """How many images have a neighbour within their radius with another answer; distance: [images, images]."""
  attacked = (distance <= radius[:, None]) & (answers[:, None] != answers)
  return int(attacked.any(1).sum())


def test_splitting_certifies_what_no_image_in_the_l1_ball_contradicts_and_nothing_less():
  """Every 2x2 image of six adjacent grey levels, at the dark end; thresholds are closer together than that."""
  levels = np.array(list(itertools.product(range(6), repeat=4)), np.int64)
  found = certificates(hashed(SMALL, (2, 2, 1)), levels.astype(np.uint8).reshape(-1, 2, 2, 1))
  assert (found["n"] == 7).all() and len(set(found["prediction"].tolist())) > 1
  steps = np.rint(found["radius"] * 255)
  assert {0, 1, 2} <= set(steps.tolist())
  distance = abs(levels[:, None] - levels).sum(-1)
  assert wrong(found["prediction"], steps, distance) == 0
  assert wrong(found["prediction"], steps + 1, distance) > 100  # one grey level more is too much


def waves(variables, images):
  """Two classes that take turns along a direction."""
  turn = jnp.sin((images.reshape(len(images), -1) * variables).sum(1))
  return jnp.stack([jnp.zeros_like(turn), turn], 1)


def test_splitting_certifies_with_lambda_above_one_half():
  """Every 2x2 image of four levels that are 30 apart."""
  noise = Splitting.of_lambda(0.52)
  levels = np.array(list(itertools.product((60, 90, 120, 150), repeat=4)), np.int64)
  smoothed = Smoothed(waves, np.float32([[3, -4, 5, 2]]), noise)
  found = certificates(smoothed, levels.astype(np.uint8).reshape(-1, 2, 2, 1))
  distance = abs(levels[:, None] - levels).sum(-1)
  steps = np.rint(found["radius"] * 255)
  assert noise.thresholds == 265 and steps.max() >= 60
  assert wrong(found["prediction"], steps, distance) == 0
  assert wrong(found["prediction"], steps + 30, distance) > 10


def pixel(variables, images):
  """Class 1 where the first pixel is above its threshold, by what the classifier sees for lambda >= 1/2."""
  above = images.reshape(len(images), -1)[:, 0] > 0.5
  return jnp.stack([jnp.where(above, 0.0, 1.0), jnp.where(above, 1.0, 0.0)], 1)


@pytest.mark.parametrize("sigma", [0.2945, 0.2955])  # 260 and 261 draws
def test_the_radius_of_a_single_pixel_is_its_distance(sigma):
  noise, level = Splitting(sigma), np.arange(256)
  images = np.stack([level, level[::-1]], 1).astype(np.uint8).reshape(256, 1, 2, 1)
  found = certificates(Smoothed(pixel, np.float32(0), noise), images)
  half = noise.thresholds // 2
  np.testing.assert_array_equal(found["prediction"], level > half)
  nearest = np.where(level > half, level - half, half + 1 - level)  # levels to the other class
  np.testing.assert_array_equal(np.rint(found["radius"] * 255), nearest - 1)


def test_the_structure_that_was_published():
  assert Splitting(3.5).thresholds == 3091  # floor(2 sqrt(3) 3.5 255)
  assert Splitting(3.5).settings()["noise_lambda"] == 3091 / 510
  assert Splitting.of_lambda(0.1).thresholds == 51 and Splitting.of_lambda(1.0).thresholds == 510
  for noise in (SMALL, Splitting(0.25), Splitting(3.5)):
    q = noise.thresholds
    x = np.random.default_rng(0).integers(0, 256, (1, 3, 5, 2))
    draw = np.unique(np.r_[0, 1, q // 2, q - 1])
    seen = seen_by_classifier(noise, np.repeat(x / 255, len(draw), 0), draw)
    v = begins_of(noise, 0, (3, 5, 2))
    s = ((v + draw[:, None, None, None]) % q + 0.5) / 255
    ahead = np.ceil((x / 255 - s) / (q / 255))
    ends = np.minimum(s + ahead * q / 255, 1), np.maximum(s + (ahead - 1) * q / 255, 0)
    np.testing.assert_allclose(seen, sum(ends) / 2, atol=1e-6)
    if q >= 255:
      np.testing.assert_allclose(seen, ((x / 255 > s) + np.minimum(s, 1)) / 2, atol=1e-6)


@functools.cache
def compiled(function):
  return devices.jit(function, once=True)


def seen_by_classifier(noise, x, draw, seed=0, index=0):
  rows = jnp.full(len(draw), index, jnp.uint32), jnp.asarray(draw, jnp.uint32)
  perturb = compiled(type(noise).perturb)
  return np.asarray(perturb(noise.parameters(), threefry.base_key(seed), *rows, jnp.asarray(x, jnp.float32)))


def begins_of(noise, seed, shape):
  made = devices.jit(lambda seed: template(noise.thresholds, threefry.base_key(seed), shape), once=True)
  return np.asarray(made(jnp.uint32(seed)))


def test_the_template_is_made_of_the_seed_alone():
  begins = [begins_of(Splitting(3.5), seed, (2, 2, 1)).ravel().tolist() for seed in (0, 1)]
  assert begins[0] != begins[1]
  assert begins[0] == [1668, 142, 899, 1109]  # for ever: files are continued, and drawn again
  x, draw = np.full((7, 2, 2, 1), 3 / 255), np.arange(7)
  assert np.array_equal(seen_by_classifier(SMALL, x, draw), seen_by_classifier(SMALL, x, draw, index=5))
  for pixels in seen_by_classifier(SMALL, x, draw).reshape(7, 4).T:
    assert len(set(pixels.tolist())) == 7  # each of the offsets, once


def test_columns_certify_what_no_patch_contradicts_and_nothing_less():
  """Every 1x7 image of three levels, and every patch: any contents of adjacent columns."""
  noise = Columns(2)
  levels = np.array(list(itertools.product((0, 100, 255), repeat=7)), np.uint8)
  found = certificates(hashed(noise, (1, 7, 1), 1), levels.reshape(-1, 1, 7, 1))
  assert (found["n"] == 7).all()
  assert {0, 1, 2} == set(found["radius"].tolist())
  answers = found["prediction"].reshape((3,) * 7)
  radius = found["radius"].reshape((3,) * 7)

  def attacked(widths):
    """How many images have another answer for some contents of some patch of their width."""
    hit = np.zeros(answers.shape, bool)
    for width in (1, 2, 3):
      for first in range(7 - width + 1):
        axes = tuple(range(first, first + width))
        differs = (answers.max(axes, keepdims=True) != answers) | (answers.min(axes, keepdims=True) != answers)
        hit |= differs & (widths >= width)
    return int(hit.sum())

  assert attacked(radius) == 0
  assert attacked(radius + 1) > 100


def test_the_bands_are_adjacent_columns_and_wrap_around():
  x = np.arange(1, 11, dtype=np.float32).reshape(1, 2, 5, 1) / 255
  seen = seen_by_classifier(Columns(2), np.repeat(x, 5, 0), np.arange(5))[..., 0] * 255
  assert np.rint(seen[0]).tolist() == [[1, 2, 0, 0, 0], [6, 7, 0, 0, 0]]
  assert np.rint(seen[4]).tolist() == [[1, 0, 0, 0, 5], [6, 0, 0, 0, 10]]


def test_ties_go_to_the_lower_class_and_draws_without_a_vote_to_every_other():
  def decided(noise, n, **votes):
    counts = np.zeros(6, np.int64)
    for name, count in votes.items():
      counts[int(name[1:])] = count
    found = certify_exactly(Counts.of_one(counts, n), noise)
    return int(found.prediction[0]), round(float(found.radius[0] * (255 if noise.norm == "l1" else 1)), 3)

  assert decided(SMALL, 20, c1=12, c4=8)[0] == 1 and decided(SMALL, 20, c1=12, c4=8)[1] == 2
  assert decided(SMALL, 20, c4=12, c1=8)[1] == pytest.approx(1, abs=1e-3)  # class 1 would win a tie
  assert decided(SMALL, 20, c1=10, c4=10) == (1, 0)
  assert decided(SMALL, 7, c0=7)[1] == pytest.approx(3, abs=1e-3)
  assert decided(SMALL, 8, c2=8)[1] == pytest.approx(3, abs=1e-3)  # class 0 has no vote, and would win a tie
  assert decided(SMALL, 24, c1=12, c4=8)[1] == 0  # four votes may be anybody's
  assert decided(SMALL, 25, c1=12, c4=8) == (-1, 0)
  assert decided(SMALL, 5) == (-1, 0)
  band = Columns(3)
  assert [decided(band, 32, c0=16 + k, c1=16 - k)[1] for k in (2, 3, 4, 5)] == [0, 1, 2, 3]
  assert decided(band, 32, c1=19, c0=13)[1] == 0


@pytest.fixture(scope="module")
def images():
  return np.random.default_rng(1).integers(0, 6, (5, 2, 7, 1), np.uint8) * 30


@pytest.mark.parametrize("noise", [SMALL, Columns(2)], ids=lambda noise: noise.name)
def test_votes_depend_on_neither_rows_nor_devices(noise, images, cpu_mesh):
  smoothed = hashed(noise, (2, 7, 1))
  votes = [
    certificates(smoothed, images, execution=Execution(rows, cpu_mesh(count)))["votes"].tolist()
    for rows, count in ((64, 1), (6, 3))
  ]
  assert votes[0] == votes[1]
  assert np.array(votes[0]).sum() == 5 * 7


@pytest.mark.parametrize("noise", [SMALL, Columns(2)], ids=lambda noise: noise.name)
def test_its_file_says_exact_and_is_continued_read_and_checked(noise, images, tmp_path):
  words = hashed(noise, (2, 7, 1)).variables
  g = rsjax.smooth(chaos, words, noise=noise)
  labels = np.arange(5) % 2
  found = g.certify(images, labels, file=tmp_path / "x.tsv", progress=False)
  settings = found.settings
  assert settings["procedure"] == "exact" and settings["n"] == 7 and from_settings(settings) == noise
  assert not {"alpha", "n0", "bound", "plan"} & set(settings)
  rows = (tmp_path / "x.tsv").read_text().splitlines(keepends=True)
  whole = without_time(tmp_path / "x.tsv")
  (tmp_path / "x.tsv").write_text("".join(rows[:3]) + rows[3][:9])  # as if it had been killed
  again = g.certify(images, labels, file=tmp_path / "x.tsv", progress=False)
  assert without_time(tmp_path / "x.tsv") == whole and again.contradictions() == []
  assert set(found["votes0"]) == {"-"} and (found.pABar <= found.nA / 7).all()
  [row] = analysis.summarize([again.results], [0.0], rho=0.001)
  assert row["exact"] and row["alpha"] is None and "exact" in row["name"] and "exact" in repr(again)
  assert row["high_probability"] == row["certified_accuracy"]
  for refused in (
    lambda f: analysis.with_alpha(f, 0.1),
    lambda f: analysis.with_draws(f, 3),
    lambda f: analysis.with_bound(f, "multi"),
    lambda f: analysis.with_top_k(f, 2),
    analysis.as_predictions,
    lambda f: analysis.combine("cascade", [f, f]),
  ):
    with pytest.raises(InputError, match="are exact, from all draws"):
      refused(again.results)
  with pytest.raises(InputError, match="proves radii in"):
    analysis.with_norm(again.results, "l2")
  assert "exact" in analysis.caption([row]) and "1 - alpha" not in analysis.latex([row])
  check_that_false_files_are_found(tmp_path / "x.tsv", noise)


def check_that_false_files_are_found(path, noise):
  """A radius that is one step too large, and draws that were left out."""
  lines = [line.split("\t") for line in path.read_text().splitlines()]
  more = {"splitting": 1 / 255, "columns": 1}[noise.name]
  lines[2][3] = f"{float(lines[2][3]) + more:.6f}"
  path.write_text("".join("\t".join(line) + "\n" for line in lines))
  with pytest.warns(UserWarning, match="1 radius is above what the votes certify"):
    rsjax.read(path)
  manifest = results.manifest_path(path)
  content = json.loads(manifest.read_text())
  content["settings"]["n"] = 6
  for line in lines[1:]:
    line[-1] = "1:6"
  manifest.write_text(json.dumps(content))
  path.write_text("".join("\t".join(line) + "\n" for line in lines))
  assert any(
    "have 6 draws" in text and "has 7" in text for text in contradictions.of_settings(results.read(path))
  )


def test_accuracy_counts_a_radius_that_is_reached(images, tmp_path):
  """Exact balls are closed: at its own radius an image counts, by either rule."""
  g = rsjax.smooth(pixel, np.float32(0), noise=Splitting(0.2955))
  bright = np.full((2, 1, 2, 1), [[[[130 + 51 + 1]]], [[[130 + 51]]]], np.uint8)  # 51 levels away, and 50
  found = g.certify(bright, [1, 1], progress=False)
  assert found.radius.tolist() == [0.2, 0.196078]
  for rule in ("open", "paper"):
    assert analysis.certified_accuracy(found.results, [0.196078, 0.2, 0.200001], rule).tolist() == [1, 0.5, 0]
  assert "exact" in found.table() and analysis.grid(found.results)[-1] == 0.2


def test_logits_that_are_not_finite_abstain_where_they_could_matter(images):
  def broken(variables, x):
    return chaos(variables, x) + jnp.where(x[:, 0, 0, :] > 0, jnp.nan, 0.0)  # of every band that has this pixel

  words = hashed(Columns(2), (2, 7, 1)).variables
  some = np.maximum(images, 1)
  with pytest.warns(ResultWarning, match="not finite; these draws count for every class but the leading one"):
    found = rsjax.smooth(broken, words, noise=Columns(2)).certify(some, progress=False)
  assert all(text.endswith("invalid:2") for text in found.votes)
  sound = rsjax.smooth(chaos, words, noise=Columns(2)).certify(some, progress=False)
  assert (found.radius <= sound.radius).all()
  assert ((found.predict == sound.predict) | (found.predict == -1)).all()


def test_what_an_exact_certificate_does_not_have_is_refused(images):
  g = rsjax.smooth(chaos, np.ones((1, 14), np.uint32), noise=SMALL)
  for given, name in (
    (dict(n=1000), "leave out n"),
    (dict(alpha=0.01, n0=10), "leave out n0 and alpha"),
    (dict(bound="multi"), "leave out bound"),
    (dict(radii=[0.1]), "leave out a rule for stopping"),
    (dict(time_budget=5), "leave out a rule for stopping"),
  ):
    with pytest.raises(InputError, match=name):
      g.certify(images, progress=False, **given)
  for procedure in (Certify(10, 100), Predict(100), PredictByLooks(100)):
    with pytest.raises(InputError, match="certified exactly"):
      list(g.outcomes(procedure, enumerate(images)))
  with pytest.raises(InputError, match="certified exactly"):
    g.predict(images, progress=False)
  with pytest.raises(InputError, match="no exact certificates"):
    Exact.of(rsjax.Gaussian(0.25), (2, 2, 1))
  with pytest.raises(InputError, match="must be uint8"):
    g.certify(images.astype(np.float32) / 255, progress=False)
  with pytest.raises(InputError, match="exact certificates"):
    bounds.radius(0.9, SMALL)


@pytest.mark.parametrize(
  ("made", "said"),
  [
    (lambda: Splitting.of_lambda(2.9 / 510), r"at least 0.00588.* = 2 draws"),
    (lambda: Splitting(0.0), "at least"),
    (lambda: Splitting(64), "at most 10"),
    (lambda: Columns(0), "from 1 on"),
    (lambda: Columns(2.5), "whole number"),
    (lambda: Columns(4).passes((8, 8, 1)), "too wide.*at most 3"),
    (lambda: from_settings(Splitting(3.5).settings() | {"noise_thresholds": 3090}), "noise_thresholds = 3091"),
  ],
)
def test_numbers_that_certify_nothing_are_refused(made, said):
  with pytest.raises(InputError, match=said):
    made()


def test_training_sees_the_draws_of_certification():
  x = np.random.default_rng(0).integers(0, 256, (3, 4, 8, 1)) / 255
  for noise in (Splitting(0.25), Columns(3)):
    q = noise.passes(x.shape[1:])
    train = devices.jit(noise.perturb_for_training, once=True)
    seen = np.asarray(train(threefry.base_key(5), jnp.asarray(x, jnp.float32)))
    every = [seen_by_classifier(noise, np.repeat(x[i : i + 1], q, 0), np.arange(q)) for i in range(3)]
    drawn = [np.flatnonzero((every[i] == seen[i]).all((1, 2, 3))).tolist() for i in range(3)]
    assert all(len(d) == 1 for d in drawn) and len({d[0] for d in drawn}) > 1
    copies = jnp.broadcast_to(jnp.asarray(x[:, None], jnp.float32), (3, 2, 4, 8, 1))
    assert jax.eval_shape(noise.perturb_for_training, threefry.base_key(5), copies).shape == copies.shape

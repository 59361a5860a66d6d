"""Ensembles answer with the mean of their members' logits for one draw, and are certified as any classifier."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import ran, refused, without_time

import rsjax
from rsjax import analyze, certify, check, data, predict, results
from rsjax.classifiers import checkpoint, ensemble
from rsjax.classifiers.classifier import Spec
from rsjax.noise import Gaussian, threefry
from rsjax.procedures import Predict
from rsjax.runs import split
from rsjax.smoothing import Execution, Smoothed


def save(path, seed, arch="convnet", **changed):
  """A classifier with random weights, trained at noise 0.5 as it says."""
  facts = {"arch": arch, "num_classes": 3, "image_shape": [8, 8, 1], "mean": [0.3], "std": [0.25]} | changed
  rng = np.random.default_rng(seed)

  def filled(place, shaped):
    name, shape = place[-1].key, shaped.shape
    size = 1 / np.sqrt(np.prod(shape[:-1])) if name == "kernel" else 0.1
    return (size * rng.normal(size=shape) + (name in ("scale", "var"))).astype(np.float32)

  shapes = Spec.from_metadata(facts).variables_shapes()
  variables = jax.tree_util.tree_map_with_path(filled, shapes)
  checkpoint.save(path / "checkpoint", variables, facts | {"noise_sd": 0.5})
  return str(path)


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
  """Three classifiers for the images of `small_npz`: of two families, with normalisations of their own."""
  folder = tmp_path_factory.mktemp("members")
  return [
    save(folder / "a", 0),
    save(folder / "b", 1, mean=[0.5], std=[0.1]),
    save(folder / "c", 2, "cifar_resnet8"),
  ]


@pytest.fixture(scope="module")
def images(small_npz):
  return data.load(small_npz, "test").images


def votes(apply, variables, images):
  smoothed = Smoothed(apply, variables, Gaussian(0.5))
  found = smoothed.outcomes(Predict(100), enumerate(images), execution=Execution(100))
  return [outcome.votes.tolist() for _, outcome in found]


def test_votes_are_those_of_the_mean_of_the_members_logits_for_one_draw(paths, images):
  apply, variables = ensemble.load(paths).inference("float32")
  noise, count = Gaussian(0.5), 100
  alone = [rsjax.load(path, sigma=0.5, dtype="float32") for path in paths]
  for index, found in enumerate(votes(apply, variables, images[:2])):
    pixels = jnp.asarray(np.repeat(images[[index]].astype(np.float32) / 255, count, 0))
    where, draws = jnp.full(count, index, jnp.uint32), jnp.arange(count, dtype=jnp.uint32)
    noisy = noise.perturb(noise.parameters(), threefry.base_key(0), where, draws, pixels)
    logits = np.stack([np.asarray(g.apply(g.variables, noisy)) for g in alone])
    np.testing.assert_allclose(apply(variables, noisy), logits.mean(0), rtol=1e-4, atol=1e-4)
    assert np.bincount(logits.mean(0).argmax(1), minlength=3).tolist() == found
    assert any(np.bincount(one.argmax(1), minlength=3).tolist() != found for one in logits)


def test_an_ensemble_of_one_is_the_classifier_itself(paths, images):
  one = ensemble.load(paths[0])
  assert ensemble.load([paths[0]]).digest == one.digest
  (apply, variables), (alone, own) = (c.inference("float32") for c in (ensemble.Ensemble((one,)), one))
  pixels = images.astype(np.float32) / 255
  np.testing.assert_array_equal(apply(variables, pixels), alone(own, pixels))


def test_the_order_does_not_matter(paths):
  a, b, c = paths
  one, other = ensemble.load([a, b, c]), ensemble.load([c, a, b])
  assert one.digest == other.digest and one.settings == other.settings
  apply, _ = one.inference("bfloat16")
  assert apply is other.inference("bfloat16")[0]  # so that no program is compiled twice
  assert len({one.digest, ensemble.load([a, b]).digest, *one.settings["members"]}) == 5


def test_an_ensemble_is_certified_continued_and_checked(paths, small_npz, images, tmp_path, capsys):
  a, b, _ = paths
  whole, stopped = tmp_path / "whole.tsv", tmp_path / "stopped.tsv"
  arguments = lambda members, out: [small_npz, *members, 0.5, out, "--max", 4, "--N", 300, "--batch", 100]
  ran(certify.main, [*arguments([a, b], whole), "--dtype", "float32"], capsys)
  manifest = results.read_manifest(whole)
  loaded = ensemble.load([a, b])
  assert manifest["settings"]["checkpoint"] == loaded.digest
  assert manifest["settings"]["aggregate"] == "mean of logits"
  assert manifest["settings"]["members"] == [m["digest"] for m in manifest["about"]["checkpoint"]["members"]]
  assert sorted(manifest["settings"]["members"]) == sorted(checkpoint.load(path).digest for path in (a, b))

  ran(certify.main, arguments([a, b], stopped), capsys)
  rows = stopped.read_text().splitlines(keepends=True)
  stopped.write_text("".join(rows[:3]) + rows[3][:10])
  ran(certify.main, arguments([b, a], stopped), capsys)
  assert without_time(stopped) == without_time(whole)
  refused(certify.main, arguments([a], stopped), capsys, "other settings", "checkpoint")

  found = rsjax.load([a, b], sigma=0.5).certify(images[:4], n=300, progress=False)
  assert found.votes.tolist() == rsjax.read(whole).votes.tolist()
  assert "convnet + convnet" in json.dumps(manifest["about"])
  assert ran(analyze.main, [whole], capsys).out

  both = ["--checkpoint", b, "--checkpoint", a]
  assert "votes drawn again" in ran(check.main, [whole, *both, "--rows", 2], capsys).out
  assert check.main([str(whole), "--checkpoint", a]) == 1
  assert "contradiction: its checkpoint has digest" in capsys.readouterr().out
  answers = ran(predict.main, [small_npz, a, b, 0.5, tmp_path / "p.tsv", "--max", 2, "--N", 100], capsys)
  assert "2 images" in answers.out


def test_what_is_odd_about_several_members_is_said_once(paths):
  said = "a member of the ensemble was trained with noise_sd = 0.5, not 0.25"
  assert split.notes(Gaussian(0.25), ensemble.load(paths)) == [said]


def test_members_that_do_not_fit_are_refused_by_name(paths, small_npz, tmp_path, capsys):
  a = paths[0]
  others = {
    "members of an ensemble must have the same images": save(tmp_path / "shape", 3, image_shape=[4, 4, 1]),
    "members of an ensemble must have the same classes": save(tmp_path / "classes", 4, num_classes=4),
    "are the same classifier: give each member of an ensemble once": a,
    "have the same weights under different normalisations": save(tmp_path / "twice", 0, mean=[0.25], std=[0.5]),
    "no checkpoint at": str(tmp_path / "nothing"),
  }
  for said, other in others.items():
    refused(certify.main, [small_npz, a, other, 0.5, tmp_path / "o.tsv"], capsys, said, other)
  one = save(tmp_path / "one", 5, classes=["x", "y", "z"])
  other = save(tmp_path / "other", 6, classes=["x", "z", "y"])
  refused(
    certify.main, [small_npz, one, a, other, 0.5, tmp_path / "o.tsv"], capsys, "class 1 is 'y'", one, other
  )
  with pytest.raises(rsjax.InputError, match="at least one checkpoint"):
    rsjax.load([], sigma=0.5)
  assert not (tmp_path / "o.tsv").exists()

"""A classifier behind a denoiser is certified as any other, and the denoiser removes what noise there is."""

import math
import shutil

import jax
import numpy as np
import pytest
from helpers import ran, refused, without_time, write_npz
from test_ensemble import save

import rsjax
from rsjax import certify, check, convert, data, results
from rsjax.classifiers import checkpoint, denoised, denoiser, torch_denoisers
from rsjax.errors import InputError
from rsjax.models import unet
from rsjax.models.diffusion import Diffusion
from rsjax.noise import Gaussian, Uniform
from rsjax.smoothing import Execution

SMALL = Diffusion(unet.Layout(32, (1,), 0, (), heads=1), "linear", 1000)
SHAPE = (4, 4, 1)
PUBLISHED = [process for process, _ in torch_denoisers.PUBLISHED.values()]


def weights(process, bias):
  """Of a U-Net for one channel that predicts the same noise everywhere: the bias of its last convolution."""
  shapes = jax.eval_shape(lambda: unet.init(process.layout, jax.random.key(0), 1))
  tree = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
  tree["params"]["out_2"]["bias"] += np.float32(bias)
  return tree


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
  """(a data set, a classifier of it, another, a denoiser)."""
  folder = tmp_path_factory.mktemp("denoised")
  small = write_npz(folder / "small.npz", shape=SHAPE)
  metadata = denoiser.metadata_of(SMALL, SHAPE)
  checkpoint.save(folder / "denoiser" / "checkpoint", weights(SMALL, 0.3), metadata)
  members = [save(folder / name, seed, image_shape=list(SHAPE)) for seed, name in enumerate("ab")]
  return str(small), *members, str(folder / "denoiser")


@pytest.mark.parametrize("process", PUBLISHED)
@pytest.mark.parametrize("sigma", [0.25, 0.5, 1.0])
def test_the_timestep_is_the_first_with_at_least_the_noise_of_sigma(process, sigma):
  """By the papers' formulas, for images in [-1, 1], in which the noise is twice that of pixels."""
  share, ratios = 1.0, []
  bar = lambda u: math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2
  for i in range(process.steps):
    if process.schedule == "linear":
      beta = 0.0001 + (0.02 - 0.0001) * i / (process.steps - 1)  # for 1000 steps
    else:
      beta = min(0.999, 1 - bar((i + 1) / process.steps) / bar(i / process.steps))
    share *= 1 - beta
    ratios.append(math.sqrt((1 - share) / share))
  assert process.timestep(sigma) == next(i for i, ratio in enumerate(ratios) if ratio >= 2 * sigma)


def test_a_sigma_that_no_timestep_has_is_refused():
  with pytest.raises(InputError, match="sigma must be above 0 and at most"):
    SMALL.timestep(1000)


def test_what_is_denoised_is_resized_to_the_classifier_as_pytorch_does_it():
  torch = pytest.importorskip("torch")
  x = np.random.default_rng(0).uniform(0, 1, (2, 8, 8, 1)).astype(np.float32)
  apply = denoised._behind(lambda variables, images: images, lambda variables, images: images, (12, 5))
  pixels = torch.from_numpy(x.transpose(0, 3, 1, 2))
  wanted = torch.nn.functional.interpolate(pixels, (12, 5), mode="bicubic", antialias=True)
  np.testing.assert_allclose(jax.jit(apply)((None, None), x), wanted.numpy().transpose(0, 2, 3, 1), atol=1e-5)


def test_logits_are_those_of_the_classifier_for_the_denoised_images(paths):
  _, a, _, front = paths
  behind = denoised.load(a, front, Gaussian(0.5))
  apply, variables = behind.inference("float32")
  alone, own = behind.classifier.inference("float32")
  x = np.random.default_rng(0).uniform(-0.5, 1.5, (3, *SHAPE)).astype(np.float32)
  clean = jax.jit(SMALL.denoiser(0.5, "float32"))(behind.denoiser.variables, x)
  np.testing.assert_allclose(clean, np.clip(x - 0.5 * 0.3, 0, 1), atol=2e-3)  # timesteps are discrete
  found = jax.jit(apply)(variables, x)
  np.testing.assert_allclose(found, jax.jit(alone)(own, clean), rtol=1e-4, atol=1e-4)
  assert np.abs(found - jax.jit(alone)(own, x)).max() > 0.01


def test_it_is_certified_continued_and_checked(paths, tmp_path, capsys):
  small, a, b, front = paths
  whole, stopped = tmp_path / "whole.tsv", tmp_path / "stopped.tsv"
  arguments = lambda out, *more: [small, a, 0.5, out, "--max", 3, "--N", 200, "--batch", 100, *more]
  ran(certify.main, arguments(whole, "--denoiser", front), capsys)
  settings = results.read_manifest(whole)["settings"]
  loaded = denoised.load(a, front, Gaussian(0.5))
  assert settings["checkpoint"] == loaded.digest
  assert settings["denoiser"] == denoiser.load(front).digest
  assert settings["classifier"] == checkpoint.load(a).digest
  digests = {loaded.digest, denoised.load(b, front, Gaussian(0.5)).digest, checkpoint.load(a).digest}
  assert len(digests | {denoised.load(a, front, Gaussian(0.25)).digest}) == 4

  rows = whole.read_text().splitlines(keepends=True)
  stopped.write_text("".join(rows[:2]) + rows[2][:10])
  shutil.copy(f"{whole}.json", f"{stopped}.json")
  refused(certify.main, arguments(stopped), capsys, "other settings", "denoiser")
  told = ran(certify.main, arguments(stopped, "--denoiser", front), capsys)
  assert "trained with noise_sd" not in told.err
  assert without_time(stopped) == without_time(whole)

  given = [whole, "--checkpoint", a]
  refused(check.main, given, capsys, "give --denoiser")
  assert "votes drawn again" in ran(check.main, [*given, "--denoiser", front, "--rows", 1], capsys).out
  both = denoised.load([a, b], front, Gaussian(0.5))
  assert len(both.settings["members"]) == 2 and both.digest not in digests
  images, g = data.load(small, "test").images[:3], rsjax.load(a, sigma=0.5, denoiser=front)
  found = g.certify(images, n=200, progress=False, execution=Execution(100))
  assert found.votes.tolist() == rsjax.read(whole).votes.tolist()


def test_what_does_not_fit_is_refused(paths, tmp_path, capsys):
  small, a, _, front = paths
  arguments = lambda ck, front, *more: [small, ck, 0.5, tmp_path / "o.tsv", "--denoiser", front, *more]
  refused(certify.main, arguments(a, a), capsys, "it is no denoiser, but a classifier, convnet")
  refused(certify.main, arguments(front, front), capsys, "it is a denoiser", "--denoiser")
  refused(certify.main, arguments(a, front, "--noise-kind", "uniform"), capsys, "is for Gaussian noise")
  refused(certify.main, arguments(a, tmp_path / "none"), capsys, "no checkpoint at")
  with pytest.raises(InputError, match="is for Gaussian noise"):
    denoised.load(a, front, Uniform(0.5))
  colours = save(tmp_path / "colours", 0, image_shape=[4, 4, 3], mean=[0.5] * 3, std=[0.5] * 3)
  refused(certify.main, arguments(colours, front), capsys, "1 channels, the classifier for 3")
  deep = Diffusion(unet.Layout(32, (1, 1, 1, 1, 1), 1, (), heads=1), "linear", 1000)
  behind = denoised.Denoised(
    checkpoint.load(a), denoiser.Denoiser({}, deep, denoiser.metadata_of(deep, (16, 16, 1)), ""), 0.5
  )
  assert behind.notes((32, 32, 1)) == ["the denoiser was trained on images of 16x16, not 32x32"]
  with pytest.raises(InputError, match="multiples of 16"):
    behind.check_images((8, 8, 1))
  assert not (tmp_path / "o.tsv").exists()


def test_a_published_file_is_converted(tmp_path, capsys, monkeypatch):
  """With a small U-Net in the place of the published ones, whose files are large."""
  torch, reference = pytest.importorskip("torch"), pytest.importorskip("torch_unet")
  monkeypatch.setitem(torch_denoisers.PUBLISHED, "small.pt", (SMALL, (8, 8, 3)))
  state = reference.UNet(32, (1,), 0, (), heads=1).state_dict()
  torch.save(state, tmp_path / "small.pt")
  refused(convert.main, [tmp_path / "small.pt", tmp_path / "no", "--noise", 0.5], capsys, "holds a denoiser")
  said = ran(convert.main, [tmp_path / "small.pt", tmp_path / "out"], capsys).err
  assert "SiLU, group norms with eps 1e-5, and the heads and the noise (" in said
  found = denoiser.load(tmp_path / "out")
  assert found.process == SMALL and found.metadata["origin"]["file"] == "small.pt"
  kernel = found.variables["params"]["input_blocks"]["0"]["0"]["kernel"]
  np.testing.assert_array_equal(kernel, state["input_blocks.0.0.weight"].numpy().transpose(2, 3, 1, 0))

  del state["out.2.bias"]
  torch.save(state | {"more": torch.zeros(1)}, tmp_path / "other.pt")
  refused(
    convert.main, [tmp_path / "other.pt", tmp_path / "no"], capsys, "missing out.2.bias", "left over more"
  )

"""`rsjax.train --objective`: flags of the fields, presets, votes, and what checkpoint and log say of them."""

import dataclasses
import shutil

import pytest

from rsjax import noise, predict, train
from rsjax.classifiers import checkpoint
from rsjax.cli import training as options
from rsjax.errors import InputError
from rsjax.training import Recipe, presets
from rsjax.training.objectives import (
  DENOISING,
  OBJECTIVES,
  CatRs,
  Consistency,
  Denoise,
  Gaussian,
  SmoothAdv,
  describe,
)

ALL = OBJECTIVES | DENOISING


def settings(*arguments):
  """(objective, recipe) of a command's arguments."""
  return options.settings_of(train.parser().parse_args(["cifar10", "cifar_resnet110", "out", *arguments]))


def test_without_flags_it_is_the_papers_training():
  assert settings() == (Gaussian(), Recipe())
  assert settings("--noise", "0.5", "--label-smoothing", "0.1") == (Gaussian(0.5, 0.1), Recipe())


def test_every_setting_of_every_objective_has_a_flag():
  help_text = " ".join(train.parser().format_help().split())
  for name, kind in ALL.items():
    assert settings("--objective", name)[0] == kind()
    for field in dataclasses.fields(kind)[1:]:
      assert " ".join(field.metadata["help"].split()) in help_text
  given = settings("--objective", "smoothadv", "--epsilon", "64", "--steps", "3", "--noise-vectors", "2",
                   "--attack", "ddn", "--first-noise-only", "--warmup", "1", "--noise", "0.25")[0]  # fmt: skip
  assert given == SmoothAdv(0.25, 64.0, 3, 2, 1, "ddn", True)


def test_every_objective_takes_the_kinds_of_noise_that_its_formula_holds_for():
  for kind in ("gaussian", "grid", "uniform", "laplace"):
    for name in ALL:
      arguments = ("--noise", "0.5", "--noise-kind", kind, "--objective", name)
      if kind == "gaussian" or name in ("gaussian", "stability", "consistency"):
        assert settings(*arguments)[0].noise == noise.of_kind(kind, 0.5)
        continue
      with pytest.raises(InputError, match=f"{name} is for Gaussian noise only, got {kind}"):
        settings(*arguments)
  with pytest.raises(InputError, match=r"noise_sd = 0.25 contradicts noise"):
    Gaussian(0.25, noise=noise.Uniform(0.5))
  with pytest.raises(InputError, match="got 'uniform'"):
    Gaussian(noise="uniform")


def test_presets_are_the_published_settings_and_flags_count_more():
  objective, recipe = settings("--preset", "consistency", "--noise", "0.5")
  assert objective == Consistency(0.5, lbd=10.0, eta=0.5, noise_vectors=2)
  assert recipe == Recipe(epochs=150, batch=256, lr=0.1, lr_drops=(51, 101), augment="crop-flip")
  objective, recipe = settings("--preset", "consistency", "--noise", "0.5", "--lbd", "3", "--epochs", "7")
  assert (objective.lbd, objective.eta, recipe.epochs, recipe.batch) == (3.0, 0.5, 7, 256)
  drops = dict(lr_drops=(31, 61), augment="crop-flip")
  recipe = Recipe(epochs=90, batch=256, lr=1e-3, optimizer="adam", weight_decay=1e-4, **drops)
  assert settings("--preset", "denoise", "--noise", "0.12") == (Denoise(0.12), recipe)


def test_all_presets_are_settings_of_their_objectives():
  for dataset, method in presets._PRESETS:
    for sigma in presets._PRESETS[dataset, method][0]:
      own, shared = presets.preset(method, dataset, sigma)
      ALL[method](noise_sd=sigma, **own)
      Recipe(**shared)
  assert set(presets.METHODS) == set(ALL)


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ("--objective consistency --epsilon 64", "--epsilon is not an option of the objective consistency"),
    ("--label-smoothing 0.1 --objective macer", "--label-smoothing is not an option of the objective macer"),
    ("--preset macer --objective catrs", "preset` macer is not of"),
    ("--objective macer --noise-kind uniform", "objective macer is for Gaussian noise only, got uniform noise"),
    ("--preset consistency --noise 0.5 --noise-kind grid", "were published for Gaussian noise"),
    ("--preset consistency", "for noise 0.25, 0.5, 1.0 on cifar10, not for None"),
    ("--preset consistency --noise 0.3", "not for 0.3"),
    ("--objective smoothmix --steps 0", "steps must be a whole number >= 1, got 0"),
  ],
)
def test_what_does_not_belong_together_is_refused_by_name(arguments, message):
  with pytest.raises(InputError, match=message):
    settings(*arguments.split())


def test_a_data_set_without_published_settings_has_no_preset():
  with pytest.raises(InputError, match="for cifar10, mnist, imagenet, not for digits: give `objective`"):
    presets.preset("consistency", "digits", 0.25)


def run(path, out, *arguments):
  return train.main(
    [path, "convnet", str(out), "--noise", "0.25", "--epochs", "1", "--batch", "32", *arguments]
  )


def test_checkpoint_and_log_say_it_and_other_settings_are_refused_by_name(small_npz, tmp_path, capsys):
  flags = ["--objective", "smoothadv", "--epsilon", "64", "--steps", "1", "--noise-vectors", "2"]
  assert run(small_npz, tmp_path / "out", *flags, "--lr-drops", "1") == 0
  metadata = checkpoint.load(tmp_path / "out").metadata
  said = metadata["training"]["objective"]
  assert said == describe(SmoothAdv(0.25, 64.0, 1, 2))
  assert (said["name"], said["epsilon"], said["noise_sd"]) == ("smoothadv", 64.0, 0.25)
  assert metadata["training"]["lr_drops"] == [1]
  assert metadata["step"] == 4  # two updates of each of two batches
  header, row = (tmp_path / "out" / "log.tsv").read_text().splitlines()
  assert header.split("\t")[-2:] == ["epsilon", "perturbation"]
  assert float(row.split("\t")[-2]) == pytest.approx(0.025)  # a tenth of 64 / 256 in the first epoch
  assert run(small_npz, tmp_path / "out", *flags, "--lr-drops", "1") == 0  # already trained
  capsys.readouterr()
  flags[flags.index("64")] = "65"
  assert run(small_npz, tmp_path / "out", *flags, "--lr-drops", "1") == 2
  assert "epsilon was 64.0, is now 65.0)" in capsys.readouterr().err
  assert run(small_npz, tmp_path / "out", "--objective", "macer", "--lr-drops", "1") == 2
  assert "(objective was smoothadv, is now macer)" in capsys.readouterr().err


def test_catrs_learns_from_the_votes_of_another_classifier(small_npz, tmp_path, capsys):
  assert run(small_npz, tmp_path / "first") == 0
  vote = lambda name, *more: predict.main(
    [small_npz, str(tmp_path / "first"), "0.25", str(tmp_path / name), "--N", "20", *more]
  )
  assert vote("train.tsv", "--split", "train", "--fixed") == 0
  assert vote("test.tsv", "--fixed") == 0
  assert vote("some.tsv", "--split", "train", "--fixed", "--max", "5") == 0
  assert vote("looks.tsv", "--split", "train") == 0
  catrs = ["--objective", "catrs", "--noise-vectors", "2", "--steps", "1"]
  assert run(small_npz, tmp_path / "catrs", *catrs, "--votes", str(tmp_path / "train.tsv")) == 0
  said = checkpoint.load(tmp_path / "catrs").metadata["training"]
  settings = dataclasses.asdict(CatRs(0.25, noise_vectors=2, steps=1))
  assert {"noise": said["objective"].get("noise"), **said["objective"]} == {
    "name": "catrs",
    **settings,
    "noise": None,  # Gaussian noise is not named
  }
  capsys.readouterr()
  for more, message in (
    (["--votes", "test.tsv"], "is a result file of the test split"),
    (["--votes", "some.tsv"], "has 5 rows, not one for each of 40 training images"),
    (["--votes", "looks.tsv"], "draws: certify or predict the whole training split with a fixed number"),
    ([], "the objective catrs needs --votes"),
  ):
    given = [str(tmp_path / part) if part.endswith(".tsv") else part for part in more]
    assert run(small_npz, tmp_path / "other", *catrs, *given) == 2
    assert message in capsys.readouterr().err
  assert run(small_npz, tmp_path / "other", "--votes", str(tmp_path / "train.tsv")) == 2
  assert "--votes is not used by the objective gaussian" in capsys.readouterr().err
  assert vote("again.tsv", "--split", "train", "--fixed", "--seed", "5") == 0
  assert run(small_npz, tmp_path / "catrs", *catrs, "--votes", str(tmp_path / "again.tsv")) == 2
  assert "votes was" in capsys.readouterr().err


def test_weights_of_chosen_images_are_saved_and_read_again(small_npz, tmp_path):
  flags = ["--objective", "reweighted", "--easy-from", "0", "--threshold", "0", "--steps", "1"]
  assert run(small_npz, tmp_path / "out", *flags) == 0
  before = checkpoint.load(tmp_path / "out").digest
  shutil.rmtree(tmp_path / "out" / "checkpoint")  # as if killed between the saves of state and checkpoint
  assert run(small_npz, tmp_path / "out", *flags) == 0
  assert checkpoint.load(tmp_path / "out").digest == before


def test_remat_is_refused_without_blocks(small_npz, tmp_path, capsys):
  assert run(small_npz, tmp_path / "out", "--remat") == 2
  assert "--remat is for convolutional residual networks, not for ConvNet" in capsys.readouterr().err
  assert not (tmp_path / "out").exists()

"""Denoised smoothing by commands: a denoiser is trained, then for a classifier, and put in front of it."""

import pytest
from helpers import ran, refused
from test_ensemble import save

import rsjax
from rsjax import certify, convert, results, train
from rsjax.classifiers import checkpoint, denoiser
from rsjax.errors import ResultWarning
from rsjax.runs import training
from rsjax.runs.progress import TrainingProgress
from rsjax.training import Recipe
from rsjax.training.objectives import Denoise, DenoiseStability

ARCH = "dncnn3_4"
RECIPE = ["--epochs", 2, "--batch", 16, "--optimizer", "adam", "--lr", 0.01]


@pytest.fixture(scope="module")
def folder(small_npz, tmp_path_factory):
  """A folder with a classifier, a denoiser trained by each objective, and a classifier of larger images."""
  made = tmp_path_factory.mktemp("denoisers")
  save(made / "classifier", 0)
  save(made / "large", 0, image_shape=[16, 16, 1])
  common = [small_npz, ARCH, "--noise", 0.5, *RECIPE]
  behind = ["--classifier", made / "classifier", "--init-from", made / "mse"]
  for name, flags in (("mse", ["denoise"]), ("stability", ["denoise_stability", *behind])):
    assert train.main([str(a) for a in [*common[:2], made / name, *common[2:], "--objective", *flags]]) == 0
  return made


def log(path):
  return [line.split("\t") for line in (path / "log.tsv").read_text().splitlines()]


def test_checkpoint_and_log_say_what_was_trained(folder):
  metadata = checkpoint.read_metadata(folder / "stability" / "checkpoint")
  said = metadata["training"]
  assert (metadata["denoiser"], metadata["arch"], metadata["noise_sd"]) == ("dncnn", ARCH, 0.5)
  assert (said["objective"]["name"], said["optimizer"], said["lr"]) == ("denoise_stability", "adam", 0.01)
  assert said["classifier"] == checkpoint.load(folder / "classifier").digest
  assert said["init_from"] == denoiser.load(folder / "mse").digest
  head, *rows = log(folder / "stability")
  assert head[-1] == "mse" and len(rows) == 2
  assert all(0 < float(row[head.index("testacc")]) <= 1 for row in rows)
  head, *rows = log(folder / "mse")
  assert [row[head.index("testacc")] for row in rows] == ["nan", "nan"]
  assert float(rows[-1][head.index("testloss")]) < float(rows[0][head.index("testloss")])


@pytest.mark.parametrize("stability", [False, True], ids=["mse", "stability"])
def test_it_continues_bit_for_bit(stability, folder, small_npz, tmp_path, monkeypatch):
  """Stopped after the fourth step of six, and saved after each."""
  monkeypatch.setattr(training, "SAVE_WITHIN_SECONDS", 0.0)

  class Stop(TrainingProgress):
    steps = 0

    def images(self, count):
      self.steps += 1
      if self.steps == 5:
        raise SystemExit

  recipe, name = Recipe(epochs=2, batch=16, lr=0.01, optimizer="adam"), "stability" if stability else "mse"
  objective = DenoiseStability(0.5) if stability else Denoise(0.5)
  behind = dict(classifier=folder / "classifier", init_from=folder / "mse") if stability else {}
  again = lambda **more: training.run(small_npz, ARCH, tmp_path / "out", objective, recipe, **behind, **more)
  with pytest.raises(SystemExit):
    again(progress=Stop())
  assert checkpoint.read_metadata(tmp_path / "out" / "state" / "4")["step"] == 4
  again()
  assert denoiser.load(tmp_path / "out").digest == denoiser.load(folder / name).digest
  without_times = lambda path: [[row[0], *row[2:7], *row[9:]] for row in log(path)]
  assert without_times(tmp_path / "out") == without_times(folder / name)


def test_a_classifier_is_certified_behind_it_and_another_sigma_is_noted(folder, small_npz, tmp_path, capsys):
  out = tmp_path / "out.tsv"
  argv = [small_npz, folder / "classifier", 0.5, out, "--max", 2, "--N", 100, "--N0", 10, "--batch", 100]
  assert "note" not in ran(certify.main, [*argv, "--denoiser", folder / "stability"], capsys).err
  settings = results.read_manifest(out)["settings"]
  assert settings["denoiser"] == denoiser.load(folder / "stability").digest
  assert "denoiser_timestep" not in settings
  refused(certify.main, [*argv, "--denoiser", folder / "mse"], capsys, "other settings", "denoiser")
  with pytest.warns(ResultWarning, match="the denoiser was trained with noise_sd = 0.5, not 0.25"):
    rsjax.load(folder / "classifier", sigma=0.25, denoiser=folder / "stability")


def test_what_makes_no_sense_is_refused_before_anything_is_written(folder, small_npz, tmp_path, capsys):
  out, noise = tmp_path / "out", ["--noise", 0.5]
  mse, stability = [*noise, "--objective", "denoise"], [*noise, "--objective", "denoise_stability"]
  behind = ["--classifier", folder / "classifier"]
  for arch, flags, message in (
    (ARCH, noise, "is a denoiser: give --objective denoise or denoise_stability, not gaussian"),
    ("convnet", mse, "trains a denoiser: give arch dncnn"),
    (ARCH, ["--objective", "denoise"], "needs noise: give --noise_sd above 0"),
    (ARCH, [*mse, *behind], "--classifier is not used by the objective denoise"),
    ("convnet", [*noise, *behind], "--classifier is not used by the objective gaussian"),
    (ARCH, stability, "needs --classifier"),
    (
      ARCH,
      [*stability, "--classifier", folder / "large"],
      "has images of 8x8x1 (height x width x channels), but the checkpoint is for 16x16x1",
    ),
    (ARCH, [*stability, "--classifier", folder / "mse"], "it is a denoiser"),
    ("dncnn3", [*mse, "--init-from", folder / "mse"], f"the checkpoint's arch is {ARCH}, but dncnn3 is needed"),
    (ARCH, [*mse, "--init-from", folder / "large"], "it is no denoiser"),
    (ARCH, [*mse, "--noise-kind", "uniform"], "for Gaussian noise only"),
    (ARCH, [*mse, "--remat"], "--remat is for"),
  ):
    refused(train.main, [small_npz, arch, out, *flags], capsys, message)
  assert not out.exists()
  other = [small_npz, ARCH, folder / "stability", *stability, *RECIPE]
  save(tmp_path / "other", 1)
  init = ["--init-from", folder / "mse"]
  refused(train.main, [*other, "--classifier", tmp_path / "other", *init], capsys, "classifier was")
  ran(train.main, [*other, *behind, *init], capsys)  # already trained


def test_a_dry_run_of_it_writes_nothing(folder, small_npz, tmp_path, capsys):
  flags = ["--noise", 0.5, *RECIPE, "--objective", "denoise_stability", "--classifier", folder / "classifier"]
  assert (
    "nothing was written" in ran(train.main, [small_npz, ARCH, tmp_path / "o", *flags, "--dry-run"], capsys).out
  )
  assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(("arch", "parallel"), [("cifar_dncnn", False), ("imagenet_dncnn", True)])
def test_a_published_file_is_converted_and_trained_on(arch, parallel, tmp_path, capsys):
  torch, reference = pytest.importorskip("torch"), pytest.importorskip("torch_dncnn")
  net = reference.random_network(4, 8)
  content = reference.published(net, arch, parallel)
  torch.save(content, tmp_path / "checkpoint.pth.tar")
  said = ran(convert.main, [tmp_path / "checkpoint.pth.tar", tmp_path / "out", "--noise", 0.25], capsys).err
  assert "what tensors do not show: ReLU, batch norms with eps 1e-4" in said
  found = denoiser.load(tmp_path / "out")
  side = 32 if arch.startswith("cifar") else 224
  assert (found.spec.arch, found.spec.image_shape) == ("dncnn4_8", (side, side, 3))
  assert found.metadata["noise_sd"] == 0.25 and found.metadata["origin"]["file"] == "checkpoint.pth.tar"
  kernel = net.state_dict()["dncnn.2.weight"].numpy().transpose(2, 3, 1, 0)
  assert (found.variables["params"]["2"]["kernel"] == kernel).all()

  for changed, message in (
    (content | {"arch": "dncnn"}, "does not say by its arch"),
    (content["state_dict"], "does not say by its arch"),
    (content | {"state_dict": {**content["state_dict"], "dncnn.99.weight": torch.zeros(1)}}, "does not fit"),
    (content | {"state_dict": {n: t / 0 for n, t in content["state_dict"].items()}}, "not finite"),
  ):
    torch.save(changed, tmp_path / "bad.pth.tar")
    refused(convert.main, [tmp_path / "bad.pth.tar", tmp_path / "no"], capsys, message)
  refused(
    convert.main,
    [tmp_path / "checkpoint.pth.tar", tmp_path / "no", "--normalization", "cifar10"],
    capsys,
    "--normalization, --check and --key are for classifiers",
  )

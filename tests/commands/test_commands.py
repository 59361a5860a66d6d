"""The commands as users type them: output, bad input, and being killed."""

import contextlib
import signal
import sys

import helpers
import jax
import numpy as np
import pytest
from helpers import contents, refused, without_time
from PIL import Image

from rsjax import analyze, certify, data, models, predict, quickstart, results, train
from rsjax.classifiers import checkpoint
from rsjax.cli import progress


@pytest.fixture
def no_compilation(monkeypatch):
  """Fails the test if anything is lowered to be compiled."""

  def refuse(*args, **kwargs):
    raise AssertionError("something was compiled")

  monkeypatch.setattr(jax.stages.Lowered, "compile", refuse)
  monkeypatch.setattr("rsjax.smoothing.votes._make_step", refuse)
  monkeypatch.setattr("rsjax.smoothing.inspection.Inspector._run", refuse)
  monkeypatch.setattr("rsjax.training.step.make_step", refuse)
  monkeypatch.setattr("rsjax.training.step.make_init", refuse)


def test_train_certify_predict(trained, tmp_path, capsys):
  out, answers = tmp_path / "c.tsv", tmp_path / "p.tsv"
  assert certify.main(["digits", trained, "0.25", str(out), "--skip", "100", "--N", "500"]) == 0
  said = capsys.readouterr()
  assert "4 of 4 images" in said.out and "draws/s" in said.out and "ACR" in said.out
  assert "600 draws per image" in said.err
  assert "note" not in said.err
  read = results.read(out)
  assert read.complete
  assert read.columns["idx"].tolist() == [0, 100, 200, 300]
  assert read.manifest["about"]["checkpoint"]["noise_sd"] == 0.25
  assert {"jax", "rsjax", "devices", "rows"} <= set(read.manifest["sessions"][0])

  assert predict.main(["digits", trained, "0.25", str(answers), "--max", "3", "--split", "train"]) == 0
  assert "3 images:" in capsys.readouterr().out

  assert certify.main(["digits", trained, "0.5", str(tmp_path / "other"), "--max", "1", "--N", "50"]) == 0
  assert "trained with noise_sd = 0.25, not 0.5" in capsys.readouterr().err
  assert results.read(answers).columns["votes"][0]


def test_the_same_command_on_a_finished_file_computes_nothing(trained, tmp_path, capsys, request):
  arguments = ["digits", trained, "0.25", str(tmp_path / "c.tsv"), "--max", "2", "--N", "500"]
  assert certify.main(arguments) == 0
  before = contents(tmp_path)
  request.getfixturevalue("no_compilation")
  assert certify.main(arguments) == 0
  assert contents(tmp_path) == before
  assert "all already done" in capsys.readouterr().out


def test_rows_and_devices_do_not_change_the_file(trained, tmp_path):
  texts = []
  for batch in ("64", "1000"):
    out = tmp_path / f"{batch}.tsv"
    assert (
      certify.main(["digits", trained, "0.25", str(out), "--max", "3", "--N", "700", "--batch", batch]) == 0
    )
    texts.append(without_time(out))
  assert texts[0] == texts[1]


@pytest.fixture(scope="module")
def in_colour(tmp_path_factory):
  """(a .npz data set of 8x8x3, a classifier trained on it with crops and flips)."""
  folder = tmp_path_factory.mktemp("colour")
  path, model = helpers.write_npz(folder / "data.npz", shape=(8, 8, 3)), folder / "out"
  training = [path, "convnet", model, "--epochs", 1, "--batch", 16, "--augment", "crop-flip"]
  assert train.main([str(a) for a in training]) == 0
  return str(path), str(model)


def test_labels_do_not_change_certificates(in_colour, tmp_path):
  """The same images under other labels: the same predictions and radii."""
  path, model = in_colour
  other = helpers.write_npz(tmp_path / "other.npz", shape=(8, 8, 3), y_test=(np.arange(40) + 1) % 3)
  columns = []
  for i, dataset in enumerate((path, other)):
    out = tmp_path / f"{i}.tsv"
    argv = [dataset, model, "0.5", out, "--max", "5", "--N", "300", "--batch", "64"]
    assert certify.main([str(a) for a in argv]) == 0
    columns.append(results.read(out).columns)
  for name in ("predict", "radius", "votes0", "votes"):
    assert columns[0][name].tolist() == columns[1][name].tolist()
  assert columns[0]["correct"].tolist() != columns[1]["correct"].tolist()


def test_draws_that_are_not_finite_are_reported(tmp_path, capsys):
  model = models.create("convnet", num_classes=10, mean=(0.3,), std=(0.3,))
  variables = jax.device_get(models.init(model, jax.random.key(0), (8, 8, 1)))
  variables = jax.tree.map(lambda leaf: np.full_like(leaf, 1e30), variables)
  metadata = {"arch": "convnet", "num_classes": 10, "image_shape": [8, 8, 1], "mean": [0.3], "std": [0.3]}
  checkpoint.save(tmp_path / "m", variables, metadata)
  assert (
    certify.main(["digits", str(tmp_path / "m"), "0.5", str(tmp_path / "o"), "--max", "1", "--N", "50"]) == 0
  )
  assert "150 draws of 1 image gave logits that are not finite" in capsys.readouterr().err
  assert results.read(tmp_path / "o").columns["predict"].tolist() == [-1]


def test_a_classifier_at_chance_is_told_before_it_is_certified(tmp_path, capsys):
  model = models.create("convnet", num_classes=10, mean=(0.3,), std=(0.3,))
  variables = jax.device_get(models.init(model, jax.random.key(0), (8, 8, 1)))
  metadata = {"arch": "convnet", "num_classes": 10, "image_shape": [8, 8, 1], "mean": [0.3], "std": [0.3]}
  checkpoint.save(tmp_path / "m", variables, metadata)
  for command, extra in ((certify, ["--N0", "1"]), (predict, [])):
    out = tmp_path / command.__name__
    assert (
      command.main(["digits", str(tmp_path / "m"), "0.5", str(out), "--max", "16", "--N", "20", *extra]) == 0
    )
    said = capsys.readouterr().err
    assert "note: accuracy with noise is at chance" in said or "is answered for" in said


def test_a_batch_that_memory_has_no_room_for_is_made_smaller(trained, tmp_path, capsys, monkeypatch):
  argv = lambda out: ["digits", trained, "0.25", str(tmp_path / out), "--max", "2", "--N", "300"]
  assert certify.main(argv("usual")) == 0
  monkeypatch.setattr("rsjax.devices.memory_free", lambda device: 10**8)
  capsys.readouterr()
  assert certify.main([*argv("large"), "--batch", str(2**24)]) == 0
  assert f"memory is too small for {2**24} noisy images per step: going on with" in capsys.readouterr().err
  assert without_time(tmp_path / "usual") == without_time(tmp_path / "large")


def rows_of(path):
  return {row[0]: row for row in without_time(path)[1:]}


def test_max_may_grow_on_a_file_and_its_rows_stay(trained, tmp_path, capsys):
  argv = lambda out, *more: ["digits", trained, "0.25", str(tmp_path / out), "--N", "100", "--skip", "9", *more]
  assert certify.main(argv("grown", "--max", "2")) == 0
  before = (tmp_path / "grown").read_text()
  assert certify.main(argv("grown", "--max", "4")) == 0
  assert (tmp_path / "grown").read_text().startswith(before)
  assert certify.main(argv("whole", "--max", "4")) == 0
  assert without_time(tmp_path / "grown") == without_time(tmp_path / "whole")
  assert results.read(tmp_path / "grown").expected == 4
  capsys.readouterr()
  kept = contents(tmp_path)
  assert certify.main(argv("grown", "--max", "3")) == 2
  said = capsys.readouterr().err
  assert "max was 4, is now 3" in said and "delete" not in said
  assert contents(tmp_path) == kept


def test_chosen_images_and_shards_are_the_rows_of_a_whole_run(trained, tmp_path, capsys):
  argv = lambda out, *more: ["digits", trained, "0.25", str(tmp_path / out), "--N", "100", *more]
  assert certify.main(argv("whole", "--skip", "50", "--max", "5")) == 0
  whole = rows_of(tmp_path / "whole")
  assert certify.main(argv("some", "--indices", "150,50")) == 0
  assert list(rows_of(tmp_path / "some").items()) == [(i, whole[i]) for i in ("150", "50")]
  for i in (1, 2):
    assert certify.main(argv(f"part{i}", "--skip", "50", "--max", "5", "--shard", f"{i}/2")) == 0
  assert rows_of(tmp_path / "part1") | rows_of(tmp_path / "part2") == whole
  table = lambda *names: analyze.main([str(tmp_path / name) for name in names]) or capsys.readouterr()
  capsys.readouterr()
  wanted = next(line for line in table("whole").out.splitlines() if line.startswith("sigma"))
  assert wanted in table("part2", "part1").out
  half = table("part1")
  assert "3 of 5" in half.out + half.err and "shards 2 of 2 are missing" in half.err
  assert analyze.main([str(tmp_path / "part1"), str(tmp_path / "part1")]) == 2
  assert "are both shard 1/2 of one run" in capsys.readouterr().err


def test_a_dry_run_says_what_a_run_takes_and_writes_nothing(trained, tmp_path, capsys, monkeypatch):
  monkeypatch.chdir(tmp_path)
  argv = ["digits", trained, "0.25", "c.tsv", "--max", "3"]
  assert certify.main([*argv, "--dry-run"]) == 0
  said = capsys.readouterr().out
  assert "3 images; 100,100 draws per image, 300,300 in all" in said
  assert "draws/s, as measured here; memory" in said and "would write c.tsv, about" in said
  assert predict.main([*argv, "--dry-run"]) == 0
  said = capsys.readouterr().out
  assert "3 images; at most 100,000 draws per image, 300,000 in all" in said and "\nat most " in said
  assert train.main(["digits", "convnet", "out", "--epochs", "2", "--batch", "64", "--dry-run"]) == 0
  said = capsys.readouterr().out
  assert "1,437 images, 2 epochs of 23 steps" in said and "images/s, as measured here" in said
  assert contents(tmp_path) == {}
  argv += ["--N", "100"]
  assert certify.main(argv) == 0
  before = contents(tmp_path)
  assert certify.main([*argv, "--dry-run"]) == 0
  said = capsys.readouterr().out
  assert "3 of them already done" in said and "nothing to do" in said
  assert certify.main(["digits", trained, "0.5", *argv[3:], "--dry-run"]) == 2
  assert "note: the classifier was trained with noise_sd = 0.25, not 0.5" in capsys.readouterr().err
  assert contents(tmp_path) == before


def test_certifying_never_augments(in_colour, tmp_path, monkeypatch):
  """Whatever the split, and whatever the classifier was trained with."""
  path, model = in_colour

  def never(*args, **kwargs):
    raise AssertionError("augmented")

  for name in ("augment.augment", "augment._crop", "step.augment"):
    monkeypatch.setattr(f"rsjax.training.{name}", never)
  for name in ("stream", "random_resized_crop"):
    monkeypatch.setattr(f"rsjax.data.streaming.{name}", never)
  for split in ("train", "test"):
    outfile = tmp_path / f"{split}.tsv"
    arguments = [path, model, 0.1, outfile, "--split", split, "--max", 4, "--N", 50, "--batch", 64]
    assert certify.main([str(a) for a in arguments]) == 0
    assert len(results.read(outfile)) == 4


@pytest.mark.parametrize(
  ("change", "said"),
  [
    ({"dataset": "cifar11"}, ["unknown data set 'cifar11'", "digits"]),
    ({"checkpoint": "missing"}, ["no checkpoint at", "rsjax.train"]),
    ({"checkpoint": "."}, ["not a checkpoint of rsjax"]),
    ({"sigma": "0"}, ["sigma", "got 0.0"]),
    ({"sigma": "-0.5"}, ["sigma"]),
    ({"sigma": "inf"}, ["sigma"]),
    ({"sigma": "1e-60"}, ["sigma"]),
    ({"sigma": "much"}, ["invalid float", "much"]),
    ({"--N": "0"}, ["n must be", "got 0"]),
    ({"--N": "9"}, ["n = 9", "give n >= 10"]),
    ({"--N": "1e5"}, ["invalid int"]),
    ({"--N0": "0"}, ["n0 must be", "got 0"]),
    ({"--alpha": "0"}, ["alpha", "got 0.0"]),
    ({"--alpha": "1"}, ["alpha", "got 1.0"]),
    ({"--seed": "-1"}, ["seed", "got -1"]),
    ({"--split": "valid"}, ["unknown split 'valid'", "train, test"]),
    ({"--skip": "0"}, ["skip must be at least 1"]),
    ({"--max": "0"}, ["max must be at least 1"]),
    ({"--batch": "0"}, ["--batch (noisy images per step)", "got 0"]),
    ({"--batch": "1000000000000"}, ["--batch", "got 1000000000000"]),
    ({"--processes": "2"}, ["--coordinator, --processes and --process need --distributed"]),
    ({"--dtype": "float16"}, ["--dtype", "float32"]),
    ({"outfile": "."}, ["is a directory"]),
    ({"outfile": "/proc/no/such.tsv"}, ["cannot be written"]),
    ({"outfile": "data.npz"}, ["no manifest"]),
  ],
)
def test_certify_refuses_bad_input(
  change, said, trained, tmp_path, capsys, monkeypatch, no_compilation, write_npz
):
  monkeypatch.chdir(tmp_path)
  write_npz()
  given = {"dataset": "digits", "checkpoint": trained, "sigma": "0.5", "outfile": "o.tsv"} | change
  flags = [text for key, value in given.items() if key.startswith("--") for text in (key, value)]
  positional = [value for key, value in given.items() if not key.startswith("--")]
  refused(certify.main, [*flags, "--", *positional], capsys, *said, folder=tmp_path)


def test_predict_refuses_an_n_that_never_answers(trained, tmp_path, capsys, no_compilation):
  refused(predict.main, ["digits", trained, 0.5, tmp_path / "o", "--N", 10], capsys, "n >= 11", folder=tmp_path)


@pytest.mark.parametrize(
  ("arrays", "said"),
  [
    (dict(shape=(9, 8, 1), classes=10), ["9x8x1", "8x8x1"]),
    (dict(shape=(8, 8, 3), classes=10), ["8x8x3", "8x8x1"]),
    (dict(classes=3), ["has 3 classes, but the checkpoint has 10"]),
    (dict(class_names=np.array(list("abcdefghij"))), ["class 0 is 'a'", "'0' in the checkpoint"]),
    (dict(x_test=np.zeros((40, 8, 8, 1))), ["uint8", "float64"]),
  ],
)
def test_checkpoints_for_other_data_are_refused(
  arrays, said, trained, tmp_path, capsys, no_compilation, write_npz
):
  refused(certify.main, [write_npz(**arrays), trained, 0.5, tmp_path / "o"], capsys, *said, folder=tmp_path)


def test_a_folder_of_some_of_the_classes_is_refused_with_the_mend(trained, tmp_path, capsys, no_compilation):
  for split, classes in (("test", "01"), ("train", "0123456789")):
    if split == "train":
      said = ["has 2 classes, but the checkpoint has 10", "needs a train/ beside it"]
      refused(certify.main, [tmp_path, trained, 0.5, tmp_path / "o"], capsys, *said)
    for name in classes:
      (tmp_path / split / name).mkdir(parents=True)
      level = np.full((8, 8), 100 + 10 * int(name) + (split == "test"), np.uint8)
      Image.fromarray(level).save(tmp_path / split / name / "0.png")
  assert data.load(str(tmp_path), "test").num_classes == 10


def test_an_output_file_of_another_run_is_refused(trained, tmp_path, capsys, request):
  out = tmp_path / "o.tsv"
  assert certify.main(["digits", trained, "0.25", str(out), "--max", "2", "--N", "100"]) == 0
  capsys.readouterr()
  request.getfixturevalue("no_compilation")
  for main, sigma, images, said in (
    (certify.main, 0.5, 2, "sigma was 0.25, is now 0.5"),
    (certify.main, 0.25, 1, "max was 2"),
    (predict.main, 0.25, 2, "command was"),
  ):
    arguments = ["digits", trained, sigma, out, "--max", images, "--N", 100]
    refused(main, arguments, capsys, said, folder=tmp_path)


@pytest.mark.parametrize(
  ("arguments", "said"),
  [
    (["nothing", "convnet", "out"], ["unknown data set"]),
    (["digits", "resnet18", "out"], ["unknown architecture 'resnet18'", "cifar_resnet20"]),
    (["digits", "convnet", "out", "--noise", "-1"], ["noise_sd must be a number >= 0"]),
    (["digits", "convnet", "out", "--epochs", "0"], ["epochs must be at least 1"]),
    (["digits", "convnet", "data.npz"], ["is a file"]),
    (["digits", "lenet", "out"], ["lenet needs images of at least 16x16 pixels, got 8x8"]),
    (["data.npz", "convnet", "out"], ["lacks x_test"]),
    (["one.npz", "convnet", "out"], ["all 40 training images are of one class, bee", "two or more"]),
  ],
)
def test_train_refuses_bad_input(arguments, said, tmp_path, capsys, monkeypatch, no_compilation, write_npz):
  monkeypatch.chdir(tmp_path)
  write_npz(x_test=None)
  write_npz("one.npz", y_train=np.ones(40, int), class_names=np.array(["ant", "bee", "cow"]))
  refused(train.main, arguments, capsys, *said, folder=tmp_path)


def test_diverged_training_exits_with_1(small_npz, tmp_path, capsys):
  arguments = [small_npz, "convnet", tmp_path / "out", "--lr", "1e30", "--epochs", "2", "--batch", "16"]
  assert train.main([str(a) for a in arguments]) == 1
  assert "loss is" in capsys.readouterr().err


def test_resume_says_where_there_is_nothing_to_continue(small_npz, tmp_path, capsys):
  arguments = [small_npz, "convnet", str(tmp_path / "out"), "--epochs", "1", "--batch", "16", "--resume"]
  assert train.main(arguments) == 0
  assert "nothing to continue" in capsys.readouterr().err
  assert train.main(arguments) == 0
  assert "nothing to continue" not in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["sklearn", "matplotlib"])
def test_missing_extras_are_named_with_the_command_that_mends_it(missing, monkeypatch, capsys, tmp_path):
  monkeypatch.setitem(sys.modules, missing, None)
  package = {"sklearn": "scikit-learn"}.get(missing, missing)
  refused(quickstart.main, ["--out", tmp_path / "q"], capsys, f"pip install {package}", folder=tmp_path)


def test_quickstart(tmp_path, capsys):
  out = tmp_path / "q"
  arguments = ["--out", str(out), "--epochs", "1", "--max", "2", "--N", "200", "--sigma", "0.25", "0.5"]
  assert quickstart.main(arguments) == 0
  said = capsys.readouterr().out
  assert "$ python -m rsjax.certify digits" in said
  assert "sigma = 0.5" in said
  assert "next:" in said
  assert (out / "certified_accuracy.png").stat().st_size > 10_000
  assert results.read(out / "certify_0.25.tsv").complete
  assert quickstart.main(arguments) == 0  # again: nothing is done twice, nothing refused


def test_an_interrupt_that_is_lost_in_a_garbage_collection_still_ends_the_run(trained, tmp_path, monkeypatch):
  progress_row = progress.RunProgress.row

  def row(self):
    with contextlib.suppress(KeyboardInterrupt):  # as where a callback of the collector raises it
      signal.raise_signal(signal.SIGINT)
    progress_row(self)

  monkeypatch.setattr(progress.RunProgress, "row", row)
  out = tmp_path / "o.tsv"
  arguments = ["digits", trained, "0.5", str(out), "--max", "20", "--N", "500", "--batch", "64"]
  assert certify.main(arguments) == 130
  assert 1 <= len(results.read(out)) < 20


def test_an_interrupted_quickstart_says_so_and_exits_with_130(tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(train, "main", lambda argv: 130)
  assert quickstart.main(["--out", str(tmp_path / "q")]) == 130
  assert "rsjax.quickstart: interrupted" in capsys.readouterr().err

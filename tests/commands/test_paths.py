"""Paths as users give them: addresses, brackets, links, names that are not UTF-8, files that are unreadable."""

import argparse
import ast
import importlib
import os
import pathlib
import shutil

import numpy as np
import pytest
import test_architecture
from helpers import DIGITS, contents, linear, ran, refused

import rsjax
from rsjax import analysis, analyze, certify, data, devices, prepare, results, train, visualize
from rsjax.analysis.reports import images
from rsjax.classifiers import checkpoint, denoised, denoiser, ensemble, torch_denoisers, torch_files
from rsjax.data import preparation
from rsjax.errors import InputError
from rsjax.noise import Gaussian
from rsjax.procedures import Certify
from rsjax.runs import certification, finding, split, training
from rsjax.runs.votes import read_shares
from rsjax.smoothing import Execution, Smoothed, tuning

ADDRESS = "gs://bucket/x"

# What each command is given, by the name of its argument, where another argument is the address.
GIVEN = {
  "dataset": "digits",
  "arch": "convnet",
  "checkpoint": "c",
  "sigma": "0.25",
  "outfile": "o.tsv",
  "outdir": "out",
  "index": "0",
  "results": "r.tsv",
  "files": "r.tsv",
  "name": "cifar10",
  "source": "originals",
}
# Any other argument that takes text is tested as a path: sort a new one in here where it is none.
NO_PATHS = {"arch", "index", "key", "name", "split", "coordinator", "normalization", "label", "title", "shard",
            "radii", "tolerance", "time_budget", "give_up", "claim"}  # fmt: skip


def text_arguments(command):
  """The arguments of a command that take any text: paths, unless they are in NO_PATHS."""
  parser = importlib.import_module(f"rsjax.{command}").parser()
  taken = [a for a in parser._actions if a.type is None and a.choices is None and a.nargs != 0]
  return [a.dest for a in taken if a.dest not in NO_PATHS]


def argv_with(command, dest, value):
  """Arguments of a command, of which `dest` has this value."""
  needed, optional = [], []
  for action in importlib.import_module(f"rsjax.{command}").parser()._actions:
    given = value if action.dest == dest else GIVEN.get(action.dest)
    if not action.option_strings:
      needed.append(given)
    elif action.dest == dest or action.required:
      optional += [action.option_strings[-1], given]
  return [*optional, *(["--", *needed] if needed else [])]


@pytest.mark.parametrize(
  ("command", "argument"),
  [(command, dest) for command in sorted(test_architecture.COMMANDS) for dest in text_arguments(command)],
)
def test_every_command_refuses_an_address_for_each_of_its_paths(
  command, argument, capsys, tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  pathlib.Path("originals").mkdir()
  for ending in ("", ".json"):
    shutil.copy(f"{DIGITS[0]}{ending}", f"r.tsv{ending}")
  main = importlib.import_module(f"rsjax.{command}").main
  argv = argv_with(command, argument, ADDRESS)
  refused(main, argv, capsys, ADDRESS, "not on this machine", "gcsfuse", folder=tmp_path)
  assert sorted(p.name for p in tmp_path.iterdir()) == ["originals", "r.tsv", "r.tsv.json"]


def face():
  return rsjax.smooth(linear, (np.zeros(16, np.float32), np.float32(0)), sigma=0.25)


def job():
  images = np.zeros((1, 4, 4, 1), np.uint8)
  smoothed = Smoothed(linear, (np.zeros(16, np.float32), np.float32(0)), Gaussian(0.25))
  return certification.Job(smoothed, images, np.zeros(1, int), [0], Certify(n=100))


IMAGES, LABELS = np.zeros((1, 4, 4, 1), np.uint8), np.zeros(1, int)
found = lambda: rsjax.read(DIGITS[0])
run = lambda **paths: split.run(
  **{"dataset_name": "digits", "checkpoint_path": "c", "outfile": "o.tsv"} | paths,
  noise=Gaussian(0.25),
  procedure=Certify(n=100),
)
fit = lambda **paths: training.run(
  **{"dataset_name": "digits", "outdir": "o"} | paths,
  arch="convnet",
  objective=importlib.import_module("rsjax.training").Gaussian(0.25),
  recipe=importlib.import_module("rsjax.training").Recipe(),
)
manifest = lambda: results.Manifest({"sigma": 0.25}, [0], {}, {})

# Every public function's parameter that is a path of a user: "module function parameter" -> a call with it.
TAKING = {
  "__init__ read path": rsjax.read,
  "analysis/found Found.plot path": lambda p: found().plot(p),
  "analysis/found Found.report path": lambda p: found().report(p),
  "analysis/found Found.save path": lambda p: found().save(p),
  "analysis/plots plot paths": lambda p: analysis.plot([results.read(DIGITS[0])], [p]),
  "analysis/reports/__init__ report path": lambda p: analysis.report([results.read(DIGITS[0])], p),
  "analysis/reports/__init__ report data_dir": lambda p: analysis.report(
    [results.read(DIGITS[0])], "x.html", data_dir=p
  ),
  "analysis/reports/__init__ check_report path": analysis.check_report,
  "analysis/reports/images extremes data_dir": lambda p: images.extremes(results.read(DIGITS[0]), {}, None, p),
  "classifiers/checkpoint save path": lambda p: checkpoint.save(p, {}, {}),
  "classifiers/checkpoint check_path path": checkpoint.check_path,
  "classifiers/checkpoint load path": checkpoint.load,
  "classifiers/checkpoint load_tree path": lambda p: checkpoint.load_tree(p, {}),
  "classifiers/checkpoint read_metadata path": checkpoint.read_metadata,
  "classifiers/checkpoint read path": checkpoint.read,
  "classifiers/denoised load denoiser_path": lambda p: denoised.load("c", p, Gaussian(0.25)),
  "classifiers/denoiser load path": denoiser.load,
  "classifiers/ensemble several paths": lambda p: ensemble.load(ensemble.several(p)),
  "classifiers/ensemble load paths": lambda p: ensemble.load([p, p]),
  "classifiers/torch_denoisers read path": torch_denoisers.read,
  "classifiers/torch_files read path": torch_files.read,
  "classifiers/torch_files write path": lambda p: torch_files.write(p, {}, {"arch": "resnet50"}),
  "data/__init__ load name": lambda p: data.load(p, "test"),
  "data/__init__ load data_dir": lambda p: data.load("digits", "test", p),
  "data/named builder data_dir": lambda p: data.named.builder("cifar10", p),
  "data/named load data_dir": lambda p: data.named.load("cifar10", "test", p),
  "data/preparation prepare source": lambda p: preparation.prepare("cifar10", p),
  "data/preparation prepare data_dir": lambda p: preparation.prepare("cifar10", ".", p),
  "devices/compiling keep_compiled directory": devices.keep_compiled,
  "results/foreign read_any path": results.read_any,
  "results/foreign read_foreign path": results.read_foreign,
  "results/manifest manifest_path path": results.manifest_path,
  "results/reading read path": results.read,
  "results/writing open_for_append path": lambda p: results.open_for_append(
    p, manifest(), results.CERTIFY_COLUMNS
  ).__enter__(),
  "results/writing rows_done path": lambda p: results.rows_done(p, manifest(), results.CERTIFY_COLUMNS),
  "results/writing save path": lambda p: results.save(results.read(DIGITS[0]), p),
  "runs/attackable Attackable.attack file": lambda p: face().attack(IMAGES, LABELS, radii=0.5, file=p),
  "runs/certification into_file outfile": lambda p: certification.into_file(job(), p),
  "runs/face SmoothedClassifier.certify file": lambda p: face().certify(IMAGES, LABELS, file=p),
  "runs/face SmoothedClassifier.predict file": lambda p: face().predict(IMAGES, LABELS, file=p),
  "runs/finding found file": lambda p: finding.found(job(), p, Execution(), False, None),
  "runs/making load path": lambda p: rsjax.load(p, sigma=0.25),
  "runs/making load denoiser": lambda p: rsjax.load("c", sigma=0.25, denoiser=p),
  "runs/split run denoiser": lambda p: run(denoiser=p),
  "runs/split run dataset_name": lambda p: run(dataset_name=p),
  "runs/split run checkpoint_path": lambda p: run(checkpoint_path=p),
  "runs/split run outfile": lambda p: run(outfile=p),
  "runs/split run data_dir": lambda p: run(data_dir=p),
  "runs/training run dataset_name": lambda p: fit(dataset_name=p),
  "runs/training run votes": lambda p: fit(votes=p),
  "runs/votes read_shares path": lambda p: read_shares(p, data.load("digits", "train")),
  "runs/training run classifier": lambda p: fit(classifier=p),
  "runs/training run outdir": lambda p: fit(outdir=p),
  "runs/training run data_dir": lambda p: fit(data_dir=p),
  "runs/training run init_from": lambda p: fit(init_from=p),
  "smoothing/tuning best_rows cache": lambda p: tuning.best_rows(
    linear, (np.zeros(16, np.float32), np.float32(0)), (4, 4, 1), str, draws=10**9, cache=p
  ),
}
# Those that are called by the ones above, with a path that was checked.
INNER = {
  "classifiers/normalization",
  "files",
  "runs/training_inputs",
  "results/manifest read_manifest",
  "results/manifest write_manifest",
  "results/manifest write_content",
  "results/reading read_rows",
  "results/reading check_labels",
  "results/reading check_rows",
  "results/reading parse_columns",
  "results/reading column",
  "runs/split job_of",
  "runs/training job_of",
}


def test_the_table_has_every_public_function_that_takes_a_path():
  annotated = {
    f"{test_architecture.name_of(file).removesuffix('.py')} {name} {parameter.arg}"
    for file in test_architecture.FILES
    for name, function in test_architecture.public(ast.parse(file.read_text()))
    for parameter in test_architecture.parameters(function)
    if parameter.annotation is not None and "str | pathlib.Path" in ast.unparse(parameter.annotation)
  }
  unknown = {key for key in annotated - TAKING.keys() if not any(key.startswith(f"{i} ") for i in INNER)}
  assert unknown == set()


@pytest.mark.parametrize("address", [ADDRESS, "s3://bucket/x", pathlib.Path(ADDRESS)])
@pytest.mark.parametrize("call", TAKING.values(), ids=TAKING)
def test_every_function_refuses_an_address(call, address, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(InputError, match=r"bucket/x is not on this machine.*gcsfuse"):
    call(address)
  assert contents(tmp_path) == {}


@pytest.mark.parametrize("given", [3, None, "a\0b", "-", "~", "~/x", "~someone/x", "x" * 241, f"{'é' * 121}/y"])
def test_what_is_no_path_is_refused(given):
  for call in (rsjax.read, lambda p: rsjax.load(p, sigma=0.25), lambda p: data.load(p, "test")):
    with pytest.raises(InputError, match=r"a path|only known to shells|give a path"):
      call(given)


def test_brackets_in_a_path_work_or_are_refused_before_anything_is_written(
  write_npz, trained, tmp_path, capsys, monkeypatch
):
  """Where a library would take them for a pattern, what was written could not be read again."""
  place = tmp_path / "runs[1]*"
  place.mkdir()
  given = shutil.move(write_npz(), place / "data?.npz")
  assert data.load(given, "test").image_shape == (8, 8, 1)
  out = place / "o[2].tsv"
  kept = place / "programs[3]"
  arguments = ["digits", trained, 0.25, out, "--max", 1, "--N", 50, "--batch", 64, "--compilation-cache", kept]
  ran(certify.main, arguments, capsys)
  ran(visualize.main, [given, place / "v", 0, 0.5], capsys)
  ran(analyze.main, [out, "-o", place / "tables"], capsys)
  for main, arguments in (
    (train.main, [given, "convnet", place / "m"]),
    (prepare.main, ["mnist", "--from", tmp_path, "--data-dir", place]),
    (certify.main, [given, place / "m", 0.25, tmp_path / "o.tsv"]),
  ):
    refused(main, arguments, capsys, "cannot contain", "runs[1]*", folder=tmp_path)


def test_names_that_are_not_utf8(tmp_path, capsys, write_npz):
  odd = pathlib.Path(os.fsdecode(os.fsencode(tmp_path) + b"/n\xff"))
  odd.mkdir()
  for ending in ("", ".json"):
    shutil.copy(f"{DIGITS[0]}{ending}", odd / f"a{ending}")
    shutil.copy(f"{DIGITS[0]}", odd / os.fsdecode(b"b\xfe.tsv"))
  files = [odd / "a", odd / os.fsdecode(b"b\xfe.tsv")]
  ran(analyze.main, [*files, "-o", odd / "t", "--title", os.fsdecode(b"\xff")], capsys)
  assert len(list((odd / "t").iterdir())) == 7
  named = shutil.move(write_npz(), odd / "d.npz")
  ran(visualize.main, [named, odd / "v", 0, 0.5], capsys)
  refused(train.main, [named, "convnet", odd / "m"], capsys, "bytes that are not text", folder=tmp_path)


def test_a_link_in_place_of_a_checkpoint_leads_to_it(trained, tmp_path):
  kept = checkpoint.load(trained)
  (tmp_path / "elsewhere").mkdir()
  link = tmp_path / "checkpoint"
  link.symlink_to(tmp_path / "elsewhere" / "kept")
  for _ in range(3):
    checkpoint.save(link, kept.variables, kept.metadata)
  assert link.is_symlink() and [p.name for p in (tmp_path / "elsewhere").iterdir()] == ["kept"]
  assert checkpoint.load(link).digest == checkpoint.load(tmp_path).digest == kept.digest


def test_what_cannot_be_read_is_not_called_another_thing(trained, tmp_path, monkeypatch):
  copied = shutil.copytree(trained, tmp_path / "m")

  def denied(path, *args, **kwargs):
    raise PermissionError(13, "Permission denied", str(path))

  monkeypatch.setattr("orbax.checkpoint.v1.metadata", denied)
  monkeypatch.setattr("rsjax.files.os.listdir", denied)
  with pytest.raises(InputError, match="cannot be read: Permission denied") as refusal:
    checkpoint.load(copied)
  assert "not a checkpoint" not in str(refusal.value)
  monkeypatch.undo()
  monkeypatch.setattr(pathlib.Path, "is_dir", lambda self: denied(self))
  with pytest.raises(InputError, match="cannot be read: Permission denied"):
    checkpoint.load(copied)
  with pytest.raises(InputError, match="cannot be read: Permission denied"):
    data.load(str(copied), "test")


def test_an_argument_is_either_a_path_or_known_not_to_be():
  """A new argument that takes any text must be sorted into NO_PATHS, or it is tested above."""
  texts = {dest for command in test_architecture.COMMANDS for dest in text_arguments(command)}
  assert texts == {"dataset", "checkpoint", "outfile", "outdir", "data_dir", "compilation_cache", "init_from",
                   "results", "out", "reference", "check", "source", "indices", "files", "data", "votes",
                   "html", "denoiser", "classifier"}  # fmt: skip
  assert isinstance(certify.parser(), argparse.ArgumentParser)

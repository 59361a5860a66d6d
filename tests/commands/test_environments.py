"""Where commands run: without a home directory, with what a notebook leaves in the environment."""

import pwd
import subprocess
import sys

import numpy as np
import pytest
from helpers import DIGITS, ran, refused

import rsjax
from rsjax import analysis, certify, convert, data, prepare, results, train, visualize
from rsjax.noise import Gaussian
from rsjax.procedures import Certify, Predict
from rsjax.runs import split, training
from rsjax.smoothing import tuning
from rsjax.training import Recipe, objectives


@pytest.fixture
def no_home(monkeypatch):
  """Neither HOME nor an entry in the list of users, as in many containers."""

  def unknown(*args):
    raise KeyError("uid not found")

  for name in ("HOME", "XDG_CACHE_HOME", "TFDS_DATA_DIR"):
    monkeypatch.delenv(name, raising=False)
  monkeypatch.setattr(pwd, "getpwuid", unknown)
  monkeypatch.setattr(pwd, "getpwnam", unknown)


def test_without_a_home_directory(no_home, trained, linear_variables, tmp_path, capsys, monkeypatch):
  from helpers import linear

  monkeypatch.chdir(tmp_path)
  ran(certify.main, ["digits", trained, 0.25, "o.tsv", "--max", 1, "--N", 50, "--batch", 64], capsys)
  monkeypatch.setattr(tuning, "_FEWEST_STEPS", 0)
  monkeypatch.setattr(tuning, "_SECONDS", 0.001)
  assert tuning.best_rows(linear, linear_variables, (4, 4, 1), lambda: "linear", draws=10**7) > 0
  refused(certify.main, ["cifar10", trained, 0.25, "p.tsv"], capsys, "no home directory", "--data-dir")
  refused(prepare.main, ["cifar10", "--from", tmp_path], capsys, "no home directory", "--data-dir")
  assert sorted(p.name for p in tmp_path.iterdir()) == [".o.tsv.lock", "o.tsv", "o.tsv.json"]


@pytest.mark.parametrize("backend", ["module://matplotlib_inline.nowhere", "nonsense"])
def test_a_notebooks_matplotlib_backend_is_no_matter(backend, tmp_path, monkeypatch):
  monkeypatch.setenv("MPLBACKEND", backend)
  code = (
    "import os, sys\n"
    "from rsjax import analysis, results\n"
    "analysis.plot([results.read(sys.argv[1])], sys.argv[2])\n"
    "assert os.environ['MPLBACKEND'] == sys.argv[3]\n"
  )
  subprocess.run([sys.executable, "-c", code, DIGITS[0], tmp_path / "x.png", backend], check=True)
  assert (tmp_path / "x.png").stat().st_size > 5000


def test_numpys_numbers_and_paths_are_as_good_as_pythons(write_npz, tmp_path):
  f, i = np.float32, np.int64
  given = write_npz()
  objective = objectives.Gaussian(f(0.25), f(0))
  recipe = Recipe(epochs=i(1), batch=i(16), lr=f(0.1), momentum=f(0.9), weight_decay=f(1e-4), seed=i(0))
  for _ in range(2):
    training.run(given, "convnet", tmp_path / "m", objective, recipe)
  for procedure in (Certify(i(10), i(50), f(0.01)), Predict(np.array(50), f(0.01))):
    out = tmp_path / f"{procedure.command}.tsv"
    for _ in range(2):
      chosen = data.Selection(skip=i(2), max_images=i(2), start=i(1))
      noise, settings = Gaussian(f(0.25)), dict(seed=i(0), rows=i(64))
      found = split.run(given, tmp_path / "m", noise, procedure, out, chosen, **settings)
    assert found.complete and found.columns["idx"].tolist() == [1, 3]
  changed = analysis.with_alpha(analysis.with_draws(results.read(tmp_path / "certify.tsv"), i(20)), f(0.1))
  results.save(changed, tmp_path / "again.tsv")


@pytest.mark.parametrize(
  ("main", "arguments"),
  [
    (train.main, ["digits", "convnet", "m", "--noise", "SIGMA"]),
    (certify.main, ["digits", "c", "SIGMA", "o.tsv"]),
    (visualize.main, ["digits", "v", "0", "0.25", "SIGMA"]),
    (convert.main, ["c.pth", "m", "--noise", "SIGMA"]),
    (convert.main, ["c.pth", "--check", "digits", "--sigma", "SIGMA"]),
  ],
)
def test_a_sigma_of_grey_levels_is_refused_by_commands(main, arguments, capsys, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  typed = [text.replace("SIGMA", "63.75") for text in arguments]
  refused(
    main, typed, capsys, "= 63.75 is in units of [0, 1] pixels", "give 63.75 / 255 = 0.25", folder=tmp_path
  )


def test_an_unusual_sigma_is_noted_and_a_usual_one_is_not(linear_variables, capsys, tmp_path):
  from helpers import linear

  for sigma, noted in ((2, False), (3, True)):
    said = ran(visualize.main, ["digits", tmp_path / f"{sigma}", 0, sigma], capsys).err
    assert ("note: SIGMA = 3" in said) is noted
  rsjax.smooth(linear, linear_variables, sigma=2.0)
  for sigma in (3.0, 63.75):
    with pytest.warns(UserWarning, match="if you meant grey levels from 0 to 255"):
      rsjax.smooth(linear, linear_variables, sigma=sigma)

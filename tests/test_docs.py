"""The documentation: its examples run, its links lead somewhere, its commands are all there."""

import doctest
import importlib
import re
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import test_architecture
from helpers import DIGITS, ROOT, linear

from rsjax import analysis, bounds, data, models, noise, results, training
from rsjax.classifiers import checkpoint
from rsjax.data import Dataset
from rsjax.noise import threefry
from rsjax.procedures import Certify
from rsjax.smoothing import Execution, Smoothed
from rsjax.smoothing.packing import Request

PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "experiments" / "README.md"])
EXAMPLES = sorted(p for p in (ROOT / "rsjax").rglob("*.py") if ">>> " in p.read_text())
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Where examples run: out.tsv of CERTIFY on digits, out/checkpoint, hardly trained."""
  made = tmp_path_factory.mktemp("examples")
  for ending in ("", ".json"):
    shutil.copy(f"{DIGITS[1]}{ending}", made / f"out.tsv{ending}")
  model = models.create("convnet", num_classes=10, mean=(0.5,), std=(0.25,))
  facts = {"arch": "convnet", "num_classes": 10, "image_shape": [8, 8, 1], "mean": [0.5], "std": [0.25]}
  checkpoint.save(made / "out" / "checkpoint", models.init(model, jax.random.key(0), (8, 8, 1)), facts)
  return made


@pytest.fixture
def names(linear_variables, images, folder):
  """What the docstrings' examples take for granted."""
  part = lambda split: Dataset(
    "some digits", split, data.load("digits", split).images[:16], np.arange(16) % 10, 10, None, "digest"
  )
  return {
    "jax": jax,
    "jnp": jnp,
    "np": np,
    "analysis": analysis,
    "bounds": bounds,
    "data": data,
    "models": models,
    "results": results,
    "threefry": threefry,
    "Certify": Certify,
    "Execution": Execution,
    "Gaussian": noise.Gaussian,
    "Recipe": training.Recipe,
    "Request": Request,
    "Smoothed": Smoothed,
    "apply": linear,
    "variables": linear_variables,
    "images": images,
    "image": images[0],
    "x": jnp.zeros((1, 8, 8, 1)),
    "labels": np.zeros(6, int),
    "files": [results.read(folder / "out.tsv")],
    "model": models.create("convnet", num_classes=10, mean=(0.5,), std=(0.25,)),
    "train_set": part("train"),
    "test_set": part("test"),
  }


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: str(p.relative_to(ROOT / "rsjax")))
def test_examples_of_docstrings(path, names, folder, tmp_path, monkeypatch):
  monkeypatch.chdir(shutil.copytree(folder, tmp_path / "examples"))
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
  name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
  module = importlib.import_module(name)
  if "training" in name:
    names |= {"Gaussian": training.Gaussian}
  others = {key: value for key, value in names.items() if key not in vars(module)}
  found = doctest.testmod(module, extraglobs=others, optionflags=FLAGS)
  assert found.attempted and not found.failed


@pytest.mark.parametrize("path", [p for p in PAGES if "```python" in p.read_text()], ids=lambda p: p.name)
def test_examples_of_pages(path, folder):
  code = "\n".join(re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL))
  ran = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
  assert ran.returncode == 0, ran.stderr


def anchors(path):
  """GitHub's anchors of a page's headings."""
  text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
  heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
  return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(path):
  for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
    if re.match(r"[a-z]+:", target):
      continue
    file, _, anchor = target.partition("#")
    there = (path.parent / file).resolve() if file else path
    assert there.exists(), f"{path.name}: {target}"
    assert not anchor or anchor in anchors(there), f"{path.name}: {target}"


def test_every_page_is_in_the_contents():
  index = (ROOT / "docs/index.md").read_text()
  [listed] = re.findall(r"```\{toctree\}.*?\n\n(.*?)```", index, re.DOTALL)
  assert sorted(listed.split()) == sorted(p.stem for p in (ROOT / "docs").glob("*.md") if p.stem != "index")


def test_every_command_is_documented():
  page = (ROOT / "docs/commands.md").read_text()
  assert set(re.findall(r"\{command-help\} (\w+)", page)) == test_architecture.COMMANDS


def test_the_documentation_builds(tmp_path):
  pytest.importorskip("furo", reason="pip install -e '.[docs]'")
  build = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", ROOT / "docs", tmp_path]
  ran = subprocess.run(build, capture_output=True, text=True, check=False)
  assert ran.returncode == 0, ran.stderr

"""The documentation: its examples run, its links lead somewhere, the arrows it draws are the imports."""

import doctest
import importlib
import pathlib
import re
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import test_architecture

from rsjax import analysis, bounds, checkpoint, data, models, results
from rsjax.data import Dataset
from rsjax.recipe import Recipe
from rsjax.smoothing import Smoothing
from rsjax.votes import Execution, Request

ROOT = pathlib.Path(__file__).parents[1]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "experiments" / "README.md"])
EXAMPLES = sorted(p for p in (ROOT / "rsjax").rglob("*.py") if ">>> " in p.read_text())
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Where examples run: out.tsv of CERTIFY on digits, out/checkpoint, hardly trained."""
  made = tmp_path_factory.mktemp("examples")
  for ending in ("", ".json"):
    shutil.copy(ROOT / "experiments" / "digits" / f"certify_0.25.tsv{ending}", made / f"out.tsv{ending}")
  model = models.create("convnet", num_classes=10, mean=(0.5,), std=(0.25,))
  facts = {"arch": "convnet", "num_classes": 10, "image_shape": [8, 8, 1], "mean": [0.5], "std": [0.25]}
  checkpoint.save(made / "out" / "checkpoint", models.init(model, jax.random.key(0), (8, 8, 1)), facts)
  return made


@pytest.fixture
def names(linear_variables, images, folder):
  """What the docstrings' examples take for granted."""
  from conftest import linear

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
    "Execution": Execution,
    "Recipe": Recipe,
    "Request": Request,
    "Smoothing": Smoothing,
    "apply": linear,
    "variables": linear_variables,
    "images": images,
    "image": images[0],
    "labels": np.zeros(6, int),
    "files": [results.read(folder / "out.tsv")],
    "model": models.create("convnet", num_classes=10, mean=(0.5,), std=(0.25,)),
    "train_set": part("train"),
    "test_set": part("test"),
  }


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: str(p.relative_to(ROOT / "rsjax")))
def test_examples_of_docstrings(path, names, folder, monkeypatch):
  monkeypatch.chdir(folder)
  monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
  name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
  module = importlib.import_module(name)
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


def test_the_architecture_page_draws_the_imports():
  page = (ROOT / "docs/architecture.md").read_text()
  rows = re.findall(r"^\| `(\w+)` \| [^|]* \| ([^|]*) \|$", page, re.MULTILINE)
  assert {room: set(re.findall(r"`(\w+)`", imports)) for room, imports in rows} == test_architecture.ROOMS


def test_every_command_is_documented():
  page = (ROOT / "docs/commands.md").read_text()
  assert set(re.findall(r"\{command-help\} (\w+)", page)) == test_architecture.COMMANDS


def test_the_documentation_builds(tmp_path):
  pytest.importorskip("furo", reason="pip install -e '.[docs]'")
  build = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", ROOT / "docs", tmp_path]
  ran = subprocess.run(build, capture_output=True, text=True, check=False)
  assert ran.returncode == 0, ran.stderr

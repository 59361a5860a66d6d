"""The documentation: its examples run, its links lead somewhere, its commands are all there."""

import doctest
import html.parser
import importlib
import json
import re
import shutil
import subprocess
import sys
import urllib.parse

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import test_architecture
from helpers import DIGITS, ROOT, linear

import rsjax
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
    names |= {"Gaussian": training.Gaussian, "train": training.train, "Recipe": training.Recipe}
  others = {key: value for key, value in names.items() if key not in vars(module)}
  found = doctest.testmod(module, extraglobs=others, optionflags=FLAGS)
  assert found.attempted and not found.failed


def test_examples_of_pages(folder, tmp_path):
  """Those of a page are one script; the scripts run one after the other in one process, which imports once."""
  scripts = []
  for path in PAGES:
    if code := re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL):
      scripts.append(tmp_path / f"{path.relative_to(ROOT)}.py".replace("/", "_"))
      scripts[-1].write_text("\n".join(code))
  assert len(scripts) > 5
  run_each = "import runpy, sys\nfor script in sys.argv[1:]: runpy.run_path(script, run_name='__main__')"
  command = [sys.executable, "-c", run_each, *scripts]
  ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
  assert ran.returncode == 0, ran.stderr  # which names the page


def test_the_digests_of_the_page_for_referees_are_those_of_the_program(folder, monkeypatch, capsys):
  monkeypatch.chdir(folder)
  found = {}
  exec("\n".join(re.findall(r"```python\n(.*?)```", (ROOT / "docs/referee.md").read_text(), re.DOTALL)), found)
  assert found["digest"].hexdigest() == checkpoint.load("out/checkpoint").digest
  assert "the data set is the file's: True" in capsys.readouterr().out


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
  contents = [ROOT / "docs" / name for name in ("index.md", "notebooks.md")]
  text = "".join(page.read_text() for page in contents)
  listed = " ".join(re.findall(r"```\{toctree\}\n(?::[^\n]*\n)*\n(.*?)```", text, re.DOTALL)).split()
  elsewhere = ["CHANGELOG", "CONTRIBUTING", "experiments/README", "experiments/results/**/summary"]
  elsewhere += [f"notebooks/{path.stem}" for path in (ROOT / "notebooks").glob("*.ipynb")]
  pages = [p.stem for p in (ROOT / "docs").glob("*.md") if p.stem != "index"]
  assert sorted(listed) == sorted([*pages, *(f"repository/{name}" for name in elsewhere)])


def test_every_command_is_documented():
  page = (ROOT / "docs/commands.md").read_text()
  assert set(re.findall(r"\{command-help\} (\w+)", page)) == test_architecture.COMMANDS


class Page(html.parser.HTMLParser):
  """What a page of the website refers to, and the anchors that it has."""

  def __init__(self, path):
    super().__init__()
    self.path, self.targets, self.anchors = path, [], set()
    self.feed(path.read_text())

  def handle_starttag(self, tag, attributes):
    values = dict(attributes)
    self.targets += [values[name] for name in ("href", "src") if values.get(name)]
    self.anchors |= {values["id"]} if "id" in values else set()


@pytest.fixture(scope="module")
def website(tmp_path_factory):
  """The website's pages by their path; built without a warning."""
  for name in ("furo", "myst_nb", "sphinx_copybutton"):
    pytest.importorskip(name, reason="pip install -e '.[docs]'")
  out = tmp_path_factory.mktemp("website")
  build = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", ROOT / "docs", out]
  ran = subprocess.run(build, capture_output=True, text=True, check=False)
  assert ran.returncode == 0, ran.stderr
  return {str(path.relative_to(out)): Page(path) for path in out.rglob("*.html")}


def test_the_website_builds_and_its_links_lead_somewhere(website):
  pages, dead = {page.path: page for page in website.values()}, []
  for page in pages.values():
    for target in page.targets:
      parts = urllib.parse.urlsplit(target)
      if parts.scheme or parts.netloc:
        continue
      there = (page.path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else page.path
      anchors = pages[there].anchors if there in pages and parts.fragment else {parts.fragment}
      if not there.exists() or urllib.parse.unquote(parts.fragment) not in anchors:
        dead.append(f"{page.path.name}: {target}")
  assert dead == []


def test_the_website_leads_to_its_own_pages(website):
  """Not to a download of the file that the page was made of, or off the website."""
  named = re.compile(r"(README|CHANGELOG|CONTRIBUTING)\.md|\.ipynb")
  for name, page in website.items():
    assert [target for target in page.targets if named.search(target) and "_sources/" not in target] == [], name
  home = {target.partition("#")[0] for target in website["index.html"].targets}
  assert {"tutorial.html", "notebooks.html", "repository/CHANGELOG.html"} <= home


def test_the_website_shows_at_home_how_to_begin(website):
  home = website["index.html"]
  text = re.sub(r"<[^>]+>", "", home.path.read_text())
  for shown in (f"rsjax {rsjax.__version__}", "pip install -e", "rsjax.quickstart", 'rsjax.load("out"'):
    assert shown in text.replace("&quot;", '"').replace("&#39;", "'"), shown
  assert any(target.endswith("certified_accuracy.png") for target in home.targets)
  for part in ("copybutton.js", "site.css"):  # buttons that copy commands; commands that wrap on a phone
    assert any(part in target for target in home.targets)


SEARCHES = {
  "abstain": "certificate",
  "changelog": "repository/CHANGELOG",
  "checkpoint": "migrating",
  "citation": "index",
  "colab": "notebooks",
  "completion": "commands",
  "gpu": "scaling",
  "imagenet": "data",
  "install": "index",
  "latex": "analysis",
  "memory": "scaling",
  "notebook": "notebooks",
  "pandas": "analysis",
  "pytorch": "migrating",
  "resume": "commands",
  "tpu": "scaling",
}


def test_the_website_is_searched_for_words_and_leads_to_pages(website):
  from sphinx.search.en import SearchEnglish

  script = (website["index.html"].path.parent / "searchindex.js").read_text()
  index = json.loads(re.fullmatch(r"Search\.setIndex\((.*)\);?\s*", script, re.DOTALL)[1])
  stem = SearchEnglish({}).stem
  astray = []
  for word, page in SEARCHES.items():
    found = [index[kind].get(stem(word), []) for kind in ("terms", "titleterms")]
    numbers = {n for pages in found for n in (pages if isinstance(pages, list) else [pages])}
    if page not in [index["docnames"][n] for n in numbers]:
      astray.append(word)
  assert astray == []

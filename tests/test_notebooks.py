"""The notebooks' cells, run from clean in their order with short settings, and what is committed of them."""

import importlib.machinery
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
NAMES = ("certify_your_model", "explore_results", "quickstart_tpu", "theorem_in_two_dimensions")
LOCAL = ("/home/", "/root/", "/work/", "/tmp/", "/Users/", "/content/")
BYTES = 300_000


def cells(notebook):
  return [c for c in json.loads(notebook.read_text())["cells"] if c["cell_type"] == "code"]


def source(cell):
  return "".join(cell["source"])


def shown(notebook):
  """The Python code that the notebook's text shows, as the answers of exercises do."""
  texts = [source(c) for c in json.loads(notebook.read_text())["cells"] if c["cell_type"] == "markdown"]
  return re.findall(r"```python\n(.*?)```", "\n".join(texts), re.DOTALL)


def run(notebook, cwd):
  """The notebook's code cells, then the code in its text, as one script, on two CPU devices.

  It is compiled fast rather than fast when run.
  """
  environment = os.environ | {
    "RSJAX_NOTEBOOK_SHORT": "1",
    "MPLBACKEND": "Agg",
    "PYTHONPATH": str(ROOT),
    "PIP_NO_INDEX": "1",  # a test installs nothing
    "JAX_PLATFORMS": "cpu",
    "JAX_NUM_CPU_DEVICES": "2",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
  }
  script = "\n".join([*map(source, cells(notebook)), *shown(notebook)])
  quiet = "ignore:FigureCanvasAgg is non-interactive"  # plt.show where there is no Jupyter
  return subprocess.run(
    [sys.executable, "-W", quiet, "-c", script],
    cwd=cwd,
    env=environment,
    capture_output=True,
    text=True,
    check=False,
  )


def without_output(notebook):
  """The code cells that print or draw, and have no output."""
  return [c for c in cells(notebook) if re.search(r"\bprint\(|\.show\(", source(c)) and not c["outputs"]]


def errors(notebook):
  """The outputs that are an error, or stand in stderr."""
  outputs = [output for cell in cells(notebook) for output in cell["outputs"]]
  return [o for o in outputs if o["output_type"] == "error" or o.get("name") == "stderr"]


@pytest.fixture
def write_notebook(tmp_path):
  """write_notebook(*(source, outputs)) -> path of a notebook."""

  def write(*pairs):
    made = [
      {"cell_type": "code", "source": text.splitlines(keepends=True), "outputs": outputs}
      for text, outputs in pairs
    ]
    path = tmp_path / "made.ipynb"
    path.write_text(json.dumps({"cells": made}))
    return path

  return write


def test_the_notebooks_are_these():
  assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_runs_from_clean(name, tmp_path):
  cwd = FOLDER if name == "explore_results" else tmp_path  # it reads files of the repository
  ran = run(FOLDER / f"{name}.ipynb", cwd)
  assert ran.returncode == 0, ran.stderr
  assert "Warning" not in ran.stderr, ran.stderr
  assert list(tmp_path.iterdir()) == []  # what is written is in a temporary folder


@pytest.fixture
def installed_from(tmp_path, monkeypatch):
  """installed_from(name, cwd, *files) -> what a notebook's first cell tells pip to install, without rsjax."""

  def run_first_cell(name, cwd, *files):
    for file in files:
      (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
      (tmp_path / file).touch()
    (tmp_path / cwd).mkdir(exist_ok=True)
    monkeypatch.chdir(tmp_path / cwd)
    # A folder "rsjax" that is no package, as a clone in this folder, is found without an origin.
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: importlib.machinery.ModuleSpec(name, None))
    told = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: told.extend(command))
    first = cells(FOLDER / f"{name}.ipynb")[0]
    exec(source(first), {})
    [wanted] = [word for word in told if word.endswith("[quickstart]")]
    return wanted.removesuffix("[quickstart]")

  return run_first_cell


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
  ("cwd", "files", "expected"),
  [
    ("clone/notebooks", ["clone/rsjax/__main__.py"], "clone"),
    ("clone", ["clone/rsjax/__main__.py"], "clone"),
    ("content", ["content/rsjax/rsjax/__main__.py"], "content/rsjax"),
    ("content", ["content/rsjax-0.2.0-py3-none-any.whl"], "content/rsjax-0.2.0-py3-none-any.whl"),
    ("content", [], None),
  ],
  ids=["a clone's notebooks", "a clone", "a folder with a clone", "a folder with a wheel file", "an index"],
)
def test_the_first_cell_installs_rsjax_from(name, cwd, files, expected, installed_from, tmp_path):
  assert installed_from(name, cwd, *files) == (str(tmp_path / expected) if expected else "rsjax")


def test_without_the_result_files_it_says_what_to_do(tmp_path):
  ran = run(FOLDER / "explore_results.ipynb", tmp_path)
  assert ran.returncode == 1
  assert ran.stderr.splitlines()[-1].startswith("FileNotFoundError: upload result files beside this notebook")


def test_a_cell_that_fails_fails_the_run(write_notebook, tmp_path):
  ran = run(write_notebook(("x = 1", []), ("print(1 // (x - 1))", []), ("print('on')", [])), tmp_path)
  assert ran.returncode == 1
  assert "ZeroDivisionError" in ran.stderr
  assert ran.stdout == ""


@pytest.mark.parametrize("name", NAMES)
def test_is_committed_as_one_run_left_it(name):
  notebook = FOLDER / f"{name}.ipynb"
  assert [c["execution_count"] for c in cells(notebook)] == list(range(1, len(cells(notebook)) + 1))
  assert without_output(notebook) == []
  assert errors(notebook) == []


def test_missing_output_and_errors_are_found(write_notebook):
  error = {"output_type": "error", "ename": "ValueError", "evalue": "", "traceback": []}
  warning = {"output_type": "stream", "name": "stderr", "text": ["UserWarning"]}
  made = write_notebook(("x = 1", []), ("print(x)", []), ("plt.show()", [error]), ("import y", [warning]))
  assert [source(cell) for cell in without_output(made)] == ["print(x)"]
  assert errors(made) == [error, warning]


@pytest.mark.parametrize("name", NAMES)
def test_is_small_and_names_no_local_path(name):
  text = (FOLDER / f"{name}.ipynb").read_text()
  assert len(text) < BYTES
  assert [word for word in LOCAL if word in text] == []


@pytest.mark.parametrize("name", NAMES)
def test_cells_have_names_of_their_own(name):
  ids = [cell["id"] for cell in json.loads((FOLDER / f"{name}.ipynb").read_text())["cells"]]
  assert len(set(ids)) == len(ids)

"""The notebooks' cells, run from clean in their order."""

import json
import pathlib
import subprocess
import sys

import pytest

NOTEBOOKS = sorted((pathlib.Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def code(notebook):
  cells = json.loads(notebook.read_text())["cells"]
  return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_runs_from_clean(notebook):
  run = subprocess.run([sys.executable, "-c", code(notebook)], capture_output=True, text=True, check=False)
  assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_is_committed_with_its_output_and_no_local_paths(notebook):
  cells = json.loads(notebook.read_text())["cells"]
  assert any(cell.get("outputs") for cell in cells)
  assert not any(word in notebook.read_text() for word in ("/home/", "/root/", "/work/", "/tmp/"))


def test_there_are_notebooks():
  assert NOTEBOOKS

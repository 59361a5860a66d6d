"""What the README says, run."""

import pathlib
import re
import subprocess
import sys

import rsjax

README = (pathlib.Path(__file__).parents[1] / "README.md").read_text()


def test_the_python_example_runs():
  [block] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
  run = subprocess.run([sys.executable, "-c", block], check=True, capture_output=True, text=True)
  rows = [line.split() for line in run.stdout.splitlines()]
  assert [row[0] for row in rows] == list("01234")


def test_the_example_is_short():
  [block] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
  assert sum(1 for line in block.splitlines() if line.strip()) <= 12


def test_there_is_one_test_command():
  assert sum("-m pytest" in line for line in README.splitlines()) == 1


def test_the_citation_is_of_this_version():
  citation = (pathlib.Path(__file__).parents[1] / "CITATION.cff").read_text()
  assert f"\nversion: {rsjax.__version__}\n" in citation


def test_the_wheel_is_of_this_version():
  assert set(re.findall(r"rsjax-[\d.]+-py3", README)) == {f"rsjax-{rsjax.__version__}-py3"}

"""The rooms: what may import what, and what runs without JAX."""

import ast
import pathlib
import subprocess
import sys

import pytest

import rsjax

ROOT = pathlib.Path(rsjax.__file__).parent
COMMANDS = {"train", "certify", "predict", "prepare", "analyze", "visualize", "convert", "quickstart"}

# Each room and the rooms that it may import. `rsjax` itself (the version) and `errors` are for all.
ROOMS = {
  "errors": set(),
  "bounds": set(),
  "results": {"bounds"},
  "analysis": {"results", "bounds"},
  "interrupts": set(),
  "progress": {"interrupts"},
  "noise": set(),
  "devices": set(),
  "processes": set(),
  "packing": set(),
  "votes": {"noise", "devices", "packing"},
  "tuning": {"votes", "devices", "processes"},
  "smoothing": {"votes", "bounds", "noise"},
  "models": set(),
  "data": set(),
  "originals": set(),
  "preparation": {"originals", "data"},
  "augment": set(),
  "recipe": {"augment", "noise"},
  "streaming": {"data"},
  "batches": {"streaming"},
  "checkpoint": {"models"},
  "training": {"models", "devices", "augment", "noise", "recipe", "batches"},
  "training_runs": {"training", "streaming", "checkpoint", "data", "models", "devices"},
  "result_runs": {
    "smoothing",
    "votes",
    "tuning",
    "results",
    "checkpoint",
    "data",
    "models",
    "devices",
    "processes",
  },
  "recording": {"smoothing", "votes", "results", "devices"},
  "console": {"result_runs", "results", "devices", "processes", "interrupts", "progress"},
  "train": {"console", "progress", "recipe", "training_runs"},
  "prepare": {"console", "progress", "preparation"},
  "certify": {"console", "smoothing", "analysis"},
  "predict": {"console", "smoothing", "analysis"},
  "analyze": {"console", "analysis", "results", "bounds"},
  "visualize": {"console", "data", "noise", "bounds"},
  "torch_files": {"models"},
  "accuracy": {"models", "devices", "noise"},
  "convert": {"console", "torch_files", "checkpoint", "data", "models", "accuracy", "bounds"},
  "__main__": {"console"},
  "quickstart": {"console", "train", "certify", "analysis", "results"},
}
FREE = {"", "errors"}
WITHOUT_JAX = ("packing", "bounds", "results", "analysis", "data", "originals", "preparation", "streaming")


def imports(path):
  """(rooms of rsjax, top-level names of other packages) that a file imports, anywhere in it."""
  rooms, others = set(), set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      names = (
        [f"{node.module}.{alias.name}" for alias in node.names] if node.module == "rsjax" else [node.module]
      )
    else:
      continue
    for name in names:
      first, *rest = name.split(".")
      if first == "rsjax":
        rooms.add(rest[0] if rest else "")
      else:
        others.add(first)
  return rooms, others


def files(room):
  return [ROOT / f"{room}.py"] if (ROOT / f"{room}.py").exists() else list((ROOT / room).glob("*.py"))


def test_every_file_has_a_room():
  found = {p.stem if p.suffix == ".py" else p.name for p in ROOT.iterdir() if p.name != "__pycache__"}
  assert found - {"__init__"} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_in_one_direction(room):
  found = set().union(*(imports(path)[0] for path in files(room)))
  assert found - FREE - {room} <= ROOMS[room]


def test_only_the_quickstart_types_commands():
  for room, allowed in ROOMS.items():
    assert room == "quickstart" or not allowed & COMMANDS


def test_orbax_is_imported_in_one_room():
  assert [r for r in ROOMS if any("orbax" in imports(path)[1] for path in files(r))] == ["checkpoint"]


def test_one_shard_map_and_few_jits():
  source = {path: path.read_text() for room in ROOMS for path in files(room)}
  assert [p.stem for p, text in source.items() if "jax.shard_map(" in text] == ["votes"]
  assert sorted({p.stem for p, text in source.items() if ".jit(" in text}) == ["devices", "training", "votes"]


@pytest.mark.parametrize("room", WITHOUT_JAX)
def test_runs_without_jax(room):
  """Imported in a process where JAX, Flax and Orbax cannot be."""
  code = (
    "import sys\n"
    "for name in ('jax', 'jaxlib', 'flax', 'optax', 'orbax'): sys.modules[name] = None\n"
    f"import rsjax.{room}\n"
  )
  subprocess.run([sys.executable, "-c", code], check=True)


def test_help_is_quick_to_load():
  """The commands import nothing heavy before they have read their arguments."""
  code = (
    "import sys\n"
    "import rsjax.train, rsjax.certify, rsjax.predict, rsjax.prepare, rsjax.quickstart\n"
    "import rsjax.analyze, rsjax.visualize, rsjax.convert\n"
    "assert not {'jax', 'flax', 'numpy', 'scipy', 'matplotlib'} & set(sys.modules)\n"
  )
  subprocess.run([sys.executable, "-c", code], check=True)

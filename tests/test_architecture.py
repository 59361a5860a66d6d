"""The house: which folder may import which, what runs without JAX, and what every file and function has."""

import ast
import pathlib
import re
import subprocess
import sys

import pytest

import rsjax

ROOT = pathlib.Path(rsjax.__file__).parent
PAGE = ROOT.parent / "docs" / "architecture.md"
COMMANDS = {"train", "certify", "predict", "attack", "prepare", "analyze", "check", "visualize", "convert"}
COMMANDS |= {"quickstart"}
SHARED = {"errors", "files"}  # what every room may import, besides the version
WITHOUT_JAX = (
  "bounds",
  "procedures",
  "results",
  "analysis",
  "noise",
  "data",
  "data.preparation",
  "data.streaming",
)
MOST_LINES = 300


def folders():
  """The folders from the top down, as docs/architecture.md lists them; each imports only those below it."""
  head = r"^\| folder \| what is in it \|\n\|[-| ]+\|\n"
  [table] = re.findall(rf"{head}((?:\|.*\n)+)", PAGE.read_text(), re.MULTILINE)
  return re.findall(r"^\| `(\w+)", table, re.MULTILINE)


FOLDERS = folders()
FILES = sorted(ROOT.rglob("*.py"))


def name_of(path):
  return str(path.relative_to(ROOT))


def imports(path):
  """(modules of rsjax, top-level names of other packages) that a file imports, anywhere in it."""
  own, others = set(), set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      names = [f"{node.module}.{alias.name}" for alias in node.names]
    else:
      continue
    for name in names:
      first, *rest = name.split(".")
      if first == "rsjax":
        own.add(rest[0] if rest else "")
      else:
        others.add(first)
  return own, others


def test_the_page_lists_every_folder():
  assert sorted(FOLDERS) == sorted(p.name for p in ROOT.iterdir() if p.is_dir() and p.name != "__pycache__")


def test_a_file_at_the_root_is_a_command_the_face_or_shared():
  assert {p.stem for p in ROOT.glob("*.py")} == COMMANDS | SHARED | {"__init__", "__main__"}


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_imports_only_folders_below_it(folder):
  below = FOLDERS[FOLDERS.index(folder) :]
  for path in (ROOT / folder).rglob("*.py"):
    assert imports(path)[0] <= {*below, *SHARED, ""}, name_of(path)


def test_errors_and_files_import_no_folder():
  assert set().union(*(imports(ROOT / f"{name}.py")[0] for name in SHARED)) <= SHARED


def test_only_the_quickstart_types_commands():
  typing = {name_of(path) for path in FILES if imports(path)[0] & COMMANDS}
  assert typing == {"quickstart.py"}


def test_orbax_is_imported_in_one_file():
  assert [name_of(p) for p in FILES if "orbax" in imports(p)[1]] == ["classifiers/checkpoint.py"]


def test_one_shard_map_and_few_jits():
  source = {name_of(path): path.read_text() for path in FILES}
  assert [name for name, text in source.items() if "jax.shard_map(" in text] == ["smoothing/votes.py"]
  assert [name for name, text in source.items() if re.search(r"\bjax\.jit\(", text)] == ["devices/compiling.py"]


@pytest.mark.parametrize("module", WITHOUT_JAX)
def test_runs_without_jax(module):
  """Imported in a process where JAX, Flax and Orbax cannot be."""
  code = (
    "import sys\n"
    "for name in ('jax', 'jaxlib', 'flax', 'optax', 'orbax'): sys.modules[name] = None\n"
    f"import rsjax.{module}\n"
  )
  subprocess.run([sys.executable, "-c", code], check=True)


def test_the_face_and_the_commands_are_quick_to_load():
  """They import nothing heavy before they are used, or have read their arguments; nor does any help."""
  commands = ", ".join(f"rsjax.{name}" for name in sorted(COMMANDS))
  code = (
    f"import sys, rsjax, {commands}\n"
    "assert not {'jax', 'flax', 'numpy', 'scipy', 'matplotlib'} & set(sys.modules)\n"
    f"for command in ({commands}): command.parser().format_help()\n"
    "assert not {'jax', 'flax', 'optax', 'scipy', 'matplotlib'} & set(sys.modules)\n"
  )
  subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_is_short_and_says_what_it_is(path):
  text = path.read_text()
  assert text.count("\n") <= MOST_LINES
  assert ast.get_docstring(ast.parse(text))


def public(node, within=""):
  """(qualified name, function) of a module's or class's public functions."""
  for child in node.body:
    if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
      yield from public(child, f"{child.name}.")
    elif isinstance(child, ast.FunctionDef) and not child.name.startswith("_"):
      yield within + child.name, child


def parameters(function):
  a = function.args
  every = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
  return [p for p in every if p.arg not in ("self", "cls")]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_public_functions_are_annotated(path):
  lacking = [
    name
    for name, function in public(ast.parse(path.read_text()))
    if function.returns is None or any(p.annotation is None for p in parameters(function))
  ]
  assert lacking == []

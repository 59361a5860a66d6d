"""The notebooks' cells, run from clean in their order with short settings, and what is committed of them."""

import ast
import importlib.machinery
import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import symtable
import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import DIGITS

import rsjax
from rsjax.errors import ResultWarning

ROOT = pathlib.Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
NAMES = ("certify_your_model", "explore_results", "quickstart_tpu", "theorem_in_two_dimensions")
LOCAL = ("/home/", "/root/", "/work/", "/tmp/", "/Users/", "/content/")
BYTES = 300_000
WRITERS = ("certify_your_model", "quickstart_tpu")  # into a folder of their working directory


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


COMPREHENSIONS = {"listcomp", "genexpr", "dictcomp", "setcomp"}


def of_functions(table):
  """The names from outside that functions read when they are called."""
  found = {s.get_name() for s in table.get_symbols() if s.is_global() and table.get_type() == "function"}
  return found.union(*map(of_functions, table.get_children()))


def binds_and_reads(text):
  """(names that a cell binds, but not by importing; names whose values it takes from cells before or after)."""
  bound, read = set(), set()
  for statement in ast.parse(text).body:
    table = symtable.symtable(ast.unparse(statement), "cell", "exec")
    symbols = table.get_symbols()
    assigned = {s.get_name() for s in symbols if s.is_assigned() and not s.is_imported()}
    inside = {s.get_name() for s in symbols if s.is_referenced()} | of_functions(table)
    known = bound | (assigned if isinstance(statement, ast.For | ast.With | ast.Try | ast.ClassDef) else set())
    later = set().union(*(of_functions(t) for t in table.get_children() if t.get_name() not in COMPREHENSIONS))
    read |= (inside - known) | later
    bound |= assigned
  return bound, read


def rebound(notebook):
  """The names that a cell reads, and a later one binds again: the cell, run again, would do something else."""
  parts = [*map(binds_and_reads, [*map(source, cells(notebook)), *shown(notebook)])]
  reads_before = [set().union(*(read for _, read in parts[:k])) for k in range(len(parts))]
  return sorted(set().union(*(bound & before for (bound, _), before in zip(parts, reads_before))))


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
  assert [path.name for path in tmp_path.iterdir()] == ["rsjax-notebook"] * (name in WRITERS)


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


@pytest.fixture
def explored(tmp_path, monkeypatch, capsys):
  """explored(path, ...) -> what the cells of explore_results print beside copies of these files, all run."""

  def run_all(*paths):
    for path in paths:
      shutil.copy(path, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    exec("\n".join(map(source, cells(FOLDER / "explore_results.ipynb"))), {})
    return capsys.readouterr().out

  return run_all


def with_manifest(path):
  return path, path.with_name(f"{path.name}.json")


def test_one_file_of_ones_own_is_explored(explored):
  out = explored(*with_manifest(DIGITS[1]))
  assert "certify_0.25.tsv: 72 images certified" in out
  assert "sigma = 0.25, n = 100 " in out
  assert "alpha = 1e-06" in out
  assert "certify_0.5" not in out


@pytest.mark.parametrize("rule", ["tolerance", "radii", "budget"])
def test_files_that_stopped_early_are_explored(rule, explored):
  out = explored(*with_manifest(ROOT / f"experiments/results/stopping/digits_0.25/{rule}.tsv"))
  assert out.count("not possible with this file:") == 2  # fewer draws, another alpha
  assert "\\begin{table}" in out


def acr_line(out, name):
  """What one file's line has below ACR, abstains, wrong, and wrong and certified."""
  lines = out.partition("wrong and certified above 0.25\n")[2].splitlines()
  *_, acr, _, _, _, abstains, wrong, far = lines[0].split()
  assert lines[0].startswith(name)
  return [acr, abstains, wrong, far]


@pytest.mark.parametrize(
  ("sigma", "rule", "expected"),
  [
    # Of 360 images; ACR 0.2349 and 0.2706; 37 and 133 abstained, 3 and 0 wrong, 2 and 0 of them above 0.25.
    ("0.25", "one_radius", [">=0.234", "<=0.103", ">=0.008", "0.006"]),
    ("0.5", "one_radius", [">=0.270", "<=0.370", ">=0.000", ">=0.000"]),
    ("0.5", "radii", [">=0.359", "0.131", "0.014", "0.003"]),
    ("0.25", "fixed", ["0.539", "0.022", "0.042", "0.006"]),
  ],
)
def test_what_grid_radii_leave_open_is_shown_as_a_bound(sigma, rule, expected, explored):
  folder = ROOT / f"experiments/results/stopping/digits_{sigma}"
  shown = acr_line(explored(*with_manifest(folder / f"{rule}.tsv")), f"sigma = {sigma}")
  assert shown == expected
  full = rsjax.read(folder / "fixed.tsv")
  wrong = (full.correct == 0) & (full.predict != -1)
  values = [full.acr(), *(v.mean() for v in (full.predict == -1, wrong, wrong & (full.radius > 0.25)))]
  for text, value in zip(shown, values):
    if text[:2] in (">=", "<="):
      assert (value >= float(text[2:])) if text[0] == ">" else (value <= float(text[2:]))
    elif rule == "radii":
      assert float(text) == pytest.approx(value, abs=5e-4)


def test_a_file_without_a_manifest_is_explored_and_others_are_left_out(explored, tmp_path):
  rows = [line.split("\t")[:6] for line in DIGITS[1].read_text().splitlines()]
  (tmp_path / "theirs.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))
  (tmp_path / "log.tsv").write_text("epoch\ttrain_loss\n1\t2.3\n")
  predicted = with_manifest(ROOT / "experiments/results/stopping/digits_0.25/predict.tsv")
  with pytest.warns(ResultWarning, match="theirs.tsv: no manifest"):
    out = explored(*predicted)
  assert "left out: log.tsv: line 1 is not the header" in out
  assert "left out: predict.tsv has no certified images" in out
  assert "it has no manifest" in out
  assert out.count("not possible with this file:") == 2
  assert "\\begin{table}" in out


@pytest.fixture
def exploring(tmp_path, monkeypatch, capsys):
  """(names of explore_results' cells, run_cell(name, names) -> what one prints), beside files of tmp_path."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
  texts = {cell["id"]: source(cell) for cell in cells(FOLDER / "explore_results.ipynb")}

  def run_cell(name, names):
    capsys.readouterr()
    exec(texts[name], names)
    return capsys.readouterr().out

  return list(texts), run_cell


def test_once_files_are_read_again_each_cell_shows_these_only(exploring, tmp_path):
  order, run_cell = exploring
  after, again, fresh = order[order.index("read") + 1 :], {}, {}
  for path in (*with_manifest(DIGITS[1]), *with_manifest(DIGITS[2])):
    shutil.copy(path, tmp_path)
  for name in order:
    run_cell(name, again)
  for path in with_manifest(DIGITS[0]):
    shutil.copy(path, tmp_path)
  for name in order:
    run_cell(name, fresh)
  run_cell("read", again)
  for name in ("acr", "latex", "alpha", *after):
    assert run_cell(name, again) == run_cell(name, fresh), name


def test_where_reading_was_refused_the_cells_show_the_files_before(exploring, tmp_path):
  order, run_cell = exploring
  names = {}
  for path in with_manifest(DIGITS[1]):
    shutil.copy(path, tmp_path)
  before = {name: run_cell(name, names) for name in order}
  (tmp_path / DIGITS[1].name).write_text("epoch\ttrain_loss\n1\t2.3\n")
  with pytest.raises(FileNotFoundError, match="upload result files"):
    run_cell("read", names)
  after = order[order.index("read") + 1 :]
  assert {name: run_cell(name, names) for name in after} == {name: before[name] for name in after}


def test_files_of_another_norm_are_named_and_left_out(explored):
  folder = ROOT / "experiments/results/noises"
  out = explored(*with_manifest(folder / "gaussian.tsv"), *with_manifest(folder / "laplace.tsv"))
  said = (
    "left out: laplace.tsv beside gaussian.tsv: radii in l1 and l2 cannot be compared: give files of one norm"
  )
  assert out.count(said) == 1
  assert out.count("laplace") == 1
  assert "\\begin{table}" in out


def test_a_file_whose_manifest_is_missing_is_told_so(explored):
  with pytest.warns(ResultWarning, match="votes are not used"):
    out = explored(DIGITS[1])
  assert "it has no manifest, certify_0.25.tsv.json" in out
  assert out.count("the manifests of certify_0.25.tsv are missing; put each NAME.tsv.json beside") == 2


@pytest.fixture
def jax_as_users_have_it():
  """Arrays of different ranks and dtypes may be added, which the other tests forbid."""
  with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
    yield


@pytest.fixture
def theorem(monkeypatch, jax_as_users_have_it):
  """theorem(sigma, classes) -> (the notebook's cells by the heading above them, its names after training)."""
  monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
  monkeypatch.setenv("RSJAX_NOTEBOOK_SHORT", "1")

  def begun(sigma, classes=3):
    parts, heading = {}, ""
    for cell in json.loads((FOLDER / "theorem_in_two_dimensions.ipynb").read_text())["cells"]:
      if cell["cell_type"] == "markdown":
        heading = source(cell).splitlines()[0].lstrip("# ")
      else:
        parts.setdefault(heading, []).append(
          source(cell)
          .replace("SIGMA, STEPS = 0.1,", f"SIGMA, STEPS = {sigma},")
          .replace("CLASSES = 3 ", f"CLASSES = {classes} ")
        )
    names = {}
    for heading in ("Why it works: the theorem in two dimensions", "A base classifier f"):
      exec("\n".join(parts[heading]), names)
    assert (names["SIGMA"], names["CLASSES"]) == (sigma, classes)
    return parts, names

  return begun


ON_THE_GRID, CERTIFICATES = "What noise makes of it: g", "The certificate of three points"
ABSTAINS = "Why it abstains"


def test_abstentions_and_another_sigma_are_right_in_the_theorems_cells(theorem, capsys):
  parts, names = theorem(0.6)
  [blurs], [certifies, _], [compares] = parts[ON_THE_GRID], parts[CERTIFICATES], parts["The theorem"]
  for part in (blurs, certifies, compares):
    exec(part, names)
  assert -1 in names["found"].predict
  printed = capsys.readouterr().out
  for row, (x, y) in enumerate(names["chosen"]):
    selected = names["selected_class"](row)
    [line] = [line for line in printed.splitlines() if line.startswith(f"({x:.2f}, {y:.2f})")]
    assert float(line.split()[-2]) == pytest.approx(names["p_at"](selected, [(x, y)])[0], abs=1e-3)
    assert float(line.split()[-1]) >= 0

  ran_with = names["SIGMA"], names["variables"], names["apply"]
  sigma, network, function = ran_with
  others = (
    (0.2, network, function),
    (sigma, jax.tree.map(lambda weights: np.float32(1.1) * weights, network), function),
    (sigma, network, lambda v, x: function(v, -x)),
  )
  for now in others:  # another sigma, another network, another function of it
    names["SIGMA"], names["variables"], names["apply"] = now
    names["grid_of"] = ran_with
    for part in (certifies, compares):
      with pytest.raises(AssertionError, match="since the cell under 'What noise makes of it: g' ran: run it"):
        exec(part, names)
    names["grid_of"] = now
    with pytest.raises(AssertionError, match="since the cell under 'The certificate of three points' ran"):
      exec(compares, names)


@pytest.mark.parametrize("sigma", [0.1, 0.4])
def test_the_theorems_probabilities_are_right_wherever_its_plots_go(theorem, sigma):
  parts, names = theorem(sigma)
  exec(parts[ON_THE_GRID][0], names)
  noise = sigma * np.random.default_rng(0).normal(size=(200_000, 2))
  far = names["FAR"]
  for point in ((0, 0), (1, 1), (0, 1), (1, 0.5), (0.5, 0.5), (1 + far, 0.75), (-far, 0.5), (0.2, 1 + far)):
    answers = np.argmax(names["apply"](names["variables"], names["as_images"](point + noise)), 1)
    for c in range(3):
      assert names["p_at"](c, [point])[0] == pytest.approx(float(np.mean(answers == c)), abs=0.006), (point, c)


def test_at_a_small_sigma_no_radius_is_infinite_and_no_line_falls_below_the_worst_case(theorem, capsys):
  parts, names = theorem(0.03)
  exec(parts[ON_THE_GRID][0], names)
  for x, y in ((0.98, 0.98), (0.02, 0.5), (0.98, 0.75), (0.5, 0.02)):
    exec(parts[CERTIFICATES][0].replace("[[0.55, 0.75]", f"[[{x}, {y}]"), names)
    exec(parts["The theorem"][0], names)
    assert all((line >= names["worst"] - 1e-3).all() for line in names["lines"])
    assert np.isfinite(names["radius"])
  printed = capsys.readouterr().out
  assert ">0.1500" in printed  # five sigmas
  assert "inf" not in printed
  assert "nan" not in printed


@pytest.mark.parametrize("sigma", [0.001, 30])
def test_the_theorem_refuses_a_sigma_for_which_the_grid_would_not_fit(theorem, sigma):
  parts, names = theorem(sigma)
  with pytest.raises(AssertionError, match=f"SIGMA must be from 0.01 to 1, .*, got {sigma}"):
    exec(parts[ON_THE_GRID][0], names)


def test_certificates_that_were_refused_or_interrupted_stop_the_theorems_later_cells(theorem, monkeypatch):
  parts, names = theorem(0.1)
  certifies, draws_discs = parts[CERTIFICATES]
  for part in (parts[ON_THE_GRID][0], certifies, draws_discs, parts["The theorem"][0]):
    exec(part, names)
  old = names["found"]
  refused = certifies.replace("[[0.55, 0.75]", "[[0.55, 1.75]")
  other = certifies.replace("[[0.55, 0.75]", "[[0.15, 0.25]")

  def interrupt(*_, **__):
    raise KeyboardInterrupt

  with pytest.raises(names["rsjax"].InputError, match=r"\[0, 1\]"):
    exec(refused, names)
  stopped_by_hand = pytest.raises(KeyboardInterrupt)
  for _ in range(2):
    assert names["found"] is old
    for part in (draws_discs, parts["The theorem"][0]):
      with pytest.raises(AssertionError, match="'The certificate of three points' ran: run it again"):
        exec(part, names)
    with monkeypatch.context() as patch, stopped_by_hand:
      patch.setattr("rsjax.runs.face.SmoothedClassifier.certify", interrupt)
      exec(other, names)


def test_the_theorem_is_shown_at_the_first_certified_point_whatever_ran_before(theorem):
  parts, names = theorem(0.1)
  certifies, draws_discs = parts[CERTIFICATES]
  for part in (parts[ON_THE_GRID][0], certifies, draws_discs):
    exec(part, names)
  exec(certifies.replace("[[0.55, 0.75]", "[[0.35, 0.25]"), names)
  exec(parts["The theorem"][0], names)
  assert names["p_a"] == names["p_at"](names["selected_class"](0), [(0.35, 0.25)])[0]
  assert [line[0] for line in names["lines"]] == pytest.approx([names["p_a"]] * len(names["lines"]))


def first_coordinate(images):
  return images.reshape(len(images), 2)[:, 0]


def half_plane(border):
  """An f whose class 0 is what is right of a line."""

  def apply(variables, images):
    x = first_coordinate(images)
    return jnp.stack([x - border, border - x, 0 * x - 9], 1)

  return apply


def with_fine_stripes(variables, images):
  """Class 0 has 0.564 of the plane, in stripes as far from each other as points of the grid."""
  x = first_coordinate(images)
  wave = jnp.sin(x * 2 * jnp.pi / 0.01) + 0.2
  return jnp.stack([wave, -wave, 0 * x - 9], 1)


def constant(variables, images):
  x = first_coordinate(images)
  return jnp.stack([0 * x + 1, 0 * x, 0 * x], 1)


def test_a_classifier_that_is_finer_than_the_grid_stops_the_theorems_cells(theorem, capsys):
  parts, names = theorem(0.1)
  names["apply"] = with_fine_stripes
  exec(parts[ON_THE_GRID][0], names)
  certifies, draws_discs = parts[CERTIFICATES]
  said = r"p_A of the grid is 1\.0000, but nA / n is 0\.5\d\d\d: the classifier is finer than the grid"
  for part in (certifies, draws_discs, parts["The theorem"][0], parts[ABSTAINS][0]):
    with pytest.raises(AssertionError, match=said):
      exec(part, names)
  assert "radius if p_A were known" not in capsys.readouterr().out
  exec(parts[ON_THE_GRID][0].replace("0.02)", "0.0023)"), names)  # as the sentence says
  exec(draws_discs, names)


@pytest.mark.parametrize(
  ("short", "border"), [(True, 0.3051), (False, 0.3026)], ids=["short", "full"]
)  # just beside points of the grid, which moves it by half a step
def test_a_straight_border_is_not_taken_for_one_that_is_finer_than_the_grid(theorem, short, border, capsys):
  parts, names = theorem(0.1)
  names |= {"SHORT": short, "apply": half_plane(border)}
  exec(parts[ON_THE_GRID][0], names)
  exec(parts[CERTIFICATES][0].replace("[[0.55, 0.75]", "[[0.3, 0.5]"), names)
  assert "radius if p_A were known" in capsys.readouterr().out


@pytest.mark.parametrize(("sigma", "border"), [(0.1, 0.3), (0.1, 0.5), (0.1, 0.25), (0.07, 0.3)])
def test_the_radius_if_p_were_known_is_that_of_a_half_plane(theorem, sigma, border, capsys):
  parts, names = theorem(sigma)
  names |= {"SHORT": False, "apply": half_plane(border)}
  exec(parts[ON_THE_GRID][0], names)
  names["SHORT"] = True  # few draws
  points = f"[[{border + 0.2}, 0.5], [{border + 0.05}, 0.5], "
  exec(parts[CERTIFICATES][0].replace("[[0.55, 0.75], [0.3, 0.55], ", points), names)
  lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("(")]
  assert [float(line.split()[-1]) for line in lines[:2]] == pytest.approx([0.2, 0.05], abs=1e-4)


def test_one_point_is_certified_without_double_brackets(theorem, capsys):
  parts, names = theorem(0.1)
  certifies, draws_discs = parts[CERTIFICATES]
  exec(parts[ON_THE_GRID][0], names)
  exec(certifies.replace("[[0.55, 0.75], [0.3, 0.55], [0.62, 0.35]]", "[0.55, 0.75]"), names)
  assert names["certified"].tolist() == [[0.55, 0.75]]
  assert "(0.55, 0.75)  " in capsys.readouterr().out
  for part in (draws_discs, parts["The theorem"][0]):
    exec(part, names)


@pytest.mark.parametrize("noise", ["Laplace", "Uniform"])
def test_the_theorem_says_that_it_is_for_gaussian_noise(theorem, noise):
  parts, names = theorem(0.1)
  exec(parts[ON_THE_GRID][0], names)
  other = parts[CERTIFICATES][0].replace("variables, sigma=SIGMA", f"variables, noise=rsjax.{noise}(SIGMA)")
  with pytest.raises(
    AssertionError, match=rf"for Gaussian noise and l2 discs, and .* for {noise}\(sigma=0\.1\)"
  ):
    exec(other, names)


def test_a_point_at_which_p_is_0_53_is_asked_for_only_where_there_is_one(theorem, capsys):
  parts, names = theorem(0.1)
  names["apply"] = constant
  for part in (parts[ON_THE_GRID][0], parts[CERTIFICATES][0]):
    exec(part, names)
  with pytest.raises(AssertionError, match=r"no p_A is near 0\.53, the nearest is 1\.000: this cell needs"):
    exec(parts[ABSTAINS][0], names)
  assert "CERTIFY, n" not in capsys.readouterr().out


@pytest.mark.parametrize("classes", [2, 4, 8])
def test_the_theorem_goes_with_other_numbers_of_classes(theorem, classes, capsys):
  parts, names = theorem(0.1, classes)
  for heading in list(parts)[2:]:
    for part in parts[heading]:
      exec(part, names)
  assert sorted(np.unique(names["labels"])) == [*range(classes)]
  assert names["p"].sum(0) == pytest.approx(1, abs=1e-3)
  printed = capsys.readouterr().out
  [line] = [line for line in printed.splitlines() if line.startswith("at (")]
  assert line.count(" (") == 1 + classes


def test_more_classes_than_the_theorem_has_colours_for_are_refused(theorem):
  parts, names = theorem(0.1, 9)
  with pytest.raises(AssertionError, match="there are colours for 8 classes, and f has 9: add more"):
    exec(parts[ON_THE_GRID][0], names)


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
def test_a_cell_that_is_run_again_finds_the_same_names(name):
  assert rebound(FOLDER / f"{name}.ipynb") == []


def test_names_that_a_later_cell_binds_again_are_found(write_notebook):
  texts = ("import a\nx, y = 1, 2\nfor i in range(3): i += y", "def f(): return y + z\nz = [i for i in (x,)]",
           "import a\nx = 3", "z = 4\ni = 5")  # fmt: skip
  assert rebound(write_notebook(*((text, []) for text in texts))) == ["x", "z"]


@pytest.mark.parametrize("name", NAMES)
def test_cells_have_names_of_their_own(name):
  ids = [cell["id"] for cell in json.loads((FOLDER / f"{name}.ipynb").read_text())["cells"]]
  assert len(set(ids)) == len(ids)

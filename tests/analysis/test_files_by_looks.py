"""Files whose images stopped when their votes said so: what is read from them, and what is refused."""

import csv
import dataclasses
import io
import json
import pathlib
import re

import numpy as np
import pytest
from looks import write_file

from rsjax import analysis, analyze, bounds, results
from rsjax.bounds import Plan
from rsjax.errors import InputError
from rsjax.noise import Gaussian
from rsjax.procedures import Anytime, Certify, CertifyByLooks, PredictByLooks, Radii, Tolerance

GRID = (0.0, 0.25, 0.5)
PROCEDURES = {
  "radii": CertifyByLooks(n=5000, stop=Radii(GRID)),
  "one radius": CertifyByLooks(n=5000, stop=Radii((0.25,))),
  "tolerance": CertifyByLooks(n=5000, stop=Tolerance()),
  "anytime": CertifyByLooks(n=5000, stop=Anytime()),
  "auto": CertifyByLooks(n0="auto", n=5000, stop=Radii(GRID)),
  "predict": PredictByLooks(n=5000),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
  """{name: a file of each procedure}."""
  folder = tmp_path_factory.mktemp("looks")
  return {name: write_file(folder / f"{name}.tsv", p) for name, p in PROCEDURES.items()}


def said(*files, radii=GRID):
  return "\n".join(analysis.warnings(files, analysis.labels(files), list(radii)))


def changed(file, settings=None, about=None, **columns):
  """The file with some of its settings, of its manifest's `about`, or of its columns changed."""
  manifest = json.loads(json.dumps(file.manifest))
  manifest["settings"] |= settings or {}
  manifest["about"] |= about or {}
  copies = {name: values.copy() for name, values in file.columns.items()} | columns
  return dataclasses.replace(file, manifest=manifest, columns=copies)


@pytest.mark.parametrize("name", PROCEDURES)
def test_a_good_file_is_read_and_nothing_contradicts(name, files):
  file = files[name]
  assert file.complete and (len(np.unique(file.columns["n"])) > 1) == (name != "anytime")
  assert "votes" not in said(file) and "plan" not in said(file)
  again = results.read(file.path)
  for column, values in file.columns.items():
    assert again.columns[column].tolist() == values.tolist()
  if name == "auto":
    drawn = results.parse_column(file.columns["votes0"]).draws()
    assert set(drawn.tolist()) == {100, 1000}


def test_n0_auto_has_the_draws_that_the_manifest_says(files, tmp_path):
  file = files["auto"]
  lines = pathlib.Path(file.path).read_text().splitlines()
  place = lines[0].split("\t").index("votes0")
  cells = lines[1].split("\t")
  for text, message in (
    ("0:500", r"votes0 are 500, not 100 or 1000"),
    ("0:100", None),
    ("0:990,invalid:10", None),
  ):
    cells[place] = text
    path = tmp_path / "x.tsv"
    path.write_text("\n".join([lines[0], "\t".join(cells), *lines[2:]]) + "\n")
    manifest = dict(file.manifest)
    results.manifest_path(path).write_text(json.dumps(manifest))
    if message:
      with pytest.raises(InputError, match=rf"line 2: {message}"):
        results.read(path)
    else:
      results.read(path)
  manifest["settings"] = {key: value for key, value in file.settings.items() if key != "n0_auto"}
  results.manifest_path(path).write_text(json.dumps(manifest))
  with pytest.raises(InputError, match="must say what draws n0 = auto takes"):
    results.read(path)


@pytest.mark.parametrize("name", ["radii", "tolerance", "auto"])
def test_a_radius_of_clopper_and_pearson_at_alpha_is_caught(name, files):
  """The near miss: the bound for n fixed beforehand, from the draws that a row used."""
  file = files[name]
  p_lower = bounds.lower_confidence_bound(file.columns["nA"], file.columns["n"], 0.001)
  radius = bounds.radius(p_lower, Gaussian(0.25))
  early = (file.columns["n"] < 5000) & (radius > file.columns["radius"])
  assert early.sum() > 20
  row = int(np.flatnonzero(early)[0])
  one = file.columns["radius"].copy()
  one[row] = radius[row]
  text = said(changed(file, radius=one))
  assert f"1 radius is above what the votes certify; the first is of image {file.columns['idx'][row]}" in text
  assert "radii are above what the votes certify" in said(changed(file, radius=radius))


def test_an_answer_that_only_fixed_n_gives_is_caught(files):
  file = files["predict"]
  votes = results.parse_column(file.columns["votes"])
  fixed = np.where(file.columns["pvalue"] <= 0.001, votes.leaders(), -1)
  if (fixed == file.columns["predict"]).all():
    fixed[0] = 1 - abs(fixed[0])
  assert "follow from" in said(changed(file, predict=fixed))


def test_votes_at_a_number_of_draws_that_is_no_look_contradict(files):
  file = files["radii"]
  n = file.columns["n"].copy()
  n[3] = 120
  text = said(changed(file, n=n))
  assert (
    "1 row has a number of draws that is not one of the plan's looks; the first is image 6 with 120" in text
  )


def other_plan(plan, looks=None, alphas=None, id=None):
  made = Plan(plan.looks if looks is None else looks, plan.alphas if alphas is None else alphas).settings()
  return made if id is None else made | {"id": id}


def test_a_plan_that_does_not_fit_is_named(files):
  file, plan = files["radii"], PROCEDURES["radii"].plan
  larger = [a * 1.2 for a in plan.alphas]
  evenly = [plan.alpha / len(plan.looks)] * len(plan.looks)
  for settings, message in (
    ({"plan": other_plan(plan, id="0" * 16)}, "its looks and alphas are those of"),
    ({"plan": other_plan(plan, alphas=larger)}, "add up to 0.0012, not to alpha = 0.001"),
    ({"plan": other_plan(plan, alphas=larger), "alpha": 0.0012}, "radii are below what the votes certify"),
    ({"plan": other_plan(plan, alphas=evenly)}, "not the one that rsjax makes"),
    ({"n": 6000}, "the plan ends with 5,000 draws, not with n = 6000"),
    ({"plan": "default"}, "a plan must have an id, looks and alphas"),
    ({"stop": {"rule": "luck"}}, "its rule for stopping is not known"),
    ({"stop": {"rule": "radii", "radii": [0.5, 0.25]}}, "radii must be increasing"),
    ({"stop": None}, "its rule for stopping is not known"),
    ({"alpha": 0.01}, "not to alpha = 0.01"),
  ):
    assert message in said(changed(file, settings)), settings
  without = changed(file)
  del without.manifest["settings"]["plan"]
  assert "radii are below what the votes certify" in said(without)
  del without.manifest["settings"]["stop"]
  assert "its manifest has no plan of looks" in said(without)


@pytest.mark.parametrize("name", PROCEDURES)
def test_what_needs_a_fixed_n_is_refused_by_name(name, files):
  file = files[name]
  for call in (
    lambda: analysis.with_alpha(file, 0.01),
    lambda: analysis.with_alpha(file, 1e-5),
    lambda: analysis.with_draws(file, 100),
    lambda: analysis.as_predictions(file),
  ):
    with pytest.raises(InputError, match=r"\.tsv cannot be analysed .*stopped.* fixed beforehand"):
      call()


def test_the_command_refuses_it_too(files, capsys):
  for flags in (["--alpha", "0.01"], ["--n", "100"], ["--reference", files["radii"].path]):
    assert analyze.main([files["radii"].path, *flags]) == 2
    assert "cannot be analysed" in capsys.readouterr().err


@pytest.mark.parametrize("names", [None, ["mine"]])
def test_the_acr_of_a_grid_is_called_a_lower_bound_everywhere(files, names):
  file = files["radii"]
  rows = analysis.summarize([file], GRID, names=names)
  legend = analysis.plot([file], names=names).axes[0].get_legend().get_texts()
  texts = [analysis.text(rows), analysis.markdown(rows), analysis.latex(rows), analysis.csv(rows)]
  texts += [analysis.caption(rows), json.dumps(rows), repr(analysis.Found(file)), legend[0].get_text()]
  for text in texts:
    assert "stopped at grid radii" in " ".join(text.split()), text
  assert "lower bound" in analysis.caption(rows) and "lower bound" in analysis.latex(rows)
  assert rows[0]["ACR_is_lower_bound"] is True
  [acr] = [r for r in csv.DictReader(io.StringIO(analysis.csv(rows))) if r["quantity"].startswith("ACR")]
  assert acr["quantity"] == "ACR, stopped at grid radii" and float(acr["value"]) == rows[0]["ACR"]
  for other in (files["tolerance"], files["anytime"]):
    [row] = analysis.summarize([other], GRID)
    assert row["ACR_is_lower_bound"] is False and "grid" not in json.dumps(row)


def test_the_mean_draws_of_an_image_are_shown_where_they_vary(files, tmp_path):
  fixed = write_file(tmp_path / "fixed.tsv", Certify(n=5000), images=20)
  for name in ("radii", "auto"):
    rows = analysis.summarize([files[name], fixed], GRID)
    votes0, votes = (results.parse_column(files[name].columns[c]).draws() for c in ("votes0", "votes"))
    drawn = float((votes0 + votes).mean())
    assert [row["draws"] for row in rows] == [drawn, 5100]
    for text in (analysis.text(rows), analysis.markdown(rows), analysis.latex(rows)):
      assert "draws" in text and f"{drawn:,.0f}" in text and "5,100" in text
    assert re.search(rf"draws,,{drawn}", analysis.csv(rows))
    assert f"{drawn:,.0f} draws per image" in repr(analysis.Found(files[name]))
    widths = {line.count("|") for line in analysis.markdown(rows).splitlines()}
    assert len(widths) == 1
    body = [line for line in analysis.latex(rows).splitlines() if line.endswith(r"\\")]
    assert len({line.count(" & ") for line in body}) == 1
    assert max(map(len, analysis.text(rows).splitlines())) <= 80
  alone = analysis.summarize([fixed], GRID)
  assert "draws" not in analysis.text(alone) + analysis.markdown(alone) + analysis.caption(alone)


def test_a_result_in_one_line_rounds_bounds_down_and_says_what_was_not_settled(files):
  file = dataclasses.replace(files["one radius"], columns=dict(files["one radius"].columns))
  file.columns["radius"] = np.where(file.columns["radius"] > 0, 0.4997, 0.0)
  acr = analysis.average_certified_radius(file)
  assert acr != round(acr, 3)
  line = repr(analysis.Found(file))
  [shown] = re.findall(r"ACR ([0-9.]+) \(a lower bound", line)
  assert acr - 0.001 < float(shown) <= acr
  assert "certified accuracy >= " in line and ", <= " in line and line.endswith("per image")
  settled = repr(analysis.Found(files["radii"]))
  assert "a lower bound" in settled and ">=" not in settled and "<=" not in settled


def test_a_table_of_predictions_shows_draws(files, tmp_path, capsys):
  file = files["predict"]
  assert analyze.main([file.path, "-o", str(tmp_path)]) == 0
  drawn = f"{file.columns['n'].mean():,.0f}"
  assert drawn in capsys.readouterr().out and drawn in (tmp_path / "predictions.md").read_text()
  assert f"{drawn} draws per image" in repr(analysis.Found(file))


def test_the_caption_says_that_n_is_the_most(files):
  rows = analysis.summarize([files["tolerance"]], GRID)
  assert "n 5,000 at most, stopped within 5 % or 0.02 sigma" in analysis.caption(rows)


def test_radii_between_those_of_the_grid_are_told(files):
  assert "lower bound" not in said(files["radii"])
  text = said(files["radii"], radii=(0.0, 0.1, 0.25, 0.3))
  assert "stopped at grid radii 0, 0.25, 0.5: certified accuracy at 0.1, 0.3 is a lower bound" in text
  assert "that do not include 0" in said(files["one radius"]) and "that do not include 0" not in text
  assert "lower bound" not in said(files["tolerance"], radii=(0.1,))


def test_a_table_takes_radii_of_the_grid_by_itself(files):
  assert analysis.grid(files["radii"]) == list(GRID)
  assert analysis.common_grid([files["radii"], files["tolerance"]]) == list(GRID)
  assert analysis.common_grid([files["one radius"], files["radii"]]) == [0.25]
  fine = changed(files["radii"], {"stop": Radii(tuple(0.01 * k for k in range(60))).settings()})
  assert len(analysis.grid(fine)) == 10 and set(analysis.grid(fine)) <= {0.01 * k for k in range(60)}


def test_a_cell_on_the_grid_is_that_of_all_draws(files):
  """The same draws without a rule for stopping: what is certified beyond a radius of the grid is the same."""
  stopped, whole = files["radii"], files["anytime"]
  ours, theirs = (120 * analysis.certified_accuracy(f, GRID) for f in (stopped, whole))
  assert np.abs(ours - theirs).max() <= 1
  assert analysis.average_certified_radius(stopped) < analysis.average_certified_radius(whole) - 0.02


def test_files_of_other_plans_or_rules_in_one_table_are_told(files, tmp_path):
  fixed = write_file(tmp_path / "fixed.tsv", Certify(n=5000))
  text = said(files["radii"], fixed)
  assert "the files differ in when images stop: n fixed beforehand; stopped at grid radii 0, 0.25, 0.5" in text
  assert "the files differ in when images stop" in said(files["radii"], files["tolerance"])
  assert "differ in when" not in said(files["radii"], changed(files["radii"]))
  coarse = write_file(tmp_path / "c.tsv", CertifyByLooks(n=5000, stop=Radii(GRID), first=500))
  assert "the files differ in their plan of looks" in said(files["radii"], coarse)
  legend = analysis.plot([files["radii"], fixed]).axes[0].get_legend().get_texts()
  assert "grid" in legend[0].get_text() and "grid" not in legend[1].get_text()
  two = [files["radii"], files["one radius"]]
  assert analysis.labels(two) == [
    "sigma = 0.25, stopped at grid radii 0 0.25 0.5",
    "sigma = 0.25, stopped at grid radii 0.25",
  ]


def test_shards_of_other_plans_are_not_one_run(tmp_path):
  shards = []
  for shard, radius in (("1/2", 0.25), ("2/2", 0.5)):
    procedure = CertifyByLooks(n=5000, stop=Radii((radius,)))
    shards.append(write_file(tmp_path / shard[0], procedure, images=4, settings={"shard": shard}))
  joined = results.join(shards)
  assert len(joined) == 2
  assert all("are missing" in file.notes[-1] for file in joined)


def test_images_that_were_ended_before_the_rule_did_are_told(files):
  ended = changed(files["anytime"], {"stop": Radii(GRID).settings()})
  assert "ended before the rule" not in said(ended)  # all have all draws
  short = write_file_ended(files)
  assert "was ended before drawing was done" in said(short)


def write_file_ended(files):
  """A file of which one image went on for one look too few."""
  file = files["radii"]
  procedure, noise = PROCEDURES["radii"], Gaussian(0.25)
  votes0, votes = np.array([100, 0]), np.array([80, 20])
  outcome = procedure.outcome(votes0, 100, votes, 100, noise)
  row = results.row_of(0, outcome, 0, 0.1)
  header = results.columns_of(procedure)
  one = results.parse_columns("x", header, [[row[name] for name in header]], file.settings)
  columns = {name: np.concatenate([one[name], values[1:]]) for name, values in file.columns.items()}
  return changed(file, **columns)


@pytest.mark.parametrize("name", ["anytime", "predict"])
def test_a_saved_file_keeps_its_column_n(name, files, tmp_path):
  results.save(files[name], tmp_path / "x.tsv")
  assert (tmp_path / "x.tsv").read_text() == pathlib.Path(files[name].path).read_text()

"""`certify --bound multi` and `analyze --bound multi`: the same rows, named wherever they stand."""

import json

import numpy as np
import pytest
from helpers import DIGITS, contents, ran, refused

from rsjax import analysis, analyze, certify, check, results
from rsjax.analysis import contradictions, looks
from rsjax.errors import InputError


def argv(trained, out, *more):
  return ["digits", trained, "0.25", str(out), "--skip", "60", "--N", "2000", *map(str, more)]


@pytest.fixture(scope="module")
def files(trained, tmp_path_factory):
  """{name: path} of runs on the same images, which differ in the bound and in whether they look."""
  folder = tmp_path_factory.mktemp("bounds")
  flags = {
    "one": [],
    "multi": ["--bound", "multi"],
    "one_grid": ["--radii", "0,0.2"],
    "multi_grid": ["--radii", "0,0.2", "--bound", "multi"],
    "one_looks": ["--stop", "anytime"],
    "multi_looks": ["--stop", "anytime", "--bound", "multi"],
  }
  for name, more in flags.items():
    assert certify.main(argv(trained, folder / name, *more)) == 0
  return {name: folder / name for name in flags}


def without_time(file):
  return {name: column.tolist() for name, column in file.columns.items() if name != "time"}


@pytest.mark.parametrize("kind", ["", "_looks"])
def test_analysed_with_the_bound_is_certified_with_it(files, kind):
  one, multi = (results.read(files[name + kind]) for name in ("one", "multi"))
  again = analysis.with_bound(one, "multi")
  as_recorded = lambda file: without_time(file) | {"pABar": np.round(file.columns["pABar"], 9).tolist()}
  assert as_recorded(again) == as_recorded(multi)
  assert (again.columns["radius"] > one.columns["radius"]).any()
  assert as_recorded(analysis.with_bound(again, "one-sided")) == as_recorded(one)
  assert analysis.with_bound(again, "one-sided").settings == one.settings
  ours, theirs = ({k: f.settings[k] for k in ("bound", "bound_shares")} for f in (again, multi))
  assert ours == theirs == {"bound": "multi", "bound_shares": [0.8, 0.2]}


def test_the_default_is_as_it_was(files):
  one = results.read(files["one"])
  assert not {"bound", "bound_shares"} & set(one.settings)
  header = files["one"].read_text().splitlines()[0].split("\t")
  assert header == ["idx", "label", "predict", "radius", "correct", "time", "nA", "pABar", "votes0", "votes"]
  assert files["multi"].read_text().splitlines()[0].split("\t") == header


def test_a_rule_goes_by_the_radius_of_the_bound(files):
  one, multi = results.read(files["one_grid"]), results.read(files["multi_grid"])
  assert not looks.undecided(multi).any() and not looks.undecided(one).any()
  assert not np.array_equal(one.columns["n"], multi.columns["n"])
  full = results.read(files["multi_looks"])
  for radius in (0, 0.2):
    certified = [(f.columns["radius"] > radius) & (f.columns["predict"] >= 0) for f in (multi, full)]
    assert (certified[0] <= certified[1]).all() and (certified[1] ^ certified[0]).sum() <= 1


def test_rows_are_held_against_their_votes(files):
  for name in ("multi", "multi_grid", "multi_looks"):
    file = results.read(files[name])
    assert not [*contradictions.of_settings(file), *contradictions.of_rows(file)]
    assert "multi-class bound" in contradictions.procedure_words(file)
    as_one = dict(file.settings)
    del as_one["bound"], as_one["bound_shares"]
    file.manifest["settings"] = as_one
    assert any("above what the votes certify" in text for text in contradictions.of_rows(file))
    file.manifest["settings"] = as_one | {"bound": "three"}
    assert any("bound is not known" in text for text in contradictions.of_settings(file))


def test_the_bound_stands_beside_every_table(files, tmp_path, capsys):
  said = ran(analyze.main, [DIGITS[2], "--bound", "multi", "-o", tmp_path], capsys)
  assert "sigma = 0.5, multi-class bound" in said.out and "bound multi-class" in " ".join(said.out.split())
  for ending in ("md", "tex", "csv", "json", "svg"):
    assert "multi-class" in (tmp_path / f"certified_accuracy.{ending}").read_text() or ending == "svg"
  assert json.loads((tmp_path / "certified_accuracy.json").read_text())["files"][0]["bound"] == "multi"
  plain = ran(analyze.main, [DIGITS[2]], capsys).out
  assert "bound one-sided" in " ".join(plain.split()) and "multi" not in plain
  named = ran(analyze.main, [files["multi"], "--label", "ours"], capsys).out
  assert "ours, multi-class bound" in named


def test_bounds_in_one_table_are_told_apart_and_told(files, capsys):
  said = ran(analyze.main, [files["one"], files["multi"]], capsys)
  assert "the files differ in bound: multi-class, one-sided" in said.err
  assert "one-sided bound" in said.out and "multi-class bound" in said.out
  one_bound = ran(analyze.main, [files["one"], files["multi"], "--bound", "one-sided"], capsys)
  assert "differ in bound" not in one_bound.err
  labels = analysis.labels([results.read(files[name]) for name in ("one", "multi")])
  assert ["one-sided" in labels[0], "multi-class" in labels[1]] == [True, True]


def test_another_alpha_and_fewer_draws_keep_the_bound(files, capsys):
  multi = results.read(files["multi"])
  for again in (analysis.with_alpha(multi, 1e-5), analysis.with_draws(multi, 500)):
    assert (
      again.settings["bound"] == "multi" and (again.columns["radius"] <= multi.columns["radius"] + 0.05).all()
    )
    assert not [*contradictions.of_rows(again)]
  assert "bound" not in analysis.as_predictions(multi).settings
  ran(analyze.main, [files["one"], "--n", 500, "--bound", "multi", "--alpha", 1e-4], capsys)


@pytest.mark.parametrize("name", ["multi", "multi_grid"])
def test_check_computes_its_rows_again_and_draws_them(files, name, trained, tmp_path, capsys):
  out = ran(check.main, [files[name], "--checkpoint", trained, "--rows", 100], capsys).out
  assert "alpha = 0.001, multi-class bound" in out and "nothing contradicts" in out
  for settings, said, code in (
    ({"bound": None, "bound_shares": None}, "above what the votes certify", 1),
    ({"bound_shares": [0.9, 0.1]}, "its bound is not known", 1),
    ({"top_k": 2}, "top_k cannot be 2", 2),  # it is of analyses
  ):
    copy = tmp_path / "copy.tsv"
    copy.write_bytes(files[name].read_bytes())
    manifest = results.read_manifest(files[name])
    manifest["settings"] = {k: v for k, v in (manifest["settings"] | settings).items() if v is not None}
    results.manifest_path(copy).write_text(json.dumps(manifest))
    assert check.main([str(copy)]) == code
    assert said in "".join(capsys.readouterr())


def test_another_bound_does_not_continue_a_file(files, trained, capsys):
  before = contents(files["one"].parent)
  refused(
    certify.main, argv(trained, files["one"], "--bound", "multi"), capsys, "bound was null", "give another path"
  )
  refused(certify.main, argv(trained, files["multi"]), capsys, 'bound was "multi", is now null')
  assert certify.main(argv(trained, files["multi"], "--bound", "multi")) == 0
  assert files["multi"].read_bytes() == before[files["multi"].relative_to(files["one"].parent)]


def test_files_that_cannot_have_it_are_refused_by_name(files, tmp_path, capsys):
  foreign = tmp_path / "foreign.tsv"
  foreign.write_text("idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t1\t1\t0.5\t1\t0:00:01\n")
  refused(analyze.main, [foreign, "--bound", "multi"], capsys, str(foreign), "keeps no votes of the classes")
  predictions = analysis.as_predictions(results.read(files["one"]))
  with pytest.raises(InputError, match="is of PREDICT"):
    analysis.with_bound(predictions, "multi")
  refused(analyze.main, [files["one"], "--bound", "multi", "--reference", files["multi"]], capsys, "--bound")
  stopped = results.read(files["one_grid"])
  stopped.manifest["settings"]["plan"] = stopped.settings["plan"] | {"id": "0" * 16}
  with pytest.raises(InputError, match=f"{stopped.path} cannot be analysed with another bound: the plan"):
    analysis.with_bound(stopped, "multi")
  del stopped.manifest["settings"]["plan"]
  with pytest.raises(InputError, match="has no plan of looks"):
    analysis.with_bound(stopped, "multi")
  with pytest.raises(InputError, match="bound must be"):
    analysis.with_bound(results.read(files["one"]), "both")


def test_a_file_that_stopped_by_the_other_bound_says_what_was_not_settled(files):
  again = analysis.with_bound(results.read(files["one_grid"]), "multi")
  assert not [*contradictions.of_rows(again)]
  ended = looks.undecided(again).sum()
  told = [*looks.told(again, [0.0, 0.2])]
  assert any(f"{ended} image" in text for text in told) == (ended > 0)

"""Whether the images of a file are those that its manifest says were asked for, whatever was asked for."""

import copy
import dataclasses
import json
import pathlib
import re
import warnings

import numpy as np
import pytest
from helpers import DIGITS

import rsjax
from rsjax import analysis, results
from rsjax.analysis import claims
from rsjax.data import Selection
from rsjax.errors import InputError, ResultWarning

SELECTIONS = [
  Selection(5, 20),
  Selection(5, 20, start=3),
  Selection(indices=(7, 3, 200, 4, 5)),
  Selection(5, shard=(2, 3)),
  Selection(start=1, max_images=50, shard=(1, 2)),
  Selection(indices=(9, 3, 100, 4, 5, 300), shard=(2, 2)),
]


def of(selection, index=None, expected=None):
  """A file of digits whose rows are of these images, and were asked for by a selection."""
  file = results.read(DIGITS[1])
  index = np.array(selection.of(360) if index is None else index)
  rows = np.arange(len(index)) % len(file)
  columns = {name: values[rows] for name, values in file.columns.items()} | {"idx": index}
  kept = {name: value for name, value in file.settings.items() if name not in ("skip", "max")}
  about = file.manifest["about"] | {"selected": len(selection.all_shards(360))}
  expected = len(selection.of(360)) if expected is None else expected
  manifest = file.manifest | {"settings": kept | selection.settings(), "about": about, "expected": expected}
  path = "{}.tsv".format("-".join(map(str, selection.shard or ("x",))))
  return dataclasses.replace(file, path=path, columns=columns, manifest=manifest, expected=expected)


def said(file):
  return "\n".join(t for t in analysis.warnings([file], ["x"], [0.0]) if "accuracy of one half" not in t)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_nothing_is_said_of_the_images_that_were_asked_for(selection):
  chosen = "x: its images were chosen one by one (--indices): the numbers are of these, not of the data set"
  assert said(of(selection)) == (chosen if selection.indices else "")
  part = selection.of(360)[:2]
  assert f"x: incomplete, 2 of {len(selection.of(360))} images; the numbers are of those" in said(
    of(selection, part)
  )


@pytest.mark.parametrize("selection", SELECTIONS)
def test_chosen_images_are_told_by_read_and_give_no_interval(selection):
  file = of(selection)
  assert any("chosen one by one" in text for text in analysis.Found(file).notes()) == bool(selection.indices)
  verdict = str(claims.judge(file, claims.parse("0 at 0")))
  assert ("no 95 % interval" in verdict) == bool(selection.indices)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_other_images_are_told(selection):
  due = selection.of(360)
  flag = "--indices" if selection.indices else f"--skip {selection.skip}"
  for index, expected in (
    ([due[0], due[1] + 1, *due[2:]], None),  # another image
    (due[::-1], None),  # another order
    (due[:-1], len(due) - 1),  # rows cut, and what is expected lowered
    ([*due[:-1], due[0]], None),  # one twice
  ):
    text = said(of(selection, index, expected))
    assert f"its images, or their number, do not match {flag}" in text, index
  if selection.shard:
    assert f"--shard {selection.shard[0]}/{selection.shard[1]}" in text


def shards(selection, count):
  return [of(dataclasses.replace(selection, shard=(i, count))) for i in range(1, count + 1)]


@pytest.mark.parametrize(
  "selection", [Selection(5), Selection(start=3), Selection(indices=(9, 3, 100, 4, 5, 300))]
)
def test_a_joined_run_may_lack_shards_and_rows_but_not_have_others(selection):
  whole = shards(selection, 3)
  [joined] = results.join(whole)
  assert joined.complete and joined.manifest["about"]["joined"] == ["1/3", "2/3", "3/3"]
  assert "its images, or" not in said(joined) and "incomplete" not in said(joined)
  part = of(dataclasses.replace(selection, shard=(3, 3)), whole[2].columns["idx"][:1])
  [joined] = results.join([whole[0], part])
  text = said(joined)
  assert "incomplete" in text and "shards 2 of 3 are missing" in text and "not those of" not in text
  part.columns["idx"] = np.array([2])
  assert "its images, or their number, do not match" in said(results.join([whole[0], part])[0])
  part.columns["idx"] = whole[0].columns["idx"][:1]
  assert "some images occur twice" in said(results.join([whole[0], part])[0])


def test_a_manifest_whose_selection_cannot_be_is_told():
  file = of(Selection(5))
  for name, value in (("skip", "5"), ("shard", "4/3"), ("indices", "x"), ("start", 400)):
    file.manifest["settings"] = Selection(5).settings() | {name: value} | {"sigma": 0.25, "n": 100_000}
    assert "its manifest asks for an impossible choice of images" in said(file), name


def warned(path):
  """(what `rsjax.read` returns, its warnings)."""
  with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    found = rsjax.read(path)
  assert all(w.category is ResultWarning and w.filename == __file__ for w in told)
  return found, "\n".join(str(w.message) for w in told)


def test_reading_a_part_of_a_run_warns_and_shards_are_joined(tmp_path):
  paths = [str(tmp_path / f"{i}.tsv") for i in (1, 2)]
  for i, path in enumerate(paths, start=1):
    results.save(of(Selection(5, shard=(i, 2))), path)
  shard, told = warned(paths[0])
  assert f"{paths[0]}: shard 1/2: the numbers are of its images alone; rsjax.read([path, ...]) joins" in told
  assert ", shard 1/2: " in repr(shard) and "(shard 1/2)" in shard.table()
  assert "shard 1/2" in shard.warnings()[0]
  _, told = warned(paths[:1])
  assert "shards 2 of 2 are missing" in told and "incomplete, 36 of 72 images" in told
  whole, told = warned(paths)
  assert told == "" and len(whole) == 72 and "shard" not in repr(whole) + whole.table()
  lines = (tmp_path / "2.tsv").read_text().splitlines(keepends=True)
  (tmp_path / "2.tsv").write_text("".join(lines[:4]))
  _, told = warned(pathlib.Path(paths[1]))
  assert "shard 2/2: " in told and "incomplete, 3 of 36 images: the numbers are of those" in told
  assert "\n" not in told, "there is one warning"
  for given, message in (([], "got none"), ([paths[0], *DIGITS[:1]], "got 2 runs: read each run by itself")):
    with pytest.raises(InputError, match=message):
      rsjax.read(given)


def test_reading_a_file_of_other_code_warns_of_its_rows(tmp_path):
  rows = ["idx\tlabel\tpredict\tradius\tcorrect\ttime", "0\t1\t1\t0.123456\t0\t1", "0\t1\t1\t0.123456\t1\t1"]
  (tmp_path / "theirs.tsv").write_text("\n".join(rows) + "\n")
  _, told = warned(tmp_path / "theirs.tsv")
  for text in (
    "no manifest",
    "`correct` disagrees with predict = label in 1 row",
    "only the first row of each",
  ):
    assert text in told


@pytest.mark.parametrize(
  ("change", "words"),
  [
    (lambda m: m.update(sessions=[]), "it lists no session|its manifest lists no session"),
    (lambda m: m["about"].pop("images"), "lacks about.images|differ in about.images"),
    (lambda m: m["about"].update(image_shape=[1, 1, 1]), "differ in about.image_shape"),
    (lambda m: m["about"]["checkpoint"].update(num_classes=3), "differ in about.checkpoint"),
    (lambda m: m["about"].update(dataset="mnist"), "differ in about.dataset"),
    (lambda m: m["about"]["checkpoint"].update(arch="lenet"), "differ in about.checkpoint"),
  ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_what_contradicts_one_shard_contradicts_the_run(change, words, place):
  parts = shards(Selection(5), 2)
  assert "x: " not in said(results.join(parts)[0])
  parts[place] = dataclasses.replace(parts[place], manifest=copy.deepcopy(parts[place].manifest))
  change(parts[place].manifest)
  [joined] = results.join(parts)
  assert re.search(words, said(joined))
  assert not claims.judge(joined, claims.parse("0.1 at 0")).supported


def test_rows_picked_out_of_a_shard_contradict_the_run():
  parts = shards(Selection(5), 2)
  right = np.flatnonzero(parts[1].columns["correct"] == 1)
  columns = {name: values[right] for name, values in parts[1].columns.items()}
  parts[1] = dataclasses.replace(parts[1], columns=columns)
  assert "its images, or their number, do not match" in said(results.join(parts)[0])


def test_joined_shards_are_saved_as_a_whole_run_only(tmp_path):
  parts = shards(Selection(5), 2)
  results.save(results.join(parts)[0], tmp_path / "whole.tsv")
  whole = results.read(tmp_path / "whole.tsv")
  assert whole.complete and "joined" not in whole.manifest["about"] and said(whole) == ""
  with pytest.raises(InputError, match="shards are missing"):
    results.save(results.join(parts[:1])[0], tmp_path / "part.tsv")
  manifest = json.loads((tmp_path / "whole.tsv.json").read_text())
  manifest["about"]["joined"] = ["1/2"]
  (tmp_path / "whole.tsv.json").write_text(json.dumps(manifest))
  with pytest.raises(InputError, match="joined cannot be"):
    results.read(tmp_path / "whole.tsv")


@pytest.mark.parametrize(
  ("change", "words"),
  [
    (lambda f: f.manifest["about"].update(selected=100), "100 images were selected, but that 72 rows are"),
    (lambda f: f.settings.update(split="val"), "says split val, which is none of train, test"),
    (lambda f: f.settings.update(dataset="xx"), "'xx' for the digest of its dataset"),
    (lambda f: f.settings.update(checkpoint="C" * 64), "for the digest of its checkpoint"),
    (
      lambda f: f.manifest["about"].update(dataset="mnist"),
      "mnist, whose image shape is [28, 28, 1], but says [8, 8, 1]",
    ),
    (
      lambda f: f.manifest["about"].update(dataset="imagenet"),
      "imagenet, whose number of classes is 1000, but says 10",
    ),
    (
      lambda f: f.manifest["about"].update(dataset="cifar10"),
      "cifar10, whose number of images is 10000, but says 360",
    ),
    (lambda f: f.manifest["about"].update(images=1000), "digits, whose number of images is 360, but says 1000"),
  ],
)
def test_what_a_manifest_cannot_say_is_told(change, words):
  file = of(Selection(5))
  file = dataclasses.replace(file, manifest=copy.deepcopy(file.manifest))
  change(file)
  assert words in said(file)


def test_originals_of_another_size_are_no_contradiction_where_it_is_said():
  """A data set that was prepared unverified has a note of its own."""
  file = of(Selection(5))
  about = file.manifest["about"] | {"dataset": "cifar10", "image_shape": [32, 32, 3]}
  for notes, told in (((), True), (("cifar10: made from other originals",), False)):
    other = dataclasses.replace(file, manifest=file.manifest | {"about": about}, notes=notes)
    assert ("number of images is 10000, but says 360" in said(other)) == told

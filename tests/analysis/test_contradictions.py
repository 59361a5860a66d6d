"""Whatever reads a file tells what contradicts it: check, tables, claims, --combine, --reference and Python."""

import json
import shutil
import warnings

import helpers
import numpy as np
import pytest
from looks import write_file

import rsjax
from rsjax import analysis, analyze, check, results
from rsjax.analysis import claims
from rsjax.data.known import meant_by, named_in
from rsjax.errors import InputError
from rsjax.procedures import Anytime, Certify, CertifyByLooks, Predict, PredictByLooks, Radii


def edit(path, change):
  """Changes the manifest of a file."""
  manifest = json.loads(results.manifest_path(path).read_text())
  change(manifest)
  results.manifest_path(path).write_text(json.dumps(manifest))


def with_column_n(path, n, said):
  """Gives a file of fixed n a column `n`, and its manifest another number."""
  header, *rows = (line.split("\t") for line in path.read_text().splitlines())
  place = header.index("time") + 1
  lines = [
    [*row[:place], cell, *row[place:]] for row, cell in zip([header, *rows], ["n", *[str(n)] * len(rows)])
  ]
  path.write_text("".join("\t".join(line) + "\n" for line in lines))
  edit(path, lambda manifest: manifest["settings"].update(n=said))


def told_by_all(path, capsys):
  """{who reads a file: what is told of its contradictions}."""
  found = {}
  check.main([str(path)])
  found["check"] = capsys.readouterr().out
  file = results.read(path)
  found["analyze"] = "\n".join(analysis.warnings([file], ["x"], []))
  found["Python"] = "\n".join(analysis.Found(file).contradictions())
  with warnings.catch_warnings(record=True) as heard:
    warnings.simplefilter("always")
    rsjax.read(path)
  found["rsjax.read"] = "\n".join(str(w.message) for w in heard)
  if "radius" in file.columns:
    found["claim"] = str(claims.judge(file, claims.parse("0 at 0")))
    other = path.with_name("other.tsv")
    shutil.copy(path, other)
    shutil.copy(f"{path}.json", f"{other}.json")
    edit(other, lambda manifest: manifest["settings"].update(sigma=0.5))
    try:
      found["combined"] = "\n".join(analysis.cascade([file, results.read(other)]).notes)
    except InputError as error:
      found["combined"] = str(error)
  return found


FIXED = {"certify": Certify(n=1000), "predict": Predict(n=300)}


@pytest.mark.parametrize("said", [100_000, 999, 1])
@pytest.mark.parametrize("command", FIXED)
def test_rows_of_a_fixed_n_have_the_n_of_the_manifest(command, said, tmp_path, capsys):
  path = tmp_path / "x.tsv"
  write_file(path, FIXED[command], images=20)
  with_column_n(path, FIXED[command].n, FIXED[command].n)
  assert not any("number of draws" in text for text in told_by_all(path, capsys).values())
  shutil.copy(path, tmp_path / "y.tsv")
  edit(path, lambda manifest: manifest["settings"].update(n=said))
  for reader, text in told_by_all(path, capsys).items():
    assert f"20 rows have another number of draws than n = {said:,}, which its manifest says" in text, reader


def test_shards_have_the_n_of_the_manifest(tmp_path):
  paths = [tmp_path / f"{i}.tsv" for i in (1, 2)]
  for i, path in enumerate(paths, start=1):
    write_file(path, Certify(n=1000), images=10, settings={"shard": f"{i}/2"})
    with_column_n(path, 1000, 100_000)
  [joined] = results.join([results.read(path) for path in paths])
  assert "20 rows have another number of draws" in "\n".join(analysis.warnings([joined], ["x"], []))
  assert "another number of draws" in str(claims.judge(joined, claims.parse("0 at 0")))


@pytest.mark.parametrize("more", [1, 2000])
def test_rows_by_looks_have_no_more_than_the_plan(more, tmp_path, capsys):
  path = tmp_path / "x.tsv"
  write_file(path, CertifyByLooks(n=2000, stop=Anytime()), images=5)
  edit(path, lambda manifest: manifest["settings"].update(n=2000 + more))
  for reader, text in told_by_all(path, capsys).items():
    assert "the plan ends with 2,000 draws" in text, reader


WHOLE = [
  (lambda m: m["settings"].pop("seed"), "its manifest lacks seed"),
  (lambda m: m["settings"].update(dtype="float64"), "dtype float64"),
  (lambda m: m["about"].pop("images"), "its manifest lacks about.images"),
  (lambda m: m["about"].update(dataset="cifar10", image_shape=[8, 8, 1]), "whose image shape is [32, 32, 3]"),
  (lambda m: m["settings"].update(split="val"), "says split val"),
  (lambda m: m["about"].update(image_shape=[16]), "its manifest lacks inputs"),
]


@pytest.mark.parametrize(("change", "said"), WHOLE)
@pytest.mark.parametrize("procedure", [Certify(n=300), PredictByLooks(n=300)])
def test_every_reader_tells_what_a_manifest_cannot_be(change, said, procedure, tmp_path, capsys):
  path = tmp_path / "x.tsv"
  write_file(path, procedure, images=20)
  edit(path, change)
  for reader, text in told_by_all(path, capsys).items():
    assert said in text, reader


def test_several_versions_and_devices_are_told_of_combined_files(tmp_path, capsys):
  paths = [shutil.copy(path, tmp_path / path.name) for path in helpers.DIGITS[1:]]
  for path, source in zip(paths, helpers.DIGITS[1:]):
    shutil.copy(f"{source}.json", f"{path}.json")
  argv = ["--combine", "cascade", *paths]
  assert "more than one" not in helpers.ran(analyze.main, argv, capsys).err
  edit(paths[1], lambda m: m["sessions"].append(m["sessions"][0] | {"jax": "0.0.1", "device": "abacus"}))
  told = helpers.ran(analyze.main, argv, capsys).err
  assert f"{paths[1]}: its rows were computed with more than one jax: 0.0.1, " in told
  assert "more than one device: " in told and "abacus" in told


@pytest.fixture
def answers(tmp_path):
  """(file of PREDICT, file of more draws for the same images)."""
  write_file(tmp_path / "p.tsv", Predict(n=300), images=20)
  write_file(tmp_path / "r.tsv", Certify(n=2000), images=20)
  return tmp_path / "p.tsv", tmp_path / "r.tsv"


def referred(answers, capsys):
  return helpers.ran(analyze.main, [answers[0], "--reference", answers[1]], capsys).err


def test_what_contradicts_a_reference_is_told(answers, capsys):
  assert str(answers[1]) not in referred(answers, capsys)
  edit(answers[1], lambda m: m["settings"].update(sigma=0.26))
  edit(answers[0], lambda m: m["settings"].update(sigma=0.26))
  assert f"{answers[1]}: " in (told := referred(answers, capsys)) and "below what the votes certify" in told
  edit(answers[1], lambda m: m["settings"].pop("seed"))
  assert f"{answers[1]}: its manifest lacks seed" in referred(answers, capsys)


def test_other_labels_of_a_reference_are_told(answers, capsys):
  lines = [line.split("\t") for line in answers[1].read_text().splitlines()]
  label, predict, correct = map(lines[0].index, ("label", "predict", "correct"))
  lines[1][label] = str(int(lines[1][label]) + 1)
  lines[1][correct] = str(int(lines[1][label] == lines[1][predict]))
  answers[1].write_text("".join("\t".join(line) + "\n" for line in lines))
  assert f"{answers[1]} has other labels than sigma = 0.25 for 1 image, the first is 0" in referred(
    answers, capsys
  )


def test_a_reference_without_a_manifest_is_told_and_refused_where_it_abstains(answers, capsys):
  results.manifest_path(answers[1]).unlink()
  assert analyze.main([str(answers[0]), "--reference", str(answers[1])]) == 2
  assert "abstains on 3 images" in (told := capsys.readouterr().err) and "has no votes that tell" in told
  lines = [line.split("\t") for line in answers[1].read_text().splitlines()]
  predict = lines[0].index("predict")
  for line in lines[1:]:
    line[predict] = line[predict].replace("-1", "0")
  answers[1].write_text("".join("\t".join(line) + "\n" for line in lines))
  assert f"{answers[1]}: no manifest: it is not known whether all images are there" in referred(answers, capsys)


@pytest.mark.parametrize("name", ["cifar10", "CIFAR10", "cifar-10", "Cifar_10", "CIFAR 10", "c-i-f-a-r-10"])
def test_a_data_set_is_known_however_its_name_is_spelt(name):
  assert meant_by(name) == "cifar10" and named_in(f"out/{name}/sigma_0.25") == ["cifar10"]
  assert meant_by(f"{name}0") == "cifar100" and named_in(f"{name}0.tsv") == ["cifar100"]
  assert meant_by(f"my {name}") is None and meant_by(None) is None
  assert meant_by("Fashion-MNIST") == "fashion_mnist" and meant_by("ImageNet") == "imagenet"


@pytest.mark.parametrize("name", ["CIFAR10", "cifar-10", "Cifar_10"])
def test_a_known_data_set_has_its_images_and_its_leaderboard(name, tmp_path, capsys):
  path = tmp_path / "x.tsv"
  write_file(path, Certify(n=300), images=20)
  edit(path, lambda m: m["about"].update(dataset=name))
  told = helpers.ran(analyze.main, [path, "--radii", "leaderboard"], capsys)
  assert "radius 0.25 1 2 ACR" in " ".join(told.out.split())
  text = "but is not the well-known one: its number of images is 40, not 10000"
  assert f"its data set is called {name}, {text}" in told.err
  assert f"its data set is called {name}, {text}" in helpers.ran(check.main, [path], capsys).out


def python_file(path, linear_variables, images, **settings):
  g = rsjax.smooth(helpers.linear, linear_variables, sigma=0.25)
  g.certify(images, np.zeros(len(images), int), n=200, file=path, progress=False, **settings)


def test_arrays_do_not_pass_for_images(tmp_path, capsys):
  rows = np.random.default_rng(0).normal(size=(6, 16)).astype(np.float32)
  variables = np.ones(16, np.float32) / 4, np.float32(0)
  g = rsjax.smooth(helpers.linear, variables, sigma=0.25, inputs="arrays")
  path = tmp_path / "x.tsv"
  g.certify(rows, np.zeros(6, int), n=200, file=path, progress=False)
  assert not any("lacks inputs" in text for text in told_by_all(path, capsys).values())
  edit(path, lambda m: m["settings"].pop("inputs"))
  for reader, text in told_by_all(path, capsys).items():
    assert "its manifest lacks inputs" in text and "[16] for image_shape" in text, reader


@pytest.mark.parametrize("old", [False, True])
def test_chosen_images_are_told_of_files_from_python(old, tmp_path, capsys, linear_variables, images):
  whole, part = tmp_path / "whole.tsv", tmp_path / "part.tsv"
  python_file(whole, linear_variables, images)
  python_file(part, linear_variables, images, indices=[0, 1, 4])
  if old:
    edit(part, lambda m: m["about"].pop("selected"))
  for path, told in ((whole, False), (part, True)):
    file = results.read(path)
    assert check.main([str(path)]) == 0
    for text in (capsys.readouterr().out, "\n".join(analysis.warnings([file], ["x"], []))):
      assert ("it is of 3 of the 6 images that were given" in text) is told
      assert ("earlier versions" in text) is (told and old)
  assert ("evenly spaced" in text) is old  # what is not known to be chosen may be cut
  said = " ".join(str(claims.judge(file, claims.parse("0 at 0"))).split())
  how = "chosen by `indices`, or cut afterwards" if old else "chosen one by one (`indices`)"
  assert f"a subset, 3 of the given 6 images, {how}: it says nothing of the others" in said


@pytest.mark.parametrize(
  ("images_said", "said"),
  [(5, "image 5 cannot be: its manifest says that 5 images were given"), (3, "expects 6 rows of 3 images")],
)
def test_images_that_were_not_given_contradict(images_said, said, tmp_path, capsys, linear_variables, images):
  path = tmp_path / "x.tsv"
  python_file(path, linear_variables, images)
  edit(path, lambda m: m["about"].update(images=images_said))
  for reader, text in told_by_all(path, capsys).items():
    assert said in text, reader


def test_selection_draws_that_the_first_ask_for_are_there(tmp_path, capsys):
  path = tmp_path / "x.tsv"
  write_file(path, CertifyByLooks(n0="auto", n=1000, stop=Radii((0.0, 0.25))), images=60)
  assert not any("selection draws" in text for text in told_by_all(path, capsys).values())
  lines = [line.split("\t") for line in path.read_text().splitlines()]
  place = lines[0].index("votes0")
  first, second = lines[1][lines[0].index("votes")].split(",")[0].split(":")[0], 7
  row = next(k for k, line in enumerate(lines[1:], start=1) if line[place].count(",") == 0)
  first = int(lines[row][place].split(":")[0])
  lines[row][place] = f"{first}:51,{second}:49"
  path.write_text("".join("\t".join(line) + "\n" for line in lines))
  for reader, text in told_by_all(path, capsys).items():
    assert "1 row has fewer selection draws than n0 = auto asks for" in text, reader
  lines[row][place] = f"{first}:90,{second}:10"
  path.write_text("".join("\t".join(line) + "\n" for line in lines))
  assert not any("selection draws" in text for text in told_by_all(path, capsys).values())


FORGED = "fine\nx.tsv: nothing contradicts\r\x1b[2K\x07\u2028\x85end"


@pytest.mark.parametrize(
  "change",
  [
    lambda m: m["about"].update(notes=[FORGED]),
    lambda m: m["about"].update(dataset=FORGED),
    lambda m: m["about"].update(checkpoint={"arch": FORGED, FORGED: 1}),
    lambda m: m["settings"].update(classifier=FORGED, split=FORGED, dtype=FORGED),
    lambda m: m["settings"].update(dataset=FORGED, checkpoint=FORGED),
    lambda m: m["settings"].update({FORGED: FORGED}),
    lambda m: m["sessions"].append({"rsjax": FORGED, "jax": FORGED, "device": FORGED}),
  ],
)
def test_no_text_of_a_manifest_forges_lines_or_moves_the_cursor(change, tmp_path, capsys):
  path = tmp_path / "f.tsv"
  write_file(path, Certify(n=300), images=20)
  edit(path, change)
  check.main([str(path)])
  analyze.main([str(path), str(helpers.DIGITS[0]), "-o", str(tmp_path / "t")])
  out, err = capsys.readouterr()
  written = [(tmp_path / "t" / f"certified_accuracy.{ending}") for ending in ("md", "tex", "csv", "json")]
  texts = [out, err, *(one.read_text() for one in written if one.exists()), *told_by_all(path, capsys).values()]
  for text in texts:
    assert all(c.isprintable() or c == "\n" for c in text)
    assert not any(line.startswith("x.tsv: nothing contradicts") for line in text.splitlines())


def test_notes_of_a_file_stay_within_their_comments_in_latex(tmp_path, capsys):
  path = tmp_path / "f.tsv"
  write_file(path, Certify(n=300), images=20)
  edit(path, lambda m: m["about"].update(notes=["one\n\\end{document}"]))
  helpers.ran(analyze.main, [path, "-o", tmp_path / "t"], capsys)
  [line] = [
    line for line in (tmp_path / "t/certified_accuracy.tex").read_text().splitlines() if "document" in line
  ]
  assert line.startswith("% warning: ")


@pytest.mark.parametrize("name", ["n", "alpha", "settings", "notes"])
def test_a_manifest_that_names_something_twice_is_refused(name, tmp_path, capsys):
  path = tmp_path / "x.tsv"
  write_file(path, Certify(n=300), images=5)
  manifest = results.manifest_path(path)
  edit(path, lambda m: m["about"].update(notes=[]))
  value = json.dumps({"n": 1000, "alpha": 0.5, "settings": {}, "notes": ["x"]}[name])
  manifest.write_text(manifest.read_text().replace(f'"{name}":', f'"{name}": {value}, "{name}":', 1))
  for command in (check, analyze):
    helpers.refused(command.main, [path], capsys, f"names '{name}' twice", "restore it from a copy")


def test_its_own_alpha_is_one_at_which_a_file_by_looks_can_be_analysed(tmp_path, capsys):
  stopped, fixed = tmp_path / "s.tsv", tmp_path / "f.tsv"
  write_file(stopped, CertifyByLooks(n=2000, stop=Radii((0.0, 0.25))), images=20)
  write_file(fixed, Certify(n=2000, alpha=0.01), images=20)
  edit(fixed, lambda m: m["settings"].update(sigma=0.5))
  plain, same = (
    helpers.ran(analyze.main, [stopped, *flags], capsys).out for flags in ([], ["--alpha", "0.001"])
  )
  assert plain == same
  argv = [stopped, fixed, "--combine", "cascade"]
  helpers.refused(analyze.main, argv, capsys, "give --alpha")
  assert "alpha 0.001" in helpers.ran(analyze.main, [*argv, "--alpha", "0.001"], capsys).out
  helpers.refused(analyze.main, [*argv, "--alpha", "0.01"], capsys, "at another alpha")
  answers = tmp_path / "p.tsv"
  write_file(answers, PredictByLooks(n=2000), images=20)
  plain, same = (
    helpers.ran(analyze.main, [answers, *flags], capsys).out for flags in ([], ["--alpha", "0.001"])
  )
  assert plain == same


@pytest.mark.parametrize("name", ["checkpoint", "dataset", "seed"])
def test_equal_rows_of_different_runs_are_not_called_one_run(name, tmp_path, capsys):
  paths = [tmp_path / "r.tsv", tmp_path / "ft.tsv"]
  for path in paths:
    write_file(path, Certify(n=300), images=20)
  assert "hold the same rows: one run was given 2 times" in helpers.ran(analyze.main, paths, capsys).err
  edit(paths[1], lambda m: m["settings"].update({name: 5 if name == "seed" else "e" * 64}))
  told = helpers.ran(analyze.main, paths, capsys).err
  assert f"hold the same rows, but differ in {name}: are they copies of one run?" in told

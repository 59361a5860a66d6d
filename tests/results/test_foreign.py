"""Result files of other tools: what is read of them, what is refused, and what is said."""

import shutil

import helpers
import numpy as np
import pytest

import rsjax
from rsjax import analysis, bounds, results
from rsjax.errors import InputError


def foreign(path, header, *rows):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text("\n".join("\t".join(map(str, row)) for row in (header.split(","), *rows)) + "\n")
  return path


def notes(path):
  return "\n".join(results.read_any(path).notes)


@pytest.mark.parametrize(
  "header",
  [
    "idx,label,predict,radius proved,correct,levels_needed,estimated_pr,time",  # adaptive sampling
    "idx,label,predict,certified,correct,time",
    "idx,label,predict,correct,samples,time",
    "idx,label,predict,pABar,correct,time",  # certificates of another noise, without radii
    "idx,label,predict,Radius,correct,time",
  ],
)
def test_certificates_without_radii_are_not_read_as_answers_of_predict(header, tmp_path):
  """Their rows have an answer whether or not it was proved, and would all count."""
  path = foreign(tmp_path / "adaptive.tsv", header, [0, 3, 3, 0, 1, 0, 0, 0][: header.count(",") + 1])
  unread = set(header.split(",")) - {"idx", "label", "predict", "correct", "time"}
  with pytest.raises(InputError, match="no column radius") as error:
    results.read_any(path)
  assert all(name in str(error.value) for name in unread)


@pytest.mark.parametrize("name", ["certified", "proved", "abstain", "is_valid"])
def test_a_column_that_may_revoke_a_radius_is_refused_by_name(name, tmp_path):
  path = foreign(tmp_path / "f.tsv", f"idx,label,predict,radius,{name}", [0, 1, 1, 0.5, 0])
  with pytest.raises(InputError, match=rf"are not known: {name}\."):
    results.read_any(path)


def test_beside_columns_that_are_not_read_a_radius_of_0_proves_nothing(tmp_path):
  header, rows = "idx,label,predict,pA,samplesize,radius", ([0, 1, 1, 0.9, 500, 0.25], [1, 1, 1, 0.4, 900, 0.0])
  file = results.read_any(foreign(tmp_path / "adaptive.tsv", header, *rows))
  assert file.columns["predict"].tolist() == [1, -1]
  assert analysis.certified_accuracy(file, [0.0]) == analysis.abstention_rate(file) == 0.5
  said = "\n".join(file.notes)
  assert "its columns pA, samplesize are not read" in said
  assert "1 row answers a class with radius 0, which proves nothing: counted as abstained" in said
  paper = results.read_any(foreign(tmp_path / "paper.tsv", "idx,label,predict,radius", *([0, 1, 1, 0.0],) * 2))
  assert paper.columns["predict"].tolist() == [1] and "2 rows answer a class" in "".join(paper.notes)


def test_a_file_of_rsjax_without_its_manifest_is_read(tmp_path):
  for columns in (results.CERTIFY_COLUMNS, results.with_n(results.PREDICT_COLUMNS)):
    row = {"idx": 0, "label": 2, "predict": 2, "radius": 0.512345}
    path = foreign(tmp_path / "own.tsv", ",".join(columns), [row.get(name, 1) for name in columns])
    assert len(results.read_any(path)) == 1 and "not read" not in notes(path)
    told = "the manifest own.tsv.json, which explains them and names the norm, is missing"
    assert f"its votes are not used: {told}" in notes(path)
    with pytest.raises(InputError, match=r"has no manifest own\.tsv\.json beside it"):
      analysis.with_alpha(results.read_any(path), 0.01)


def test_different_numbers_of_draws_are_told(tmp_path):
  for counts, told in (([100, 100], False), ([100, 400], True)):
    rows = [[i, 1, 1, 0.3, n] for i, n in enumerate(counts)]
    path = foreign(tmp_path / "f.tsv", "idx,label,predict,radius,n", *rows)
    assert ("took different numbers of draws" in notes(path)) == told


def test_headers_are_read_exactly(tmp_path):
  spaced = foreign(tmp_path / "spaced.tsv", "idx ,label,predict,radius ", [0, 1, 1, 0.5])
  assert results.read_any(spaced).columns["radius"].tolist() == [0.5]
  with pytest.raises(InputError, match="names a column twice: radius"):
    results.read_any(foreign(tmp_path / "twice.tsv", "idx,label,predict,radius,radius", [0, 1, 1, 0.5, 0.1]))
  (tmp_path / "nothing.tsv").write_text("")
  with pytest.raises(InputError, match="is empty"):
    results.read_any(tmp_path / "nothing.tsv")


@pytest.mark.parametrize("decimals", [2, 3, 4, 5, 6])
@pytest.mark.parametrize("n", [1_000, 10_000, 100_000])
def test_radii_rounded_upward_are_found_at_any_number_of_digits(n, decimals, tmp_path):
  """Above what unanimous votes give, in the last digit printed; rounded down they are not."""
  sigma = 0.25
  exact = float(sigma * bounds.certified_radius(bounds.lower_confidence_bound(n, n, 0.001), 1.0))
  nearest, down = f"{exact:.{decimals}f}", f"{np.floor(exact * 10**decimals) / 10**decimals:.{decimals}f}"
  for text in (nearest, down):
    path = foreign(tmp_path / "sigma_0.25", "idx,label,predict,radius", [0, 1, 1, text], [1, 1, 1, "0.1"])
    found = f"the most that {n:,} unanimous votes prove" in notes(path)
    assert found == (float(text) > exact + 1e-6)
  if decimals in (4, 5):
    assert "if rounded to the nearest, some are up to 0.0000" in notes(path)


@pytest.mark.parametrize(("sigma", "told"), [("0.25", False), ("0.50", True), ("1.00", True)])
def test_a_path_that_says_another_sigma_than_radii_and_bounds_is_told(sigma, told, tmp_path):
  """The file is of sigma 0.25; a smaller one in the path is told by radii above those of their bounds."""
  digits = results.read(helpers.DIGITS[1]).columns
  rows = [[*(digits[name][i] for name in ("idx", "label", "predict", "radius", "pABar"))] for i in range(72)]
  path = foreign(tmp_path / f"sigma_{sigma}", "idx,label,predict,radius,pABar", *rows)
  assert ("radii follow from their pABar at sigma = 0.25, not at" in notes(path)) == told


@pytest.mark.parametrize(
  ("texts", "count", "most"),
  [
    (["0.4", "0.9"], "one significant figure", "0.05"),
    (["0.43", "0.08"], "two significant figures", "0.005"),
    (["1.43", "0.08"], "three significant figures", "0.005"),
    (["0.431", "0.0127"], "three significant figures", "0.0005"),
    (["4.9e-1"], "two significant figures", "0.005"),
  ],
)
def test_few_figures_and_what_rounding_may_have_added_are_told(texts, count, most, tmp_path):
  path = foreign(tmp_path / "f", "idx,label,predict,radius", *([i, 1, 1, text] for i, text in enumerate(texts)))
  told = f"radii have at most {count}, rounded to the nearest: some are up to {most} above what was certified"
  assert told in notes(path)


def test_radii_that_no_usual_run_can_have_are_named(tmp_path):
  path = foreign(tmp_path / "sigma_0.50", "idx,label,predict,radius", [0, 1, 1, "1.9553"], [1, 1, 1, "1.9553"])
  assert "2 radii are up to 1.9553, above 1.905728, the most that 100,000" in notes(path)
  assert "its settings differ, or its radii are too large" in notes(path)
  fine = foreign(tmp_path / "fine" / "sigma_0.50", "idx,label,predict,radius", [0, 1, 1, "1.905728"])
  assert "unanimous" not in notes(fine)


def test_a_run_that_was_only_begun_has_no_rows(tmp_path):
  manifest = results.Manifest({"sigma": 0.25, "command": "predict"}, [0, 1], {}, {})
  with results.open_for_append(tmp_path / "begun.tsv", manifest, results.PREDICT_COLUMNS):
    pass
  for content in ("", "idx\tla"):
    (tmp_path / "begun.tsv").write_text(content)
    begun = results.read_any(tmp_path / "begun.tsv")
    assert (len(begun), begun.expected, "radius" in begun.columns) == (0, 2, False)


@pytest.mark.parametrize(("name", "sigma"), [
  ("sigma_1e-1", 0.1), ("sigma_0.25", 0.25), ("sigma_1", 1.0), ("sigma0.5.tsv", 0.5), ("sigma=0.50", 0.5),
  ("Sigma-0.5", 0.5), ("sigma_.5", 0.5), ("noise1.5_sigma.25.txt", 0.25),
])  # fmt: skip
def test_sigma_is_taken_from_the_path(name, sigma, tmp_path):
  path = foreign(tmp_path / name, "idx,label,predict,radius", [0, 1, 1, 0.1])
  assert results.read_any(path).settings["sigma"] == sigma


@pytest.mark.parametrize("name", ["sigma0", "sigma2.tsv", "sigmas", "noise2noise", "sigma_run"])
def test_a_number_that_may_count_runs_is_no_sigma(name, tmp_path):
  read = results.read_any(foreign(tmp_path / name, "idx,label,predict,radius", [0, 1, 1, 0.1]))
  assert "sigma" not in read.settings and "checkpoint" not in read.manifest["about"]


def test_columns_are_read_only(tmp_path):
  """A sorted or scaled column would change ACR, tables, plots and saved files."""
  read = results.read_any(
    foreign(tmp_path / "a.tsv", "idx,label,predict,radius", [0, 1, 1, 0.2], [1, 1, 1, 0.1])
  )
  for change in (np.ndarray.sort, lambda radius: radius.__imul__(255), lambda radius: radius.__setitem__(0, 1)):
    with pytest.raises(ValueError, match="read-only"):
      change(read.columns["radius"])
  assert read.columns["radius"].tolist() == [0.2, 0.1]
  found = analysis.Found(read)
  with pytest.raises(
    AttributeError, match=r"columns are read-only: take a copy, radius = found.radius.copy\(\)"
  ):
    found.radius = 255 * found.radius


def test_a_pabar_that_was_rounded_to_1_is_no_error(tmp_path):
  rows = [0, 1, 1, "0.700000", "0.9974"], [1, 1, 1, "1.500000", "1.000"]
  path = foreign(tmp_path / "sigma_0.25", "idx,label,predict,radius,pABar", *rows)
  assert not any("pABar" in note for note in results.read_any(path).notes)


def test_exact_certificates_without_their_manifest_are_refused(tmp_path):
  for name in ("splitting", "columns"):
    shutil.copy(helpers.ROOT / "experiments" / "results" / "noises" / f"{name}.tsv", tmp_path)
    with pytest.raises(InputError, match=f"another norm than l2, and no manifest .* put its {name}.tsv.json"):
      results.read_any(tmp_path / f"{name}.tsv")


WHOLE = dict(idx=0, label=1, predict=1, radius="0.841621", n=1000, nA=999, pABar="0.9900000000")


@pytest.mark.parametrize(
  ("changes", "said"),
  [
    ({}, None),
    ({"radius": "0.841622"}, None),  # a part of a float32
    (
      {"radius": "0.9", "pABar": "0.9900000000"},
      "a radius above that of their pABar, if the noise is Gaussian",
    ),
    ({"pABar": "0.5"}, "a radius above that of their pABar"),
    ({"predict": -1}, "a radius above 0 and no answer"),
    ({"nA": 1001}, "more votes nA than draws n"),
    ({"nA": 900}, "a pABar above nA / n"),
    ({"pABar": "x"}, "not used, for lack of what explains them: pABar"),
  ],
)
def test_bounds_and_votes_that_a_file_has_are_held_against_its_radii(changes, said, tmp_path):
  sigma = 0.841621 / 2.326347
  for extra in ([], ["n"], ["nA"], ["pABar"]):
    row = {name: value for name, value in (WHOLE | changes).items() if name not in extra}
    path = foreign(tmp_path / f"sigma_{sigma:.6f}", ",".join(row), [*row.values()])
    told = notes(path)
    if said is None:
      assert "row has" not in told
    elif not extra:
      assert said in told
    assert ("not used" in told) == (extra == ["n"] or (changes.get("pABar") == "x" and extra != ["pABar"]))


def test_bounds_that_nothing_explains_are_named(tmp_path):
  path = foreign(tmp_path / "f.tsv", ",".join(WHOLE), [*WHOLE.values()])
  assert "not used, for lack of what explains them: pABar, n, nA" in notes(path)
  row = {"idx": 0, "label": 1, "predict": 1, "pvalue": 0.01}
  path = foreign(tmp_path / "p.tsv", ",".join(row), [*row.values()])
  assert "not used, for lack of what explains them: pvalue" in notes(path)


def test_names_of_columns_that_move_the_cursor_are_escaped(tmp_path):
  path = foreign(tmp_path / "f.tsv", "idx,label,predict,radius,\x1b[1Ax", [0, 1, 1, 0.5, 0])
  assert "its column \\x1b[1Ax is not read" in notes(path) and "\x1b" not in notes(path)


@pytest.mark.parametrize(
  ("row", "said"),
  [
    (
      {"radius": "1.834567", "n": 100, "nA": 99},
      "above what their nA of n votes prove at alpha = 0.001 and sigma",
    ),
    (
      {"radius": "1.834567", "n": 100},
      "above what even n unanimous votes prove at alpha = 0.001 and sigma = 0.5",
    ),
    ({"radius": "1.834567", "n": 0, "nA": 0}, "above what their nA of n votes prove"),
    ({"radius": "0.7", "n": 100}, None),
    ({"radius": "0.741", "n": 100}, None),  # 0.7406..., rounded
    ({"radius": "0.6", "n": 100, "nA": 99}, None),
    ({"radius": "0", "n": 100, "nA": 50}, None),
  ],
)
def test_radii_above_what_the_draws_of_a_file_prove_are_told(row, said, tmp_path):
  row = {"idx": 0, "label": 1, "predict": 1} | row
  told = notes(foreign(tmp_path / "sigma_0.50", ",".join(row), [*row.values()]))
  assert ("its settings differ, or its radii are too large" in told) == (said is not None)
  assert said is None or said in told
  assert "100,000 unanimous votes" not in told  # the file's own n is known


def test_radii_on_the_scale_of_grey_levels_are_told_even_without_sigma(tmp_path):
  for radius, told in (("137.5", True), ("3.2", False)):
    path = foreign(tmp_path / "plain.tsv", "idx,label,predict,radius", [0, 1, 1, radius])
    assert ("divide those of 0..255 by 255" in notes(path)) == told


def test_a_column_of_a_norm_is_told_by_name(tmp_path):
  path = foreign(tmp_path / "f.tsv", "idx,label,predict,radius,norm", [0, 1, 1, 0.5, "l1"])
  assert "its column norm may say another norm: its radii are shown as l2 radii" in notes(path)


@pytest.mark.parametrize("separator", [",", ";"])
def test_a_file_that_is_not_separated_by_tabs_is_refused_with_the_cause(separator, tmp_path):
  path = tmp_path / "f.csv"
  path.write_text(separator.join(("idx", "label", "predict", "radius")) + "\n")
  with pytest.raises(InputError, match=f"separated by '{separator}', not by tabs"):
    results.read_any(path)


def test_a_sigma_of_a_path_that_seems_to_be_in_grey_levels_is_told(tmp_path):
  for sigma, told in (("64", True), ("1.00", False)):
    path = foreign(tmp_path / f"sigma_{sigma}", "idx,label,predict,radius", [0, 1, 1, 0.25])
    assert ("if you meant grey levels from 0 to 255" in notes(path)) == told


def test_a_comment_before_the_header_is_no_second_header(tmp_path):
  path = tmp_path / "f.tsv"
  path.write_text("# sigma 0.25 n 100000\nidx\tlabel\tpredict\tradius\n0\t1\t1\t0.25\n")
  with pytest.raises(InputError, match="its first line must name columns, such as idx"):
    results.read_any(path)


def test_a_folder_and_a_manifest_are_refused_as_such(tmp_path):
  with pytest.raises(InputError, match="is a folder: give a result file"):
    results.read_any(tmp_path)
  (tmp_path / "f.tsv.json").write_text("{}")
  with pytest.raises(InputError, match=r"is a manifest: give its result file, .*f\.tsv$"):
    results.read_any(tmp_path / "f.tsv.json")


def test_python_tells_which_images_seem_to_be_missing(tmp_path):
  rows = [[20 * i, 1, 1, 0.25] for i in range(500)]
  header = "idx,label,predict,radius"
  for given, told in (
    (rows[:250], "may be incomplete: 250 rows"),
    (rows[:99] + rows[150:], "51 images are missing"),
  ):
    path = foreign(tmp_path / "cifar10" / "sigma_0.25", header, *given)
    with pytest.warns(UserWarning, match=told):
      rsjax.read(path)


def test_labels_with_a_point_are_refused_with_the_whole_number(tmp_path):
  path = foreign(tmp_path / "f.tsv", "idx,label,predict,radius", [0, "8.0", 8, 0.25])
  with pytest.raises(InputError, match=r"label cannot be .8\.0.: write the whole number 8$"):
    results.read_any(path)

"""The command analyze, as users type it."""

import functools
import json
import shutil

import helpers
import pytest

from rsjax import analysis, analyze, results

DIGITS = [str(path) for path in helpers.DIGITS]
ran, refused = (functools.partial(how, analyze.main) for how in (helpers.ran, helpers.refused))


def foreign(path, radius="0.123", rows=120, correct=None, header="idx\tlabel\tpredict\tradius\tcorrect\ttime"):
  lines = [header]
  lines += [
    f"{20 * i}\t{i % 3}\t{i % 3}\t{radius}\t{1 if correct is None else correct(i)}\t0:00:13.7"
    for i in range(rows)
  ]
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text("\n".join(lines) + "\n")
  return path


def test_tables_and_plots_of_several_files(tmp_path, capsys):
  out = ran([*DIGITS, "--radii", 0, 0.25, "--rho", 0.01, "--intervals", "-o", tmp_path / "t"], capsys)
  assert "sigma = 0.12 0.94 0.78 0.365" in " ".join(out.out.split())
  assert "with 72 images" in out.err
  names = {p.name for p in (tmp_path / "t").iterdir()}
  assert names == {
    f"certified_accuracy.{ending}" for ending in ("md", "tex", "csv", "json", "png", "pdf", "svg")
  }
  said = json.loads((tmp_path / "t" / "certified_accuracy.json").read_text())
  assert [row["certified_accuracy"][0] for row in said["files"]] == pytest.approx([68 / 72, 67 / 72, 61 / 72])
  assert said["warnings"]
  for ending, mark in (("md", "- "), ("tex", "% warning: ")):
    lines = (tmp_path / "t" / f"certified_accuracy.{ending}").read_text().splitlines()
    assert [line.removeprefix(mark) for line in lines if line.startswith(mark)] == said["warnings"]


def test_a_table_in_latex_has_the_numbers_of_images_if_they_differ(tmp_path, capsys):
  few = shutil.copy(DIGITS[0], tmp_path / "few.tsv")
  shutil.copy(f"{DIGITS[0]}.json", f"{few}.json")
  rows = few.read_text().splitlines(keepends=True)
  few.write_text("".join(rows[:61]))
  tex = lambda *files: (
    ran([*files, "-o", tmp_path], capsys),
    (tmp_path / "certified_accuracy.tex").read_text(),
  )[1]
  assert "images" not in tex(*DIGITS).partition(r"\toprule")[2]
  table = tex(few, DIGITS[1])
  assert r"& ACR & images \\" in table and r" & 60 \\" in table and r" & 72 \\" in table


def test_the_paper_counts_the_radius_itself(tmp_path, capsys):
  path = foreign(tmp_path / "noise_0.50" / "sigma_0.25", radius="0.25")
  said = ran([path, "--radii", 0.25], capsys)
  assert "0.00" in said.out.splitlines()[3]
  assert "in 120 cases an image's radius is exactly R" in said.out
  assert "sigma = 0.25, training noise 0.5" in said.out
  assert "1.00" in ran([path, "--radii", 0.25, "--rule", "paper"], capsys).out.splitlines()[3]


def test_what_is_no_result_file_is_called_so(tmp_path, capsys):
  (tmp_path / "notes.txt").write_text("what to do\n\nlater\n\n\nand\tthen\n")
  refused(
    [tmp_path / "notes.txt"], capsys, "is not a result file: its first line must name columns", "what to do"
  )


def test_foreign_files_are_read_with_care(tmp_path, capsys):
  totals = foreign(tmp_path / "totals.tsv", correct=lambda i: i + 1)
  said = ran([totals], capsys).err
  assert "`correct` disagrees with predict = label in 119 rows" in said
  assert "three significant figures" in said and "no manifest" in said
  headless = foreign(tmp_path / "noise_0.00" / "sigma_0.25")
  headless.write_text(headless.read_text().removesuffix("\n"))
  assert "sigma = 0.25, training noise 0 " in ran([headless], capsys).out
  assert len(results.read_any(headless)) == 120
  again = foreign(tmp_path / "again.tsv")
  again.write_text(again.read_text() + "0\t1\t2\t0.5\t0\t1\n")
  read = results.read_any(again)
  assert len(read) == 120 and read.columns["radius"][0] == 0.123
  assert "1 row repeats an earlier image" in ran([again], capsys).err
  for bad, words in (
    ("x", "line 2: radius cannot be 'x'"),
    ("nan", "line 2: radius"),
    ("-1", "line 2: radius"),
  ):
    refused([foreign(tmp_path / "bad.tsv", radius=bad)], capsys, words)
  refused(
    [foreign(tmp_path / "head.tsv", header="a\tb\tc\td\te\tf")], capsys, "line 1", "lacks idx, label, predict"
  )
  refused([foreign(tmp_path / "r.tsv"), "--alpha", 0.01], capsys, "keeps no votes")


def test_other_alpha_and_fewer_draws(capsys):
  whole, less = (ran([DIGITS[1], *flags], capsys).out for flags in ([], ["--n", 1000, "--alpha", 1e-6]))
  acr = lambda said: float(said.splitlines()[3].split()[-3])
  assert acr(less) < acr(whole)
  refused([DIGITS[1], "--n", 200_000], capsys, "from 1 to the 100,000 draws")


@pytest.mark.parametrize(
  ("flags", "said"),
  [
    (["missing.tsv"], ["missing.tsv cannot be read"]),
    ([DIGITS[0], "--rho", "2"], ["rho must be", "got 2.0"]),
    ([DIGITS[0], "--alpha", "0"], ["alpha must be", "got 0.0"]),
    ([DIGITS[0], "--radii", "-1"], ["radii must be numbers >= 0"]),
    ([*DIGITS, "--label", "one"], ["--label was given 1 time for 3 files"]),
    ([DIGITS[0], "-o", DIGITS[0]], ["cannot be used as a directory"]),
    ([DIGITS[0], "--claim", "61 at 0.25"], ["claim", "give 61% at 0.25"]),
    (["missing.tsv", "--html", "none/report.html"], ["there is no folder"]),
    (["--html", DIGITS[0], DIGITS[1]], ["a report is an HTML page: its path must end in .html"]),
    ([DIGITS[0], "--html", "gs://bucket/report.html"], ["is not on this machine"]),
    ([DIGITS[0], "--data", "digits"], ["--data belongs to the report"]),
    ([DIGITS[0], "--reference", DIGITS[0], "--claim", "0.5 at 0"], ["--claim", "PREDICT"]),
    ([str(helpers.ROOT / "README.md")], ["line "]),
  ],
)
def test_bad_input(flags, said, capsys):
  try:
    assert analyze.main(flags) == 2
  except SystemExit as error:
    assert error.code == 2
  err = capsys.readouterr().err
  for text in said:
    assert text in err
  assert "Traceback" not in err


def test_predictions_against_more_draws(tmp_path, capsys):
  said = ran([DIGITS[2], "--n", 100, "--reference", DIGITS[2], "-o", tmp_path], capsys)
  shares = json.loads((tmp_path / "predictions.json").read_text())["files"][0]
  assert sum(shares[name] for name in analysis.CATEGORIES) == pytest.approx(1)
  assert "accurate: the leading class of" in said.out
  assert "correct, accurate" in (tmp_path / "predictions.md").read_text()


def test_analyze_runs_where_jax_is_not_installed(tmp_path):
  helpers.run_without_jax("analyze", [*DIGITS, "-o", tmp_path, "--html", tmp_path / "report.html"])
  assert (tmp_path / "certified_accuracy.svg").exists()
  assert "</html>" in (tmp_path / "report.html").read_text()


def test_claims_decide_the_exit_code(tmp_path, capsys):
  claims = ["--claim", "0.81 at 0.25", "--claim", "93% at 0"]
  said = ran([DIGITS[1], *claims, "-o", tmp_path], capsys).out
  assert said.count(": supported by") == 2 and all(len(line) <= 80 or "/" in line for line in said.splitlines())
  stored = json.loads((tmp_path / "certified_accuracy.json").read_text())["claims"]
  assert [claim["supported"] for claim in stored] == [True, True]
  assert analyze.main([*DIGITS, *claims]) == 1  # each file must support each claim
  assert ": not supported by sigma = 0.5" in capsys.readouterr().out
  assert analyze.main([DIGITS[1], "--claim", "0.81 at 0.25", "--rho", "0.001"]) == 1
  assert "less 2 that may be wrong" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("flags", [[], ["--alpha", "0.01"], ["--combine", "cascade"]])
def test_what_contradicts_a_file_goes_against_claims_on_what_is_computed_from_it(flags, tmp_path, capsys):
  edited = tmp_path / "edited.tsv"
  shutil.copy(DIGITS[2], edited)
  manifest = json.loads(results.manifest_path(DIGITS[2]).read_text())
  del manifest["settings"]["skip"]
  results.manifest_path(edited).write_text(json.dumps(manifest))
  for file, code in ((DIGITS[2], 0), (edited, 1)):
    assert (
      analyze.main([str(file), *([DIGITS[1]] if "cascade" in flags else []), *flags, "--claim", "0 at 0"])
      == code
    )
    assert ("manifest lacks skip" in " ".join(capsys.readouterr().out.split())) is bool(code)


def test_the_leaderboards_radii(tmp_path, capsys):
  theirs = foreign(tmp_path / "cifar10" / "noise_0.25" / "sigma_0.25")
  assert "radius 0.25 1 2 ACR" in " ".join(ran([theirs, "--radii", "leaderboard"], capsys).out.split())
  refused([DIGITS[0], "--radii", "leaderboard"], capsys, "cifar10 and imagenet", "'digits'")
  refused([DIGITS[0], "--radii", "leaderboard", "1"], capsys, "the word leaderboard alone")
  refused(
    [DIGITS[0], "--radii", "0,25"], capsys, "invalid radius value", "give 0 25, separated by spaces, or 0.25"
  )


def test_images_of_a_part_of_the_classes_are_told(tmp_path, capsys):
  some = foreign(tmp_path / "some.tsv")
  header, *rows = some.read_text().splitlines()
  rows[0] = rows[0].replace("\t0\t0\t", "\t0\t9\t", 1)  # an answer shows that there are ten classes
  some.write_text("\n".join([header, *rows]) + "\n")
  assert "its 120 images are of 3 of 10 or more classes only" in ran([some], capsys).err
  assert "classes only" not in ran([DIGITS[1]], capsys).err


def test_a_file_without_rows_is_left_out_and_said(tmp_path, capsys):
  empty = tmp_path / "empty.tsv"
  empty.write_text("idx\tlabel\tpredict\tradius\n")
  labels = [argument for name in ("gone", "kept") for argument in ("--label", name)]
  said = ran([empty, DIGITS[0], *labels, "-o", tmp_path / "t"], capsys)
  assert "empty.tsv has no rows yet and is left out" in said.err
  assert "kept" in said.out and "gone" not in said.out
  stored = json.loads((tmp_path / "t" / "certified_accuracy.json").read_text())
  assert len(stored["files"]) == 1 and "left out" in stored["warnings"][0]
  refused([empty, empty], capsys, "empty.tsv has no rows yet")
  many = [foreign(tmp_path / f"{i}.tsv", rows=0) for i in range(5)]
  assert "and 2 more files have no rows yet and are left out" in ran([*many, DIGITS[0]], capsys).err
  answers = foreign(tmp_path / "p.tsv", header="idx\tlabel\tpredict\tcorrect\ttime\tn")
  nothing = tmp_path / "nothing.tsv"
  nothing.write_text("idx\tlabel\tpredict\n")
  assert "nothing.tsv has no rows yet" in ran([answers, nothing], capsys).err


def test_an_adaptive_methods_file_is_refused_by_the_names_of_its_columns(tmp_path, capsys):
  header = "idx\tlabel\tpredict\tradius proved\tcorrect\ttime"
  refused([foreign(tmp_path / "a.tsv", header=header)], capsys, "no column radius", "radius proved")


@pytest.mark.parametrize("flags", [[], ["--reference", DIGITS[2], "--n", 100]])
def test_what_is_printed_fits_80_columns(flags, tmp_path, capsys):
  labels = [argument for name in ("a" * 90, "b", "b") for argument in ("--label", name)]
  files = DIGITS if not flags else [DIGITS[2]] * 3
  said = ran([*files, *labels, *flags, "-o", tmp_path], capsys)
  for line in said.out.splitlines():
    assert len(line) <= 80 or line.startswith(("wrote", "/", str(helpers.ROOT))), line
  if flags:
    assert "| b |" in (tmp_path / "predictions.md").read_text().splitlines()[4]
  else:
    assert "b, sigma = 0.5" in (tmp_path / "certified_accuracy.md").read_text()
    assert (tmp_path / "certified_accuracy.tex").read_text().startswith(r"% needs \usepackage{booktabs}")

"""`certify` and `predict` that stop early, as users type them."""

import os
import signal

import numpy as np
import pytest
from helpers import contents, refused, without_time

from rsjax import certify, predict, results
from rsjax.cli import progress, stopping
from rsjax.runs import certification


def argv(trained, out, *more):
  return ["digits", trained, "0.25", str(out), "--skip", "40", "--N", "5000", *map(str, more)]


@pytest.fixture
def run(trained, tmp_path, capsys):
  """run(name, *flags) -> the result file, as read."""

  def run(name, *flags, code=0):
    assert certify.main(argv(trained, tmp_path / name, *flags)) == code, capsys.readouterr().err
    return results.read(tmp_path / name)

  return run


def certified(file, radius):
  return (file.columns["correct"] == 1) & (file.columns["radius"] > radius)


def test_a_table_at_the_radii_is_that_of_all_draws(run, capsys):
  fixed = run("fixed", "--N", "20000")
  fast = run("fast", "--radii", "0,0.2,0.4", "--give-up", "0", "--N", "20000")
  said = capsys.readouterr()
  assert "at most 20,100 draws per image" in said.err and "draws per image" in said.out
  for radius in (0, 0.2, 0.4):
    assert (certified(fast, radius) <= certified(fixed, radius)).all()
    assert certified(fixed, radius).sum() - certified(fast, radius).sum() <= 1
  assert fast.columns["n"].sum() < 0.6 * fixed.columns["n"].sum()
  stop = fast.settings["stop"]
  assert (stop["rule"], stop["radii"], stop["give_up"]) == ("radii", [0.0, 0.2, 0.4], 0.0)
  assert {"id", "looks", "alphas"} <= set(fast.settings["plan"])
  assert "plan" not in fixed.settings


def test_within_a_tolerance(run):
  fixed, near = run("fixed"), run("near", "--tolerance", "10%")
  both = (fixed.columns["predict"] >= 0) & (near.columns["predict"] >= 0)
  ratio = near.columns["radius"][both].sum() / fixed.columns["radius"][both].sum()
  assert 0.8 < ratio <= 1.0
  assert near.columns["n"].sum() < fixed.columns["n"].sum()


def test_selection_draws_may_be_chosen(run):
  file = run("auto", "--radii", "0.2", "--N0", "auto")
  assert file.settings["n0"] == "auto"
  drawn = results.parse_column(file.columns["votes0"]).draws()
  assert set(drawn) <= {100, 1000}


def test_a_time_budget_ends_with_what_there_is(run, monkeypatch):
  file = run("budget", "--N", "10000000", "--time-budget", "3s", "--batch", "256")
  assert file.complete
  assert file.settings["stop"] == {"rule": "anytime"} and "time budget" not in file.settings
  assert file.manifest["sessions"][0]["time budget"] == 3.0
  n = file.columns["n"]
  assert n.max() < 10_000_000 and n.max() <= 2 * n.min()


def test_a_budget_for_no_look_says_so_and_is_continued(run, trained, tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(certification, "_ending", lambda job, seconds: lambda: True)
  assert certify.main(argv(trained, tmp_path / "short", "--time-budget", "1s")) == 1
  assert "0 of 9 images; the time was too short for a first look at any of them" in capsys.readouterr().err
  monkeypatch.undo()
  assert run("short", "--time-budget", "30s").complete


@pytest.fixture
def signalled(trained, tmp_path, monkeypatch, capsys):
  """signalled(number, name, *flags) -> (exit code, what was printed) of a run that gets a signal."""
  draws = progress.RunProgress.draws

  def run(number, name, *flags):
    def interrupting(self, count):
      if self._draws < 4000 <= self._draws + count:
        os.kill(os.getpid(), number)
      draws(self, count)

    with monkeypatch.context() as patched:
      patched.setattr(progress.RunProgress, "draws", interrupting)
      code = certify.main(argv(trained, tmp_path / name, "--stop", "anytime", "--batch", "64", *flags))
    return code, capsys.readouterr()

  return run


def test_ctrl_c_writes_every_image_that_was_looked_at(signalled, tmp_path):
  """The file is complete, and what is said does not promise that it goes on."""
  code, said = signalled(signal.SIGINT, "o.tsv")
  assert code == 130
  file = results.read(tmp_path / "o.tsv")
  assert file.complete and file.columns["n"].max() < 5000
  assert "ACR" in said.out
  assert "images were ended before drawing was done" in said.err
  assert "these rows are final" in said.err and "continues" not in said.err


def test_sigterm_leaves_a_run_as_it_was_to_be_continued(signalled, run, tmp_path):
  """As a cluster that takes the machine away expects: the same command ends with the file of one run."""
  code, said = signalled(signal.SIGTERM, "o.tsv")
  assert code == 143 and "the same command continues" in said.err and "final" not in said.err
  assert len(results.read(tmp_path / "o.tsv")) == 0
  run("o.tsv", "--stop", "anytime")
  run("whole", "--stop", "anytime")
  assert without_time(tmp_path / "o.tsv") == without_time(tmp_path / "whole")


def test_a_budget_that_ends_images_before_their_rule_is_told(run, capsys):
  run("o.tsv", "--tolerance", "1%", "--N", "10000000", "--time-budget", "1s", "--batch", "256")
  assert "ended before drawing was done" in capsys.readouterr().err


def test_predict_looks_by_default_and_agrees_with_the_papers(trained, tmp_path):
  for name, flags in (("looks", []), ("fixed", ["--fixed"])):
    command = ["digits", trained, "0.25", str(tmp_path / name), "--skip", "20", *flags]
    assert predict.main(command) == 0
  looks, fixed = (results.read(tmp_path / name) for name in ("looks", "fixed"))
  assert looks.settings["n"] == 100_000 and fixed.settings["n"] == 1000 and "plan" not in fixed.settings
  both = (looks.columns["predict"] >= 0) & (fixed.columns["predict"] >= 0)
  np.testing.assert_array_equal(looks.columns["predict"][both], fixed.columns["predict"][both])
  assert (looks.columns["predict"] < 0).sum() <= (fixed.columns["predict"] < 0).sum()
  assert np.median(looks.columns["n"]) < 200


@pytest.mark.parametrize(
  ("flags", "said"),
  [
    (["--radii", "0.5,0.25"], ["radii must be increasing", "0.5, 0.25"]),
    (["--radii", "0.1,0.1"], ["radii must be increasing"]),
    (["--radii", "0.25;0.5"], ["numbers separated by commas"]),
    (["--radii", "-0.1"], ["radii must be numbers >= 0"]),
    (["--radii", "0.25,0.9"], ["radii must be below 0.", "larger --N"]),
    (["--tolerance", "0"], ["a tolerance of 0 never stops drawing"]),
    (["--tolerance", "5"], ["--tolerance must be below 100%"]),
    (["--tolerance", "much"], ["a share such as 5% or 0.05"]),
    (["--radii", "0.2", "--give-up", "50%"], ["give_up must be"]),
    (["--radii", "0.2", "--give-up=-1%"], ["give_up must be"]),
    (["--give-up", "1%"], ["--give-up applies only to --radii and --tolerance"]),
    (["--radii", "0.2", "--tolerance", "5%"], ["--radii and --tolerance are different rules"]),
    (["--radii", "0.2", "--stop", "anytime"], ["--radii and --stop are different rules"]),
    (["--radii", "0.1", "--N", "100"], ["leave no look before the last one"]),
    (["--time-budget", "2"], ["a time such as 2h, 90m"]),
    (["--time-budget", "0m"], ["longer than 0 s"]),
    (["--N0", "auto"], ["--N0 auto needs"]),
    (["--N0", "some"], ["--N0"]),
  ],
)
def test_bad_input(flags, said, trained, tmp_path, capsys):
  before = contents(tmp_path)
  refused(certify.main, argv(trained, tmp_path / "o.tsv", *flags), capsys, *said)
  assert contents(tmp_path) == before


def test_another_rule_does_not_continue_a_file(run, trained, tmp_path, capsys):
  run("o.tsv", "--radii", "0.2")
  for flags in (["--radii", "0.3"], ["--radii", "0.2", "--give-up", "2%"], ["--tolerance", "5%"], []):
    assert certify.main(argv(trained, tmp_path / "o.tsv", *flags)) == 2
    assert "begun with other settings" in capsys.readouterr().err


def test_times_and_shares():
  assert [stopping.seconds(t) for t in ("2h", "90m", "45s", "1h30m", "0.5h")] == [7200, 5400, 45, 5400, 1800]
  assert [stopping.share(t, "") for t in ("5%", "0.05", "0", "12.5%")] == [0.05, 0.05, 0.0, 0.125]


def test_rows_of_a_stopped_run_are_those_of_a_whole_one(run, tmp_path):
  whole = run("whole", "--radii", "0.1,0.3")
  lines = (tmp_path / "whole").read_text().splitlines(keepends=True)
  run("again", "--radii", "0.1,0.3", "--max", "2")
  assert (tmp_path / "again").read_text().count("\n") == 3
  run("again", "--radii", "0.1,0.3")
  assert without_time(tmp_path / "again") == without_time(tmp_path / "whole")
  assert len(lines) == 1 + len(whole)

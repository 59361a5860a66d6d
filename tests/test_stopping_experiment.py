"""experiments/stopping.py: every rule, summarised beside fixed n, and nothing done twice."""

import re

import pytest
import stopping
from helpers import refused, without_time

from rsjax import bounds, results
from rsjax.analysis import looks


@pytest.fixture
def typed(trained, tmp_path):
  """The arguments of a short run, and its folder."""
  out = tmp_path / "out"
  flags = ["digits", trained, "0.25", str(out), "--N", "400", "--batch", "256", "--predict-N", "50"]
  return [*flags, "--time-budget", "60s"], out


def test_every_rule_stands_beside_fixed_n_and_nothing_is_done_twice(typed, capsys):
  flags, out = typed
  assert stopping.main([*flags, "--max", "4"]) == 0
  assert stopping.main([*flags, "--max", "6", "--note", "Pixels of a test."]) == 0
  capsys.readouterr()
  runs = stopping.read_runs(out / "runs.json")
  assert set(runs) == set(stopping.RULES)
  files = {rule: results.read(out / f"{rule}.tsv") for rule in stopping.RULES}
  for rule, file in files.items():
    assert file.complete and len(file) == 6
    drawn = looks.draws(file).sum()
    assert sum(run["draws"] for run in runs[rule]) == drawn  # of an uninterrupted run, all are in its rows
    assert all(run["draws"] <= run["rows"] == run["steps"] * 256 for run in runs[rule])
  text = (out / "summary.md").read_text()
  mean = looks.draws(files["radii"]).mean()
  assert f"| 6 | {mean:,.0f} |" in text and f"| {500 / mean:.3g} |" in text
  assert "≥" in text and "Pixels of a test." in text and str(out) not in text
  first = {path: path.read_bytes() for path in out.iterdir()}
  assert stopping.main([*flags, "--max", "6", "--note", "Pixels of a test."]) == 0
  assert {path: path.read_bytes() for path in out.iterdir()} == first


def test_its_files_are_those_of_the_commands(typed, capsys):
  """Counting the steps changes no row."""
  flags, out = typed
  assert stopping.main([*flags, "--max", "3", "--rules", "one_radius"]) == 0
  kind, own = stopping.command(
    "one_radius", stopping.parser().parse_args([*flags, "--max", "3"]), out / "other"
  )
  assert kind.main([str(flag) for flag in own]) == 0
  assert without_time(out / "one_radius.tsv") == without_time(out / "other" / "one_radius.tsv")
  assert not (out / "other" / "runs.json").exists()


def test_what_a_rule_would_refuse_is_refused_before_the_first_draw(typed, capsys):
  flags, out = typed
  for bad, word in ((["--radius", "3"], "radii"), (["--tolerance", "0"], "tolerance"), (["--N", "3"], "n = 3")):
    refused(stopping.main, [*flags, *bad], capsys, word)
    assert not out.exists()


def test_a_paired_difference_has_the_interval_of_what_is_lost_and_won():
  for lost, won in ((0, 0), (3, 0), (2, 5)):
    text = stopping.difference(lost, won, 200)
    net, low, high = (float(number) for number in re.findall(r"[-+]?[0-9.]+", text))
    assert net == pytest.approx((won - lost) / 2, abs=0.01)
    for number, end in ((won, high), (-lost, low)):
      assert abs(end) > abs(number) / 2
    upper = bounds.interval(won, 200, 0.975)[1] - bounds.interval(lost, 200, 0.975)[0]
    assert high == pytest.approx(100 * upper, abs=0.01)

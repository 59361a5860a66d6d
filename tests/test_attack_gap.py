"""The gap between certificate and attack: the record that is kept follows from its files."""

import attack_gap
import pytest
from helpers import ROOT

from rsjax import analysis, results

RECORD = ROOT / "experiments" / "results" / "attack_gap"
SIGMAS = sorted(path.stem.removeprefix("attack_") for path in RECORD.glob("attack_*.tsv"))


@pytest.mark.parametrize("sigma", SIGMAS)
def test_the_record_is_what_its_files_say(sigma):
  gap = analysis.compare(*(results.read(RECORD / f"{name}_{sigma}.tsv") for name in ("certify", "attack")))
  assert " | ".join(attack_gap.line_of(gap)) in (RECORD / "summary.md").read_text()
  assert gap.contradictions == () and gap.left_out == 0
  radii = [0, 0.1, 0.25, 0.5, 1]
  low = analysis.certified_accuracy(gap.certified, radii)
  assert (low <= analysis.attacked_accuracy(gap.attacked, radii)).all() and len(gap.attacked) == 72


def test_there_is_a_record_with_its_plot():
  assert SIGMAS and (RECORD / "tables" / "certified_accuracy.png").stat().st_size > 10_000

"""The gain of the multi-class bound: the record that is kept is what the script prints."""

import multiclass_gain
from helpers import DIGITS, ROOT

RECORD = ROOT / "experiments" / "results" / "multiclass_gain" / "summary.md"


def lines(text):
  return [line for line in text.splitlines() if line.startswith("|")]


def test_the_record_is_what_the_votes_say(capsys, monkeypatch, tmp_path):
  monkeypatch.chdir(ROOT)
  files = [path for path in RECORD.read_text().split() if path.endswith(".tsv")]
  files = list(dict.fromkeys(files))
  assert len(files) == 8
  assert multiclass_gain.main([*files, "--out", str(tmp_path / "out" / "record.md")]) == 0
  assert lines((tmp_path / "out" / "record.md").read_text()) == lines(RECORD.read_text())


def test_a_file_without_votes_is_refused(tmp_path, capsys):
  (tmp_path / "foreign.tsv").write_text(DIGITS[0].read_text())
  assert multiclass_gain.main([str(tmp_path / "foreign.tsv")]) == 2
  assert "multiclass_gain.py: error:" in capsys.readouterr().err

"""python -m rsjax and the console script."""

import pytest
import test_architecture

from rsjax import __main__ as rsjax_main


def test_it_lists_the_commands(capsys):
  assert set(rsjax_main.COMMANDS) == test_architecture.COMMANDS
  for arguments in ([], ["--help"]):
    assert rsjax_main.main(arguments) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in rsjax_main.COMMANDS)
    assert all(len(line) < 80 for line in out.splitlines())


def test_it_runs_a_command(capsys):
  with pytest.raises(SystemExit, match="0"):
    rsjax_main.main(["certify", "--help"])
  assert "--N0" in capsys.readouterr().out
  assert rsjax_main.main(["analyze", "missing.tsv"]) == 2
  assert "missing.tsv" in capsys.readouterr().err


def test_an_unknown_command_is_one_line(capsys):
  assert rsjax_main.main(["certfy"]) == 2
  assert capsys.readouterr().err == "rsjax: error: unknown command 'certfy': did you mean certify?\n"
  assert rsjax_main.main(["nothing"]) == 2
  assert "quickstart, train, certify" in capsys.readouterr().err

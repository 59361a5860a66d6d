"""python -m rsjax and the console script."""

import shutil
import subprocess
import sys

import pytest
import test_architecture

import rsjax
from rsjax import __main__ as rsjax_main
from rsjax import certify


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


def git(clone, *arguments):
  settings = ("user.name=a", "user.email=a@example.org", "commit.gpgsign=false")
  set_ = [word for setting in settings for word in ("-c", setting)]
  told = subprocess.run(["git", *set_, *arguments], cwd=clone, check=True, capture_output=True, text=True)
  return told.stdout.strip()


@pytest.fixture
def package(tmp_path, monkeypatch):
  """A folder that rsjax seems to be in, as in a clone."""
  (tmp_path / "rsjax").mkdir()
  (tmp_path / "rsjax/__init__.py").write_text("")
  monkeypatch.setattr(rsjax, "__file__", str(tmp_path / "rsjax/__init__.py"))
  return tmp_path


def version(capsys):
  """What `rsjax --version` prints, which is what each command prints."""
  assert rsjax_main.main(["--version"]) == 0
  printed = capsys.readouterr().out
  with pytest.raises(SystemExit, match="0"):
    certify.main(["--version"])
  assert capsys.readouterr().out == printed
  return printed


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_the_version_names_the_commit_of_a_clone(package, capsys, monkeypatch):
  git(package, "init", "--quiet")
  git(package, "add", "rsjax")
  git(package, "commit", "--quiet", "-m", "one")
  git(package, "tag", "-a", "v1", "-m", "a tag is not named")
  commit = git(package, "rev-parse", "--short=12", "HEAD")
  assert version(capsys) == f"rsjax {rsjax.__version__} (commit {commit})\n"
  (package / "an untracked file").write_text("")
  assert version(capsys) == f"rsjax {rsjax.__version__} (commit {commit})\n"
  (package / "rsjax/__init__.py").write_text("changed = True")
  monkeypatch.setenv("GIT_DIR", "another repository, as in a hook")
  assert version(capsys) == f"rsjax {rsjax.__version__} (commit {commit}+changed)\n"


def test_the_version_names_no_commit_outside_of_a_clone(package, capsys, monkeypatch):
  plain = f"rsjax {rsjax.__version__}\n"
  assert version(capsys) == plain  # as it was installed from a wheel
  (package / ".git").write_text("damaged")
  assert version(capsys) == plain
  monkeypatch.setenv("PATH", "")
  assert version(capsys) == plain  # git is not installed


def test_the_version_is_told_without_loading_anything_heavy():
  code = (
    "import sys\nfrom rsjax.__main__ import main\nmain(['--version'])\n"
    "assert not {'jax', 'numpy', 'scipy'} & set(sys.modules)"
  )
  subprocess.run([sys.executable, "-c", code], check=True)


def completed(script, words, cwd):
  """What bash offers for the last of the words."""
  words_so_far = f"COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))"
  ask = f'source {script}; {words_so_far}; _shtab_rsjax; echo "${{COMPREPLY[@]}}"'
  told = subprocess.run(["bash", "-c", ask], cwd=cwd, check=True, capture_output=True, text=True)
  return told.stdout.split()


def test_shells_complete_commands_flags_and_files(tmp_path):
  shtab = pytest.importorskip("shtab", reason="pip install -e '.[test]'")
  assert "certify" in shtab.complete(rsjax_main.parser(), "zsh")
  if not shutil.which("bash"):
    pytest.skip("bash is not installed")
  script = tmp_path / "completion.bash"
  script.write_text(shtab.complete(rsjax_main.parser(), "bash"))
  (tmp_path / "my_file.tsv").touch()
  assert set(completed(script, "rsjax ''", tmp_path)) >= test_architecture.COMMANDS
  assert completed(script, "rsjax certify --N", tmp_path) == ["--N0", "--N"]
  for words in ("analyze my", "certify digits my", "certify --data-dir my"):
    assert completed(script, f"rsjax {words}", tmp_path) == ["my_file.tsv"]

"""Result files: what is written is read, whatever stops the writing, and what is wrong is refused by line."""

import itertools
import json
import multiprocessing
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pytest
from scipy import special

from rsjax import results
from rsjax.errors import InputError
from rsjax.noise import Gaussian
from rsjax.procedures import Certify, Predict
from rsjax.results import CERTIFY_COLUMNS, PREDICT_COLUMNS, Manifest
from rsjax.results.differences import differences

SETTINGS = {"command": "certify", "sigma": 0.25, "n": 1000, "skip": 2}
INDICES = [0, 2, 4, 6]
HERE = pathlib.Path(__file__).parent


def stop(radii, give_up=0.01):
  return {"rule": "radii", "radii": radii, "give_up": give_up}


def manifest(**settings):
  return Manifest(SETTINGS | settings, INDICES, {"dataset": "digits"}, {"jax": "0"})


def row(index):
  votes = np.array([900 + index, 0, 90 - index])
  c = Certify(n0=10, n=1000).outcome(np.array([9, 0, 1]), votes, Gaussian(0.25))
  return results.row_of(index, c, label=0, seconds=1.5)


def write(path, indices, **settings):
  with results.open_for_append(path, manifest(**settings), CERTIFY_COLUMNS) as writer:
    for index in indices:
      writer.append(row(index))


@pytest.fixture
def path(tmp_path):
  return tmp_path / "out" / "r.tsv"


def snapshot(path):
  return {p.name: p.read_bytes() for p in path.parent.iterdir()} if path.parent.exists() else {}


def test_rows_have_the_papers_columns_first_and_whole_votes(path):
  write(path, INDICES)
  header, first, *_ = path.read_text().splitlines()
  assert header == "idx\tlabel\tpredict\tradius\tcorrect\ttime\tnA\tpABar\tvotes0\tvotes"
  assert first.split("\t")[:3] == ["0", "0", "0"]
  assert first.endswith("0:9,2:1\t0:900,2:90,invalid:10")


def test_what_was_written_is_read(path):
  write(path, INDICES)
  read = results.read(path)
  assert read.complete
  assert read.columns["idx"].tolist() == INDICES
  assert read.columns["nA"].tolist() == [900, 902, 904, 906]
  assert read.columns["radius"].dtype == np.float64
  assert read.manifest["settings"] == SETTINGS
  classes, counts, invalid = results.parse_votes(read.columns["votes"][1])
  assert (classes.tolist(), counts.tolist(), invalid) == ([0, 2], [902, 88], 10)


def test_bounds_are_printed_rounded_down(path):
  for n_a in range(501, 1000, 7):
    votes = np.array([n_a, 1000 - n_a])
    c = Certify(n0=10, n=1000).outcome(np.array([10, 0]), votes, Gaussian(0.25))
    text = results.row_of(0, c, 0, 0.0)
    assert float(text["pABar"]) <= c.p_lower
    assert float(text["radius"]) <= 0.25 * special.ndtri(max(c.p_lower, 0.5))


@pytest.mark.parametrize("votes", [([0, 3, 0, 97], 0), ([0, 0, 0, 0], 5), ([0, 0, 0, 0], 0), ([1, 2, 3, 4], 1)])
def test_votes_as_text_and_back(votes):
  classes, counts, invalid = results.parse_votes(results.format_votes(np.array(votes[0]), votes[1]))
  assert invalid == votes[1]
  assert np.bincount(classes, counts, minlength=4).tolist() == votes[0]
  assert len(classes) == np.count_nonzero(votes[0])


def test_a_file_cut_at_any_byte_continues_to_the_same_file(path):
  write(path, INDICES)
  whole = path.read_bytes()
  for cut in range(len(whole) + 1):
    path.write_bytes(whole[:cut])
    with results.open_for_append(path, manifest(), CERTIFY_COLUMNS) as writer:
      for index in INDICES[writer.done :]:
        writer.append(row(index))
    assert path.read_bytes() == whole, cut


def test_a_cut_file_is_not_complete(path):
  write(path, INDICES)
  path.write_bytes(path.read_bytes()[:-3])
  read = results.read(path)
  assert (len(read), read.expected, read.complete) == (3, 4, False)


def test_a_manifest_without_rows_is_a_beginning(path):
  write(path, [])
  path.unlink()
  write(path, INDICES)
  assert results.read(path).complete


@pytest.mark.parametrize(("content", "said"), [("", "is empty"), ("{", r"is not JSON \(")])
def test_a_manifest_that_was_lost_is_refused_with_the_mend(content, said, path):
  write(path, INDICES)
  results.manifest_path(path).write_text(content)
  with pytest.raises(InputError, match=f"{said}.*: restore it from a copy, or run"):
    results.read(path)


def test_every_session_is_kept(path):
  write(path, INDICES[:1])
  write(path, INDICES[1:])
  assert len(results.read(path).manifest["sessions"]) == 2
  before = snapshot(path)
  write(path, [])  # nothing left to do
  assert snapshot(path) == before


@pytest.mark.parametrize(
  ("was", "now", "said"),
  [
    (
      {"checkpoint": "9df1" * 16},
      {"checkpoint": "54da" * 16},
      ["the checkpoint is another one (digest 9df19df1…, now 54da54da…)"],
    ),
    (
      {"dataset": "9df1" * 16},
      {"dataset": "54da" * 16},
      ["other images or labels were chosen (digest 9df19df1…, now 54da54da…)"],
    ),
    ({"checkpoint": None}, {"checkpoint": "54da"}, ['checkpoint was null, is now "54da"']),
    ({"stop": stop(radii=[0.25, 0.5])}, {"stop": stop(radii=[0.25])}, ["`radii` was 0.25,0.5, is now 0.25"]),
    ({"stop": stop(radii=[0.0])}, {"stop": stop(radii=[0.0], give_up=0.5)}, ["`give_up` was 1%, is now 50%"]),
    (
      {"stop": stop(radii=[0.25]), "plan": {"id": "a"}},
      {"stop": {"rule": "tolerance", "relative": 0.05, "floor": 0.02, "give_up": 0.01}, "plan": {"id": "b"}},
      ["`radii` was 0.25, is now not given", "`tolerance` was not given, is now 5%"],
    ),
    ({"stop": {"rule": "anytime"}}, {}, ["`stop` was anytime, is now not given"]),
    ({"n": 10, "plan": {"id": "a"}}, {"n": 20, "plan": {"id": "b"}}, ["n was 10, is now 20"]),
    ({"plan": {"id": "a"}}, {"plan": {"id": "b"}}, ["plan was a, is now b"]),
    ({"max": 5}, {"max": 6}, []),
  ],
)
def test_settings_that_differ_are_told_in_the_words_of_the_parameters(was, now, said):
  assert differences(was, now) == said


def test_no_difference_is_passed_over():
  """Not even in a number that the words for a rule do not have."""
  one, other = ({"stop": {"rule": "tolerance", "relative": 0.05, "floor": floor}} for floor in (0.02, 0.03))
  [said] = differences(one, other)
  assert said.startswith("stop was")


@pytest.mark.parametrize("change", [dict(sigma=0.5), dict(n=1001), dict(extra=1), dict(skip=None)])
def test_other_settings_are_refused_by_name_and_nothing_is_touched(path, change):
  write(path, INDICES[:2])
  before = snapshot(path)
  with pytest.raises(InputError, match=f"other settings.*{next(iter(change))} was"):
    write(path, INDICES, **change)
  assert snapshot(path) == before


@pytest.mark.parametrize(
  ("spoil", "message"),
  [
    (lambda text: text.replace("\n2\t", "\n3\t"), "line 3 should be of image 2, but is of 3"),
    (lambda text: text.replace("idx\t", "id\t"), "line 1"),
    (lambda text: text.replace("\n2\t", "\n"), "line 3 has 9 columns"),
    (lambda text: text + text, "is a second header: if files were joined, give each of them to analyze"),
    (lambda text: text + "\n".join(text.splitlines()[1:]) + "\n", "8 rows, but 4 were expected"),
    (lambda text: text.replace("\t1\t1.500\t", "\t0\t1.500\t", 1), "line 2: correct does not say whether"),
    (lambda text: text.replace("\n2\t", "\n99999999999999999999\t"), "line 3"),
    (lambda text: text.replace("0:902", "0:90x"), "line 3: votes are not votes: 0:90x"),
    (lambda text: text.replace("0:902", "0:2,0:900"), "line 3: votes are not votes of each class once"),
    (lambda text: text.replace("0:902", "0:901"), "line 3: votes are 999, not 1000"),
    (lambda text: text.replace("\t902\t", "\t\x00\x00\x00\t"), "line 3: nA cannot be"),
    (lambda text: text.replace("\t0.2", "\t-0.2", 1), "line 2: radius cannot be '-0.2"),
    (lambda text: text.replace("\n0\t", "\n-0\t"), "line 2: idx cannot be '-0'"),
    (lambda text: text.replace("\t902\t", "\t9_02\t"), "line 3: nA cannot be '9_02'"),
    (lambda text: text.replace("\t902\t", "\t 902\t"), "line 3: nA cannot be ' 902'"),
    (lambda text: text.replace("\t0.2", "\t0_0.2", 1), "line 2: radius cannot be '0_0.2"),
    (lambda text: text.replace("\t1.500\t", "\tinf\t", 1), "line 2: time cannot be 'inf'"),
    (lambda text: text.replace("0:902", f"0:{2**64}"), "line 3: votes are not votes, of which no image has"),
    (lambda text: text.replace("\n2\t", "\n#\x00garbage\n2\t"), "line 3 has 1 columns"),
  ],
)
def test_spoiled_files_are_refused(path, spoil, message):
  write(path, INDICES)
  path.write_text(spoil(path.read_text()))
  before = snapshot(path)
  with pytest.raises(InputError, match=message):
    write(path, [])
  assert snapshot(path) == before


def test_what_a_spreadsheet_saved_is_read(path):
  write(path, INDICES)
  before = results.read(path)
  path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
  read = results.read(path)
  assert read.complete
  for name, column in before.columns.items():
    np.testing.assert_array_equal(read.columns[name], column)
  rows = path.read_bytes().split(b"\r\n")
  path.write_bytes(b"\r\n".join(rows[:3]) + b"\r\n" + rows[3][:20])
  write(path, INDICES[2:])
  np.testing.assert_array_equal(results.read(path).columns["votes"], before.columns["votes"])


def test_a_folder_without_the_right_to_write_is_refused(path):
  """In a process of its own, which gives up being root."""
  write(path, INDICES[:2])
  for p in (path.parent, *path.parent.iterdir()):
    p.chmod(0o555 if p.is_dir() else 0o444)
  for parent in itertools.takewhile(lambda p: p != pathlib.Path(tempfile.gettempdir()), path.parent.parents):
    parent.chmod(parent.stat().st_mode | 0o055)  # so that the folder itself is reached, and refuses
  before = snapshot(path)
  code = (
    "import encodings.utf_8_sig, os, sys, test_results as t\n"  # what is imported late cannot be, then
    "if os.geteuid() == 0: os.setuid(65534)\n"
    "path = t.pathlib.Path(sys.argv[1])\n"
    "for target in (path, path.with_name('new.tsv')):\n"
    "  try: t.write(target, t.INDICES)\n"
    "  except t.InputError as error: print(error)\n"
  )
  ran = subprocess.run([sys.executable, "-c", code, path], cwd=HERE, capture_output=True, text=True)
  begun, new = ran.stdout.splitlines()
  assert f"{path} cannot be locked" in begun and "Permission denied; the file belongs to" in begun
  assert new.endswith("new.tsv cannot be written: Permission denied")
  assert snapshot(path) == before


def test_a_file_of_others_is_refused(path):
  path.parent.mkdir()
  path.write_text("mine\n")
  with pytest.raises(InputError, match="no manifest"):
    write(path, INDICES)
  assert snapshot(path) == {"r.tsv": b"mine\n"}


def test_directories_and_unwritable_paths_are_refused(tmp_path):
  with pytest.raises(InputError, match="directory"):
    write(tmp_path, INDICES)
  (tmp_path / "file").write_text("")
  with pytest.raises(InputError, match="cannot be written"):
    write(tmp_path / "file" / "r.tsv", INDICES)
  with pytest.raises(InputError, match="cannot be written"):
    write(pathlib.Path("/proc/no/r.tsv"), INDICES)
  with pytest.raises(InputError, match="cannot be written: no file can be created in /proc"):
    write(pathlib.Path("/proc/r.tsv"), INDICES)
  with pytest.raises(InputError, match="at most 240 bytes, got longlong"):
    write(tmp_path / ("long" * 100), INDICES)
  (tmp_path / "link").symlink_to(tmp_path / "nothing")
  with pytest.raises(InputError, match="link to nothing"):
    write(tmp_path / "link", INDICES)


def _try_to_write(path, answer):
  try:
    write(path, INDICES)
    answer.put("written")
  except InputError as error:
    answer.put(str(error))


def test_a_second_writer_is_refused(path):
  spawn = multiprocessing.get_context("spawn")
  answer = spawn.Queue()
  with results.open_for_append(path, manifest(), CERTIFY_COLUMNS) as writer:
    writer.append(row(0))
    other = spawn.Process(target=_try_to_write, args=(path, answer))
    other.start()
    assert "another process" in answer.get(timeout=60)
    other.join()
    for index in INDICES[1:]:
      writer.append(row(index))
  assert results.read(path).complete


def test_killed_at_any_line_while_writing(tmp_path):
  script = HERE / "killed_writer.py"
  ran = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True)
  assert ran.returncode == 0, ran.stderr
  assert int(ran.stdout) > 15  # states of the files


def test_interrupted_inside_keeps_what_was_appended(path):
  with pytest.raises(KeyboardInterrupt), results.open_for_append(path, manifest(), CERTIFY_COLUMNS) as writer:
    writer.append(row(0))
    raise KeyboardInterrupt
  assert len(results.read(path)) == 1


def test_predict_rows(path):
  p = Predict(n=100).outcome(np.array([3, 97]))
  with results.open_for_append(path, manifest(command="predict", n=100), PREDICT_COLUMNS) as writer:
    writer.append(results.row_of(4, p, label=0, seconds=0.5))
  read = results.read(path)
  assert read.columns["predict"].tolist() == [1]
  assert read.columns["correct"].tolist() == [0]


def test_missing_and_foreign_files_are_refused(path):
  with pytest.raises(InputError, match=r"there is no result file .*/r\.tsv$"):
    results.read(path)
  write(path, INDICES)
  text = results.manifest_path(path).read_text()
  for spoiled in (text[:50], json.dumps({"format": "other"}), json.dumps({"format": results.FORMAT}), "[]"):
    results.manifest_path(path).write_text(spoiled)
    with pytest.raises(InputError, match="manifest"):
      results.read(path)

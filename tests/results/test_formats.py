"""Files of earlier formats, and files whose rows each have their own number of draws."""

import json
import shutil

import numpy as np
import pytest
from helpers import DIGITS, linear

from rsjax import analysis, results
from rsjax.errors import InputError
from rsjax.noise import Gaussian
from rsjax.procedures import Certificate, Certify
from rsjax.results import CERTIFY_COLUMNS, Manifest
from rsjax.runs.certification import Job, into_file, into_memory
from rsjax.smoothing import Smoothed


@pytest.mark.parametrize("path", DIGITS, ids=lambda p: p.name)
def test_a_committed_file_of_format_1_is_read(path):
  assert json.loads(results.manifest_path(path).read_text())["format"] == "rsjax-results-1"
  file = results.read(path)
  assert file.complete
  assert file.settings["noise"] == "gaussian"
  assert set(file.columns["n"].tolist()) == {file.settings["n"]}
  again = analysis.with_alpha(file, file.settings["alpha"])
  for name in ("predict", "radius", "nA", "correct"):
    np.testing.assert_array_equal(again.columns[name], file.columns[name])


def test_a_file_begun_in_format_1_is_continued(linear_variables, images, tmp_path):
  labels = np.zeros(6, int)
  job = Job(Smoothed(linear, linear_variables, Gaussian(0.5)), images, labels, range(6), Certify(n=500))
  path = tmp_path / "x.tsv"
  whole = into_file(job, path)
  manifest = json.loads(results.manifest_path(path).read_text())
  manifest["format"] = "rsjax-results-1"
  del manifest["settings"]["noise"]
  results.manifest_path(path).write_text(json.dumps(manifest))
  rows = path.read_text().splitlines(keepends=True)
  path.write_text("".join(rows[:4]))
  again = into_file(job, path)
  assert again.columns["radius"].tolist() == whole.columns["radius"].tolist()
  assert again.manifest["format"] == results.FORMAT
  assert len(again.manifest["sessions"]) == 2


class EachItsOwn:
  """CERTIFY whose images end after different numbers of draws, which do not depend on the votes."""

  command, n_varies, most_draws = "certify", True, 1100

  def __init__(self):
    self.images = 0

  def settings(self):
    return {"n0": 100, "n": 1000, "alpha": 0.001}

  def steps(self, noise):
    self.images += 1
    n = 100 * self.images
    votes0, votes = yield 100, n
    return Certify(100, n, 0.001).outcome(votes0, votes, noise)


@pytest.fixture
def job(linear_variables, images):
  smoothed = Smoothed(linear, linear_variables, Gaussian(0.5))
  return Job(smoothed, images, np.zeros(6, int), range(6), EachItsOwn())


def test_n_is_a_column_where_rows_differ_in_it(job, tmp_path):
  file = into_file(job, tmp_path / "x.tsv")
  header = (tmp_path / "x.tsv").read_text().split("\n")[0].split("\t")
  assert header == [
    "idx",
    "label",
    "predict",
    "radius",
    "correct",
    "time",
    "n",
    "nA",
    "pABar",
    "votes0",
    "votes",
  ]
  assert file.columns["n"].tolist() == [100, 200, 300, 400, 500, 600]
  for row, n in enumerate(file.columns["n"].tolist()):
    _, counts, invalid = results.parse_votes(file.columns["votes"][row])
    assert counts.sum() + invalid == n


def test_each_row_is_analysed_and_checked_at_its_own_n(job, tmp_path):
  file = into_file(job, tmp_path / "x.tsv")
  assert not [text for text in analysis.warnings([file], ["x"], []) if "votes" in text]
  stricter = analysis.with_alpha(file, 1e-6)
  noise = Gaussian(0.5)
  for row, n in enumerate(file.columns["n"].tolist()):
    votes0, votes = (np.zeros(2, np.int64) for _ in range(2))
    for dense, name in ((votes0, "votes0"), (votes, "votes")):
      classes, counts, _ = results.parse_votes(file.columns[name][row])
      dense[classes] = counts
    wanted = Certify(100, n, 1e-6).outcome(votes0, votes, noise)
    assert isinstance(wanted, Certificate)
    assert stricter.columns["radius"][row] == wanted.radius
  fewer = analysis.with_draws(file, 100)
  assert set(fewer.columns["n"].tolist()) == {100}
  with pytest.raises(InputError, match="from 1 to the 100 draws"):
    analysis.with_draws(file, 101)


def test_a_radius_of_another_n_is_found_out(job, tmp_path):
  path = tmp_path / "x.tsv"
  into_file(job, path)
  rows = [line.split("\t") for line in path.read_text().splitlines()]
  n, radius = (rows[0].index(name) for name in ("n", "radius"))
  sure = next(row for row in rows[1:] if float(row[radius]) > 0)
  sure[radius] = f"{2 * float(sure[radius]):.6f}"
  path.write_text("\n".join("\t".join(row) for row in rows) + "\n")
  assert "1 radius is above what the votes certify" in " ".join(
    analysis.warnings([results.read(path)], ["x"], [])
  )
  rows[1][n] = "99"
  path.write_text("\n".join("\t".join(row) for row in rows) + "\n")
  with pytest.raises(InputError, match="line 2: votes are 100, not 99"):
    results.read(path)


def test_such_a_file_is_continued_and_saved_as_it_is(job, linear_variables, images, tmp_path):
  memory = into_memory(job)
  results.save(memory, tmp_path / "saved.tsv")
  assert results.read(tmp_path / "saved.tsv").columns["n"].tolist() == memory.columns["n"].tolist()
  columns = results.with_n(CERTIFY_COLUMNS)
  manifest = Manifest({"command": "certify", "n0": 100, "n": 1000}, [0, 1], {}, {})
  text = dict.fromkeys(columns, "0") | {"n": "700", "votes0": "0:100", "votes": "0:700", "correct": "1"}
  with results.open_for_append(tmp_path / "y.tsv", manifest, columns) as writer:
    writer.append(text)
  with results.open_for_append(tmp_path / "y.tsv", manifest, columns) as writer:
    assert writer.done == 1
  with (
    pytest.raises(InputError, match="line 1 is not the header"),
    results.open_for_append(tmp_path / "y.tsv", manifest, CERTIFY_COLUMNS),
  ):
    pass


def test_a_noise_of_a_later_version_is_refused(tmp_path):
  for ending in ("", ".json"):
    shutil.copy(f"{DIGITS[0]}{ending}", tmp_path / f"x.tsv{ending}")
  manifest = json.loads((tmp_path / "x.tsv.json").read_text())
  manifest |= {"format": results.FORMAT}
  manifest["settings"]["noise"] = "cauchy"
  (tmp_path / "x.tsv.json").write_text(json.dumps(manifest))
  with pytest.raises(InputError, match=r"noise must be one of gaussian, .*columns, got 'cauchy'"):
    analysis.with_alpha(results.read(tmp_path / "x.tsv"), 0.01)

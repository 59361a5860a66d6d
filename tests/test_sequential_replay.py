"""The replay of recorded votes: its expectations against every run there is, and on the paper's own files."""

import json
import pathlib
import shutil

import numpy as np
import pytest
import sequential_replay as replay
from helpers import DIGITS, PUBLISHED
from looks import every_run
from scipy import stats

from rsjax.noise import Gaussian
from rsjax.procedures import Anytime, CertifyByLooks, Radii, Tolerance

RADII = np.array([0.0, 0.2, 0.4])


@pytest.mark.parametrize(
  "stop", [Radii((0.3,)), Radii(tuple(RADII), 0.2), Tolerance(0.3, 0.1), Anytime()], ids=str
)
def test_expectations_are_those_of_all_runs(stop):
  procedure = CertifyByLooks(n0=1, n=14, alpha=0.3, stop=stop, first=4)
  n, votes, orders, ends = every_run(procedure, Gaussian(0.5))
  radius = np.array([end.radius for end in ends])
  ours = replay.Replay(procedure, 0.5, RADII)
  for p in (0.0, 0.3, 0.6, 0.87, 1.0):
    chance = orders * p**votes * (1 - p) ** (n - votes)
    found = ours.expect(p)
    assert found.draws == pytest.approx(chance @ n, rel=1e-12)
    assert found.radius == pytest.approx(chance @ radius, rel=1e-12, abs=1e-15)
    assert found.certified == pytest.approx(chance @ (radius[:, None] > RADII), rel=1e-12, abs=1e-15)
    if isinstance(stop, Anytime):
      last = ours.at_look(len(ours.looks) - 1, p)
      assert (last.draws, last.radius) == pytest.approx((found.draws, found.radius), rel=1e-12, abs=1e-15)
      assert last.certified == pytest.approx(found.certified, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize(("n", "p"), [(1, 0.3), (26, 1e-9), (100, 0.99), (20_567, 0.5), (100_000, 0.99999)])
def test_the_binomial_law_is_whole_and_right(n, p):
  low, mass = replay.binomial(n, p)
  votes = low + np.arange(len(mass))
  assert mass == pytest.approx(stats.binom.pmf(votes, n, p), rel=1e-9, abs=1e-16)
  assert stats.binom.cdf(low - 1, n, p) + stats.binom.sf(votes[-1], n, p) < 1e-14


def test_a_known_law():
  """What one radius takes at p = Phi(1) and n = 100,000, from the tests of the rule."""
  found = replay.Replay(CertifyByLooks(stop=Radii((1.0,))), 1.0, [1.0]).expect(0.87)
  assert found.draws == pytest.approx(3539.9095, abs=1e-4)
  assert found.certified == pytest.approx([0.9991510778], rel=1e-9)


def test_a_record_of_a_file_with_votes(tmp_path, capsys):
  out = tmp_path / "made" / "record.md"
  assert replay.main([str(DIGITS[2]), "--N", "1000", "--out", str(out)]) == 0
  text = out.read_text()
  assert capsys.readouterr().out == text + "\n"
  rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line[:2] == "| "]
  draws = {row[0]: float(row[1].replace(",", "")) for row in rows if len(row) == 7 and row[1][0].isdigit()}
  assert draws.pop("fixed n") == draws.pop("D: ended at look 1,000") == 1100
  assert all(100 < each < 1100 for each in draws.values())
  assert "A: radii 0, 0.25, ..., 1" in draws


def test_a_picture(tmp_path):
  assert replay.main(["--picture", str(tmp_path / "draws.png"), "--N", "1000"]) == 0
  assert (tmp_path / "draws.png").stat().st_size > 10_000


@pytest.mark.parametrize(
  "argv", [[], ["missing.tsv"], [str(DIGITS[2]), "--N", "5"], [str(DIGITS[2]), "--alpha", "2"]]
)
def test_bad_input_is_refused(argv, capsys):
  assert replay.main(argv) == 2
  assert capsys.readouterr().err.splitlines()[-1].startswith("sequential_replay.py: error:")


def test_a_file_that_stopped_early_has_no_shares_to_replay(tmp_path, capsys):
  path = shutil.copy(DIGITS[2], tmp_path / "stopped.tsv")
  manifest = json.loads(pathlib.Path(f"{DIGITS[2]}.json").read_text())
  manifest["settings"]["plan"] = CertifyByLooks().plan.settings()
  pathlib.Path(f"{path}.json").write_text(json.dumps(manifest))
  assert replay.main([str(path)]) == 2
  assert "stopped by its votes" in capsys.readouterr().err


def test_the_papers_own_file_takes_40_times_fewer_draws():
  if not PUBLISHED.exists():
    pytest.skip("the paper's result files are not there")
  some = replay.images(PUBLISHED / "noise_0.12/test/sigma_0.12")
  assert (len(some.p), some.unknown.sum(), some.p.max()) == (500, 19, 1.0)
  ours = replay.Replay(CertifyByLooks(stop=Radii((0.0, 0.25))), some.sigma, np.array([0.0, 0.25]))
  found = [ours.expect(p) for p in some.p]
  assert 2000 < np.mean([e.draws for e in found]) < 2700
  # What is certified is what the file says, but for images at a radius of 0.25 itself.
  assert replay.certified_accuracy(found, some.correct)[1] == pytest.approx(0.59, abs=0.01)


def test_alpha_of_the_papers_own_files_is_told_from_their_radii():
  """Unanimous votes of 100,000 give 0.953 at sigma 0.25 and alpha 0.001, and the file says 0.978."""
  if not PUBLISHED.exists():
    pytest.skip("the paper's result files are not there")
  known = {"noise_0.12/test/sigma_0.12": 0.001, "noise_0.25/test/sigma_0.25": 0.01}
  known |= {"noise_0.50/test/sigma_0.50": 0.01, "noise_1.00/test/sigma_0.50": 0.001}
  for name, alpha in known.items():
    assert f"alpha = {alpha:g} (" in replay.images(PUBLISHED / name).said[0]

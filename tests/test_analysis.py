import numpy as np
import pytest

from rsjax import analysis
from rsjax.errors import InputError
from rsjax.results import Results


def results(expected=5):
  columns = {
    "predict": np.array([1, 2, -1, 0, 1]),
    "correct": np.array([1, 0, 0, 1, 1]),
    "radius": np.array([0.5, 0.9, 0.0, 0.25, 0.0]),
  }
  return Results("r.tsv", {"settings": {"sigma": 0.25}}, columns | {"idx": np.arange(5)}, expected)


def test_certified_accuracy_is_in_the_open_ball():
  radii = [0.0, 0.2, 0.25, 0.49, 0.5, 0.9]
  np.testing.assert_allclose(analysis.certified_accuracy(results(), radii), [0.6, 0.4, 0.2, 0.2, 0.0, 0.0])


def test_summaries():
  assert analysis.average_certified_radius(results()) == pytest.approx(0.15)
  assert analysis.abstention_rate(results()) == pytest.approx(0.2)


def test_an_incomplete_file_says_so_wherever_it_is_named():
  assert analysis.label(results()) == "sigma = 0.25"
  assert "only 5 of 9 images" in analysis.label(results(expected=9))
  assert "only 5 of 9 images" in analysis.table([results(expected=9)], [0.0])


def test_a_file_without_rows_is_refused_by_name():
  empty = results()
  empty.columns.update({name: column[:0] for name, column in empty.columns.items()})
  for call in (lambda: analysis.grid(empty), lambda: analysis.table([empty], [0.0])):
    with pytest.raises(InputError, match=r"r\.tsv has no rows yet, of 5"):
      call()


def test_table():
  lines = analysis.table([results(), results()], [0.0, 0.25]).splitlines()
  assert len(lines) == 3
  assert "0.60" in lines[1] and "0.20" in lines[1] and "0.150" in lines[1]


@pytest.mark.parametrize("farthest", [0.0, 0.1, 0.6, 1.9, 9.0])
def test_grid_is_short_and_reaches_far(farthest):
  r = results()
  r.columns["radius"] = np.array([0, 0, 0, 0, farthest])
  grid = analysis.grid(r)
  assert grid[0] == 0.0
  assert 1 <= len(grid) <= 11
  assert grid[-1] <= farthest


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_plot_needs_no_display(tmp_path, ending, monkeypatch):
  monkeypatch.delenv("DISPLAY", raising=False)
  path = tmp_path / f"plot.{ending}"
  analysis.plot([results(), results(9)], path, "title")
  assert path.stat().st_size > 1000

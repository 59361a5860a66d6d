import json

import numpy as np
import pytest
from conftest import linear

from rsjax import tuning, votes

SHAPE, MANY = (4, 4, 1), 10**12


@pytest.fixture
def search(linear_variables, cpu_mesh, tmp_path):
  """search(rates, draws): the rows chosen where `rates` are the draws/s at default rows x 2**k."""

  def search(rates, monkeypatch, draws=MANY, cache=tmp_path / "rows.json"):
    mesh = cpu_mesh(1)
    start, tried = votes.default_rows(SHAPE, mesh), []

    def rate(apply, variables, image_shape, execution, smallest_count):
      tried.append(int(np.log2(execution.rows / start)))
      return float(rates(tried[-1]))

    monkeypatch.setattr(tuning, "_rate", rate)
    rows = tuning.best_rows(linear, linear_variables, SHAPE, "linear", draws=draws, mesh=mesh, cache=cache)
    return int(np.log2(rows / start)), tried

  return search


def test_it_climbs_to_the_fastest_and_stops_behind_it(search, monkeypatch):
  assert search(lambda k: 100 - 10 * abs(k - 2), monkeypatch) == (2, [0, 1, 2, 3])


def test_it_descends_where_fewer_rows_are_faster(search, monkeypatch):
  assert search(lambda k: 100 - 10 * abs(k + 2), monkeypatch) == (-2, [0, 1, -1, -2, -3])


def test_it_stays_where_nothing_is_gained(search, monkeypatch):
  assert search(lambda k: 100 + k, monkeypatch) == (0, [0, 1, -1])


def test_what_does_not_fit_is_left(search, monkeypatch):
  assert search(lambda k: 100 + 10 * k if k < 3 else 0, monkeypatch)[0] == 2
  monkeypatch.setattr(tuning, "_read", lambda cache: {})
  assert search(lambda k: 0 if k > -2 else 100, monkeypatch)[0] == -2


def test_a_choice_is_remembered_for_the_same_classifier(search, monkeypatch, tmp_path):
  cache = tmp_path / "folder" / "rows.json"
  assert search(lambda k: 100 - 10 * abs(k - 1), monkeypatch, cache=cache) == (1, [0, 1, 2])
  assert search(lambda k: 100, monkeypatch, cache=cache) == (1, [])
  [key] = json.loads(cache.read_text())
  assert "linear" in key
  cache.write_text("not JSON")
  assert search(lambda k: 100, monkeypatch, cache=cache) == (0, [0, 1, -1])


def test_short_runs_do_not_search_and_remember_nothing(search, monkeypatch, tmp_path):
  cache = tmp_path / "rows.json"
  assert search(lambda k: 100, monkeypatch, draws=100_000, cache=cache) == (0, [])
  assert not cache.exists()
  # long enough for one timing; more of them would take more than their share of the run
  rows, tried = search(lambda k: 1e15, monkeypatch, draws=10**7, cache=cache)
  assert (rows, tried) == (0, [0])
  assert not cache.exists()


def test_a_real_search_answers_with_what_fits(linear_variables, cpu_mesh, tmp_path, monkeypatch):
  monkeypatch.setattr(tuning, "_SECONDS", 0.01)
  monkeypatch.setattr(tuning, "_TIMINGS", 1)
  monkeypatch.setattr(votes, "default_rows", lambda image_shape, mesh: 64)
  mesh = cpu_mesh(2)
  find = lambda cache: tuning.best_rows(
    linear, linear_variables, SHAPE, "linear", draws=10**7, smallest_count=100, mesh=mesh, cache=cache
  )
  rows = find(tmp_path / "a")
  assert rows % 2 == 0
  monkeypatch.setattr(tuning.devices, "memory_free", lambda device: 0)
  assert find(tmp_path / "b") == 2  # one a device: the run itself then says what is wrong


def test_a_steps_memory_grows_with_its_rows(linear_variables, cpu_mesh):
  need = lambda rows: votes.memory_needed(linear, linear_variables, SHAPE, votes.Execution(rows, cpu_mesh(1)))
  assert need(64) > 64 * 4 * 4 * 4
  assert need(6400) > 20 * need(64)

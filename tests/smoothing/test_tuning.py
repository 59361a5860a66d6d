"""How many rows a step: where draws come fastest, within memory, remembered, and not searched in vain."""

import json

import numpy as np
import pytest
from helpers import linear

from rsjax.noise import GridGaussian
from rsjax.smoothing import Execution, execution, tuning, votes

SHAPE, MANY = (4, 4, 1), 10**12


@pytest.fixture
def search(linear_variables, cpu_mesh, tmp_path, monkeypatch):
  """search(rates, draws, cache) -> (k, tries) of the rows chosen, default rows x 2**k.

  `rates(k)` are the draws per second there, 0 where memory is too small; `tries` is how many were timed.
  """

  def search(rates, draws=MANY, cache=tmp_path / "rows.json", name=lambda: "linear", **more):
    mesh = cpu_mesh(1)
    start, tried = execution.default_rows(SHAPE, mesh), []

    def rate(apply, variables, image_shape, resolved, noise):
      tried.append(np.log2(resolved.rows / start))
      return float(rates(tried[-1]))

    monkeypatch.setattr(tuning, "_rate", rate)
    more |= {"draws": draws, "mesh": mesh, "cache": cache}
    rows = tuning.best_rows(linear, linear_variables, SHAPE, name, **more)
    return np.log2(rows / start), len(tried)

  return search


@pytest.mark.parametrize("best", [-3, -2, -1, 0, 1, 2, 3])
def test_it_finds_the_fastest(search, best):
  assert search(lambda k: 100 - 10 * abs(k - best))[0] == best


def test_it_stays_where_nothing_is_gained(search):
  assert search(lambda k: 100 + k)[0] == 0
  assert search(lambda k: 100 - k)[0] == 0


def test_what_does_not_fit_is_left(search, tmp_path):
  assert search(lambda k: 100 + 10 * k if k < 3 else 0, cache=tmp_path / "a")[0] == 2
  assert search(lambda k: 0 if k > -2 else 100, cache=tmp_path / "b")[0] == -2


def test_a_choice_is_remembered_for_the_same_classifier_and_noise(search, tmp_path):
  cache = tmp_path / "folder" / "rows.json"
  assert search(lambda k: 100 - 10 * abs(k - 1), cache=cache)[0] == 1
  assert search(lambda k: 100, cache=cache) == (1, 0)
  [key] = json.loads(cache.read_text())
  assert "linear" in key
  assert search(lambda k: 100, cache=cache, name=lambda: "another")[0] == 0
  assert search(lambda k: 100, cache=cache, noise=GridGaussian(0.25))[1] > 0
  cache.write_text("not JSON")
  assert search(lambda k: 100, cache=cache)[0] == 0


def test_short_runs_do_not_search_and_remember_nothing(search, tmp_path):
  cache = tmp_path / "rows.json"

  def unneeded():
    raise AssertionError("the name is not needed")

  assert search(lambda k: 100, draws=100_000, cache=cache, name=unneeded) == (0, 0)
  assert not cache.exists()
  # Long enough for one timing; more of them would take more than their share of the run.
  k, tries = search(lambda k: 1e15, draws=10**7, cache=cache)
  assert k == 0 and tries <= 1
  assert not cache.exists()


def test_a_real_search_answers_with_what_fits(linear_variables, cpu_mesh, tmp_path, monkeypatch):
  monkeypatch.setattr(tuning, "_SECONDS", 0.01)
  monkeypatch.setattr(tuning, "_TIMINGS", 1)
  monkeypatch.setattr(execution, "default_rows", lambda image_shape, mesh: 64)
  mesh = cpu_mesh(2)
  find = lambda cache: tuning.best_rows(
    linear, linear_variables, SHAPE, lambda: "linear", draws=3 * 10**6, mesh=mesh, cache=cache
  )
  rows = find(tmp_path / "a")
  assert rows % 2 == 0
  monkeypatch.setattr(tuning.devices, "memory_free", lambda device: 0)
  assert find(tmp_path / "b") == 2  # one row for each device: the run itself then says what is wrong


def test_far_too_many_rows_are_halved_until_they_fit(linear_variables, cpu_mesh, monkeypatch):
  monkeypatch.setattr(execution, "default_rows", lambda image_shape, mesh: 64)
  find = lambda rows: tuning.fitting_rows(linear, linear_variables, SHAPE, rows, cpu_mesh(1))
  for free in (None, 2**40):
    monkeypatch.setattr(tuning.devices, "memory_free", lambda device, free=free: free)
    assert find(2**14) == 2**14
  monkeypatch.setattr(tuning.devices, "memory_free", lambda device: 2**20)
  rows = find(2**24)
  need = lambda rows: votes.memory_needed(
    linear, linear_variables, SHAPE, Execution(rows, cpu_mesh(1)).resolve(SHAPE)
  )
  assert need(rows) <= 2**20 < 8 * need(rows)
  assert find(200) == 200  # no more than four times what is usual: not looked at


def test_a_steps_memory_grows_with_its_rows(linear_variables, cpu_mesh):
  need = lambda rows, *noise: votes.memory_needed(
    linear, linear_variables, SHAPE, Execution(rows, cpu_mesh(1)).resolve(SHAPE), *noise
  )
  assert need(64) > 64 * 4 * 4 * 4
  assert need(6400) > 20 * need(64)
  assert need(64, GridGaussian(0.25)) > need(64)  # which holds its table, too

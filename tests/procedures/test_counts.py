"""Votes of many rows at once: the same answers as row by row, from dense votes."""

import numpy as np
import pytest

from rsjax import procedures
from rsjax.noise import Gaussian
from rsjax.procedures import Certify, Counts, Predict
from rsjax.results import format_votes, parse_column


@pytest.fixture
def dense():
  """int64[rows, classes] votes, empty rows and ties among them, and each row's number of draws."""
  rng = np.random.default_rng(0)
  votes = rng.integers(0, 40, (60, 7)) * (rng.random((60, 7)) < 0.4)
  votes[3], votes[17] = 0, [5, 9, 9, 0, 0, 9, 1]
  return votes, votes.sum(1) + rng.integers(0, 3, 60)


def sparse(votes, draws):
  return parse_column([format_votes(row, n - row.sum()) for row, n in zip(votes, draws)])


def test_they_are_what_dense_votes_say(dense):
  votes, draws = dense
  counts = sparse(votes, draws)
  ordered = np.sort(votes, axis=1)
  wanted = np.random.default_rng(1).integers(0, 7, len(votes))
  assert counts.draws().tolist() == draws.tolist()
  assert counts.leaders().tolist() == np.where(votes.any(1), votes.argmax(1), -1).tolist()
  assert counts.of(wanted).tolist() == votes[np.arange(len(votes)), wanted].tolist()
  assert [c.tolist() for c in counts.largest()] == [ordered[:, -1].tolist(), ordered[:, -2].tolist()]


@pytest.mark.parametrize("k", [1, 3, 9])
def test_the_largest_others_are_those_of_dense_votes_with_the_invalid_as_one_class(dense, k):
  votes, draws = dense
  wanted = np.random.default_rng(1).integers(0, 9, len(votes))
  due = np.zeros((len(votes), 10), np.int64)
  for row, own in enumerate(wanted):
    others = [*(np.delete(votes[row], own) if own < 7 else votes[row]), draws[row] - votes[row].sum()]
    due[row, : len(others)] = sorted(others, reverse=True)
  found = sparse(votes, draws).largest_others(wanted, k)
  assert found.tolist() == due[:, :k].tolist()
  assert found[:, 0].tolist() == sparse(votes, draws).strongest_other(wanted).tolist()


def test_one_row_is_its_part_of_many(dense):
  votes, draws = dense
  counts = sparse(votes, draws)
  for row, (one, n) in enumerate(zip(votes, draws)):
    alone = Counts.of_one(one, int(n))
    assert alone.leaders()[0] == counts.leaders()[row]
    assert alone.invalid[0] == counts.invalid[row]


def test_no_rows_have_no_answers():
  none = parse_column([])
  assert len(none) == 0
  assert procedures.certify(none, none, 0.001, Gaussian(1.0)).radius.tolist() == []
  assert procedures.certify_top_k(none, np.zeros(0, np.int64), 2, 0.001, Gaussian(1.0)).radius.tolist() == []


def test_many_rows_are_answered_as_each_alone():
  """Rows of different n: each is answered at its own."""
  rng, noise = np.random.default_rng(2), Gaussian(0.5)
  shares, ns = rng.dirichlet([3, 1, 1], 30), rng.choice([100, 1000, 5000], 30).tolist()
  votes0 = np.stack([rng.multinomial(20, p) for p in shares])
  votes = np.stack([rng.multinomial(n - 2, p) for n, p in zip(ns, shares)])
  together = procedures.certify(sparse(votes0, [20] * 30), sparse(votes, ns), 0.01, noise)
  predicted = procedures.predict(sparse(votes, ns), 0.01)
  for row, n in enumerate(ns):
    c = Certify(20, n, 0.01).outcome(votes0[row], votes[row], noise)
    p = Predict(n, 0.01).outcome(votes[row])
    assert (c.prediction, c.radius, c.selected, c.n_a, c.p_lower) == tuple(
      getattr(together, name)[row] for name in ("prediction", "radius", "selected", "n_a", "p_lower")
    )
    assert (p.prediction, p.p_value) == (predicted.prediction[row], predicted.p_value[row])
    assert c.invalid == p.invalid == 2
  assert len({*together.prediction}) > 2

"""How many draws the rows of a file have, held against its settings; no sentence if all fits. No JAX.

>>> list(of_rows(files[0]))
[]
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from rsjax.analysis import looks
from rsjax.procedures import AUTO, CertifyByLooks
from rsjax.procedures.sequential import is_close
from rsjax.results import Results, parse_column, plural


def of_rows(f: Results) -> Iterator[str]:
  """Rows with another number of draws than their settings allow; by looks, the plan says which are allowed."""
  columns, n = f.columns, f.settings["n"]
  if not looks.is_by_looks(f.settings):
    yield from _told(f, columns["n"] != n, f"another number of draws than n = {n:,}, which its manifest says")
  usual = CertifyByLooks(n0=AUTO).settings()["n0_auto"]
  if f.settings.get("n0") == AUTO and f.settings.get("n0_auto") == usual:
    what = "fewer selection draws than n0 = auto asks for after two classes that are close"
    yield from _told(f, _too_few(f), what)


def _told(f: Results, wrong: NDArray[np.bool_], what: str) -> Iterator[str]:
  if wrong.any():
    rows = plural(int(wrong.sum()), "row has", "rows have")
    first = int(np.argmax(wrong))
    yield f"{rows} {what}; the first is of image {f.columns['idx'][first]}"


def _too_few(f: Results) -> NDArray[np.bool_]:
  """bool[rows]: where only the first selection draws were made, although they ask for more."""
  votes0, first = parse_column(f.columns["votes0"]), f.settings["n0_auto"]["first"]
  close = [is_close(votes0.votes[start:end]) for start, end in zip(votes0.starts, votes0.ends)]
  return (votes0.draws() == first) & np.array(close, np.bool_)

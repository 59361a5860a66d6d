"""What runs report while they go on, and a bar that shows it."""

import sys
from typing import Any

from rsjax.errors import warn


class Progress:
  """What a certification reports; this class is silent."""

  def start(self, plan: dict[str, Any]) -> None:
    """Everything was checked; `plan` is what is about to be done."""

  def note(self, text: str) -> None:
    """Something is allowed, but often a mistake."""

  def expect(self, estimate: Any) -> None:
    """How long a long run will take, an `Estimate`."""

  def rows(self, rows: int) -> None:
    """The number of noisy images per step was chosen; compilation comes next."""

  def draws(self, count: int) -> None:
    """The votes of `count` more draws have arrived."""

  def row(self) -> None:
    """One more image was decided, and its row written."""

  def close(self) -> None:
    """Nothing more comes."""


class TrainingProgress:
  """What a training reports; this class is silent."""

  def start(self, plan: dict[str, Any]) -> None:
    """Everything was checked; `plan` is what is about to be done."""

  def images(self, count: int) -> None:
    """A step on `count` images was dispatched."""

  def epoch(self, epoch: Any) -> None:
    """An epoch ended; `epoch` is a `training.Epoch`."""

  def damaged(self, path: Any) -> None:
    """The saved state at `path` cannot be read; the previous one is tried."""


class Bar(Progress):
  """A bar of a certification's draws, or of its images if their draws may vary, for Python and notebooks."""

  def __init__(self) -> None:
    self._bar: Any = None
    self._done = self._images = 0

  def start(self, plan: dict[str, Any]) -> None:
    self._done, self._images = plan["done"], plan["images"]
    self._counts_rows = plan["n varies"] and not plan["anytime"]
    left = self._images - self._done
    self._bar = bar(left, " images") if self._counts_rows else bar(left * plan["draws per image"], " draws")
    self._describe()

  def draws(self, count: int) -> None:
    self._bar.update(0 if self._counts_rows else count)

  def row(self) -> None:
    self._done += 1
    self._bar.update(1 if self._counts_rows else 0)
    self._describe()

  def close(self) -> None:
    if self._bar is not None:
      self._bar.close()

  def _describe(self) -> None:
    self._bar.set_description(f"{self._done}/{self._images} images", refresh=False)


class Noted(Progress):
  """Silent, except for notes, which become Python warnings."""

  def note(self, text: str) -> None:
    warn(text)


class Shown(Noted, Bar):
  """A bar, and notes as Python warnings."""


def bar(total: int, unit: str, initial: int = 0, terminal: str | None = None) -> Any:
  """A tqdm bar on stderr; if that is neither a terminal nor a notebook, one line every ten seconds.

  terminal: tqdm's format for terminals and notebooks; None: tqdm's own.
  """
  from tqdm import tqdm

  live = sys.stderr.isatty() or "ipykernel" in sys.modules
  return tqdm(
    total=total,
    initial=initial,
    unit=unit,
    unit_scale=True,
    file=sys.stderr if live else _Lines(),
    dynamic_ncols=live,
    mininterval=0.2 if live else 10,
    maxinterval=10 if live else 60,
    smoothing=0.1,
    bar_format=terminal if live else "{desc}{n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}]",
  )


class _Lines:
  """A stream for a bar whose output cannot be overwritten, as in a file: each state gets its own line."""

  def write(self, text: str) -> None:
    line = text.strip()
    if line:
      print(line, file=sys.stderr)

  def flush(self) -> None:
    sys.stderr.flush()

"""The result of certifying or predicting, as a value to look at: columns, accuracies, a table, a file.

>>> found = Found(results.read("out.tsv"))
>>> found
72 images certified, sigma = 0.25: certified accuracy 0.93 at radius 0, ACR 0.543, 0.00 abstained
>>> found.radius[:3], float(found.certified_accuracy(0.25))
(array([0.91..., 0.79..., 0.61...]), 0.80...)
"""

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rsjax.analysis import (
  attacked,
  contradictions,
  doubts,
  labels,
  looks,
  plots,
  referee,
  reports,
  said,
  statistics,
  tables,
)
from rsjax.analysis.in_words import in_words
from rsjax.analysis.readonly import ReadOnly
from rsjax.errors import InputError, warn
from rsjax.results import Results, save

if TYPE_CHECKING:
  import pandas
  from matplotlib.axes import Axes
  from matplotlib.figure import Figure

_SHOWN = 10  # rows of the HTML form


class Found:
  """Certificates or predictions of some images, one row each, in the images' order.

  Each column of a result file is an attribute, a read-only NumPy array: `idx`, `predict` (-1: abstained),
  `radius` (pixels in [0, 1], or in units of the inputs if they are no images; rounded down), `n`, `nA`,
  `pABar`, `votes`, `time` and others; with labels also `label` and `correct`.

  Attributes:
    results: the same, in the form that `rsjax.results` and `rsjax.analysis` take.
  """

  results: Results

  def __init__(self, results: Results) -> None:
    self.results = results

  def __len__(self) -> int:
    return len(self.results)

  def __getattr__(self, name: str) -> np.ndarray:
    if name != "results" and name in self.results.columns:
      return self.results.columns[name]
    names = ", ".join(self.results.columns) if name != "results" else ""
    raise AttributeError(f"{type(self).__name__} has no column {name!r}, only {names}")

  def __setattr__(self, name: str, value: Any) -> None:
    if name != "results" and name in self.results.columns:
      raise AttributeError(f"columns are read-only: take a copy, {name} = found.{name}.copy()")
    super().__setattr__(name, value)

  def __getitem__(self, name: str) -> np.ndarray:
    if name in ("label", "correct"):
      statistics.check_labels(self.results)
    if name not in self.results.columns:
      raise KeyError(f"no column {name!r}, only {', '.join(self.results.columns)}; to_pandas() gives rows")
    return self.results.columns[name]

  def __dir__(self) -> list[str]:
    return [*super().__dir__(), *self.results.columns]

  @property
  def columns(self) -> dict[str, np.ndarray]:
    """Column name to array; read-only, as the arrays are."""
    return ReadOnly(self.results.columns, "columns are read-only: take a copy, dict(found.columns)")

  @property
  def settings(self) -> dict[str, Any]:
    """What fixed the rows: sigma, n, alpha, seed and others; read-only."""
    return ReadOnly(self.results.settings, "settings are read-only: take a copy, dict(found.settings)")

  def certified_accuracy(self, radii: ArrayLike) -> NDArray[np.float64]:
    """The fraction of the images that are right and certified beyond each radius: float64, shaped as `radii`.

    Beyond the largest radius that the votes of n draws can certify, it is 0.

    Raises:
      InputError: without labels, or for predictions, which have no radius.
    """
    statistics.check_labels(self.results)
    given = self._checked(radii)
    stopped_at = looks.grid_radii(self.settings)
    if stopped_at and (between := sorted({*given.ravel().tolist()} - {*stopped_at})):
      warn(
        f"{self.results.path}: images {looks.AT_GRID}, so that certified accuracy at others, such as "
        f"{between[0]:g}, is a lower bound"
      )
    return statistics.certified_accuracy(self.results, given)

  def attacked_accuracy(self, radii: ArrayLike) -> NDArray[np.float64]:
    """The fraction of the images without a verified adversarial example up to each radius: float64, as `radii`.

    Robust accuracy is at most this. Beyond the last radius of the attack nothing was searched, and it warns.

    Raises:
      InputError: for results other than those of `attack`.
    """
    found, searched = attacked.attacked_accuracy(self.results, radii), self.settings["radii"][-1]
    if (farthest := np.max(radii, initial=0.0)) > searched:
      warn(f"nothing was searched beyond the attack's last radius, {searched:g}, but {farthest:g} is asked for")
    return found

  def acr(self) -> float:
    """The average certified radius, counting 0 for a wrong answer or none.

    If images stopped at grid radii, it is a lower bound of what all draws would have given, and it warns.

    Raises:
      InputError: without labels, or for predictions.
    """
    statistics.check_labels(self.results)
    statistics.check_radii(self.results)
    if looks.grid_radii(self.settings):
      warn(f"{self.results.path}: images {looks.AT_GRID}, so that the ACR is a lower bound")
    return statistics.average_certified_radius(self.results)

  def to_pandas(self) -> "pandas.DataFrame":
    """The columns as a pandas.DataFrame.

    Raises:
      InputError: if pandas is missing; the message gives the command that installs it.
    """
    return self.results.to_pandas()

  def plot(
    self, path: str | pathlib.Path | None = None, title: str = "", *, ax: "Axes | None" = None
  ) -> "Figure":
    """Draws certified accuracy against radius, and returns Matplotlib's figure.

    Args:
      path: where to save it, as .png, .pdf or .svg; None: it is not saved.
      title: the title above the plot.
      ax: Matplotlib's Axes to draw into, beside what is there; None: a new figure.

    Raises:
      InputError: without labels, for predictions, for radii of another norm or unit than those in `ax`, or if
        Matplotlib is missing.
    """
    statistics.check_labels(self.results)
    statistics.check_radii(self.results)
    return plots.plot([self.results], () if path is None else path, title, ax=ax)

  def report(self, path: str | pathlib.Path, title: str = "") -> None:
    """Writes a report as one HTML page; `analysis.report` does so for several files, and takes more settings.

    Args:
      path: where to write it.
      title: title of the page; "": the data set and the classifier.

    Raises:
      InputError: without labels, for predictions, or if Jinja2 or Matplotlib is missing.
    """
    statistics.check_labels(self.results)
    statistics.check_radii(self.results)
    reports.report([self.results], path, title=title)

  def save(self, path: str | pathlib.Path) -> None:
    """Writes a result file and its manifest, as `rsjax.certify` does; neither may exist already.

    Raises:
      InputError: without labels, or if the file cannot be written.
    """
    save(self.results, path)

  def notes(self) -> list[str]:
    """What must be known before the numbers are used: missing or chosen images, odd rows; one sentence each."""
    told = [*self._of_shard(), *self.results.notes, *doubts.of_images(self.results), *said.chosen(self.results)]
    if not self.results.complete:
      told.append(f"{labels.rows_there(self.results, 'incomplete, ')}: the numbers are of those that are there")
    return told

  def _of_shard(self) -> list[str]:
    shard = self.settings.get("shard")
    joined = "rsjax.read([path, ...]) joins the shards of a run"
    return [] if shard is None else [f"shard {shard}: the numbers are of its images alone; {joined}"]

  def contradictions(self) -> list[str]:
    """What contradicts itself: images, settings, rows that do not follow from votes; one sentence each."""
    return contradictions.everything(self.results)

  def warnings(self, radii: Sequence[float] | None = None) -> list[str]:
    """What a referee would ask about these results and their table at some radii; one sentence each."""
    if "radius" not in self.columns:
      chosen: Sequence[float] = []
    else:
      chosen = statistics.grid(self.results) if radii is None else radii
    told = referee.warnings([self.results], [self.results.path], chosen)
    return [f"{self.results.path}: {text}" for text in self._of_shard()] + told

  def table(self, radii: float | Sequence[float] | None = None) -> str:
    """Certified accuracy at some radii with its intervals, ACR and abstentions, as text.

    A last line has the norm of radii that are not l2, their unit if it is not that of pixels, an alpha other
    than 0.001, and an n below 1,000.
    """
    statistics.check_labels(self.results)
    statistics.check_radii(self.results)
    chosen = statistics.grid(self.results) if radii is None else np.atleast_1d(self._checked(radii)).tolist()
    return tables.text(tables.summarize([self.results], chosen))

  def _checked(self, radii: ArrayLike) -> NDArray[np.float64]:
    """Radii as numbers; warns if they seem to be in grey levels, from 0 to 255."""
    given = _numbers(radii)
    if told := labels.grey_levels(self.results, given.max(initial=0.0)):
      warn(f"{self.results.path}: {told}")
    return given

  def __repr__(self) -> str:
    return in_words(self.results)

  def _repr_html_(self) -> str:
    names = [name for name in self.columns if not name.startswith("votes")]
    head = "".join(f"<th>{name}</th>" for name in names)
    show = lambda value: f"{value:.6g}" if isinstance(value, float) else str(value)
    lines = [
      "".join(f"<td>{show(self.columns[name][row].item())}</td>" for name in names)
      for row in range(min(_SHOWN, len(self)))
    ]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    more = f"<p>and {len(self) - _SHOWN} more</p>" if len(self) > _SHOWN else ""
    return f"<p>{self!r}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _numbers(radii: ArrayLike) -> NDArray[np.float64]:
  try:
    return np.asarray(radii, np.float64)
  except (TypeError, ValueError) as error:
    raise InputError(f"radii must be numbers, such as [0.25, 0.5], got {radii!r}") from error

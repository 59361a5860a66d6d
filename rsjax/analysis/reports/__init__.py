"""A report on result files: one HTML page that needs no network, with numbers, pictures and how they were made.

  >>> report(files, "report.html")

Each module of this package has one part of the page: numbers (votes, base classifier, costs), seeds, classes,
images (those of the smallest and largest radius), origin (settings, versions, digests), pictures (SVG), and
`page.html`, the template.
"""

import importlib.resources
import pathlib
from collections.abc import Sequence
from typing import Any

from rsjax import files as local_files
from rsjax.analysis import cells, labels, plots, referee, statistics, tables
from rsjax.analysis.reports import classes, images, numbers, origin, pictures, seeds
from rsjax.errors import InputError
from rsjax.results import Results

_MOST = 12  # files with a section of their own


def report(
  files: Sequence[Results],
  path: str | pathlib.Path,
  radii: Sequence[float] | None = None,
  *,
  names: Sequence[str] | None = None,
  title: str = "",
  rule: str = "open",
  confidence: float = 0.95,
  rho: float | None = None,
  claims: Sequence[Any] = (),
  warnings: Sequence[str] | None = None,
  dataset: str | None = None,
  data_dir: str | None = None,
  command: str | None = None,
) -> None:
  """Writes a report on result files of CERTIFY as one HTML page; needs Jinja2 and Matplotlib.

  Args:
    files: `results.Results`, or results of `rsjax.read` and of `certify`.
    path: where to write it, ending in .html or .htm; a page that is there is replaced.
    radii: radii of the table; None: `statistics.common_grid`.
    names: one name per file; None: `labels`.
    title: title of the page; None or "": the data set and the classifier.
    rule, confidence, rho: as for `tables.summarize`.
    claims: verdicts of `claims.judge`, to be shown.
    warnings: sentences to be shown; None: those of `referee.warnings`.
    dataset, data_dir: the data set whose images are shown, as for `data.load`; None: the one that the file
      names, if it is there.
    command: the command that makes this report, to be shown.

  Raises:
    InputError: for files without rows or labels, of PREDICT, or of different norms; if a package is missing;
      for a `dataset` that cannot be loaded; or if `path` cannot be written.
  """
  check_report(path)
  files = labels.as_results(files)
  for f in files:
    if "top_k" in f.settings or "combined" in f.settings:
      raise InputError(
        f"the report explains the certificates of one classifier's answers, not {_other_kind(f)}: "
        "leave it out, or give the file as it is"
      )
  radii = statistics.common_grid(files) if radii is None else radii
  rows = tables.summarize(files, radii, names=names, rule=rule, confidence=confidence, rho=rho)
  called = [row["name"] for row in rows]
  said = referee.warnings(files, called, radii, rule, confidence) if warnings is None else warnings
  one = [
    _about_one(f, row, place, rule, confidence, dataset, data_dir)
    for place, (f, row) in enumerate(zip(files[:_MOST], rows))
  ]
  facts = {
    "title": _unicode(title) or origin.title(rows),
    "rows": rows,
    "caption": tables.caption(rows, intervals=True),
    "radii": radii,
    "distance": labels.norm_words(rows[0]["norm"]),
    "shown": cells.accuracy,
    "at_least": cells.at_least,
    "share": numbers.share,
    "acr": numbers.acr,
    "shown_acr": cells.radius,
    "radius_text": numbers.radius,
    "for_all": cells.for_all,
    "confidence": f"{100 * confidence:.6g} %",
    "curve": pictures.curve(files, names, rule, confidence, rho),
    "claims": claims,
    "warnings": said,
    "one": one,
    "left": len(files) - len(one),
    "seeds": seeds.spread(files, called, radii, rule),
    "command": command,
    "version": origin.version(),
  }
  page = _template().render({name: _clean(value) for name, value in facts.items()})
  try:
    with local_files.whole(local_files.local(path)) as file:
      file.write(page)
  except OSError as error:
    raise local_files.unwritable(path, error) from error


def _other_kind(f: Results) -> str:
  return (
    f"top-{f.settings['top_k']} radii" if "top_k" in f.settings else f"a {f.settings['combined']} of several"
  )


def check_report(path: str | pathlib.Path) -> None:
  """Raises InputError if a report cannot be made here.

  That is for a path that does not end in .html or .htm, so that no result file is replaced, for a folder that
  is not there, and for a missing package.
  """
  folder = local_files.local(path).absolute().parent
  if not folder.is_dir():
    raise InputError(f"{path} cannot be written: there is no folder {folder}")
  if local_files.local(path).is_dir():
    raise InputError(f"{path} is a folder: give the name of the report's file, such as {path}/report.html")
  if local_files.local(path).suffix.lower() not in (".html", ".htm"):
    raise InputError(f"a report is an HTML page: its path must end in .html, got {path}")
  _template()
  plots.check_matplotlib()


def _template():
  try:
    import jinja2
  except ImportError as error:
    raise InputError("the report needs Jinja2: pip install jinja2 matplotlib") from error
  source = (importlib.resources.files("rsjax.analysis.reports") / "page.html").read_text("utf-8")
  environment = jinja2.Environment(
    autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
  )
  return environment.from_string(source)


def _about_one(f, row, place, rule, confidence, dataset, data_dir):
  """What the page says of one file."""
  called = classes.names(f)
  votes = numbers.histogram(f)
  return {
    "id": f"file-{place}",
    "name": row["name"],
    "row": row,
    "votes": votes,
    "votes_picture": votes and pictures.histogram(votes, f"votes-{place}"),
    "base": numbers.base(f, confidence),
    "cost": numbers.cost(f),
    "classes": classes.by_class(f, row["radii"], called, rule),
    "confusions": classes.confusions(f, called),
    "matrix": pictures.matrix(classes.matrix(f, called), f"matrix-{place}"),
    "extremes": images.extremes(f, called, dataset, data_dir),
    "origin": origin.of(f),
    "sessions": origin.sessions(f),
  }


def _unicode(text: str) -> str:
  """A text in which bytes that are not Unicode, as in file names, are escaped."""
  return text.encode("utf-8", "backslashreplace").decode()


def _clean(value: Any) -> Any:
  """The same value, with each text by `_unicode`; what is marked as safe stays so."""
  if type(value) is str:
    return _unicode(value)
  if isinstance(value, dict):
    return {key: _clean(v) for key, v in value.items()}
  return [_clean(v) for v in value] if isinstance(value, list | tuple) else value


__all__ = ["check_report", "report"]

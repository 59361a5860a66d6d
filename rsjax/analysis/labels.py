"""The name of a file in tables and plots: those of its settings that distinguish it from the other files."""

import pathlib
from collections.abc import Sequence
from typing import Any

from rsjax import noise
from rsjax.analysis import looks
from rsjax.analysis.apart import apart, other_images
from rsjax.analysis.exact import is_exact
from rsjax.bounds import MULTI, ONE_SIDED
from rsjax.data import Selection
from rsjax.errors import InputError
from rsjax.noise import ABSURD_SIGMA, Columns, Gaussian
from rsjax.procedures import EXACT
from rsjax.results import Results, plural

PIXELS = "pixels in [0, 1]"  # the unit of the radii of images
_SHOWN = 3  # names, at most, that a sentence lists
_CALLED: dict[str, str] = {MULTI: "multi-class"}  # bounds, where not as in the settings


def as_results(files: Any) -> list[Results]:
  """One or several results, also in the form that certify and predict return them; refuses paths."""
  one = isinstance(files, Results | str | pathlib.PurePath) or hasattr(files, "results")
  found = [getattr(f, "results", f) for f in ([files] if one else files)]
  for f in found:
    if isinstance(f, str | pathlib.PurePath):
      raise InputError(f"files must be results as read, got the path {str(f)!r}: give rsjax.results.read(path)")
  return found


def as_one(file: Any) -> Results:
  """One result, also in the form that certify and predict return it; refuses several, and a path."""
  found = as_results(file)
  if len(found) != 1:
    raise InputError(f"one result is asked for, got {len(found)}: give each by itself")
  return found[0]


def facts(results: Results) -> dict[str, Any]:
  """{setting: value} of a file, None if not known: the settings in which files of certificates may differ."""
  settings, about = results.settings, results.manifest["about"]
  checkpoint = about.get("checkpoint")
  checkpoint = checkpoint if isinstance(checkpoint, dict) else {}
  return {
    "norm": settings.get("norm") or _own_norm(settings),
    "sigma": settings.get("sigma"),
    "kind": settings.get("noise", Gaussian.name),
    "noise": checkpoint.get("noise_sd"),
    "trained": noise.kind_of_training(checkpoint),
    "arch": checkpoint.get("arch") or settings.get("classifier"),
    "dataset": about.get("dataset"),
    "split": settings.get("split"),
    "n": settings.get("n"),
    "alpha": settings.get("alpha"),
    "bound": _bound(results),
    "exact": is_exact(settings),
    "band": settings.get("band"),
    "top_k": settings.get("top_k"),
    "dtype": settings.get("dtype"),
    "seed": settings.get("seed"),
    "digest": settings.get("dataset"),
    "selection": _selection(settings),
    "plan": settings["plan"].get("id") if isinstance(settings.get("plan"), dict) else None,
    "stop": looks.stopped_by(settings),
  }


def _own_norm(settings: dict[str, Any]) -> str:
  return "l2" if noise.lacking(settings) else noise.from_settings(settings).norm


def unit(results: Results) -> str:
  """The unit of a file's radii: of pixels, or of arrays that are no images."""
  return PIXELS if results.settings.get("inputs") is None else "in units of the inputs"


def grey_levels(results: Results, farthest: float) -> str | None:
  """A sentence if the largest radius that is asked for seems to be in grey levels, from 0 to 255."""
  if not (facts(results)["norm"] in ("l2", "linf") and unit(results) == PIXELS and farthest > ABSURD_SIGMA):
    return None
  return (
    f"radii are in units of pixels in [0, 1], but {farthest:g} is asked for: divide radii in grey levels by 255"
  )


def check_norms(files: Sequence[Results]) -> None:
  """Raises InputError if the radii of files are in different norms or units: they are not to be compared."""
  if len({unit(f) for f in files}) > 1:
    raise InputError("radii of images and of other arrays cannot be compared: give files of one kind")
  norms = sorted({facts(f)["norm"] for f in files})
  if len(norms) > 1:
    raise InputError(f"radii in {' and '.join(norms)} cannot be compared: give files of one norm")


def same_data(one: dict[str, Any], other: dict[str, Any]) -> bool:
  """Whether two files may be of the same data: by its digest, or the names of data set and split."""
  if None not in (one["digest"], other["digest"]):
    return one["digest"] == other["digest"]
  return all(None in (one[key], other[key]) or one[key] == other[key] for key in ("dataset", "split"))


def _selection(settings: dict[str, Any]) -> str | None:
  """The flags that chose the images; None if they are not known, or all images were asked for."""
  if settings.get("skip") is None:
    return None
  try:
    flags = Selection.from_settings(settings).flags
  except InputError:  # said elsewhere
    return None
  return None if flags == "--skip 1" else flags


def _bound(results: Results) -> str | None:
  """Which bound the radii are of; None where there are none, or the file does not say how they were made."""
  if "radius" not in results.columns or "votes" not in results.columns:
    return None
  if (k := results.settings.get("top_k")) is not None:
    return f"top-{k}"
  if is_exact(results.settings):
    return EXACT
  return str(results.settings.get("bound", ONE_SIDED))


def norm_words(norm: str) -> str:
  """What a radius in this norm is called, in tables and plots."""
  return "patch width" if norm == Columns.norm else f"{norm} radius"


def radius_words(results: Results) -> str:
  """What the radii of a file are called in plots, with their unit if it is not that of pixels."""
  words, given = norm_words(facts(results)["norm"]), unit(results)
  return words if given == PIXELS else f"{words}, {given}"


def bound_called(bound: str) -> str:
  """What tables call a bound."""
  return _CALLED.get(bound, bound)


def all_facts(files: Sequence[Results]) -> list[dict[str, Any]]:
  """`facts` of each file; data sets with the same digest get the name that the first file gives them."""
  known = [facts(f) for f in files]
  called: dict[str, dict[str, Any]] = {}
  for f, k in zip(files, known):
    if digest := f.settings.get("dataset"):
      first = called.setdefault(digest, k)
      k |= {name: first[name] for name in ("dataset", "split")}
  return known


def labels(files: Sequence[Results], names: Sequence[str] | None = None) -> list[str]:
  """One text per file: sigma, what else differs among the files, and whether it is incomplete, or a shard.

  The text always says if images stopped at grid radii, because the radii are then lower bounds, and if the
  radii are multi-class ones. It says of which images a file is if the files differ in them. Files of different
  runs have different texts.

  Args:
    files: `results.Results`.
    names: one text per file to use instead, to which sigma is added if the files differ in it.

  Raises:
    InputError: if there are not as many names as files.
  """
  files = as_results(files)
  if names is None:
    texts = _settings(files)
  else:
    check_names(files, names)
    texts = _with_sigma(files, [" ".join(name.split()) for name in names])
  told = []
  for f, text, parts in zip(files, apart(files, texts), other_images(files, all_facts(files))):
    told.append(", ".join([text, *(part for part in parts if part not in text)]) + _part(f))
  return told


def check_names(files: Sequence[Results], names: Sequence[str]) -> None:
  """Raises InputError if there are not as many names as files."""
  if len(names) != len(files):
    raise InputError(f"names must be one per file: got {len(names)} for {plural(len(files), 'file')}")


def _part(f: Results) -> str:
  """Which part of a run a file is, in parentheses; "" if it is whole."""
  shard = f.settings.get("shard")
  parts = [] if shard is None else [f"shard {shard}"]
  parts += [] if f.complete else [rows_there(f, "only ")]
  return f" ({', '.join(parts)})" if parts else ""


def rows_there(f: Results, fewer: str) -> str:
  """How many rows a file has that has not as many as it should; where it has fewer, after this word."""
  expected = plural(f.expected or 0, "image")
  if len(f) > (f.expected or 0):
    return f"more rows than images, {plural(len(f), 'row')} for {expected}"
  return f"{fewer}{len(f):,} of {expected}"


def _settings(files: Sequence[Results]) -> list[str]:
  known = all_facts(files)
  differ = {name for name in known[0] if len({k[name] for k in known}) > 1}
  if all(k["noise"] == k["sigma"] and noise.suits(k["trained"], k["kind"]) for k in known):
    differ -= {"noise"}
  texts = []
  for f, k in zip(files, known):
    parts = [f"sigma = {k['sigma']:g}"] if k["sigma"] is not None else []
    parts += [] if k["sigma"] is not None or k["band"] is not None else [_name(f.path)]
    parts += _drawn(k, "kind" in differ)
    suits = noise.suits(k["trained"], k["kind"])
    if ("noise" in differ or k["noise"] != k["sigma"] or not suits) and k["noise"] is not None:
      parts.append(f"training noise {k['noise']:g}" + ("" if suits else f" ({noise.called(k['trained'])})"))
    parts += [
      f"{name} = {k[name]:,}" if name == "n" else f"{name} = {k[name]:g}"
      for name in ("n", "alpha", "seed")
      if name in differ and k[name] is not None
    ]
    parts += _bounded(k, "bound" in differ)
    parts += _stop(k, "stop" in differ)
    parts += [k[name] for name in ("arch", "dataset", "split", "dtype") if name in differ and k[name]]
    texts.append(", ".join(parts))
  return texts


def _with_sigma(files: Sequence[Results], names: Sequence[str]) -> list[str]:
  known = [facts(f) for f in files]
  several = len({k["sigma"] for k in known}) > 1
  grids = len({k["stop"] for k in known if _stop(k, False)}) > 1
  bounds, kinds = (len({k[name] for k in known}) > 1 for name in ("bound", "kind"))
  texts = []
  for name, k in zip(names, known):
    sigma = [] if k["sigma"] is None or not several else [f"sigma = {k['sigma']:g}"]
    parts = (*sigma, *_drawn(k, kinds), *_bounded(k, bounds), *_stop(k, grids))
    more = [part for part in parts if part not in name]
    texts.append(", ".join([name, *more]))
  return texts


def _drawn(known: dict[str, Any], differs: bool) -> list[str]:
  """Which noise a file is of: where files differ in it, or it is not the paper's."""
  if known["kind"] == Gaussian.name:
    return ["Gaussian noise"] if differs else []
  if known["band"] is not None:
    return [f"column bands of {known['band']}"]
  return [f"{known['kind']} noise"]


def _bounded(known: dict[str, Any], differs: bool) -> list[str]:
  """Which bound a file's radii are of: where files differ in it, or it is not the paper's."""
  bound = known["bound"]
  if known["top_k"] is not None:
    return [f"top-{known['top_k']}"]
  if known["exact"]:
    return [EXACT]
  return [f"{bound_called(bound)} bound"] if bound is not None and (differs or bound != ONE_SIDED) else []


def _stop(known: dict[str, Any], differs: bool) -> list[str]:
  """Why the images of a file ended, if files differ in it or its radii are lower bounds."""
  stop = known["stop"] or ""
  if not differs:
    return [looks.AT_GRID] if stop.startswith(looks.AT_GRID) else []
  return [stop.replace(", ", " ")] if stop else []


def method(row: dict[str, Any]) -> str:
  """The name of a row of `tables.summarize` without its sigma, for tables that have a column for it."""
  if row["sigma"] is None:
    return row["name"]
  sigma = f"sigma = {row['sigma']:g}"
  parts = [part for part in row["name"].split(", ") if part != sigma]
  # "sigma = 0.25 (only 5 of 9 images)"
  return ", ".join(part.removeprefix(f"{sigma} ") for part in parts)


def some(names: Sequence[str]) -> str:
  """The names; if there are many, the first few and how many more there are."""
  more = len(names) - _SHOWN
  return "; ".join(names) if more <= 0 else f"{'; '.join(names[:_SHOWN])} and {more:,} more"


def _name(path: str) -> str:
  """A file's name without the ending of a table; what else stands after a dot belongs to it ("noise_0.25")."""
  file = pathlib.Path(path)
  return file.stem if file.suffix.lower() in (".tsv", ".txt", ".csv") else file.name

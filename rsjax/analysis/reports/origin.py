"""Where the numbers of a file come from: the command, settings, digests, versions and devices."""

import shlex
from typing import Any

from rsjax import bounds, noise
from rsjax.analysis import looks, said
from rsjax.analysis.exact import is_exact
from rsjax.analysis.labels import bound_called, unit
from rsjax.analysis.tables import common
from rsjax.results import Results, plural

_VERSIONS = ("rsjax", "python", "jax", "jaxlib", "flax", "numpy", "scipy")


def version() -> str:
  """rsjax's version."""
  import rsjax

  return rsjax.__version__


def title(rows: list[dict[str, Any]]) -> str:
  """The title of a page on these rows of `tables.summarize`: data set and classifier, if all have the same."""
  same = common(rows)
  parts = [str(same[key]) for key in ("arch", "dataset") if key in same]
  return f"Certified accuracy{': ' if parts else ''}{' on '.join(parts)}"


def of(f: Results) -> list[tuple[str, str]]:
  """(name, value) of what fixed the file, in the order in which a reader asks."""
  settings, about = f.settings, f.manifest["about"]
  checkpoint = about.get("checkpoint")
  checkpoint = checkpoint if isinstance(checkpoint, dict) else {}
  found: list[tuple[str, Any]] = [("file", f.path)]
  rows = f"{len(f):,}" if f.expected is None else f"{len(f):,} of {f.expected:,}"
  found += [("rows", rows), ("images", _images(f))]
  found += [("command", command(f)), ("noise", _noise(f))]
  found += [("n0", settings.get("n0")), ("n", settings.get("n")), ("alpha", settings.get("alpha"))]
  found += [
    ("bound", _bound(f)),
    ("drawing", _drawing(f)),
    ("seed of the noise", str(settings.get("seed", ""))),
  ]
  found += [("data set", _named(about.get("dataset"), settings.get("split")))]
  found += [("digest of the data", settings.get("dataset"))]
  found += [("classifier", checkpoint.get("arch") or settings.get("classifier"))]
  found += [("digest of the checkpoint", settings.get("checkpoint")), ("training", _training(checkpoint))]
  found += [("dtype", settings.get("dtype")), ("precision of products", settings.get("precision"))]
  found += [("convolutions", settings.get("convolutions")), ("batch norm", settings.get("batch_norm"))]
  show = lambda value: f"{value:,}" if type(value) is int else str(value)
  return [(name, show(value)) for name, value in found if value not in (None, "")]


def sessions(f: Results) -> list[dict[str, str]]:
  """Versions and devices of each start of the run: started, device, versions."""
  return [
    {
      "started": str(session.get("started", "")),
      "device": "{} x {} ({})".format(*(session.get(key, "?") for key in ("devices", "device", "platform"))),
      "versions": ", ".join(f"{name} {session[name]}" for name in _VERSIONS if name in session),
    }
    for session in f.manifest["sessions"]
  ]


def command(f: Results) -> str | None:
  """The run as a command, from its settings; None for a run from Python, or a file without manifest."""
  s = f.settings
  if s.get("skip") is None or noise.lacking(s):
    return None
  given = s["band"] if s.get("band") is not None else s["sigma"]
  flags = ["--split", s.get("split", "test")] if s.get("split", "test") != "test" else []
  for flag, name, usual in (("--skip", "skip", 1), ("--start", "start", 0), ("--max", "max", None)):
    flags += [flag, s[name]] if s.get(name, usual) != usual else []
  kind = s.get("noise", noise.Gaussian.name)
  flags += ["--noise-kind", kind] if kind != noise.Gaussian.name else []
  drawn = () if is_exact(s) else (("--N0", "n0"), ("--N", "n"), ("--alpha", "alpha"))
  for flag, name in (("--indices", "indices"), ("--shard", "shard"), *drawn):
    flags += [flag, s[name]] if s.get(name) is not None else []
  flags += ["--seed", s.get("seed", 0)]
  flags += ["--dtype", s["dtype"]] if s.get("dtype") else []
  flags += ["--bound", "multi"] if s.get("bound") == bounds.MULTI else []
  rule = looks.rule_of(s)
  if rule.get("rule") == "radii":
    flags += ["--radii", ",".join(f"{r:g}" for r in looks.grid_radii(s) or ())]
  elif rule.get("rule") == "tolerance":
    flags += ["--tolerance", _percent(rule.get("relative"))]
  elif rule.get("rule") == "anytime":
    flags += ["--stop", "anytime"]
  flags += ["--give-up", _percent(rule["give_up"])] if "give_up" in rule else []
  named = str(f.manifest["about"].get("dataset") or "DATASET")
  words = ["python", "-m", "rsjax.certify", named, "CHECKPOINT", given, "OUTFILE", *flags]
  return shlex.join(str(word) for word in words)


def _percent(value: Any) -> str:
  return f"{100 * value:g}%" if isinstance(value, int | float) else str(value)


def _images(f: Results) -> str | None:
  about = f.manifest["about"].get("images")
  total = f.expected or len(f)
  if not isinstance(about, int):
    return None
  if not said.is_of_a_split(f):
    return f"all {about:,} that were given" if total == about else f"{total:,} of the {about:,} that were given"
  return f"all {about:,} of the split" if total == about else f"{total:,} of the split's {about:,}"


def _noise(f: Results) -> str | None:
  settings = f.settings
  if noise.lacking(settings):
    return None if settings.get("sigma") is None else f"sigma = {settings['sigma']:g} (from the path)"
  kind = noise.from_settings(settings)
  parameters = ", ".join(f"{name} = {getattr(kind, name):g}" for name in noise.parameter_names(settings))
  if "band" in settings:
    return f"{kind.name}, {parameters}; radii are widths of patches, in pixels"
  return f"{kind.name}, {parameters}; radii are {kind.norm}, {unit(f)}"


def _bound(f: Results) -> str | None:
  if "votes" not in f.columns:
    return None
  if is_exact(f.settings):
    return "none: the certificates are exact, by the margin of the votes"
  bound = f.settings.get("bound", bounds.ONE_SIDED)
  if bound == bounds.MULTI:
    return f"{bound_called(bound)}: also uses the votes for the strongest other class"
  exact = "of the plan's looks" if looks.is_by_looks(f.settings) else "Clopper-Pearson"
  return f"{bound_called(str(bound))} ({exact}), as in the paper: p_A alone, p_B taken to be 1 - p_A"


def _drawing(f: Results) -> str | None:
  settings = f.settings
  if "votes" not in f.columns:
    return None
  if is_exact(settings):
    return "all n draws of the noise, once"
  if not looks.is_by_looks(settings):
    return "n draws for each image, fixed beforehand"
  plan = settings["plan"] if isinstance(settings["plan"], dict) else {}
  told: Any = plan.get("looks")
  told = f", {plural(len(told), 'look')} from {told[0]:,} to {told[-1]:,} draws" if _are_counts(told) else ""
  return f"by looks: {looks.stopped_by(settings)}; plan {plan.get('id', 'without a name')}{told}"


def _are_counts(told: Any) -> bool:
  return isinstance(told, list) and len(told) > 0 and all(isinstance(look, int) for look in told)


def _training(checkpoint: dict[str, Any]) -> str | None:
  training = checkpoint.get("training")
  if not isinstance(training, dict):
    return None
  parts = [f"{name} {value}" for name, value in training.items() if value is not None]
  on = checkpoint.get("dataset")
  return "; ".join([*([f"on {on}"] if on else []), *parts])


def _named(name: Any, split: Any) -> str | None:
  return None if name is None else f"{name}, {split}" if split else str(name)

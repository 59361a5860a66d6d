"""What a training directory holds: the settings it was begun with, its newest state, and its log."""

import dataclasses
import pathlib
from typing import Any

from rsjax import data, devices, files, noise
from rsjax.classifiers import checkpoint
from rsjax.errors import InputError
from rsjax.noise import Gaussian
from rsjax.runs.training_inputs import Network, NetworkSpec
from rsjax.training import Epoch, Objective, Recipe, objectives

LOG_COLUMNS = ("epoch", "time", "lr", "train loss", "train acc", "testloss", "testacc", "images/s", "waited")


def metadata_of(
  dataset_name: str,
  train_set: data.Dataset,
  spec: NetworkSpec,
  objective: Objective,
  recipe: Recipe,
  dtype: str | None,
  begin_with: Network | None,
) -> dict[str, Any]:
  """What the checkpoint of a training will say."""
  drawn = objectives.noise_of(objective)
  return {
    **spec.metadata(),
    "classes": train_set.classes and list(train_set.classes),
    "dataset": str(dataset_name),
    "dataset_digest": train_set.digest,
    "notes": list(train_set.notes),
    "noise_sd": getattr(drawn, "sigma", None),
    "training": {
      "objective": objectives.describe(objective),
      **({} if drawn.name == Gaussian.name else {"noise": drawn.settings()}),
      "dtype": dtype or devices.default_dtype(),
      "init_from": begin_with and begin_with.digest,
      "precision": devices.matmul_precision(),
      **devices.settings(),
      **_as_json(dataclasses.asdict(recipe)),
    },
  }


def _as_json(settings: dict[str, Any]) -> dict[str, Any]:
  """The settings as they come back from a file."""
  return {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}


def _fixed(metadata: dict[str, Any]) -> dict[str, Any]:
  """All that must be equal for a training to be continued: one dict, of metadata of this version or of 0.1."""
  defaults = {"precision": "default", "convolutions": None, "remat": False, "optimizer": "sgd"}
  training_settings = defaults | metadata["training"]
  objective = training_settings.pop("objective")
  drawn = training_settings.pop("noise", {})
  own_of_noise = {name: drawn.get(name) for name in noise.parameter_names(drawn) if name != "sigma"}
  if isinstance(objective, str):  # of 0.1, where its settings stood among the recipe's
    objective = {"name": objective}
  free = ("training", "dataset", "noise_sd", "notes")
  others = {key: value for key, value in metadata.items() if key not in free}
  fixed = {**others, **training_settings, "objective": objective["name"]}
  fixed |= {"noise_kind": drawn.get("noise", Gaussian.name), **own_of_noise}
  own = {f"objective {key}" if key in fixed else key: v for key, v in objective.items() if key != "name"}
  return fixed | own


def begun(outdir: pathlib.Path, metadata: dict[str, Any]) -> dict[str, Any] | None:
  """The metadata of the newest saved state of this training in `outdir`; None if nothing was saved."""
  if outdir.exists() and not outdir.is_dir():
    raise InputError(f"{outdir} is a file: give a directory")
  found = _newest_metadata(outdir / "state")
  if found is None:
    for name in ("checkpoint", "log.tsv"):
      if (outdir / name).exists() and not _is_our_log(outdir / name):
        raise InputError(f"{outdir} holds another {name}: give another directory")
    return None
  was, now = _fixed(found), _fixed(metadata)
  if was["objective"] != now["objective"]:  # the settings of another one say nothing
    own = metadata["training"]["objective"]
    now = {key: now[key] for key in now if key.removeprefix("objective ") not in own}
  differing = [f"{key} was {was.get(key)}, is now {now[key]}" for key in now if was.get(key) != now[key]]
  if differing:
    raise InputError(f"{outdir} was begun with other settings ({'; '.join(differing)}): give another directory")
  return found


def _newest_metadata(path: pathlib.Path) -> dict[str, Any] | None:
  damaged = None
  for step in reversed(checkpoint.steps(path)):
    try:
      return checkpoint.read_metadata(path / str(step))
    except InputError as error:
      damaged = error
  if damaged:
    raise damaged
  return None


def _is_our_log(path: pathlib.Path) -> bool:
  """Whether it is a log: that of a run which was stopped before it saved anything."""
  return path.is_file() and path.read_bytes().startswith("\t".join(LOG_COLUMNS).encode())


def start_log(outdir: pathlib.Path, columns: tuple[str, ...], done: int) -> None:
  """Leaves the header and the first `done` epochs in the log."""
  path = outdir / "log.tsv"
  lines = path.read_text().splitlines(keepends=True)[1 : 1 + done] if done and path.exists() else []
  with files.whole(path) as file:
    file.write("\t".join(columns) + "\n" + "".join(lines))


def append_log(outdir: pathlib.Path, epoch: Epoch) -> None:
  """Adds an epoch to the log."""
  values = (
    epoch.number,
    f"{epoch.seconds:.3f}",
    f"{epoch.lr:g}",
    *(f"{v:.5f}" for v in (epoch.train_loss, epoch.train_accuracy, epoch.test_loss, epoch.test_accuracy)),
    f"{epoch.rate:.1f}",
    f"{epoch.waited:.3f}",
    *(f"{v:.5f}" for v in epoch.statistics.values()),
  )
  with open(outdir / "log.tsv", "a") as file:
    file.write("\t".join(map(str, values)) + "\n")

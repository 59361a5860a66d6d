"""Options of training: those of each objective, made of its fields, and presets."""

import argparse
import dataclasses
from typing import Any

from rsjax.cli import parsing
from rsjax.errors import InputError

_OF_COMMAND = ("noise_sd", "noise")  # fields of every objective that have flags of their own


def add_objectives(made: parsing.Parser) -> None:
  """Adds --objective, --preset and the options of all objectives; needs no JAX."""
  from rsjax.training import presets
  from rsjax.training.objectives import DENOISING, OBJECTIVES
  from rsjax.training.objectives.settings import is_whole

  kinds = OBJECTIVES | DENOISING

  group = made.add_argument_group(
    "objectives",
    "what is minimised; docs/objectives.md says which to choose. In brackets: the objectives that have an "
    "option, and their defaults",
  )
  group.add_argument(
    "--objective",
    choices=tuple(kinds),
    help="the training objective; denoise and denoise_stability train a denoiser, dncnn (default: gaussian, "
    "the paper's)",
  )
  group.add_argument(
    "--preset",
    choices=presets.METHODS,
    help="the objective and the settings published for it on DATASET at this --noise, schedule and batch "
    "included; options that you give count more",
  )
  for name, owners in _options(kinds).items():
    field = next(iter(owners.values()))
    flag, shown, choices = f"--{name.replace('_', '-')}", _help(owners), field.metadata["choices"]
    if isinstance(field.default, bool):
      group.add_argument(flag, action="store_true", default=None, help=shown)
    elif choices:
      group.add_argument(flag, choices=choices, help=shown)
    else:
      group.add_argument(flag, type=int if is_whole(field) else float, help=shown)


def _options(kinds: dict[str, Any]) -> dict[str, dict[str, dataclasses.Field]]:
  """{name of a field: {objective: the field}}."""
  found: dict[str, dict[str, dataclasses.Field]] = {}
  for kind in kinds.values():
    for field in dataclasses.fields(kind):
      if field.name not in _OF_COMMAND:
        found.setdefault(field.name, {})[kind.name] = field
  return found


def _help(owners: dict[str, dataclasses.Field]) -> str:
  """What a setting is, for which objectives, their defaults, and whose these are."""
  by_text: dict[str, list[str]] = {}
  for objective, field in owners.items():
    default, source = field.default, field.metadata["source"]
    text = "none" if default is None else f"{default:g}" if isinstance(default, float) else str(default)
    own = objective if isinstance(default, bool) else f"{objective} {text}"
    by_text.setdefault(field.metadata["help"], []).append(own + (f" as for {source}" if source else ""))
  return "; ".join(f"{text} (for {', '.join(defaults)})" for text, defaults in by_text.items())


def settings_of(args: argparse.Namespace) -> tuple[Any, Any]:
  """(objective, recipe) of a command's arguments.

  Raises:
    InputError: for an option that the objective does not have, and for values out of range.
  """
  from rsjax import noise
  from rsjax.noise import Gaussian
  from rsjax.training import Recipe, presets
  from rsjax.training.objectives import DENOISING, OBJECTIVES

  kinds = OBJECTIVES | DENOISING
  name = args.objective or args.preset or "gaussian"
  if args.preset not in (None, name):
    raise InputError(f"`preset` {args.preset} is not of `objective` {name}: give one of them")
  kind, options = kinds[name], _options(kinds)
  for option, owners in options.items():
    if name not in owners and getattr(args, option) is not None:
      raise InputError(
        f"--{option.replace('_', '-')} is not an option of the objective {name}, but of {', '.join(owners)}"
      )
  own, shared = presets.preset(name, args.dataset, args.noise_sd) if args.preset else ({}, {})
  own = own | _given(args, kind)  # the published ones stay as they are
  if args.noise_kind not in (None, Gaussian.name):
    if args.preset:
      raise InputError(f"presets were published for Gaussian noise: give `objective` {name} and its options")
    own |= {"noise": noise.of_kind(args.noise_kind, own.pop("noise_sd", 0.0))}
  return kind(**own), Recipe(**shared | _given(args, Recipe))


def _given(args: argparse.Namespace, kind: type) -> dict[str, Any]:
  """The fields of a dataclass for which a value was given."""
  names = [field.name for field in dataclasses.fields(kind) if field.name != "noise"]  # made of two flags
  values = {name: getattr(args, name) for name in names}
  return {name: value for name, value in values.items() if value is not None}

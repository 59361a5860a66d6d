"""python -m rsjax.check FILE...: whether result files contradict themselves, their data or their checkpoint."""

import argparse
from typing import Any

from rsjax import files
from rsjax.cli import arguments, console, parsing
from rsjax.errors import ContradictionError, InputError

EPILOG = """examples:
  python -m rsjax.check out.tsv
  python -m rsjax.check results/*.tsv
  python -m rsjax.check out.tsv --checkpoint out/digits_0.25 --rows 5

Without --checkpoint it needs no JAX: every row is computed anew from its votes, and the images are held against
those that the manifest asks for. --data holds labels and images against the data set, too. --checkpoint draws
some rows again: the votes must be equal with the same version of JAX on the same kind of device. Elsewhere up
to 1 % of an image's draws may differ by rounding, which is said. Each contradiction has a line of its own.

Exit codes: 0 nothing contradicts (an incomplete file does not), 1 something does, 2 bad input."""


def parser() -> argparse.ArgumentParser:
  """The command's arguments."""
  made = parsing.parser("check", "Check result files: bounds, images, digests, votes.", EPILOG)
  add = made.add_argument
  add(
    "files",
    metavar="FILE",
    nargs="+",
    help="result file of rsjax.certify, predict or attack, its manifest beside it; several are checked in turn",
  )
  add(
    "--checkpoint",
    metavar="DIR",
    action="append",
    help="the classifier that they are of: rows are drawn again; once for each member of an ensemble",
  )
  add("--denoiser", metavar="DIR", help="the denoiser in front of that classifier, for files made with one")
  add("--data", metavar="DATASET", help="its data set (default, with --checkpoint: the manifest's)")
  arguments.add_data_dir(made)
  add("--rows", type=int, metavar="N", help="how many rows to draw again (default: 5)")
  add("--seed", type=int, help="of the choice of these rows (default: another each time, which is printed)")
  return made


def main(argv: list[str] | None = None) -> int:
  """Runs the command; returns its exit code."""
  return console.run("check", _body, parser().parse_args(argv))


def _body(args: argparse.Namespace) -> None:
  for path in (
    *args.files,
    *(args.checkpoint or ()),
    args.data or "",
    args.data_dir or "",
    args.denoiser or "",
  ):
    files.local(path)
  if args.checkpoint is None and args.denoiser is not None:
    raise InputError("--denoiser is in front of a classifier: give --checkpoint, too")
  if args.checkpoint is None and (args.rows is not None or args.seed is not None):
    raise InputError("--rows and --seed are of rows that are drawn again: give --checkpoint")
  if args.rows is not None and args.rows < 1:
    raise InputError(f"--rows must be at least 1, got {args.rows}")
  if args.seed is not None and args.seed < 0:
    raise InputError(f"--seed must be at least 0, got {args.seed}")
  from rsjax import results

  for path in args.files:  # what cannot be read is no contradiction
    results.read_manifest(path)
    results.read_rows(path)
  wrong = {path: count for path in args.files if (count := _contradictions(path, args))}
  if wrong:
    found = results.plural(sum(wrong.values()), "contradiction")
    raise ContradictionError(f"{found} in {', '.join(wrong)}")


def _contradictions(path: str, args: argparse.Namespace) -> int:
  """Prints what is found in one file; returns the number of contradictions."""
  from rsjax import results
  from rsjax.analysis import contradictions

  try:
    file = results.read(path)
  except InputError as error:
    _print_digests(path, {})
    print(f"contradiction: {error}")
    return 1
  if args.checkpoint is not None and results.command_of(file.columns) == "attack":
    raise InputError(
      f"{path} is of rsjax.attack: its votes are for points that the attack finds, and not drawn again. "
      "The same attack into another OUTFILE gives the same rows; without --checkpoint its votes are checked"
    )
  loaded = _loaded(path, args, file)
  _print_digests(path, file.settings)
  wrong: list[str] = []
  for one in contradictions.checked(file):
    _print(one, wrong)
  if loaded:
    _against(file, loaded, args, wrong)
  if not wrong:
    empty = "" if len(file) else " so far: it has no rows"
    print(f"{path}: nothing contradicts{empty}{_left_out(file, loaded)}")
  return len(wrong)


def _left_out(file: Any, loaded: dict[str, Any]) -> str:
  """What was not looked at, because data set or classifier were not given."""
  from rsjax.analysis import said

  named = file.settings.get("split") is not None or said.is_of_a_split(file)
  left = [
    f"{what}{f' ({flag} does)' if named else ''}"
    for part, flag, what in (
      ("dataset", "--data", "did not compare labels with the data set's"),
      ("classifier", "--checkpoint", "did not draw votes again"),
    )
    if part not in loaded
  ]
  return f"; this {' and '.join(left)}" if left else ""


def _loaded(path: str, args: argparse.Namespace, file: Any) -> dict[str, Any]:
  """The data set, and the classifier, that were given or that the manifest names."""
  from rsjax.analysis import said

  if args.data is None and args.checkpoint is None:
    return {}
  if file.settings.get("split") is None and said.is_of_a_split(file):
    raise InputError(f"the manifest of {path} lacks split: it is not known which images it is of")
  if file.settings.get("split") is None:
    raise InputError(
      f"{path} was made in Python, of arrays, and its digests are theirs: it cannot be held against a "
      "data set or a checkpoint by name. Where images and model are at hand, the same call in Python says "
      "whether they are the same: it continues the file, or refuses it"
    )
  from rsjax import data

  name = args.data or str(file.manifest["about"].get("dataset"))
  try:
    dataset = data.load(name, file.settings["split"], args.data_dir)
  except InputError as error:
    hint = "" if args.data else f" (its manifest names {name}; `data` gives another place)"
    raise InputError(f"{error}{hint}") from error
  found: dict[str, Any] = {"dataset": dataset}
  if args.checkpoint is not None:
    found["classifier"] = _classifier(path, args, file)
  return found


def _classifier(path: str, args: argparse.Namespace, file: Any) -> Any:
  """What was given as the file's classifier, behind the denoiser that was given."""
  from rsjax import noise
  from rsjax.classifiers import denoised, ensemble

  if args.denoiser is not None:
    return denoised.load(args.checkpoint, args.denoiser, noise.from_settings(file.settings))
  if "denoiser" in file.settings:
    raise InputError(f"{path} was made with a denoiser in front of the classifier: give --denoiser, too")
  return ensemble.load(args.checkpoint)


def _against(file: Any, loaded: dict[str, Any], args: argparse.Namespace, wrong: list[str]) -> None:
  """Prints what the data set and the classifier say of the file; adds to what is `wrong`."""
  from rsjax.analysis import contradictions

  dataset, classifier = loaded["dataset"], loaded.get("classifier")
  told = f"data set: digest {dataset.digest}, labels of {dataset.name}, {dataset.split}"
  _print(contradictions.Checked(told, (*contradictions.of_data(file, dataset),), dataset.notes), wrong)
  if classifier is None:
    return
  from rsjax.cli.progress import RunProgress
  from rsjax.runs import checking

  one = checking.against_checkpoint(file, classifier)
  _print(one, wrong)
  if one.contradictions or dataset.digest != file.settings.get("dataset"):
    print("note: nothing is drawn again, for the data set or the classifier is not the file's")
    return
  if any("manifest lacks" in text for text in wrong):
    print("note: nothing is drawn again, for the manifest does not say how")
    return
  seed = args.seed
  if seed is None:
    import secrets

    seed = secrets.randbits(32)
  progress = RunProgress(finish_images=False)
  try:
    found = checking.redrawn(file, dataset, classifier, args.rows or 5, seed, progress)
  finally:
    progress.close()
  _print(found, wrong)


def _print(one: Any, wrong: list[str]) -> None:
  """Prints one thing that was checked, and keeps its contradictions."""
  for text in one.notes:
    print(f"note: {text}")
  if not one.contradictions:
    print(f"checked: {one.what}")
  for text in one.contradictions:
    print(f"contradiction: {text}")
  wrong += one.contradictions


def _print_digests(path: str, settings: dict[str, Any]) -> None:
  import hashlib

  from rsjax import results

  for name in (files.local(path), results.manifest_path(path)):
    with open(name, "rb") as file:
      print(f"sha256 of {name}: {hashlib.file_digest(file, 'sha256').hexdigest()}")
  plan = settings.get("plan")
  named = {"data set": settings.get("dataset"), "checkpoint": settings.get("checkpoint")}
  named |= {"plan": plan.get("id")} if isinstance(plan, dict) else {}
  for what, digest in named.items():
    if digest is not None:
      print(f"{what}, as the manifest says: {digest}")


if __name__ == "__main__":
  console.leave(main())

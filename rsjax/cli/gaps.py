"""What `analyze` says of files of `rsjax.attack`, beside the certificates of the same smoothed classifiers."""

import argparse
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from rsjax.errors import InputError
from rsjax.files import unwritable, whole

_TABLE = "robust_accuracy.md"
_HEAD = "robust accuracy is between certified accuracy and what an attack leaves"


def separate(files: Sequence[Any], args: argparse.Namespace) -> tuple[list[Any], list[Any]]:
  """(the other files, files of attacks).

  Raises:
    InputError: for flags that attacks do not go with.
  """
  from rsjax.analysis import attacked

  attacks = [f for f in files if attacked.is_attack(f)]
  others = [f for f in files if not attacked.is_attack(f)]
  flags = {"combine": args.combine, "top-k": args.top_k, "reference": args.reference}
  flags |= {"norm": args.norm if args.norm != "l2" else None}
  if not others:
    flags |= {"out": args.out, "html": args.html, "claim": args.claim, "label": args.label}
  for flag, value in flags.items() if attacks else ():
    if value is not None:
      beside = "" if others else " alone: give the file of rsjax.certify, too"
      raise InputError(f"--{flag} does not go with files of rsjax.attack, such as {attacks[0].path}{beside}")
  return others, attacks


def alone(attacks: Sequence[Any], args: argparse.Namespace) -> int:
  """Prints what attacks leave, without certificates; the exit code."""
  from rsjax.analysis import attacked
  from rsjax.analysis.columns import fitted

  radii = args.radii or sorted({0.0, *(r for f in attacks for r in f.settings["radii"])})
  lines = [(f"{f.path}: {attacked.called(f)}", _cells(attacked.attacked_accuracy(f, radii))) for f in attacks]
  print("robust accuracy of the smoothed classifier is at most, by l2 radius\n")
  print(fitted("radius", *_columns(radii), lines))
  for text in (f"{f.path}: {text}" for f in attacks for text in _of_one(f)):
    print(f"warning: {text}", file=sys.stderr)
  return 0


def refuse_predictions(attacks: Sequence[Any]) -> None:
  """Raises InputError if there are attacks beside files of PREDICT."""
  if attacks:
    raise InputError(
      f"{attacks[0].path} is a file of rsjax.attack: give it beside files of CERTIFY, not of PREDICT"
    )


class Gaps:
  """The certificates and the attacks that belong together, on the images that both have.

  Attributes:
    files: the certificates, of these images only.
    drawn: (place in files, attack) for the plot.
    warnings: what should be said of the attacks.
    exit_code: 1 if an adversarial example is inside a certified radius, else 0.

  Raises:
    InputError: for an attack that fits none of the files.
  """

  def __init__(self, files: Sequence[Any], attacks: Sequence[Any], out: str | None) -> None:
    from rsjax.analysis import attacked

    pairs = attacked.fitting(files, attacks) if attacks else []
    self.files = list(files)
    for place, attack in pairs:
      self.files[place] = attacked.compare(self.files[place], attack).certified
    self._gaps = [(place, attacked.compare(self.files[place], attack)) for place, attack in pairs]
    self.drawn = [(place, gap.attacked) for place, gap in self._gaps]
    self.warnings: list[str] = []
    if out and not attacks and (left := pathlib.Path(out) / _TABLE).exists():
      self.warnings.append(f"{left} is left from other files: remove it, or give another -o")
    self.exit_code, self._wrote = 0, ""
    for place, attack in pairs:
      self.warnings += _about(attack, attacked.compare(files[place], attack), files[place])
    for _, gap in self._gaps:
      self.warnings += [f"CONTRADICTION: {text}" for text in gap.contradictions]
      self.exit_code = 1 if gap.contradictions else self.exit_code

  def inside(self) -> list[list[str]]:
    """For each file, what its attacks found inside its certified radii."""
    places = range(len(self.files))
    return [[text for at, gap in self._gaps if at == place for text in gap.contradictions] for place in places]

  def _lines(self, rows: Sequence[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Name and cells: of each file that was attacked, and of its attacks below it."""
    from rsjax.analysis import attacked

    lines = []
    for place, row in enumerate(rows):
      gaps = [gap for at, gap in self._gaps if at == place]
      if gaps:
        lines.append((f"{row['name']}: certified", _cells(row["certified_accuracy"])))
      for gap in gaps:
        left = attacked.attacked_accuracy(gap.attacked, row["radii"])
        lines.append((f"  at most ({gap.name})", _cells(left)))
    return lines

  def write(self, out: pathlib.Path, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Writes its table, if there are attacks; returns what belongs into the .json file."""
    from rsjax.analysis import attacked

    if not self._gaps:
      return {}
    heads = ["l2 radius", *(f"{r:g}" for r in rows[0]["radii"])]
    lines = [
      heads,
      ["---", *["---:"] * (len(heads) - 1)],
      *([name.strip(), *cells] for name, cells in self._lines(rows)),
    ]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    path = out / _TABLE
    try:
      with whole(path) as file:
        file.write(f"{text}\n\n{_HEAD.capitalize()}.\n\n{self._files()}\n")
    except OSError as error:
      raise unwritable(path, error) from error
    self._wrote = f"\nwrote {path}"
    said = [
      {
        "file": gap.attacked.path,
        "certified": self.files[place].path,
        "name": gap.name,
        "images": len(gap.attacked),
        "radii": rows[place]["radii"],
        "robust_accuracy_at_most": attacked.attacked_accuracy(gap.attacked, rows[place]["radii"]).tolist(),
        "contradictions": list(gap.contradictions),
      }
      for place, gap in self._gaps
    ]
    return {"attacks": said}

  def _files(self) -> str:
    """A line in Markdown for each attack: its file, that of its certificates, and how many images both have."""
    from rsjax.results import plural

    return "\n".join(
      f"- {gap.attacked.path} beside {self.files[place].path}: {plural(len(gap.attacked), 'image')} in both"
      for place, gap in self._gaps
    )

  def say(self, rows: Sequence[dict[str, Any]]) -> None:
    """Prints the table, if there are attacks."""
    from rsjax.analysis.columns import fitted

    if self._gaps:
      print(f"\n{_HEAD}\n")
      print(fitted("radius", *_columns(rows[0]["radii"]), self._lines(rows)))
      print(self._wrote, end="\n" if self._wrote else "")


def _columns(radii: Sequence[float]) -> tuple[list[str], list[int]]:
  """Heads and widths of columns of radii."""
  heads = [f"{r:g}" for r in radii]
  return heads, [max(7, len(head) + 2) for head in heads]


def _cells(values: Any) -> list[str]:
  return [f"{value:.3f}" for value in values]


def _about(attack: Any, gap: Any, certified: Any) -> list[str]:
  """What should be said of an attack's file, and of the images that it has."""
  from rsjax.results import plural

  found = [f"{attack.path}: {text}" for text in _of_one(attack)]
  if gap.left_out:
    both, others = plural(len(gap.attacked), "image"), plural(gap.left_out, "image")
    found.append(
      f"{attack.path} and {certified.path}: only the {both} that are in both are shown, {others} are not"
    )
  return found


def _of_one(attack: Any) -> list[str]:
  """What should be said of an attack's file, whatever is beside it."""
  from rsjax.analysis import contradictions
  from rsjax.analysis.labels import rows_there

  found = [*attack.notes, *contradictions.everything(attack)]
  if not attack.complete:
    found.append(f"{rows_there(attack, 'incomplete, ')}; the numbers are of those that are there")
  if attack.settings.get("indices") is not None:
    found.append("its images were chosen one by one (--indices): the numbers are of these")
  return found

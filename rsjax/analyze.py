"""python -m rsjax.analyze RESULT...: tables and plots of result files; needs no JAX."""

import argparse
import json
import sys
import textwrap

from rsjax.cli import console, gaps, parsing, recomputing, reporting
from rsjax.errors import InputError
from rsjax.files import local, unwritable, whole

EPILOG = """examples:
  python -m rsjax.analyze out/sigma_*.tsv -o tables
  python -m rsjax.analyze predict_100.tsv --reference certify_100000.tsv
  python -m rsjax.analyze out.tsv --alpha 1e-5 --n 10000
  python -m rsjax.analyze out.tsv --claim "0.61 at 0.25" --html report.html
  python -m rsjax.analyze out.tsv attacked.tsv -o tables

The command reads rsjax's files and those of the paper's code (TSV with idx, label, predict, radius). With
-o DIR it writes certified_accuracy.md, .tex, .csv, .json, .png, .pdf and .svg to DIR. The settings of a file
without a manifest are taken from its path, such as noise_0.50/test/sigma_0.25, and are otherwise unknown.
Warnings go to stderr, into the .json file and into the report."""


def parser() -> argparse.ArgumentParser:
  """The command's arguments."""
  made = parsing.parser("analyze", "Certified accuracy, ACR and abstentions of result files.", EPILOG)
  add = made.add_argument
  add(
    "results",
    metavar="RESULT",
    nargs="+",
    help="result files, all from CERTIFY or all from PREDICT; beside those of CERTIFY also files of "
    "rsjax.attack on the same smoothed classifiers",
  )
  add("-o", "--out", metavar="DIR", help="directory for tables and plots (default: print to the terminal only)")
  add(
    "--radii",
    type=parsing.radius,
    nargs="+",
    metavar="R",
    help="radii of the table's columns, pixels in [0, 1]; or the word leaderboard, for those of the SoK "
    "leaderboard: 0.25 1 2 for CIFAR-10, 1 2 for ImageNet (default: multiples of 0.25, or of a finer step)",
  )
  add(
    "--rule",
    choices=("open", "paper"),
    default="open",
    help="when an image counts as certified at R: if radius > R, as in the theorem (open), or if radius >= R, "
    "as in the paper's tables (paper) (default: open)",
  )
  add("--confidence", type=float, default=0.95, help="confidence level of the intervals (default: 0.95)")
  add(
    "--intervals", action="store_true", help="show intervals in the Markdown and LaTeX tables and the plot, too"
  )
  add(
    "--rho",
    type=float,
    help="add the accuracy that is certified for all images at once with probability 1 - RHO (the paper's "
    "high-probability variant); alpha is taken to be 0.001 if a file does not record it",
  )
  recomputing.add(made)
  add(
    "--reference",
    metavar="FILE",
    help="for PREDICT: a file with more draws for the same images; its leading class counts as the truth",
  )
  add(
    "--label",
    action="append",
    metavar="TEXT",
    help="name of a file; give one for each file. sigma is added if the files differ in it "
    "(default: the file's settings)",
  )
  add("--panels", choices=("sigma", "noise"), help="one panel of the plot per sigma, or per training noise")
  add("--title", default="", help="title of the plot and the report")
  reporting.add(made)
  return made


def main(argv: list[str] | None = None) -> int:
  """Runs the command; returns its exit code."""
  args = parser().parse_args(argv)
  args.typed = sys.argv[1:] if argv is None else argv
  return console.run("analyze", _body, args)


def _body(args: argparse.Namespace) -> int:
  from rsjax import results

  for name in ("confidence", "rho"):
    value = getattr(args, name)
    if value is not None and not 0 < value < 1:
      raise InputError(f"{name} must be a number between 0 and 1, got {value}")
  for path in (args.out or "", args.reference or ""):
    local(path)
  recomputing.check(args)
  reporting.check(args)
  files, attacks = gaps.separate(results.join([results.read_any(path) for path in args.results]), args)
  if not files:
    return gaps.alone(attacks, args)
  odd = reporting.contradicted(files, args)
  files = recomputing.combined(files, args)
  if args.label and len(args.label) != len(files):
    given = results.plural(len(args.label), "time")
    raise InputError(
      f"--label was given {given} for {results.plural(len(files), 'file')}: give one label per file, or none"
    )
  files, left_out = _with_rows(files, args)
  kinds = {"certify" if "radius" in f.columns else "predict" for f in files}
  if len(kinds) > 1:
    one, other = (next(f.path for f in files if ("radius" in f.columns) == certified) for certified in (1, 0))
    raise InputError(
      f"files of CERTIFY, such as {one}, and of PREDICT, such as {other}, cannot be in one table: give files "
      "of one kind"
    )
  if args.bound is not None and args.reference:
    raise InputError("--bound belongs to certified radii, --reference to PREDICT's answers: give one of them")
  files = recomputing.again(files, args)
  if kinds == {"predict"} or args.reference:
    reporting.refuse_predictions(args)
    gaps.refuse_predictions(attacks)
    _predict(files, args, left_out)
    return 0
  return _certify(files, args, left_out, gaps.Gaps(files, attacks, args.out), odd)


def _with_rows(files, args):
  """The files that have rows, and a warning about those that have none; keeps --label in step."""
  from rsjax import results
  from rsjax.analysis import statistics

  kept = [len(f) > 0 for f in files]
  if not any(kept):
    statistics.check_rows(files[0])
  if args.label:
    args.label = [label for label, has_rows in zip(args.label, kept) if has_rows]
  empty = [f for f, has_rows in zip(files, kept) if not has_rows]
  files = [f for f, has_rows in zip(files, kept) if has_rows]
  if not empty:
    return files, []
  more = f" and {results.plural(len(empty) - 3, 'more file')}" if len(empty) > 3 else ""
  names = "; ".join(f"{f.path}{'' if f.expected is None else f' (of {f.expected})'}" for f in empty[:3])
  has = "has" if len(empty) == 1 else "have"
  return files, [f"{names}{more} {has} no rows yet and {'is' if len(empty) == 1 else 'are'} left out"]


def _certify(files, args, left_out, gap, odd):
  from rsjax import analysis, results
  from rsjax.analysis.columns import WIDTH
  from rsjax.analysis.tables import called

  radii = reporting.radii_of(files, args)
  whole, files = files, gap.files
  rows = analysis.summarize(
    files, radii, names=args.label, rule=args.rule, confidence=args.confidence, rho=args.rho
  )
  names = [row["name"] for row in rows]
  warnings = left_out + analysis.warnings(whole, names, radii, args.rule, args.confidence, files) + gap.warnings
  if args.rho and (unknown := [row["name"] for row in rows if row["alpha"] is None and not row["exact"]]):
    warnings.append(f"alpha is not recorded in {analysis.some(unknown)}: --rho assumes 0.001")
  verdicts = reporting.verdicts_on(whole, names, args, odd, gap.inside())
  other = analysis.summarize(files, radii, rule="paper" if args.rule == "open" else "open")
  differing = sum(
    round(abs(a - b) * row["images"])
    for row, them in zip(rows, other)
    for a, b in zip(row["certified_accuracy"], them["certified_accuracy"])
  )
  reporting.write(files, args, radii, verdicts, warnings)  # before anything is printed: nobody may be reading
  if args.out:
    out = _folder(args.out)
    if blocked := [path for path in out.glob("certified_accuracy.*") if path.is_dir()]:
      raise InputError(f"{blocked[0]} is a folder, where a file is to be written: move it away")
    caption = analysis.caption(rows, args.intervals)
    said = {"files": rows, "warnings": warnings} | (
      {"claims": [v.as_dict() for v in verdicts]} if verdicts else {}
    )
    said |= gap.write(out, rows)
    table = analysis.markdown(rows, args.intervals)
    _write(out, "certified_accuracy.md", f"{table}\n\n{caption}\n{_listed(warnings)}")
    first, *lines = analysis.latex(rows, args.intervals).splitlines()
    lines = [first, *(f"% warning: {results.harmless(text)}" for text in warnings), *lines]
    _write(out, "certified_accuracy.tex", "\n".join(lines) + "\n")
    _write(out, "certified_accuracy.csv", analysis.csv(rows))
    _write(out, "certified_accuracy.json", json.dumps(said, indent=1) + "\n")
    plots = [out / f"certified_accuracy.{ending}" for ending in ("png", "pdf", "svg")]
    analysis.plot(
      files,
      plots,
      args.title,
      names=args.label,
      panels=args.panels,
      rule=args.rule,
      rho=args.rho,
      band=args.confidence if args.intervals else None,
      attacks=gap.drawn,
    )
  name = called(row["top_k"] for row in rows)[0]
  print(f"{name} of the smoothed classifier at {analysis.norm_words(rows[0]['norm'])}\n")
  print(analysis.text(rows, with_caption=True))
  print(f"\n{_wrapped(analysis.caption(rows))}")
  if differing:
    cases = results.plural(differing, "case")
    print(f"\nin {cases} an image's radius is exactly R: only the rule of the paper's tables, >= R, counts it")
  gap.say(rows)
  reporting.say(verdicts, WIDTH)
  _warn(warnings)
  if args.out:
    print(f"\nwrote {out}/certified_accuracy.md .tex .csv .json .png .pdf .svg")
  if args.html:
    print(f"\nwrote {args.html}")
  return reporting.exit_code(verdicts) or gap.exit_code


def _predict(files, args, left_out):
  from rsjax import analysis, results
  from rsjax.analysis import cells, looks, referee, statistics
  from rsjax.analysis.columns import fitted

  reference = args.reference and results.read_any(args.reference)
  names = analysis.labels(files, args.label)
  rows = []
  for f, name in zip(files, names):
    if "radius" in f.columns:
      f = analysis.as_predictions(f)
    correct, abstained = float(f.columns["correct"].mean()), analysis.abstention_rate(f)
    shares = {"correct": correct, "incorrect": 1 - correct - abstained, "abstain": abstained}
    if reference:
      shares = analysis.agreement(f, reference)
    rows.append(
      {"name": name, "file": f.path, "images": len(f), "expected": f.expected, "n": f.settings.get("n")}
    )
    rows[-1] |= {"draws": statistics.mean_draws(f), "stop": looks.stopped_by(f.settings)}
    rows[-1] |= shares
  categories = list(shares)
  drawn = any(row["stop"] for row in rows)  # else n says it
  warnings = left_out + analysis.warnings(files, names, [])
  warnings += referee.of_reference(reference, files, names) if reference else []
  if args.out:
    out = _folder(args.out)
    _write(out, "predictions.json", json.dumps({"files": rows, "warnings": warnings}, indent=1) + "\n")
    heads = ["file", "n", *["draws"] * drawn, *categories, "images"]
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    for row in rows:
      n = "" if row["n"] is None else str(row["n"])
      shares = [f"{row[c]:.3f}" for c in categories]
      lines.append(
        [cells.in_markdown(row["name"]), n, *[cells.draws(row)] * drawn, *shares, str(row["images"])]
      )
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    _write(out, "predictions.md", f"{table}\n{_listed(warnings)}")
  truth = f"; accurate: the leading class of {reference.path}" if reference else ""
  print(_wrapped(f"fractions of the images{truth}") + "\n")
  heads = [c.replace(", ", ",\n") for c in categories]
  lines = [
    (row["name"], [*(f"{row[c]:.3f}" for c in categories), *[cells.draws(row)] * drawn, str(row["images"])])
    for row in rows
  ]
  print(fitted("", [*heads, *["draws"] * drawn, "images"], [*[12] * len(heads), *[9] * drawn, 8], lines))
  _warn(warnings)
  if args.out:
    print(f"\nwrote {out}/predictions.md .json")


def _wrapped(text):
  from rsjax.analysis.columns import WIDTH

  return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def _warn(warnings):
  for text in warnings:
    print(f"warning: {text}", file=sys.stderr)


def _listed(warnings):
  """The warnings in Markdown, below a table."""
  return "\nWarnings:\n\n" + "".join(f"- {text}\n" for text in warnings) if warnings else ""


def _folder(path):
  out = local(path)
  try:
    out.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise InputError(f"{out} cannot be used as a directory for tables: {error.strerror}") from error
  return out


def _write(out, name, text):
  try:
    with whole(out / name) as file:
      file.write(text)
  except OSError as error:
    raise unwritable(out / name, error) from error


if __name__ == "__main__":
  console.leave(main())

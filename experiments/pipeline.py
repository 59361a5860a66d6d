"""What cifar10.py and imagenet.py share: a classifier for each noise level, trained, certified, tabulated.

Everything of an experiment lies in one folder OUT:

  OUT/noise_S/                 checkpoint, log.tsv, and the state that training continues from
  OUT/noise_S_sigma_T.tsv      trained at S, certified at T; its manifest beside it
  OUT/tables/                  the matched files, S = T
  OUT/mismatch_sigma_T/        several S at one T
  OUT/summary.md               seconds, images/s, draws/s

Each stage is a command of rsjax, is shown as one, and does nothing where its work is done.
"""

import argparse
import dataclasses
import pathlib

from rsjax import analyze, certify, results, train
from rsjax.cli import arguments, console
from rsjax.errors import InputError

MILESTONES = tuple(range(30, 100, 10))  # test accuracies under noise, per cent


@dataclasses.dataclass(frozen=True)
class Preset:
  """A recipe: flags of rsjax.train and rsjax.certify, and what it is for."""

  about: str
  arch: str
  train: dict
  certify: dict


def parser(description, presets, default, data, epilog):
  """The command line of an experiment; what is not given is the preset's."""
  made = argparse.ArgumentParser(
    description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = made.add_argument
  about = "; ".join(f"{name}: {preset.about}" for name, preset in presets.items())
  add("--preset", choices=list(presets), default=default, help=f"{about} (default: {default})")
  add("--sigma", type=float, nargs="+", default=[0.25, 0.5, 1.0], metavar="S",
      help="noise of training, and of certification, pixels in [0, 1] (default: 0.25 0.5 1)")  # fmt: skip
  add("--certify-sigma", type=float, nargs="+", metavar="T",
      help="certify each classifier at these instead (default: at the noise of its training)")  # fmt: skip
  add("--out", metavar="OUT", help="folder for everything (default: out/EXPERIMENT_PRESET)")
  add("--data", default=data, metavar="DATASET", help=f"as for rsjax.train (default: {data})")
  add("--certify-data", metavar="DATASET", help="certify this data set's test images (default: that of --data)")
  arguments.add_data_dir(made)
  for name in ("epochs", "batch"):
    add(f"--{name}", type=int, help="of training (default: the preset's)")
  add("--arch", help="as for rsjax.train (default: the preset's)")
  add("--workers", type=int, help="as for rsjax.train")
  for name in ("skip", "max", "N"):
    add(f"--{name}", type=int, help="as for rsjax.certify (default: the preset's)")
  add("--seed", type=int, default=0, help="of training and certification (default: 0)")
  add("--dtype", choices=("float32", "bfloat16"), help="of training and certification (default: the device's)")
  return made


def run(name, args, presets):
  """Trains and certifies for each sigma, then tabulates all that is in OUT.

  Returns:
    (OUT, the `results.Results` of its matched files by sigma).
  """
  preset = presets[args.preset]
  out = pathlib.Path(args.out or f"out/{name}_{args.preset}")
  common = {"data-dir": args.data_dir, "seed": args.seed, "dtype": args.dtype}
  training = {**preset.train, "workers": args.workers} | _given(args, ("epochs", "batch"))
  certifying = preset.certify | _given(args, ("skip", "max", "N"))
  _check(args, certifying)
  for noise in args.sigma:
    model = out / f"noise_{noise:g}"
    console.type_command(
      "train", train.main, args.data, args.arch or preset.arch, model, "--noise_sd", f"{noise:g}",
      *_flags(training | common),
    )  # fmt: skip
    for sigma in args.certify_sigma or [noise]:
      outfile = out / f"noise_{noise:g}_sigma_{sigma:g}.tsv"
      console.type_command(
        "certify", certify.main, args.certify_data or args.data, model, f"{sigma:g}", outfile,
        *_flags(certifying | common),
      )  # fmt: skip
  return out, tabulate(out)


def _check(args, certifying):
  """Refuses before the training what certification would refuse after it."""
  from rsjax import bounds, data, noise, procedures

  for sigma in args.certify_sigma or args.sigma:
    bounds.check_noise(noise.Gaussian(sigma))
  procedures.Certify(certifying["N0"], certifying["N"], certifying["alpha"])  # refuses what is out of range
  noise.check_seed(args.seed)
  if args.certify_data:
    train_set, test_set = (
      data.load(name, split, args.data_dir)
      for name, split in ((args.data, "train"), (args.certify_data, "test"))
    )
    for what in ("image_shape", "num_classes"):
      one, other = getattr(train_set, what), getattr(test_set, what)
      if one != other:
        raise InputError(f"{args.certify_data} does not fit {args.data}: its {what} is {other}, not {one}")


def tabulate(out):
  """Tables, plots and summary.md of what is in the folder; the matched files by sigma."""
  files = {}
  for path in sorted(out.glob("noise_*_sigma_*.tsv")):
    file = results.read(path)
    noise = file.manifest["about"]["checkpoint"]["noise_sd"]
    files[noise, file.settings["sigma"]] = file
  matched = {sigma: file for (noise, sigma), file in sorted(files.items()) if noise == sigma}
  if matched:
    _analyze(out / "tables", list(matched.values()))
  for sigma in sorted({sigma for _, sigma in files}):
    same = [file for (_, other), file in sorted(files.items()) if other == sigma]
    if len(same) > 1:
      _analyze(out / f"mismatch_sigma_{sigma:g}", same)
  text = summary(out, files)
  (out / "summary.md").write_text(text, encoding="utf-8")
  print(f"\n{text}\nwrote {out}/summary.md")
  return matched


def _analyze(folder, files):
  title = f"{files[0].manifest['about']['dataset']}, {len(files[0])} test images"
  paths = [file.path for file in files]
  console.type_command("analyze", analyze.main, *paths, "-o", folder, "--intervals", "--title", title)


def summary(out, files):
  """What training and certification took, from logs and result files, in Markdown."""
  lines = [
    "| training noise | epochs | training, s | images/s | accuracy under noise | first reached, after s |",
    "| --- | ---: | ---: | ---: | ---: | --- |",
  ]
  for noise in sorted({noise for noise, _ in files}):
    log = read_log(out / f"noise_{noise:g}" / "log.tsv")
    rate = sum(log["images/s"]) / len(log["images/s"])
    reached = ", ".join(f"{percent} %: {seconds:,.0f}" for percent, seconds in time_to_accuracy(log).items())
    lines.append(
      f"| {noise:g} | {len(log['time'])} | {sum(log['time']):,.0f} | {rate:,.0f} | {log['testacc'][-1]:.3f} "
      f"| {reached} |"
    )
  lines += [
    "",
    "| training noise | sigma | data set | images | n | dtype | device | s an image | draws/s |",
    "| --- | --- | --- | ---: | ---: | --- | --- | ---: | ---: |",
  ]
  for (noise, sigma), file in sorted(files.items()):
    settings, about = file.settings, file.manifest["about"]
    session = file.manifest["sessions"][-1]
    seconds = float(file.columns["time"].sum())
    draws = len(file) * (settings["n0"] + settings["n"])
    lines.append(
      f"| {noise:g} | {sigma:g} | {pathlib.Path(about['dataset']).name} | {len(file)} | {settings['n']:,} "
      f"| {settings['dtype']} | {session['devices']} x {session['device']} | {seconds / len(file):.2f} "
      f"| {draws / seconds:,.0f} |"
    )
  return "\n".join(lines) + "\n"


def read_log(path):
  """{column: numbers} of a log of rsjax.train."""
  head, *lines = (line.split("\t") for line in path.read_text().splitlines())
  return {name: [float(line[i]) for line in lines] for i, name in enumerate(head)}


def time_to_accuracy(log):
  """{per cent: seconds of training until the test accuracy under noise first reached it}."""
  seconds, reached = 0.0, {}
  for spent, accuracy in zip(log["time"], log["testacc"]):
    seconds += spent
    for percent in MILESTONES:
      if accuracy >= percent / 100:
        reached.setdefault(percent, seconds)
  return reached


def _given(args, names):
  return {name: getattr(args, name) for name in names if getattr(args, name) is not None}


def _flags(values):
  """{"lr": 0.1, "nesterov": True, "dtype": None} as ["--lr", "0.1", "--nesterov"]."""
  flags = []
  for name, value in values.items():
    if value is not None and value is not False:
      flags += [f"--{name}"] if value is True else [f"--{name}", f"{value}"]
  return flags


def beside(out, paper, matched, paper_images):
  """Writes beside_the_paper.md: certified accuracy here and there, with 95 % intervals; radius >= R counts.

  Args:
    out: the experiment's folder.
    paper: {sigma: {radius: certified accuracy}}.
    matched: {sigma: `results.Results`}.
    paper_images: how many images the paper certified.
  """
  from rsjax.analysis import statistics

  lines = [
    "| sigma | radius | paper | 95 % interval | here | 95 % interval |",
    "| --- | --- | ---: | --- | ---: | --- |",
  ]
  for sigma, file in matched.items():
    radii = list(paper.get(sigma, ()))
    if not radii:
      continue
    hits = statistics.certified(file, radii, "paper")
    ours = zip(hits / len(file), *statistics.accuracy_interval(hits, len(file)))
    for radius, (value, low, high) in zip(radii, ours):
      theirs = paper[sigma][radius]
      least, most = statistics.accuracy_interval(round(theirs * paper_images), paper_images)
      lines.append(
        f"| {sigma:g} | {radius:g} | {theirs:.3f} | {least:.3f} to {most:.3f} "
        f"| {value:.3f} | {low:.3f} to {high:.3f} |"
      )
  text = "\n".join(lines) + "\n"
  (out / "beside_the_paper.md").write_text(text, encoding="utf-8")
  print(f"{text}\nwrote {out}/beside_the_paper.md")

"""What experiments share, most of it for cifar10.py and imagenet.py: training, certification, tables.

Everything of an experiment lies in one folder OUT:

  OUT/noise_S/                 checkpoint, log.tsv, and the state that training continues from
  OUT/noise_S_sigma_T.tsv      trained at S, certified at T; its manifest beside it
  OUT/tables/                  the matched files, S = T
  OUT/mismatch_sigma_T/        several S at one T
  OUT/summary.md               seconds, images/s, draws/s
  OUT/cpu_seconds.json         seconds of all CPU cores, by training

Each stage is a command of rsjax, is shown as one, and does nothing where its work is done.
"""

import argparse
import contextlib
import dataclasses
import json
import pathlib
import platform
import resource

import rsjax
from rsjax import analyze, bounds, certify, results, train
from rsjax.analysis import looks
from rsjax.cli import arguments, console, stopping
from rsjax.errors import InputError
from rsjax.noise import Gaussian, check_seed
from rsjax.procedures import CertifyByLooks

MILESTONES = tuple(range(30, 100, 10))  # test accuracies under noise, per cent


@dataclasses.dataclass(frozen=True)
class Preset:
  """A recipe: flags of rsjax.train and rsjax.certify, and what it is for.

  With `early`, certification stops when it is settled which of `radii` are certified; those that N draws cannot
  certify at a sigma are left out.
  """

  about: str
  arch: str
  train: dict
  certify: dict
  radii: tuple
  early: bool = False


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
  add("--early", action="store_true",
      help="stop each image when the paper's radii are settled (default: the preset's)")  # fmt: skip
  add("--seed", type=int, default=0, help="of training and certification (default: 0)")
  add("--dtype", choices=("float32", "bfloat16"), help="of training and certification (default: the device's)")
  return made


def small_parser(doc):
  """The command line of an experiment on small images, by its docstring, with what all of them take."""
  usage, _, epilog = doc.partition("\n\n")
  made = argparse.ArgumentParser(
    description=usage, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  add = made.add_argument
  add("out", metavar="OUT", help="folder for everything")
  add("--dataset", default="digits", help="data set (default: digits)")
  add("--arch", default="convnet", help="architecture of the classifier (default: convnet)")
  add("--epochs", type=int, default=60, help="passes over the training set (default: 60)")
  add("--note", help="a sentence for the summary, for example on the machine")
  return made


def versions():
  """What a summary says of the software."""
  import jax

  return f"rsjax {rsjax.__version__}, jax {jax.__version__}, Python {platform.python_version()}"


def folder(name, args):
  """OUT."""
  return pathlib.Path(args.out or f"out/{name}_{args.preset}")


def run(out, args, preset, recipe=None):
  """Trains and certifies for each sigma, then tabulates all that is in OUT.

  Args:
    out: OUT.
    args: of `parser`.
    preset: of the architecture, the certification, and the training unless `recipe` has it.
    recipe: {sigma: the training's flags}.

  Returns:
    The `results.Results` of OUT's matched files by sigma.
  """
  check(args, preset)
  for noise in args.sigma:
    model = out / f"noise_{noise:g}"
    train_into(model, args, preset, noise, recipe[noise] if recipe else preset.train)
    for sigma in args.certify_sigma or [noise]:
      outfile = out / f"noise_{noise:g}_sigma_{sigma:g}.tsv"
      console.type_command(
        "certify", certify.main, args.certify_data or args.data, model, f"{sigma:g}", outfile,
        *certifying(args, preset, sigma), *common_flags(args),
      )  # fmt: skip
  return tabulate(out)


def train_into(model, args, preset, noise, flags):
  """Types the training of one classifier, and records what it takes."""
  given = {**flags, "workers": args.workers} | _given(args, ("epochs", "batch")) | _common(args)
  with counting_cpu(model):
    console.type_command(
      "train",
      train.main,
      args.data,
      args.arch or preset.arch,
      model,
      "--noise_sd",
      f"{noise:g}",
      *flags_of(given),
    )


def _common(args):
  return {"data-dir": args.data_dir, "seed": args.seed, "dtype": args.dtype}


def common_flags(args):
  """The flags that training, certification and prediction share."""
  return flags_of(_common(args))


def cpu_seconds(out):
  """{training: seconds of all CPU cores}, of those that were recorded."""
  path = out / "cpu_seconds.json"
  return json.loads(path.read_text()) if path.exists() else {}


@contextlib.contextmanager
def counting_cpu(model):
  """Adds what this process computes within the context, if epochs are trained, to OUT/cpu_seconds.json."""
  epochs = lambda: len(read_log(log)["time"]) if (log := model / "log.tsv").exists() else 0
  spent = lambda: sum(resource.getrusage(resource.RUSAGE_SELF)[:2])  # of all threads, in user and system mode
  before, begun = epochs(), spent()
  try:
    yield
  finally:
    if epochs() > before:
      seconds = cpu_seconds(model.parent)
      seconds[model.name] = round(seconds.get(model.name, 0) + spent() - begun, 1)
      (model.parent / "cpu_seconds.json").write_text(json.dumps(seconds, indent=1) + "\n")


def certifying(args, preset, sigma):
  """The flags of the certification at a sigma."""
  values = preset.certify | _given(args, ("skip", "max", "N"))
  if preset.early or args.early:
    most = largest_radius(sigma, values["N"], values["alpha"])
    if settled := [f"{radius:g}" for radius in preset.radii if radius < most]:
      values["radii"] = ",".join(settled)
  return flags_of(values)


def largest_radius(sigma, n, alpha=0.001):
  """The radius that n draws by looks certify if all agree, with Gaussian noise."""
  return float(bounds.radius(bounds.lower_bound_at_look(n, n, bounds.default_plan(n, alpha)), Gaussian(sigma)))


def check(args, preset):
  """Refuses before the training what certification would refuse after it."""
  from rsjax import data

  for sigma in args.certify_sigma or args.sigma:
    bounds.check_noise(Gaussian(sigma))
    flags = certifying(args, preset, sigma)
    procedure = stopping.certify_procedure(certify.parser().parse_args(["", "", f"{sigma:g}", "", *flags]))
    if isinstance(procedure, CertifyByLooks):
      procedure.check(Gaussian(sigma))
  check_seed(args.seed)
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
    "| training noise | epochs | training, s | CPU s | images/s | accuracy under noise | reached, after s |",
    "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
  ]
  cpu = cpu_seconds(out)
  for noise in sorted({noise for noise, _ in files}):
    log = read_log(out / (name := f"noise_{noise:g}") / "log.tsv")
    rate = sum(log["images/s"]) / len(log["images/s"])
    reached = ", ".join(f"{percent} %: {seconds:,.0f}" for percent, seconds in time_to_accuracy(log).items())
    spent = f"{cpu[name]:,.0f}" if name in cpu else ""
    lines.append(
      f"| {noise:g} | {len(log['time'])} | {sum(log['time']):,.0f} | {spent} | {rate:,.0f} "
      f"| {log['testacc'][-1]:.3f} | {reached} |"
    )
  lines += [
    "",
    "| training noise | sigma | data set | images | n (most) | draws per image | dtype | device | s per image "
    "| draws/s |",
    "| --- | --- | --- | ---: | ---: | ---: | --- | --- | ---: | ---: |",
  ]
  for (noise, sigma), file in sorted(files.items()):
    settings, about = file.settings, file.manifest["about"]
    session = file.manifest["sessions"][-1]
    seconds = float(file.columns["time"].sum())
    draws = int(looks.draws(file).sum())
    lines.append(
      f"| {noise:g} | {sigma:g} | {pathlib.Path(about['dataset']).name} | {len(file)} | {settings['n']:,} "
      f"| {draws / len(file):,.0f} | {settings['dtype']} | {session['devices']} x {session['device']} "
      f"| {seconds / len(file):.2f} | {draws / seconds:,.0f} |"
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


def flags_of(values):
  """{"lr": 0.1, "nesterov": True, "dtype": None} as ["--lr", "0.1", "--nesterov"]."""
  flags = []
  for name, value in values.items():
    if value is not None and value is not False:
      several = value if isinstance(value, tuple) else (value,)
      flags += [f"--{name}"] if value is True else [f"--{name}", *map(str, several)]
  return flags


def beside(out, paper, matched, paper_images, acr=None):
  """Writes beside_the_paper.md: certified accuracy here and there, with 95 % intervals; radius >= R counts.

  Args:
    out: the experiment's folder.
    paper: {sigma: {radius: certified accuracy}}.
    matched: {sigma: `results.Results`}.
    paper_images: how many images the paper certified.
    acr: {sigma: the paper's ACR}, if it is known.
  """
  from rsjax.analysis import statistics

  lines = [
    "| sigma | radius | paper | 95 % interval | here | 95 % interval |",
    "| --- | --- | ---: | --- | ---: | --- |",
  ]
  for sigma, file in matched.items():
    if acr and sigma in acr:
      here, (low, high) = statistics.average_certified_radius(file), statistics.acr_interval(file)
      lines.append(f"| {sigma:g} | ACR | {acr[sigma]:.3f} | | {here:.3f} | {low:.3f} to {high:.3f} |")
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

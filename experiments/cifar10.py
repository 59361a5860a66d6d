"""The paper's CIFAR-10 experiment: trained under noise, certified, beside the paper's own numbers.

  python experiments/cifar10.py --preset paper --sigma 0.25       one row of the paper's table; GPU or TPU
  python experiments/cifar10.py --preset paper --sigma 0.25 --objective consistency
                                                                  the same for a method of robust training
  python experiments/cifar10.py --preset cpu --sigma 0.25         with a small network, in hours on 2 CPU cores
  python experiments/cifar10.py --preset smoke --sigma 0.25       the whole way in minutes on 2 CPU cores
  python experiments/cifar10.py --certify-sigma 0.5               training noise against test noise

With --objective, preset paper trains as was published for the objective at each sigma, and the result stands
beside the published one. The other presets keep their own recipe. Everything of an objective lies in
OUT/OBJECTIVE, and comparisons of objectives in OUT/objectives_sigma_S. For catrs, the Gaussian network of
sigma 0.25 is trained first, and OUT/votes.tsv made with it.

The data set is rsjax's cifar10 (see rsjax.prepare), or any .npz: --data FILE.npz. Stopped at any time, the
same command continues; what is done is not done again.
"""

import dataclasses
import sys

import pipeline
import published
import robust_training

from rsjax import analyze, predict, results
from rsjax.analysis import statistics
from rsjax.cli import console
from rsjax.errors import InputError

RADII = (0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25)  # of the paper's table
ONE_CYCLE = {"schedule": "onecycle", "nesterov": True, "weight-decay": 5e-4}

PRESETS = {
  "paper": pipeline.Preset(
    "ResNet-110, 90 epochs of batch 400, every 20th image at n = 100,000, as in the paper; with --objective, "
    "its published training",
    arch="cifar_resnet110",
    train={"epochs": 90, "batch": 400, "lr": 0.1, "schedule": "step", "lr_step_size": 30, "weight-decay": 1e-4},
    certify={"skip": 20, "N0": 100, "N": 100_000, "alpha": 0.001},
    radii=RADII,
  ),
  "fast": pipeline.Preset(
    "ResNet-110, 30 epochs of batch 512, one cycle; minutes on a GPU",
    arch="cifar_resnet110",
    train={"epochs": 30, "batch": 512, "lr": 0.2, **ONE_CYCLE},
    certify={"skip": 20, "N0": 100, "N": 100_000, "alpha": 0.001},
    radii=RADII,
  ),
  "cpu": pipeline.Preset(
    "ResNet-20, 10 epochs of batch 128, one cycle; every fifth image of the first 1,000, stopped early when it "
    "is settled which of the paper's radii n = 100,000 draws certify",
    arch="cifar_resnet20",
    train={"epochs": 10, "batch": 128, "lr": 0.1, **ONE_CYCLE},
    certify={"skip": 5, "max": 200, "N0": 100, "N": 100_000, "alpha": 0.001},
    radii=RADII,
    early=True,
  ),
  "smoke": pipeline.Preset(
    "ResNet-20, one epoch of batch 64, one cycle, 100 images at n = 1,000; with --objective, short attacks",
    arch="cifar_resnet20",
    train={"epochs": 1, "batch": 64, "lr": 0.1, **ONE_CYCLE},
    certify={"skip": 10, "max": 100, "N0": 100, "N": 1000, "alpha": 0.001},
    radii=RADII,
  ),
  "equal": pipeline.Preset(
    "ResNet-20, one cycle, epochs by objective so that all take about the same time; 100 images at n = 1,000",
    arch="cifar_resnet20",
    train={"batch": 64, "lr": 0.1, **ONE_CYCLE},
    certify={"skip": 10, "max": 100, "N0": 100, "N": 1000, "alpha": 0.001},
    radii=RADII,
  ),
}

# The settings of an objective that differ from the published ones, by preset; those that it has are taken.
SHORT = {"noise_vectors": 2, "steps": 2, "warmup": 1, "deferred": 0}
OWN = {"paper": {}, "fast": {}, "cpu": {}, "smoke": SHORT, "equal": {"noise_vectors": 2, "warmup": 1}}
EQUAL = {  # by objective: what else differs in preset equal
  "gaussian": {"epochs": 10},
  "consistency": {"epochs": 5},
  "smoothadv": {"epochs": 2, "steps": 2},
  "smoothmix": {"epochs": 2},
}
VOTES = {"paper": 10_000, "fast": 10_000, "cpu": 1000, "smoke": 20}  # per training image, for catrs
FIRST = ("gaussian", 0.25)  # objective and noise of the network whose votes these are

# Certified accuracy (radius >= R) in the paper's own result files: ResNet-110, every 20th test image.
# Source: github.com/locuslab/smoothing, data/certify/cifar10/resnet110/noise_S/test/sigma_S.
PAPER_IMAGES = 500
PAPER = {
  0.25: dict(zip(RADII, (0.748, 0.600, 0.428, 0.266))),
  0.5: dict(zip(RADII, (0.652, 0.546, 0.414, 0.320, 0.234, 0.152, 0.094, 0.052))),
  1.0: dict(zip(RADII, (0.472, 0.392, 0.340, 0.278, 0.216, 0.174, 0.140, 0.118, 0.100, 0.076))),
}


def parser():
  usage, _, epilog = __doc__.partition("\n\n")
  made = pipeline.parser(usage, PRESETS, "paper", "cifar10", epilog)
  made.add_argument(
    "--objective", nargs="+", choices=published.OBJECTIVES, metavar="NAME",
    help=f"train with these objectives, {', '.join(published.OBJECTIVES)} (default: the paper's own training)",
  )  # fmt: skip
  return made


def main(argv=None):
  return console.run("cifar10.py", _body, parser().parse_args(argv))


def _body(args):
  preset, out = PRESETS[args.preset], pipeline.folder("cifar10", args)
  papers_network = (args.arch or preset.arch) == PRESETS["paper"].arch
  if not args.objective:
    if args.preset == "equal":
      raise InputError("preset equal compares objectives: give `objective`")
    matched = pipeline.run(out, args, preset)
    if papers_network:
      pipeline.beside(out, PAPER, matched, PAPER_IMAGES)
    return
  recipes = {name: {noise: recipe(args.preset, name, noise) for noise in args.sigma} for name in args.objective}
  for name in args.objective:
    if name == "catrs":
      votes = _votes(out, args, preset)
      recipes[name] = {noise: {**flags, "votes": votes} for noise, flags in recipes[name].items()}
    matched = pipeline.run(out / name, args, preset, recipes[name])
    if papers_network:
      pipeline.beside(out / name, published.ACCURACY[name], matched, published.IMAGES, published.ACR[name])
  for sigma in args.certify_sigma or args.sigma:
    _compare(out, sigma)


def recipe(preset, name, noise):
  """The training's flags for an objective at a noise level: {flag: value}.

  Raises:
    InputError: if nothing was published for this noise, or the preset does not have the objective.
  """
  from rsjax.training import presets
  from rsjax.training.objectives import OBJECTIVES

  settings, shared = presets.preset(name, "cifar10", noise)
  fields = {field.name for field in dataclasses.fields(OBJECTIVES[name])}
  settings = settings | {key: value for key, value in OWN[preset].items() if key in fields}
  training = PRESETS[preset].train
  if preset == "paper":
    training = {flag(key): value for key, value in shared.items()}
  if preset == "equal":
    if name not in EQUAL:
      raise InputError(f"preset equal is for {', '.join(EQUAL)}, not for {name}: its cost was not measured")
    settings = settings | EQUAL[name]
  return {"objective": name} | training | {flag(key): value for key, value in settings.items()}


def flag(name):
  return name.replace("_", "-")


def _votes(out, args, preset):
  """The result file of the training images' votes; trains the network that votes, if it is not yet there."""
  name, noise = FIRST
  model, votes = out / name / f"noise_{noise:g}", out / "votes.tsv"
  pipeline.check(args, preset)
  pipeline.train_into(model, args, preset, noise, recipe(args.preset, name, noise))
  console.type_command(
    "predict", predict.main, args.data, model, f"{noise:g}", votes, "--split", "train", "--fixed",
    "--N", VOTES[args.preset], *pipeline.common_flags(args),
  )  # fmt: skip
  return votes


def _compare(out, sigma):
  """Table, plot and gains of all objectives in OUT that were trained and certified at a sigma."""
  found = {name: out / name / f"noise_{sigma:g}_sigma_{sigma:g}.tsv" for name in published.OBJECTIVES}
  files = {name: results.read(path) for name, path in found.items() if path.exists()}
  if len(files) < 2 or len({tuple(file.columns["idx"]) for file in files.values()}) > 1:
    return
  folder = out / f"objectives_sigma_{sigma:g}"
  labels = [part for name in files for part in ("--label", name)]
  paths = [file.path for file in files.values()]
  title = f"sigma = {sigma:g}, {len(next(iter(files.values())))} test images"
  console.type_command("analyze", analyze.main, *paths, "-o", folder, "--intervals", "--title", title, *labels)
  text = comparison(out, sigma, files)
  (folder / "summary.md").write_text(text, encoding="utf-8")
  print(f"\n{text}\nwrote {folder}/summary.md")


def comparison(out, sigma, files):
  """ACR, gain over gaussian, and what the trainings took, in Markdown."""
  first = next(iter(files.values()))
  lines = [
    f"# Objectives at sigma = {sigma:g}",
    "",
    f"{len(first)} test images, n = {first.settings['n']:,}, alpha = {first.settings['alpha']:g}; certified",
    "accuracy is in `certified_accuracy.md` beside this file. CPU s: seconds of all cores, of training and its",
    "compilation. s: of training alone, by the clock. Gain: mean difference of the images' radii, which are 0",
    "for images that are not right, with a 95 % interval over images (Student's t); it says nothing of other",
    "seeds.",
    "",
    "| objective | epochs | CPU s | s | ACR | 95 % interval | gain over gaussian (95 %) | abstained |",
    "| --- | ---: | ---: | ---: | ---: | --- | --- | ---: |",
  ]
  radii = {name: statistics.counted_radii(file) for name, file in files.items()}
  for name, file in files.items():
    log = pipeline.read_log(out / name / f"noise_{sigma:g}" / "log.tsv")
    spent = pipeline.cpu_seconds(out / name).get(f"noise_{sigma:g}")
    low, high = statistics.acr_interval(file)
    abstained, gain = statistics.abstention_rate(file), ""
    if name != "gaussian" and "gaussian" in radii:
      gain = robust_training.gain(radii[name] - radii["gaussian"])
    lines.append(
      f"| {name} | {len(log['time'])} | {'' if spent is None else f'{spent:,.0f}'} | {sum(log['time']):,.0f} "
      f"| {radii[name].mean():.3f} | {low:.3f} to {high:.3f} | {gain} | {abstained:.2f} |"
    )
  return "\n".join(lines) + "\n"


if __name__ == "__main__":
  console.leave(main(sys.argv[1:]))

"""python -m rsjax.train DATASET ARCH OUTDIR --noise 0.25: a base classifier under noise, or a denoiser."""

import argparse
import sys
from typing import Any

from rsjax.cli import arguments, console, parsing
from rsjax.cli import training as options
from rsjax.errors import InputError

EPILOG = """examples:
  python -m rsjax.train digits convnet out/digits_0.25 --noise 0.25 --batch 128 --epochs 60
  python -m rsjax.train cifar10 cifar_resnet110 out/consistency_0.5 --noise 0.5 --preset consistency
  python -m rsjax.train digits convnet out/uniform_0.5 --noise 0.5 --noise-kind uniform
  python -m rsjax.train cifar10 dncnn out/denoiser_0.5 --noise 0.5 --preset denoise

OUTDIR/checkpoint is the classifier, or the denoiser; OUTDIR/log.tsv has one line per epoch. OUTDIR/state lets
the same command continue after an interruption, with the same result. All devices share each step."""


def parser() -> parsing.Parser:
  """The command's arguments; those without a value here have the defaults of `Recipe` and the objective."""
  made = parsing.parser("train", "Train a base classifier under noise (Cohen et al. 2019).", EPILOG)
  made.add_argument("dataset", metavar="DATASET", help=arguments.DATASET_HELP)
  made.add_argument(
    "arch",
    metavar="ARCH",
    help="convnet (digits, MNIST-size), lenet (MNIST), cifar_resnet20, cifar_resnet110 (any 6n + 2), "
    "wide_resnet28_10 (any 6n + 4, any width), resnet50 (imagenet), vit_small_patch4, vit_base_patch16 (tiny, "
    "small or base, any patch); to denoise: dncnn, or dncnnD_F of D convolutions and F channels",
  )
  made.add_argument("outdir", metavar="OUTDIR", help="directory for the checkpoint and the log")
  arguments.add_data_dir(made)
  made.add_argument(
    "--noise_sd",
    "--noise",
    type=float,
    help="standard deviation of the training noise, pixels in [0, 1]; with --noise-kind columns, the width of "
    "the band in pixels (default: 0)",
  )
  made.add_argument(
    "--noise-kind",
    choices=arguments.NOISE_KINDS,
    help="the noise to train under, as of rsjax.certify; others than gaussian are for the objectives gaussian, "
    "stability and consistency (default: gaussian)",
  )
  made.add_argument("--epochs", type=int, help="passes over the training set (default: 90)")
  made.add_argument("--batch", type=int, help="images per update (default: 400)")
  made.add_argument("--lr", "--learning-rate", type=float, help="highest learning rate (default: 0.1)")
  made.add_argument(
    "--schedule",
    choices=("step", "cosine", "onecycle"),
    help="schedule of the learning rate (default: step, the paper's)",
  )
  made.add_argument(
    "--lr_step_size", type=int, help="for the schedule step: epochs between drops (default: 30)"
  )
  made.add_argument("--gamma", type=float, help="for the schedule step: factor of each drop (default: 0.1)")
  made.add_argument(
    "--lr-drops",
    type=int,
    nargs="+",
    metavar="EPOCH",
    help="for the schedule step: epochs, counted from 0, that begin with a drop (default: by --lr_step_size)",
  )
  made.add_argument(
    "--lr-dips",
    type=int,
    nargs="+",
    metavar="EPOCH",
    help="with --lr-drops: epochs, counted from 0, each of which alone has --gamma times the rate",
  )
  made.add_argument(
    "--optimizer", choices=("sgd", "adam"), help="what makes updates of gradients (default: sgd)"
  )
  made.add_argument(
    "--momentum", type=float, help="momentum of SGD; of Adam, the first moment's decay (default: 0.9)"
  )
  made.add_argument("--nesterov", action="store_true", default=None, help="use Nesterov momentum")
  made.add_argument(
    "--weight-decay", "--wd", type=float, help="weight decay, on every parameter (default: 1e-4)"
  )
  made.add_argument(
    "--accumulate",
    type=int,
    help="compute each update's batch in this many parts, to save memory (default: 1)",
  )
  made.add_argument(
    "--remat",
    action="store_true",
    default=None,
    help="residual networks: compute each block again for the gradients, to save memory; takes longer",
  )
  made.add_argument(
    "--augment",
    choices=("none", "crop", "crop-flip", "resized-crop-flip"),
    help="crop: a random crop after padding by 4 pixels; flip: a random left-right flip; resized-crop: a "
    "random part, resized to 224x224, imagenet only (default: resized-crop-flip for imagenet, crop for "
    "svhn_cropped, crop-flip for other colour images, none for grey ones)",
  )
  made.add_argument(
    "--init-from", metavar="CHECKPOINT", help="begin with this checkpoint's weights and normalisation"
  )
  made.add_argument(
    "--votes",
    metavar="FILE",
    help="for the objective catrs: a result file of DATASET's training split with a fixed number of draws, of "
    "a classifier that was trained before (rsjax.predict --split train --fixed --N 10000)",
  )
  made.add_argument(
    "--classifier",
    metavar="CHECKPOINT",
    help="for the objective denoise_stability: the classifier that will be behind the denoiser; it stays as it "
    "is",
  )
  made.add_argument(
    "--workers", type=int, default=4, help="processes that decode imagenet's images; 0: threads (default: 4)"
  )
  made.add_argument(
    "--resume",
    action="store_true",
    help="print a note if OUTDIR has nothing to continue (continuing is the default)",
  )
  made.add_argument("--seed", type=int, help="seed of weights, order and noise (default: 0)")
  arguments.add_onednn(made)
  arguments.add_dry_run(made)
  made.add_late(options.add_objectives)
  made.add_argument(
    "--dtype",
    choices=("float32", "bfloat16"),
    help="dtype that the network computes in; weights are float32 (default: float32 on CPU, else bfloat16)",
  )
  return made


def main(argv: list[str] | None = None) -> int:
  """Runs the command; returns its exit code."""
  return console.run("train", _body, parser().parse_args(argv))


def _body(args: argparse.Namespace) -> None:
  if args.noise_kind not in arguments.EXACT_KINDS:
    arguments.check_grey_levels(args.noise_sd or 0.0, "--noise")
  from rsjax import devices
  from rsjax.cli.progress import TrainProgress
  from rsjax.results import plural
  from rsjax.runs import training

  objective, recipe = options.settings_of(args)
  if args.workers < 0:
    raise InputError(f"workers must be at least 0, got {args.workers}")
  devices.use_onednn(not args.no_onednn)
  devices.keep_pages()
  if args.dry_run:
    _say_what_it_takes(args, objective, recipe)
    return
  progress = TrainProgress(args.resume)
  try:
    history = training.run(
      args.dataset,
      args.arch,
      args.outdir,
      objective,
      recipe,
      data_dir=args.data_dir,
      dtype=args.dtype,
      init_from=args.init_from,
      votes=args.votes,
      classifier=args.classifier,
      workers=args.workers,
      progress=progress,
    )
  finally:
    progress.close()
  epochs = plural(history["epoch"], "epoch")
  print(f"{args.outdir}/checkpoint: {args.arch}, {epochs}{progress.summary()}")


def _say_what_it_takes(args: argparse.Namespace, objective: Any, recipe: Any) -> None:
  """Prints what the training would take, for --dry-run."""
  from rsjax.results import plural
  from rsjax.runs import training
  from rsjax.runs.estimate import in_bytes

  job = training.job_of(
    args.dataset,
    args.arch,
    args.outdir,
    objective,
    recipe,
    args.data_dir,
    args.dtype,
    args.init_from,
    args.votes,
    args.classifier,
  )
  for note in job.notes:
    print(f"note: {note}", file=sys.stderr)
  taken, size = training.dry_run(job, args.workers)
  images, epochs = plural(len(job.train_set), "image"), plural(recipe.epochs, "epoch")
  print(f"{images}, {epochs} of {plural(job.steps, 'step')}, evaluation not included")
  print(f"about {taken}")
  print(f"would write about {in_bytes(size)} to {args.outdir}; nothing was written")


if __name__ == "__main__":
  console.leave(main())

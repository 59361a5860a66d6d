"""python -m rsjax.train DATASET ARCH OUTDIR --noise 0.25: a base classifier under Gaussian noise."""

import dataclasses

from rsjax import console

EPILOG = """example:
  python -m rsjax.train digits convnet out/digits_0.25 --noise 0.25 --batch 128 --epochs 60

OUTDIR/checkpoint is the classifier, OUTDIR/log.tsv a line an epoch. OUTDIR/state lets the same command
continue where it was interrupted, with the same result."""


def parser():
  made = console.parser("train", "Train a base classifier under Gaussian noise (Cohen et al. 2019).", EPILOG)
  made.add_argument("dataset", metavar="DATASET", help=console.DATASET_HELP)
  made.add_argument(
    "arch", metavar="ARCH", help="convnet (digits, MNIST-size), cifar_resnet20, cifar_resnet110, ..."
  )
  made.add_argument("outdir", metavar="OUTDIR", help="where checkpoint and log go")
  made.add_argument(
    "--noise_sd",
    "--noise",
    type=float,
    default=0.0,
    help="standard deviation of the training noise, pixels in [0, 1] (default: 0)",
  )
  made.add_argument("--epochs", type=int, default=90, help="(default: 90)")
  made.add_argument("--batch", type=int, default=400, help="images a step (default: 400)")
  made.add_argument("--lr", type=float, default=0.1, help="first learning rate (default: 0.1)")
  made.add_argument(
    "--lr_step_size", type=int, default=30, help="epochs between drops of the learning rate (default: 30)"
  )
  made.add_argument("--gamma", type=float, default=0.1, help="factor of each drop (default: 0.1)")
  made.add_argument("--momentum", type=float, default=0.9, help="(default: 0.9)")
  made.add_argument(
    "--weight-decay", "--wd", type=float, default=1e-4, help="on every parameter (default: 1e-4)"
  )
  made.add_argument(
    "--augment",
    choices=("none", "crop", "crop-flip"),
    help="random crop after padding by 4 pixels; random left-right flip (default: crop-flip for colour "
    "images, none for grey ones)",
  )
  made.add_argument("--seed", type=int, default=0, help="of weights, order and noise (default: 0)")
  made.add_argument(
    "--dtype",
    choices=("float32", "bfloat16"),
    help="what the network computes in; weights are float32 (default: float32 on CPU, else bfloat16)",
  )
  return made


def main(argv=None):
  return console.run("train", _body, parser().parse_args(argv))


def _body(args):
  from rsjax import data, training, training_runs

  augment = args.augment
  if augment is None:
    channels = data.load(args.dataset, "train").image_shape[-1]
    augment = "crop-flip" if channels == 3 else "none"
  fields = {f.name for f in dataclasses.fields(training.Recipe)} - {"augment"}
  recipe = training.Recipe(augment=augment, **{name: getattr(args, name) for name in fields})
  progress = console.TrainProgress()
  try:
    history = training_runs.run(
      args.dataset, args.arch, args.outdir, recipe, dtype=args.dtype, progress=progress
    )
  finally:
    progress.close()
  print(f"{args.outdir}/checkpoint: {args.arch}, {history['epoch']} epochs{progress.summary()}")


if __name__ == "__main__":
  console.leave(main())

"""python -m rsjax.prepare NAME --from DIR: downloaded originals become a TFDS data set."""

import argparse
from typing import Any

from rsjax.cli import arguments, console, parsing

EPILOG = """example:
  python -m rsjax.prepare cifar10 --from ~/Downloads

what DIR must hold (download by hand; TensorFlow is not needed):
  cifar10        cifar-10-python.tar.gz or cifar-10-binary.tar.gz        170 MB
  cifar100       cifar-100-python.tar.gz or cifar-100-binary.tar.gz      169 MB
  svhn_cropped   train_32x32.mat, test_32x32.mat (extra_32x32.mat)       246 MB (1.3 GB)
  mnist          {train,t10k}-{images-idx3,labels-idx1}-ubyte (or .gz)    12 MB
  fashion_mnist  files of the same names                                  31 MB
  imagenet       ILSVRC2012_img_val.tar, ILSVRC2012_img_train.tar, or    6.7 GB, 148 GB
                 folders val/, train/ with one folder per class; either split may be missing

You can interrupt the command at any time; the same command continues. tensorflow-datasets can read the result
(array_record format, same version and order as its own)."""


def parser() -> argparse.ArgumentParser:
  """The command's arguments."""
  made = parsing.parser("prepare", "Build a data set of tensorflow-datasets from its originals.", EPILOG)
  made.add_argument(
    "name", metavar="NAME", help="cifar10, cifar100, svhn_cropped, mnist, fashion_mnist or imagenet"
  )
  made.add_argument(
    "--from", dest="source", metavar="DIR", required=True, help="the folder with the originals, see below"
  )
  arguments.add_data_dir(made)
  made.add_argument(
    "--unverified",
    action="store_true",
    help="use originals whose digests or counts are not the published ones, and mark the data set as such",
  )
  return made


def main(argv: list[str] | None = None) -> int:
  """Runs the command; returns its exit code."""
  return console.run("prepare", _body, parser().parse_args(argv))


def _body(args: argparse.Namespace) -> None:
  from rsjax.cli.progress import PrepareProgress
  from rsjax.data import preparation

  progress: Any = PrepareProgress()
  try:
    target, counts = preparation.prepare(
      args.name, args.source, args.data_dir, unverified=args.unverified, progress=progress
    )
  finally:
    progress.close()
  sizes = ", ".join(f"{split} {count:,}" for split, count in counts.items())
  print(f"{target}: {args.name}, images read back: {sizes}")
  if not progress.wrote:
    print("it was already prepared, so nothing was written: delete the folder to prepare it again")


if __name__ == "__main__":
  console.leave(main())

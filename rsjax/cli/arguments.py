"""Arguments that several commands share."""

import argparse
import re
import sys
from typing import Any

from rsjax import files
from rsjax.cli import parsing
from rsjax.errors import InputError

DATASET_HELP = (
  "digits (scikit-learn's, no download); cifar10, cifar100, svhn_cropped, mnist, fashion_mnist or imagenet, "
  "once rsjax.prepare has built it; a .npz file (x_train y_train x_test y_test, uint8 NHWC); or a folder with "
  "{train,test}/<class>/*.{png,jpg}"
)
EXACT_KINDS = ("splitting", "columns")
ALPHA = 0.001
NOISE_KINDS = ("gaussian", "grid", "uniform", "laplace", *EXACT_KINDS)


def add_dry_run(made: argparse.ArgumentParser) -> None:
  """Adds --dry-run."""
  made.add_argument(
    "--dry-run",
    action="store_true",
    help="check everything, measure the rate on this device, print what the run would take, and write nothing",
  )


def add_onednn(made: argparse.ArgumentParser) -> None:
  """Adds --no-onednn."""
  made.add_argument(
    "--no-onednn",
    action="store_true",
    help="on CPUs, compute convolutions with XLA's own code, which is slower, instead of oneDNN's (in jax from "
    "0.11 on); logits differ by rounding",
  )


def add_data_dir(made: argparse.ArgumentParser) -> None:
  """Adds --data-dir."""
  made.add_argument(
    "--data-dir",
    help="directory of the named data sets (default: TFDS_DATA_DIR, or ~/tensorflow_datasets)",
  )


def run_parser(command: str, description: str, epilog: str) -> argparse.ArgumentParser:
  """The arguments that certify and predict share."""
  made = parsing.parser(command, description, epilog)
  made.add_argument("dataset", metavar="DATASET", help=DATASET_HELP)
  made.add_argument(
    "checkpoint",
    metavar="CHECKPOINT",
    nargs="+",
    help="a directory that rsjax.train or rsjax.convert wrote; several, one after the other: their ensemble, "
    "whose logits are the mean of its members'",
  )
  made.add_argument(
    "sigma",
    metavar="SIGMA",
    type=float,
    help="standard deviation of the noise, pixels in [0, 1]; with --noise-kind columns, the width of the band "
    "in pixels",
  )
  made.add_argument(
    "outfile", metavar="OUTFILE", help="result file (TSV); continued if it was begun with these settings"
  )
  made.add_argument(
    "--noise-kind",
    choices=NOISE_KINDS,
    default="gaussian",
    help="gaussian: the paper's, added in floating point; grid: Gaussian noise rounded to multiples of 1/255 "
    "and drawn exactly, whose certificates hold for any classifier in floating point; uniform, laplace: for "
    "l1 radii; splitting, columns: exact certificates in l1, and against patches, without any chance. SIGMA is "
    "the standard deviation of each: uniform noise reaches to sqrt(3) SIGMA, thresholds of splitting noise are "
    "2 sqrt(3) SIGMA apart, and the scale of laplace noise is SIGMA / sqrt(2) (default: gaussian)",
  )
  add_data_dir(made)
  made.add_argument("--split", default="test", help="train or test (default: test)")
  made.add_argument("--skip", type=int, default=1, help="take every SKIPth image (default: 1)")
  made.add_argument(
    "--max",
    type=int,
    help="stop after MAX images; -1: all (default: all). A file that was begun with a smaller MAX is continued",
  )
  made.add_argument("--start", type=int, default=0, help="index of the first image (default: 0)")
  made.add_argument(
    "--indices",
    metavar="LIST",
    help="take these images, instead of using --start and --skip: 0,20,40-49, or a file of such numbers",
  )
  made.add_argument(
    "--shard",
    metavar="I/N",
    help="take the I-th of N parts of the selected images, with I from 1, so that N jobs can share the work. "
    "Each job needs its own OUTFILE; rsjax.analyze joins them",
  )
  made.add_argument("--alpha", type=float, help="failure probability per image (default: 0.001)")
  made.add_argument("--seed", type=int, default=0, help="seed of the noise (default: 0)")
  made.add_argument(
    "--dtype",
    choices=("float32", "bfloat16"),
    help="dtype that the classifier computes in (default: float32 on CPU, bfloat16 on accelerators)",
  )
  made.add_argument(
    "--denoiser",
    metavar="DIR",
    help="a denoiser that rsjax.convert or rsjax.train wrote: the classifier, which need not be trained with "
    "noise, is given what the denoiser makes of each noisy image (default: none)",
  )
  made.add_argument(
    "--batch",
    type=_batch,
    metavar="N",
    help="noisy images per step, over all devices; never changes a result (default: auto, the fastest that "
    "fits)",
  )
  made.add_argument(
    "--compilation-cache",
    metavar="DIR",
    help="keep compiled programs in DIR for later runs; only you should be able to write to DIR "
    "(default: JAX_COMPILATION_CACHE_DIR, or none)",
  )
  add_onednn(made)
  add_dry_run(made)
  made.add_argument(
    "--distributed",
    action="store_true",
    help="run as one of several processes that share the work; process 0 writes OUTFILE. On Cloud TPU, Slurm "
    "and Kubernetes no other flag is needed; elsewhere also give --coordinator, --processes and --process",
  )
  made.add_argument("--coordinator", metavar="HOST:PORT", help="address at which process 0 listens")
  made.add_argument("--processes", type=int, metavar="N", help="number of processes")
  made.add_argument("--process", type=int, metavar="I", help="this process's number, from 0")
  return made


def selection(args: argparse.Namespace) -> Any:
  """The `data.Selection` of a run's arguments.

  Raises:
    InputError: if the arguments do not describe a selection.
  """
  from rsjax.data.selection import Selection, parse_shard

  shard = None if args.shard is None else parse_shard(args.shard, "--shard")
  indices = None if args.indices is None else _indices(args.indices)
  return Selection(args.skip, None if args.max == -1 else args.max, args.start, indices, shard)


def _indices(text: str) -> tuple[int, ...]:
  """The numbers of a list as 0,20,40-49, or of the file of that name."""
  from rsjax.data.selection import parse_indices

  path = files.local(text)
  if path.is_file():
    return parse_indices(re.sub(r"#.*", "", path.read_text(errors="replace")), str(path))
  return parse_indices(text, "--indices")


def check_grey_levels(sigma: float, name: str) -> None:
  """Refuses a sigma that can only be in grey levels, and prints a note about one that is unusual.

  Between `USUAL_SIGMA` and `ABSURD_SIGMA` the run goes on: its certificates are valid, but hardly useful.

  Raises:
    InputError: above `ABSURD_SIGMA`.
  """
  from rsjax import noise

  told = noise.grey_levels(sigma, name)
  if told and noise.ABSURD_SIGMA < sigma < float("inf"):
    raise InputError(told)
  if told:
    print(f"note: {told}", file=sys.stderr)


def _batch(text: str) -> int | None:
  """--batch as an int, None for auto."""
  return None if text == "auto" else int(text)

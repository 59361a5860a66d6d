"""python -m rsjax.visualize DATASET OUTDIR INDEX SIGMA...: noisy images, as the base classifier sees them."""

import argparse

from rsjax import files
from rsjax.cli import arguments, console, parsing
from rsjax.errors import InputError

EPILOG = """example:
  python -m rsjax.visualize cifar10 figures 0,20,40 0.12 0.25 0.5 1

The command writes OUTDIR/INDEX_SIGMA.png for each image and sigma, INDEX_0.png without noise, and
OUTDIR/contact_sheet.png with one row per image. The noise is the one that certification uses for this seed and
draw; the noise of two sigmas differs only in scale. The pictures clip pixels to [0, 1]; the classifier sees
them unclipped."""


def parser() -> argparse.ArgumentParser:
  """The command's arguments."""
  made = parsing.parser("visualize", "Noisy versions of images at several noise levels, as PNGs.", EPILOG)
  made.add_argument("dataset", metavar="DATASET", help=arguments.DATASET_HELP)
  made.add_argument("outdir", metavar="OUTDIR", help="directory for the PNGs")
  made.add_argument("index", metavar="INDEX", help="index of the image in its split, or several: 0,20,40")
  made.add_argument(
    "sigma", metavar="SIGMA", type=float, nargs="+", help="standard deviation of the noise, pixels in [0, 1]"
  )
  arguments.add_data_dir(made)
  made.add_argument("--split", default="test", help="train or test (default: test)")
  made.add_argument("--seed", type=int, default=0, help="seed of the noise (default: 0)")
  made.add_argument("--draw", type=int, default=0, help="number of the draw (default: 0)")
  made.add_argument(
    "--side",
    type=int,
    default=160,
    help="minimum height of an image in the contact sheet, in pixels (default: 160)",
  )
  return made


def main(argv: list[str] | None = None) -> int:
  """Runs the command; returns its exit code."""
  return console.run("visualize", _body, parser().parse_args(argv))


def _body(args: argparse.Namespace) -> None:
  from rsjax import bounds, data, noise
  from rsjax.noise import pictures

  out = files.local(args.outdir)
  try:
    indices = [int(part) for part in args.index.split(",")]
  except ValueError as error:
    raise InputError(
      f"INDEX must be integers separated by commas, such as 0,20,40, got {args.index!r}"
    ) from error
  for sigma in args.sigma:
    bounds.check_sigma(sigma)
    arguments.check_grey_levels(sigma, "SIGMA")
  noise.check_seed(args.seed)
  if not 0 <= args.draw < noise.WORD:
    raise InputError(f"draw must be from 0 to 2**32 - 1, got {args.draw}")
  if not 1 <= args.side <= 4096:
    raise InputError(f"side must be from 1 to 4096, got {args.side}")
  dataset = data.load(args.dataset, args.split, args.data_dir)
  for index in indices:
    if not 0 <= index < len(dataset):
      raise InputError(
        f"INDEX must be from 0 to {len(dataset) - 1}, the images of {dataset.name} in {args.split}, got {index}"
      )
  try:
    out.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise InputError(f"{out} cannot be used as a directory for pictures: {error.strerror}") from error
  rows = []
  for index in indices:
    shown = pictures.noisy(dataset.images[index], index, [0.0, *args.sigma], args.seed, args.draw)
    for sigma, picture in zip([0.0, *args.sigma], shown):
      picture.save(out / f"{index}_{sigma:g}.png")
    rows.append(shown)
  heads = ["no noise", *(f"sigma = {sigma:g}" for sigma in args.sigma)]
  pictures.contact_sheet(rows, heads, args.side).save(out / "contact_sheet.png")
  print(f"wrote {sum(map(len, rows))} pictures and contact_sheet.png in {out}")


if __name__ == "__main__":
  console.leave(main())

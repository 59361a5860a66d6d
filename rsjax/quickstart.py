"""python -m rsjax.quickstart: train, certify and plot on real digits, in minutes on a laptop's CPU."""

import argparse

from rsjax import certify, files, train
from rsjax.cli import console, parsing
from rsjax.errors import InputError

EPILOG = """The quickstart runs rsjax.train and rsjax.certify for each sigma, shows each command, and plots
certified accuracy against radius. If you interrupt it, the same command continues where it stopped."""


def parser() -> argparse.ArgumentParser:
  """The command's arguments."""
  made = parsing.parser("quickstart", "Train, certify and plot on real handwritten digits, 8x8.", EPILOG)
  made.add_argument(
    "--out", default="rsjax-quickstart", help="directory for all output (default: rsjax-quickstart)"
  )
  made.add_argument(
    "--sigma",
    type=float,
    nargs="+",
    default=[0.12, 0.25, 0.5],
    help="noise levels, pixels in [0, 1] (default: 0.12 0.25 0.5)",
  )
  made.add_argument("--epochs", type=int, default=60, help="epochs of training (default: 60)")
  made.add_argument("--max", type=int, default=72, help="test images to certify, at most 72 (default: 72)")
  made.add_argument(
    "--N", type=int, default=100_000, help="draws per image to estimate with, at most (default: 100000)"
  )
  made.add_argument(
    "--fixed",
    action="store_true",
    help="take N draws for every image, as in the paper; takes several times as long",
  )
  return made


def main(argv: list[str] | None = None) -> int:
  """Runs the command; returns its exit code."""
  return console.run("quickstart", _body, parser().parse_args(argv))


def _body(args: argparse.Namespace) -> None:
  _check_extras()
  from rsjax import analysis, results

  out = files.local(args.out)
  written = []
  for sigma in args.sigma:
    model, outfile = out / f"model_{sigma:g}", out / f"certify_{sigma:g}.tsv"
    training = ["--batch", 128, "--epochs", args.epochs, "--lr_step_size", max(1, args.epochs // 3)]
    console.type_command("train", train.main, "digits", "convnet", model, "--noise", sigma, *training)
    certifying = ["--skip", 5, "--max", args.max, "--N", args.N, *([] if args.fixed else ["--tolerance", "5%"])]
    console.type_command("certify", certify.main, "digits", model, sigma, outfile, *certifying)
    written.append(results.read(outfile))
  images = len(written[0])
  most = "n" if args.fixed else "at most n"
  title = f"digits, {images} test images, {most} = {args.N:,}, alpha = 0.001"
  plot = out / "certified_accuracy.png"
  analysis.plot(written, plot, title)
  farthest = max(written, key=lambda f: f.columns["radius"].max())
  print(f"\ncertified accuracy: {title}\n")
  print(analysis.table(written, analysis.grid(farthest)))
  drawn = sum(int(file.columns["n"].sum()) for file in written)
  if not args.fixed:
    times = args.N * sum(map(len, written)) / drawn
    print(
      f"\nDrawing stopped when the radius was within 5 % of what {args.N:,} draws are expected to certify: "
      f"{drawn:,} draws, {times:.1f} times fewer than with --fixed."
    )
  sigma, model = args.sigma[-1], out / f"model_{args.sigma[-1]:g}"
  print(
    console.as_typed(f"""
plot: {plot}

next:
  every test image:
    python -m rsjax.certify digits {model} {sigma:g} {out}/all.tsv
  answers, without radii:
    python -m rsjax.predict digits {model} {sigma:g} {out}/predict.tsv
  your own images:
    python -m rsjax.train YOURS.npz cifar_resnet20 OUTDIR --noise 0.25""")
  )


def _check_extras() -> None:
  import importlib.util

  missing = [p for p, module in (("scikit-learn", "sklearn"), ("matplotlib", "matplotlib"))
             if importlib.util.find_spec(module) is None]  # fmt: skip
  if missing:
    raise InputError(f"the quickstart needs {' and '.join(missing)}: pip install {' '.join(missing)}")


if __name__ == "__main__":
  console.leave(main())

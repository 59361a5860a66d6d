"""The paper's ImageNet experiment: ResNet-50 trained under noise, certified, beside the paper's own numbers.

  python experiments/imagenet.py --preset paper --sigma 0.25      one row of the paper's table; GPUs or TPUs
  python experiments/imagenet.py --certify-sigma 0.5              training noise against test noise

The data set is rsjax's imagenet (see rsjax.prepare); Grain's processes (--workers) decode and crop, and the
log's last column tells the seconds spent waiting for them. Stopped at any time, the same command continues.
"""

import sys

import pipeline

from rsjax.cli import console

RADII = (0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5)  # of the paper's table

PRESETS = {
  "paper": pipeline.Preset(
    "90 epochs of batch 400, every 100th validation image at n = 100,000, as in the paper",
    arch="resnet50",
    train={"epochs": 90, "batch": 400, "lr": 0.1, "schedule": "step", "lr_step_size": 30, "weight-decay": 1e-4},
    certify={"skip": 100, "N0": 100, "N": 100_000, "alpha": 0.001},
    radii=RADII,
  ),
  "smoke": pipeline.Preset(
    "one epoch of batch 8, 4 images at n = 100: only that it runs, on a few images of one's own",
    arch="resnet50",
    train={"epochs": 1, "batch": 8, "lr": 0.01, "schedule": "onecycle"},
    certify={"max": 4, "N0": 20, "N": 100, "alpha": 0.001},
    radii=RADII,
  ),
}

# Certified accuracy (radius >= R) in the paper's own result files: ResNet-50, every 100th validation image.
# Their file for sigma = 0.25 stops after 427 images and is left out.
# Source: github.com/locuslab/smoothing, data/certify/imagenet/resnet50/noise_S/test/sigma_S.
PAPER_IMAGES = 500
PAPER = {
  0.5: dict(zip(RADII, (0.572, 0.458, 0.372, 0.286))),
  1.0: dict(zip(RADII, (0.436, 0.378, 0.326, 0.260, 0.194, 0.148, 0.122, 0.090))),
}


def parser():
  usage, _, epilog = __doc__.partition("\n\n")
  return pipeline.parser(usage, PRESETS, "paper", "imagenet", epilog)


def main(argv=None):
  return console.run("imagenet.py", _body, parser().parse_args(argv))


def _body(args):
  out = pipeline.folder("imagenet", args)
  matched = pipeline.run(out, args, PRESETS[args.preset])
  if args.preset == "paper" and args.arch is None:
    pipeline.beside(out, PAPER, matched, PAPER_IMAGES)


if __name__ == "__main__":
  console.leave(main(sys.argv[1:]))

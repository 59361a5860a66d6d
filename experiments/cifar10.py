"""The paper's CIFAR-10 experiment: trained under noise, certified, beside the paper's own numbers.

  python experiments/cifar10.py --preset paper --sigma 0.25       one row of the paper's table; GPU or TPU
  python experiments/cifar10.py --preset smoke --sigma 0.25       the whole way in minutes on 2 CPU cores
  python experiments/cifar10.py --certify-sigma 0.5               training noise against test noise

The data set is rsjax's cifar10 (see rsjax.prepare), or any .npz: --data FILE.npz. Stopped at any time, the
same command continues; what is done is not done again.
"""

import sys

import pipeline

from rsjax.cli import console

ONE_CYCLE = {"schedule": "onecycle", "nesterov": True, "weight-decay": 5e-4}

PRESETS = {
  "paper": pipeline.Preset(
    "ResNet-110, 90 epochs of batch 400, every 20th image at n = 100,000, as in the paper",
    arch="cifar_resnet110",
    train={"epochs": 90, "batch": 400, "lr": 0.1, "schedule": "step", "lr_step_size": 30, "weight-decay": 1e-4},
    certify={"skip": 20, "N0": 100, "N": 100_000, "alpha": 0.001},
  ),
  "fast": pipeline.Preset(
    "ResNet-110, 40 epochs of batch 512, one cycle; not yet measured on a GPU",
    arch="cifar_resnet110",
    train={"epochs": 40, "batch": 512, "lr": 0.2, **ONE_CYCLE},
    certify={"skip": 20, "N0": 100, "N": 100_000, "alpha": 0.001},
  ),
  "smoke": pipeline.Preset(
    "ResNet-20, one epoch of batch 64, one cycle, 100 images at n = 1,000",
    arch="cifar_resnet20",
    train={"epochs": 1, "batch": 64, "lr": 0.1, **ONE_CYCLE},
    certify={"skip": 10, "max": 100, "N0": 100, "N": 1000, "alpha": 0.001},
  ),
}

# Certified accuracy (radius >= R) in the paper's own result files: ResNet-110, every 20th test image.
# Source: github.com/locuslab/smoothing, data/certify/cifar10/resnet110/noise_S/test/sigma_S.
PAPER_IMAGES = 500
RADII = (0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25)
PAPER = {
  0.25: dict(zip(RADII, (0.748, 0.600, 0.428, 0.266))),
  0.5: dict(zip(RADII, (0.652, 0.546, 0.414, 0.320, 0.234, 0.152, 0.094, 0.052))),
  1.0: dict(zip(RADII, (0.472, 0.392, 0.340, 0.278, 0.216, 0.174, 0.140, 0.118, 0.100, 0.076))),
}


def parser():
  usage, _, epilog = __doc__.partition("\n\n")
  return pipeline.parser(usage, PRESETS, "paper", "cifar10", epilog)


def main(argv=None):
  return console.run("cifar10.py", _body, parser().parse_args(argv))


def _body(args):
  out, matched = pipeline.run("cifar10", args, PRESETS)
  if (args.arch or PRESETS[args.preset].arch) == "cifar_resnet110":
    pipeline.beside(out, PAPER, matched, PAPER_IMAGES)


if __name__ == "__main__":
  console.leave(main(sys.argv[1:]))

"""The attack that makes certificates of float noise false, and grid noise under the same attack.

  python experiments/float_attack.py [--sigma 0.25 --N 10000]

Noise that is added in floating point leaves a trace of the image in the rounding of the sum. The base
classifier here reads it: it answers 1 where the noisy image z has fl(fl(z - x0) + x0) = z in every pixel, else
0. At x0 each draw has this, so that class 1 is certified. At an 8-bit image that differs by one grey level in
every pixel no draw has it, although that image is well within the certified radius: the certificate is false.

Each product and each sum is rounded by itself here, in NumPy. Compilers that fuse them change which classifier
reads the trace, not whether there is one. Grid noise is that of rsjax, in CERTIFY as it is run. Its sums are of
integers, and leave no trace.

Source: Voracek and Hein, "Sound randomized smoothing in floating-point arithmetic" (ICLR 2023).
"""

import argparse
import sys

import jax.numpy as jnp
import numpy as np

import rsjax
from rsjax import bounds
from rsjax.cli import console
from rsjax.noise import Gaussian

SHAPE = (32, 32, 3)


def parser():
  usage, _, epilog = __doc__.partition("\n\n")
  made = argparse.ArgumentParser(
    description=usage, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  made.add_argument("--sigma", type=float, default=0.25, help="of the noise, pixels in [0, 1] (default: 0.25)")
  made.add_argument("--N", type=int, default=10_000, help="draws per image (default: 10000)")
  made.add_argument("--alpha", type=float, default=0.001, help="failure probability per image (default: 0.001)")
  made.add_argument("--seed", type=int, default=0, help="seed of images and noise (default: 0)")
  return made


def main(argv=None):
  return console.run("float_attack.py", _body, parser().parse_args(argv))


def reads_rounding(z, x0):
  """Whether z = fl(fl(z - x0) + x0) in every pixel, for z [..., h, w, c]."""
  return ((z - x0) + x0 == z).all((-3, -2, -1))


def with_float_noise(pair, x0, sigma, n, alpha, seed):
  """[(class, certified radius, share of its draws)] of each image, by CERTIFY's arithmetic."""
  rng, found = np.random.default_rng(seed), []
  for image in pair:
    ones = 0
    for _ in range(n):
      ones += reads_rounding(image + np.float32(sigma) * rng.standard_normal(SHAPE, np.float32), x0)
    answer = int(ones > n - ones)
    count = max(ones, n - ones)
    lower = bounds.lower_confidence_bound(count, n, alpha)
    found.append((answer, float(bounds.radius(lower, Gaussian(sigma))), count / n))
  return found


def with_grid_noise(levels, x0, sigma, n, alpha, seed):
  """The same of rsjax's CERTIFY under grid noise, for uint8 images."""

  def apply(variables, z):
    reads = reads_rounding(z, variables)
    return jnp.stack([jnp.where(reads, -1.0, 1.0), jnp.where(reads, 1.0, -1.0)], 1)

  smoothed = rsjax.smooth(apply, x0[None], noise=rsjax.GridGaussian(sigma))
  found = smoothed.certify(levels, n=n, alpha=alpha, seed=seed, progress=False)
  return list(zip(found.predict.tolist(), found.radius.tolist(), (found.results.columns["nA"] / n).tolist()))


def _body(args):
  rng = np.random.default_rng(args.seed)
  first = rng.integers(40, 216, SHAPE)
  levels = [x.astype(np.uint8) for x in (first, first + rng.choice([-1, 1], SHAPE))]
  pair = [x.astype(np.float32) / np.float32(255) for x in levels]
  distance = float(np.linalg.norm((levels[1].astype(float) - levels[0]) / 255))
  print(f"two 8-bit images at l2 distance {distance:.3f}; sigma {args.sigma:g}, n = {args.N:,}\n")
  settings = (args.sigma, args.N, args.alpha, args.seed)
  for kind, found in (
    ("float noise", with_float_noise(pair, pair[0], *settings)),
    ("grid noise", with_grid_noise(levels, pair[0], *settings)),
  ):
    for name, (answer, radius, share) in zip(("image", "its neighbour"), found):
      print(f"{kind}, {name}: class {answer} by {share:.1%} of the draws, certified within {radius:.3f}")
    false = found[0][0] != found[1][0] and max(radius for _, radius, _ in found) > distance
    print(f"{kind}: {'A FALSE CERTIFICATE' if false else 'no false certificate'}\n")


if __name__ == "__main__":
  sys.exit(main())

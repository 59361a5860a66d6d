"""Result files of four images and few columns, for tests of what is said of a file."""

import numpy as np

from rsjax.noise import Gaussian
from rsjax.results import Results

IMAGES = 4


def made(path="r.tsv", about=(), radius=(0.5, 0.3, 0.0, 0.2), **settings):
  """A file of CERTIFY; `settings` are those that differ from the usual."""
  columns = {
    "idx": np.arange(IMAGES),
    "label": np.array([1, 1, 3, 0]),
    "predict": np.array([1, 2, -1, 0]),
    "correct": np.array([1, 0, 0, 1]),
    "radius": np.array(radius),
  }
  usual = {
    "command": "certify",
    **Gaussian(0.25).settings(),
    "n0": 100,
    "n": 100_000,
    "alpha": 0.001,
    "seed": 0,
  }
  settings = {**usual, "dataset": "d" * 64, "checkpoint": "c" * 64, **settings}
  return Results(path, {"settings": settings, "about": dict(about), "sessions": []}, columns, IMAGES)

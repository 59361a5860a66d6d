"""What the benchmarks share: the networks that they measure, and ratios of repeated measurements in words."""

import sys

import jax
import numpy as np

from rsjax import models

SIGMA, MEAN, STD = 0.5, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
REST = 0.5  # seconds between lines, for threads of the one before that still spin


def say(*words):
  print(*words, file=sys.stderr, flush=True)


def told(error):
  return f"{type(error).__name__}: {error}"[:300]


def random_variables(model, shape):
  """Weights of the usual size and running statistics that are not neutral; not trained."""
  rng = np.random.default_rng(0)
  shapes = jax.eval_shape(lambda: models.init(model, jax.random.key(0), shape))

  def draw(path, leaf):
    if path[-1].key in ("var", "scale"):
      return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
    size = np.sqrt(2 / np.prod(leaf.shape[:-1])) if path[-1].key == "kernel" else 0.1
    return rng.normal(0, size, leaf.shape).astype(np.float32)

  return jax.tree_util.tree_map_with_path(draw, shapes)


def spread(values):
  """(median, least, most)."""
  return tuple(float(f(values)) for f in (np.median, np.min, np.max))


def times(values):
  """A ratio in words: its median, and its least and most."""
  return "-" if values is None else "{:.2f}x ({:.2f} to {:.2f})".format(*values)

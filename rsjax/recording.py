"""CERTIFY of any base classifier into a result file that can be continued, and that `rsjax.analysis` reads.

  >>> settings = Smoothing(sigma=0.25, n=1000)
  >>> file = certify_to_file("mine.tsv", apply, variables, images, labels, settings, dataset="my images")
  >>> file.complete, file.columns["idx"].tolist()
  (True, [0, 1, 2, 3, 4, 5])

What `rsjax.certify` does for checkpoints of rsjax, for a model of one's own. The file is continued only with
the same images, labels, variables and settings: of `apply` itself nothing can be compared.
"""

import datetime
import hashlib
import time

import jax
import numpy as np

from rsjax import devices, results
from rsjax.errors import InputError
from rsjax.smoothing import certify, check_can_certify
from rsjax.votes import Execution


def certify_to_file(
  outfile,
  apply,
  variables,
  images,
  labels,
  smoothing,
  *,
  dataset,
  skip=1,
  max_images=None,
  execution=Execution(),
  progress=lambda draws: None,
):
  """Certifies images 0, skip, 2 skip, ... at most max_images of them, each into the file at once.

  Args:
    outfile: the result file; its manifest is OUTFILE.json. Continued where it was begun.
    apply, variables, smoothing, execution, progress: as for `smoothing.certify`.
    images: images[i] is uint8[h, w, c], or float32[h, w, c] in [0, 1].
    labels: integers, one an image; they enter the file only.
    dataset: what the data set is called in tables.
    skip, max_images: which images.

  Returns:
    The `results.Results` of the whole file.

  Raises:
    InputError: for anything that cannot be used, or a file that was begun with something else.
  """
  check_can_certify(smoothing)
  labels = np.asarray(labels)
  if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
    raise InputError(f"labels must be {len(images)} integers, got {labels.dtype}{list(labels.shape)}")
  if skip < 1 or (max_images is not None and max_images < 1):
    raise InputError(f"skip and max_images must be at least 1, got {skip} and {max_images}")
  indices = list(range(0, len(images), skip))[:max_images]
  manifest = results.Manifest(
    settings={
      "command": "certify",
      "dataset": _digest([(i, images[i], labels[i]) for i in indices]),
      "skip": skip,
      "max": max_images,
      "sigma": smoothing.sigma,
      "n0": smoothing.n0,
      "n": smoothing.n,
      "alpha": smoothing.alpha,
      "seed": smoothing.seed,
      "checkpoint": _digest(variables),
      "precision": devices.matmul_precision(),
    },
    indices=indices,
    about={"dataset": dataset, "images": len(images)},
    session={
      "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
      **devices.environment(),
    },
  )
  with results.open_for_append(outfile, manifest, results.CERTIFY_COLUMNS) as writer:
    todo = ((i, images[i]) for i in indices[writer.done :])
    before = time.perf_counter()
    for c in certify(apply, variables, todo, smoothing, execution, progress):
      now = time.perf_counter()
      writer.append(results.certify_row(c, int(labels[c.index]), now - before))
      before = now
  return results.read(outfile)


def _digest(tree):
  """SHA-256 of the arrays of a tree, with their names, shapes and dtypes."""
  digest = hashlib.sha256()
  for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
    if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
      leaf = jax.random.key_data(leaf)
    array = np.asarray(leaf)
    digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array))
  return digest.hexdigest()

"""What tests import: paths, a linear classifier, and how result files and images are read and made."""

import io
import pathlib
import subprocess
import sys
import tarfile

import jax.numpy as jnp
import numpy as np

ROOT = pathlib.Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"  # data sets and result files of others, where they are at hand
PUBLISHED = SHARED / "published/cohen2019/certify/cifar10/resnet110"
DIGITS = [ROOT / "experiments" / "digits" / f"certify_{sigma}.tsv" for sigma in ("0.12", "0.25", "0.5")]


def linear(variables, images):
  """Class 1 where w . x + b > 0. Its smoothed classifier's radius is |w . x + b| / |w|."""
  w, b = variables
  score = images.reshape(len(images), -1) @ w + b
  return jnp.stack([jnp.zeros_like(score), score], 1)


def run_without_jax(command, argv):
  """Runs a command in a process in which JAX and what builds on it cannot be imported; it must exit with 0."""
  code = (
    "import sys\n"
    "for name in ('jax', 'jaxlib', 'flax', 'optax', 'orbax', 'tensorflow'): sys.modules[name] = None\n"
    f"from rsjax import {command}\n"
    f"sys.exit({command}.main({[str(a) for a in argv]!r}))\n"
  )
  subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def write_npz(path, seed=0, size=40, shape=(8, 8, 1), classes=3, **overrides):
  """Writes a .npz data set whose images are brighter the higher their class; returns its path."""
  rng = np.random.default_rng(seed)
  arrays = {}
  for split in ("train", "test"):
    labels = np.arange(size) % classes
    noise = rng.integers(0, 64, (size, *shape))
    arrays[f"x_{split}"] = (noise + 60 * labels[:, None, None, None]).astype(np.uint8)
    arrays[f"y_{split}"] = labels
  np.savez(path, **{k: v for k, v in (arrays | overrides).items() if v is not None})
  return path


def without_time(path):
  """The cells of a result file but for the column that no two runs share."""
  rows = [line.split("\t") for line in path.read_text().splitlines()]
  column = rows[0].index("time")
  return [row[:column] + row[column + 1 :] for row in rows]


def contents(folder):
  """{relative path: bytes} of all files within a folder."""
  return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def ran(main, arguments, capsys):
  """main(arguments) must exit with 0; what it said, as `.out` and `.err`."""
  assert main([str(a) for a in arguments]) == 0
  return capsys.readouterr()


def refused(main, arguments, capsys, *said, folder=None):
  """main(arguments) must exit with 2, say all of `said` in one or two lines, and touch no file in `folder`."""
  before = folder and contents(folder)
  try:
    code = main([str(a) for a in arguments])
  except SystemExit as error:  # argparse's own
    code = error.code
  out, err = capsys.readouterr()
  assert code == 2, err
  assert not out
  lines = [line for line in err.splitlines() if not line.startswith(("usage:", "   "))]
  assert 1 <= len(lines) <= 2, err
  for text in said:
    assert text in err
  assert "Traceback" not in err
  assert before == (folder and contents(folder))


def add_to_tar(tar, name, content):
  """Adds a file of these bytes to an open tar archive."""
  info = tarfile.TarInfo(name)
  info.size = len(content)
  tar.addfile(info, io.BytesIO(content))

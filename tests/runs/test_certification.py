"""Result files of any classifier: continued where they were stopped, and only with what they were of."""

import numpy as np
import pytest
from helpers import linear, without_time

import rsjax
from rsjax import analysis
from rsjax.errors import InputError
from rsjax.noise import Gaussian
from rsjax.procedures import Certify, CertifyByLooks, Predict, PredictByLooks, Radii
from rsjax.runs.certification import Job, into_file
from rsjax.runs.progress import Progress
from rsjax.smoothing import Smoothed

PROCEDURES = [
  Certify(n=1000),
  Predict(n=500),
  CertifyByLooks(n=1000, stop=Radii((0.1, 0.3))),
  PredictByLooks(n=1000),
]


class Stop(Progress):
  """Stops a run, as Ctrl-C would, when the first draws arrive or after some rows."""

  def __init__(self, rows):
    self.left = rows

  def draws(self, count):
    if not self.left:
      raise KeyboardInterrupt

  def row(self):
    self.left -= 1


@pytest.fixture
def job(linear_variables, images):
  """job(procedure): of six images with labels."""
  smoothed, labels = Smoothed(linear, linear_variables, Gaussian(0.25)), np.arange(6) % 2
  return lambda procedure: Job(smoothed, images, labels, range(6), procedure, about={"dataset": "mine"})


@pytest.mark.parametrize("procedure", PROCEDURES, ids=lambda p: p.command)
@pytest.mark.parametrize("rows", [0, 2])
def test_a_stopped_file_is_continued(job, procedure, rows, tmp_path):
  whole = into_file(job(procedure), tmp_path / "whole.tsv")
  assert whole.complete and whole.columns["label"].tolist() == [0, 1, 0, 1, 0, 1]
  stopped = tmp_path / "stopped.tsv"
  with pytest.raises(KeyboardInterrupt):
    into_file(job(procedure), stopped, rsjax.Execution(rows=8, depth=0, images=1), Stop(rows))
  assert len(stopped.read_text().splitlines()) == 1 + rows
  into_file(job(procedure), stopped)
  assert without_time(stopped) == without_time(tmp_path / "whole.tsv")


def test_a_file_is_analysed_as_any_other(job, tmp_path):
  file = into_file(job(Certify(n=1000)), tmp_path / "mine.tsv")
  assert "not those of" not in " ".join(analysis.warnings([file], ["mine"], [0.0]))
  assert "sigma = 0.25" in analysis.table([file], [0.0])


def test_another_model_or_other_images_do_not_continue_it(linear_variables, images, tmp_path):
  labels, path = np.zeros(6, int), tmp_path / "mine.tsv"

  def certify(variables, images, labels, **settings):
    g = rsjax.smooth(linear, variables, sigma=0.25)
    return g.certify(images, labels, indices=[0, 2], file=path, progress=False, **{"n": 1000} | settings)

  assert certify(linear_variables, images, labels).idx.tolist() == [0, 2]
  w, b = linear_variables
  for others, settings, what in (
    (((w + 1, b), images, labels), {}, "the checkpoint is another one"),
    ((linear_variables, images[::-1], labels), {}, "other images or labels were chosen"),
    ((linear_variables, images, labels + 1), {}, "other images or labels were chosen"),
    ((linear_variables, images, labels), {"n": 1001}, "n was 1000, is now 1001"),
    ((linear_variables, images, labels), {"seed": 1}, "seed was 0, is now 1"),
  ):
    with pytest.raises(InputError, match=what):
      certify(*others, **settings)
  for labels in (np.zeros(5, int), np.zeros(6)):
    with pytest.raises(InputError, match="labels must be 6 integers"):
      certify(linear_variables, images, labels)

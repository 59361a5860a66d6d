"""Result files of classifiers that are not rsjax's."""

import numpy as np
import pytest
from conftest import linear, without_time

from rsjax import analysis
from rsjax.errors import InputError
from rsjax.recording import certify_to_file
from rsjax.smoothing import Smoothing

SETTINGS = Smoothing(0.25, n=1000)


def test_a_stopped_file_is_continued_and_analysed(linear_variables, images, tmp_path):
  labels = np.arange(6) % 2
  arguments = (linear, linear_variables, images, labels, SETTINGS)

  def stop(draws):
    raise KeyboardInterrupt

  whole = certify_to_file(tmp_path / "whole.tsv", *arguments, dataset="mine")
  assert whole.complete and whole.columns["label"].tolist() == labels.tolist()
  with pytest.raises(KeyboardInterrupt):
    certify_to_file(tmp_path / "stopped.tsv", *arguments, dataset="mine", progress=stop)
  rows = (tmp_path / "whole.tsv").read_text().splitlines(keepends=True)
  (tmp_path / "stopped.tsv").write_text("".join(rows[:3]))
  certify_to_file(tmp_path / "stopped.tsv", *arguments, dataset="mine")
  assert without_time(tmp_path / "stopped.tsv") == without_time(tmp_path / "whole.tsv")
  assert "not those of" not in " ".join(analysis.warnings([whole], ["mine"], [0.0]))
  assert "sigma = 0.25" in analysis.table([whole], [0.0])


def test_another_model_or_other_images_do_not_continue_it(linear_variables, images, tmp_path):
  labels, path = np.zeros(6, int), tmp_path / "mine.tsv"
  chosen = dict(dataset="mine", skip=2, max_images=2)
  file = certify_to_file(path, linear, linear_variables, images, labels, SETTINGS, **chosen)
  assert file.columns["idx"].tolist() == [0, 2]
  w, b = linear_variables
  for others, what in (
    ((linear, (w + 1, b), images, labels), "checkpoint was"),
    ((linear, linear_variables, images[::-1], labels), "dataset was"),
    ((linear, linear_variables, images, labels + 1), "dataset was"),
  ):
    with pytest.raises(InputError, match=what):
      certify_to_file(path, *others, SETTINGS, **chosen)
  for labels in (np.zeros(5, int), np.zeros(6)):
    with pytest.raises(InputError, match="labels must be 6 integers"):
      certify_to_file(path, linear, linear_variables, images, labels, SETTINGS, **chosen)

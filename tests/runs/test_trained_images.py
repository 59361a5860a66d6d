"""From Python, too, images of the training set are told, as the commands tell them."""

import warnings

import numpy as np
import pytest

import rsjax
from rsjax import data
from rsjax.errors import ResultWarning

SAID = "these are the images that the classifier was trained on"


@pytest.fixture(scope="module")
def g(trained):
  with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    return rsjax.load(trained, sigma=0.25)


@pytest.fixture(scope="module")
def train_set():
  return data.load("digits", "train")


USES = {
  "certify": lambda g, *given, **chosen: g.certify(*given, n=100, progress=False, **chosen),
  "predict": lambda g, *given, **chosen: g.predict(*given, n=100, progress=False, **chosen),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
  "as_given", [np.asarray, lambda x: x.astype(np.float32) / 255], ids=["uint8", "float32"]
)
def test_images_of_the_training_are_told_also_where_some_are_chosen(use, as_given, g, train_set):
  with pytest.warns(ResultWarning, match=SAID):
    found = USES[use](g, as_given(train_set.images), train_set.labels, indices=[3, 5])
  assert any(SAID in note for note in found.results.manifest["about"]["notes"])


def test_a_look_at_them_tells_it(g, train_set):
  assert any(SAID in text for text in g.check(train_set.images, train_set.labels.astype(np.int32)).warnings)


def test_a_file_of_them_notes_it(g, train_set, tmp_path):
  path = tmp_path / "trained.tsv"
  with pytest.warns(ResultWarning, match=SAID):
    g.certify(train_set.images, train_set.labels, n=100, indices=[3], file=path, progress=False)
  with pytest.warns(ResultWarning, match=SAID):
    rsjax.read(path)


def test_of_other_images_and_of_a_classifier_of_ones_own_nothing_is_said(g, train_set):
  test_set = data.load("digits", "test")
  own = rsjax.smooth(g.apply, g.variables, 0.25)
  with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    for smoothed, split in ((g, test_set), (own, train_set)):
      smoothed.certify(split.images, split.labels, n=100, indices=[0], progress=False)
    g.certify(train_set.images, n=100, indices=[0], progress=False)  # without labels it is not known
  assert not [one for one in told if SAID in str(one.message)]

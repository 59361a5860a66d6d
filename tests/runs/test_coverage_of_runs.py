"""Before anything is drawn, a run says of which classes its images are, and which number is which class."""

import warnings

import jax
import numpy as np
import pytest
from helpers import linear

import rsjax
from rsjax import data, models
from rsjax.classifiers import checkpoint
from rsjax.noise import Gaussian
from rsjax.procedures import Certify
from rsjax.runs import split, training
from rsjax.runs.progress import TrainingProgress
from rsjax.training import Recipe, objectives


def test_images_of_a_part_of_the_classes_are_told_at_the_start(tmp_path):
  facts = {"arch": "convnet", "num_classes": 10, "image_shape": [8, 8, 1], "mean": [0.5], "std": [0.25]}
  model = models.create("convnet", num_classes=10, mean=(0.5,), std=(0.25,))
  checkpoint.save(tmp_path / "checkpoint", models.init(model, jax.random.key(0), (8, 8, 1)), facts)
  few = np.flatnonzero(data.load("digits", "test").labels < 2)[:30].tolist()
  notes = lambda selection: [
    note
    for note in split.job_of("digits", tmp_path / "checkpoint", Gaussian(0.25), Certify(100), selection).notes
    if "classes only" in note
  ]
  assert notes(data.Selection(indices=tuple(few))) and not notes(data.Selection(max_images=60))


def test_which_number_is_which_class_is_told_at_the_start(write_npz, tmp_path):
  path = write_npz(class_names=np.array(["1", "2", "10"]))
  facts = {"arch": "convnet", "num_classes": 3, "image_shape": [8, 8, 1], "mean": [0.5], "std": [0.25]}
  model = models.create("convnet", num_classes=3, mean=(0.5,), std=(0.25,))
  checkpoint.save(tmp_path / "checkpoint", models.init(model, jax.random.key(0), (8, 8, 1)), facts)
  told = f"{path}: label and predict are numbers of classes: 0 = 1, 1 = 2, 2 = 10"
  assert told in split.job_of(str(path), tmp_path / "checkpoint", Gaussian(0.25), Certify(100)).notes

  class Begun(Exception):
    pass

  class First(TrainingProgress):
    def start(self, plan):
      assert told in plan["notes"]
      raise Begun

  with pytest.raises(Begun):
    training.run(
      str(path),
      "convnet",
      tmp_path / "out",
      objectives.Gaussian(noise_sd=0.25),
      Recipe(epochs=1),
      progress=First(),
    )


def test_training_tells_of_the_test_images_of_its_log_what_certify_tells(write_npz, tmp_path):
  images, labels = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1), np.uint8), np.arange(8) % 3
  path = str(write_npz(x_train=images, y_train=labels, x_test=images[2:4], y_test=labels[2:4]))
  named = (path, "convnet", tmp_path / "out", objectives.Gaussian(noise_sd=0.25), Recipe(batch=8))
  (told,) = training.job_of(*named, None, None, None).notes
  assert told.startswith(f"{path}: 2 of 2 test images are training images, too")
  assert told in data.load(path, "test").notes


def test_they_are_told_in_python(linear_variables):
  images = np.random.default_rng(0).integers(0, 256, (24, 4, 4, 1), np.uint8)
  g = rsjax.smooth(linear, linear_variables, sigma=0.25)
  for labels, told in ((np.zeros(24, int), True), (np.arange(24) % 2, False)):
    with warnings.catch_warnings(record=True) as said:
      warnings.simplefilter("always")
      g.certify(images, labels, n=100, progress=False)
    assert any("of 1 of 2 classes only" in str(warning.message) for warning in said) is told


def test_images_of_the_training_are_told(trained):
  said = "digits: these are the images that the classifier was trained on, not test images"
  for name, told in (("train", True), ("test", False)):
    job = split.job_of("digits", trained, Gaussian(0.25), Certify(100), data.Selection(5), split=name)
    assert (said in job.notes) is told and (said in job.about["notes"]) is told

"""A run of images of a part of the classes says so before anything is drawn."""

import warnings

import jax
import numpy as np
from helpers import linear

import rsjax
from rsjax import data, models
from rsjax.classifiers import checkpoint
from rsjax.noise import Gaussian
from rsjax.procedures import Certify
from rsjax.runs import split


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


def test_they_are_told_in_python(linear_variables):
  images = np.random.default_rng(0).integers(0, 256, (24, 4, 4, 1), np.uint8)
  g = rsjax.smooth(linear, linear_variables, sigma=0.25)
  for labels, told in ((np.zeros(24, int), True), (np.arange(24) % 2, False)):
    with warnings.catch_warnings(record=True) as said:
      warnings.simplefilter("always")
      g.certify(images, labels, n=100, progress=False)
    assert any("of 1 of 2 classes only" in str(warning.message) for warning in said) is told

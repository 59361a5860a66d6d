"""A run of images of a part of the classes says so before anything is drawn."""

import jax
import numpy as np

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

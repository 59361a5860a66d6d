"""Images that come from a part of the classes only are told; a fair choice never is."""

import numpy as np
import pytest

from rsjax import data
from rsjax.data.coverage import few_classes
from rsjax.errors import InputError


@pytest.mark.parametrize(
  ("labels", "classes"),
  [
    (np.repeat(np.arange(10), 50), 1000),  # a folder of 50 images per class, sorted, cut by --max 500
    (np.arange(500) % 9, 10),
    (np.zeros(20, int), 10),
    (np.zeros(10, int), 10),
    (np.arange(6) % 2, 1000),
    (np.arange(30) % 3, 10),
  ],
)
def test_a_cut_set_is_told(labels, classes):
  told = few_classes(labels, classes)
  assert told and f"{len(labels)} images are of {len(set(labels.tolist()))} of" in told


@pytest.mark.parametrize("classes", [2, 10, 100, 1000])
@pytest.mark.parametrize("count", [5, 10, 20, 72, 500, 10_000])
def test_a_random_choice_is_not_told(count, classes):
  rng = np.random.default_rng(0)
  assert not any(few_classes(rng.integers(0, classes, count), classes) for _ in range(100))


def test_few_images_and_one_class_say_nothing():
  assert few_classes(np.zeros(4, int), 10) is None
  assert few_classes(np.zeros(500, int), 1) is None
  assert few_classes([], 10) is None


def test_that_there_may_be_more_classes_is_said():
  assert "of 1 of 9 or more classes only" in few_classes(np.full(8, 8), 9, known=False)


@pytest.mark.parametrize(
  ("pixels", "mend"),
  [
    (np.linspace(0, 1, 40 * 64, dtype=np.float32), "np.rint(255 * x_test).astype(np.uint8)"),
    (np.linspace(0, 255, 40 * 64), "np.rint(x_test).astype(np.uint8)"),
    (np.linspace(-2.1, 2.6, 40 * 64), "normalised"),
    (np.arange(40 * 64), "scale them to 0..255"),
    (np.full(40 * 64, np.nan), "NaN"),
    (np.full(40 * 64, 1j), "complex128"),
  ],
)
def test_pixels_of_another_dtype_are_refused_with_what_makes_them_uint8(pixels, mend, write_npz):
  path = write_npz(x_test=pixels.reshape(40, 8, 8, 1))
  with pytest.raises(InputError) as error:
    data.load(path, "test")
  assert "must be uint8" in str(error.value) and mend in str(error.value)

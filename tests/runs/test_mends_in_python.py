"""What Python is given by mistake is refused with the mend that fits it, or told at the first look."""

import re
import warnings

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import linear

import rsjax
from rsjax.errors import ResultWarning

LABELS = np.arange(6) % 2
VARIABLES = (np.ones(16, np.float32) / 4, np.float32(-2.0))


@pytest.fixture
def g():
  return rsjax.smooth(linear, VARIABLES, sigma=0.25)


@pytest.fixture
def pictures():
  return np.random.default_rng(0).integers(0, 256, (6, 4, 4, 1), np.uint8)


def test_numbers_of_classes_are_no_real_outputs(pictures):
  answers = rsjax.smooth(lambda v, x: jnp.argmax(linear(v, x), 1), VARIABLES, sigma=0.25)
  both = rsjax.smooth(lambda v, x: linear(v, x) > 0, VARIABLES, sigma=0.25)
  for smoothed in (answers, both):
    with pytest.raises(
      rsjax.InputError, match=r"must return real numbers .* return the logits and use certify"
    ):
      smoothed.certify_value(pictures, epsilon=0.1, n=1000, progress=False)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_a_function_of_real_numbers_is_sent_to_certify_value(shape, pictures):
  score = rsjax.smooth(lambda v, x: linear(v, x)[:, 1].reshape(shape), VARIABLES, sigma=0.25)
  for use in (score.certify, score.predict, score.check):
    with pytest.raises(rsjax.InputError, match="give a function of real numbers to certify_value"):
      use(pictures)


@pytest.mark.parametrize(
  ("noise", "mend"),
  [
    ("uniform", "give rsjax.Uniform(sigma)"),
    ("Laplace", "give rsjax.Laplace(sigma)"),
    (rsjax.Uniform, "give rsjax.Uniform(sigma)"),
    (rsjax.GridGaussian, "give rsjax.GridGaussian(sigma)"),
    (rsjax.Columns, "give rsjax.Columns(band)"),
    ("pink", "give one such as rsjax.Uniform(0.25)"),
    (0.25, "give sigma=0.25"),
  ],
)
def test_a_noise_without_its_parameters_is_refused(noise, mend):
  with pytest.raises(rsjax.InputError, match=re.escape(mend)):
    rsjax.smooth(linear, VARIABLES, noise=noise)


@pytest.mark.parametrize(
  ("settings", "said"),
  [
    (dict(radii="0.1,0.25"), r"radii must be numbers, such as \[0.25, 0.5\], got '0.1,0.25'"),
    (dict(tolerance="5%"), "such as 0.05 for 5 %, got '5%'"),
    (dict(time_budget="10m"), "seconds, got '10m': give 600 for ten minutes"),
  ],
)
def test_what_a_command_takes_as_text_is_refused_with_the_number(settings, said, g, pictures):
  with pytest.raises(rsjax.InputError, match=said):
    g.certify(pictures, progress=False, **settings)


@pytest.mark.parametrize("name", ["n", "n0", "alpha", "seed", "radii", "tolerance", "give_up", "time_budget"])
@pytest.mark.parametrize("value", [True, False])
def test_true_and_false_are_no_numbers(name, value, g, pictures):
  """Python counts them as 1 and 0: a sigma of 1 would be certified where `sigma=True` stands by mistake."""
  more = {"radii": [0.1]} if name == "give_up" else {}
  with pytest.raises(rsjax.InputError, match=f"{value}|tolerance of 0"):
    g.certify(pictures, LABELS, progress=False, **{name: value}, **more)


def test_a_sigma_is_no_truth_and_no_text():
  for sigma in (True, False, "0.25"):
    for use in (lambda: rsjax.smooth(linear, VARIABLES, sigma=sigma), lambda: rsjax.Uniform(sigma)):  # noqa: B023
      with pytest.raises(rsjax.InputError, match=f"sigma must be a number .*, got {re.escape(repr(sigma))}$"):
        use()


@pytest.mark.parametrize(
  ("wrap", "shown"),
  [
    (lambda y: (y, y), "a tuple of 2"),
    (lambda y: [y], "a list of 1"),
    (lambda y: {"logits": y, "state": y}, "a dict of logits, state"),
  ],
)
def test_what_an_apply_returns_besides_logits_is_to_be_left_out(wrap, shown, pictures):
  both = rsjax.smooth(lambda v, x: wrap(linear(v, x)), VARIABLES, sigma=0.25)
  with pytest.raises(rsjax.InputError, match=f"got {shown}: return only the logits, an array"):
    both.certify(pictures, progress=False)
  with pytest.raises(rsjax.InputError, match=f"got {shown}: return only these numbers, an array"):
    both.certify_value(pictures, epsilon=0.1, n=1000, progress=False)


def test_radii_in_grey_levels_are_told(g, pictures):
  found = g.certify(pictures, LABELS, n=100, progress=False)
  for use in (found.certified_accuracy, found.table):
    with pytest.warns(ResultWarning, match=r"pixels in \[0, 1\], but 128 is asked for: divide .* by 255"):
      use([64, 128])
    with warnings.catch_warnings():
      warnings.simplefilter("error")
      use([0.25, 3])


def test_radii_of_an_attack_are_no_text(g, pictures):
  with pytest.raises(rsjax.InputError, match=r"such as \[0.25, 0.5\], got '0.1,0.25'"):
    g.attack(pictures, LABELS, radii="0.1,0.25", progress=False)


@pytest.mark.parametrize(
  ("images", "mend"),
  [
    (np.full((6, 4, 4, 1), 65535, np.uint16), r"give np.rint\(image / 257\).astype\(np.uint8\)"),
    (np.full((6, 4, 4, 1), 255, np.uint16), r"give .astype\(np.uint8\) if its values are 0 to 255"),
    (np.full((6, 4, 4, 1), 4000, np.int64), "scale its values to 0..255, as uint8"),
    (np.full((6, 4, 4, 1), 0.5, np.float16), r"give .astype\(np.float32\)"),
    (np.ones((6, 4, 4, 1), bool), r"give .astype\(np.float32\)"),
  ],
)
def test_images_of_other_dtypes_are_refused_with_the_mend(images, mend, g):
  with pytest.raises(rsjax.InputError, match=mend):
    g.certify(images, progress=False)


def test_what_is_no_result_file_is_sent_to_what_reads_it(tmp_path):
  with pytest.raises(rsjax.InputError, match=r"is a folder: .* rsjax.load takes the folder of a classifier"):
    rsjax.read(tmp_path)
  for paths in (tmp_path / "x.tsv.json", str(tmp_path / "x.tsv.json"), iter([tmp_path / "x.tsv.json"])):
    with pytest.raises(rsjax.InputError, match=r"is the manifest of a result file: give \S+x\.tsv$"):
      rsjax.read(paths)


@pytest.mark.parametrize(
  ("sigma", "said"), [(1e-4, "hardly changes the columns"), (100, "hides the columns"), (0.5, None)]
)
def test_a_sigma_off_the_scale_of_a_table_is_told(sigma, said):
  rows = np.random.default_rng(0).normal(0, [0.5, 1, 2, 0.8], (40, 4)).astype(np.float32)
  smoothed = rsjax.smooth(
    lambda v, x: jnp.stack([x @ v, -x @ v], 1), np.ones(4, np.float32), sigma, inputs="arrays"
  )
  told = [text for text in smoothed.check(rows).warnings if "standard deviation" in text]
  assert [said in text for text in told] == ([] if said is None else [True])
  if said:
    with pytest.warns(ResultWarning, match=said):
      smoothed.certify(rows, n=100, progress=False)


@pytest.mark.parametrize("scale", [np.asarray, lambda x: x.astype(np.float32) / 255], ids=["uint8", "float32"])
def test_images_on_two_scales_are_told(scale, g):
  pictures = np.random.default_rng(0).integers(0, 256, (24, 4, 4, 1), np.uint8)
  mixed = np.where(np.arange(24)[:, None, None, None] % 2, pictures, pictures // 16)
  assert any("12 of 24 images are dark" in text for text in g.check(scale(mixed)).warnings)
  assert not any("are dark" in text for text in g.check(scale(pictures)).warnings)
  with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    g.certify(scale(mixed), n=100, progress=False)
  assert any("have all of them one scale?" in str(one.message) for one in caught)

"""Radii in other norms: what follows from a noise's own radius, never more, and always by its name."""

import numpy as np
import pytest
from helpers import DIGITS, linear, ran, refused

import rsjax
from rsjax import analysis, analyze, bounds, results
from rsjax.errors import InputError
from rsjax.noise import Gaussian, GridGaussian


@pytest.mark.parametrize("noise", [Gaussian(0.25), GridGaussian(0.25)])
def test_l1_and_linf_radii_follow_from_l2(noise):
  radii = np.array([0.0, 1e-6, 0.123456, 0.95])
  for norm in ("l1", "l2"):
    np.testing.assert_array_equal(bounds.in_norm(radii, noise, norm), radii)
  found = bounds.in_norm(radii, noise, "linf", 3072)
  exact = radii / np.sqrt(3072)
  assert np.all((found <= exact) & (found > exact - 1.01e-6) & (found >= 0))
  assert bounds.in_norm(1.0, noise, "linf", 4) == pytest.approx(0.499999)  # downward, also where 0.5 is exact


def test_the_linf_radius_of_a_half_space_is_exact():
  """It is |w . x + b| / |w|_1, which for w = (1, ..., 1) is the l2 radius divided by sqrt(d)."""
  d, margin = 64, 0.3
  assert bounds.in_norm(margin, Gaussian(1.0), "linf", d) <= margin * np.sqrt(d) / d
  assert 1.02 * bounds.in_norm(margin, Gaussian(1.0), "linf", d) > margin * np.sqrt(d) / d


def test_what_does_not_follow_is_refused():
  with pytest.raises(InputError, match="in 'l0'"):
    bounds.in_norm(0.5, Gaussian(1.0), "l0", 4)
  with pytest.raises(InputError, match="number of an image's pixels"):
    bounds.in_norm(0.5, Gaussian(1.0), "linf")


def test_analyze_names_the_norm_everywhere(tmp_path, capsys):
  said = ran(analyze.main, [DIGITS[1], "--norm", "linf", "-o", tmp_path / "t", "--intervals"], capsys)
  assert "at linf radius" in said.out
  assert "(linf, pixels" in said.out
  assert "| linf radius |" in (tmp_path / "t/certified_accuracy.md").read_text()
  assert r"\ell_{\infty}" in (tmp_path / "t/certified_accuracy.tex").read_text()
  assert '"norm": "linf"' in (tmp_path / "t/certified_accuracy.json").read_text()
  file = results.read(DIGITS[1])
  wanted = bounds.in_norm(file.columns["radius"], Gaussian(0.25), "linf", 64)
  found = analysis.with_norm(file, "linf")
  np.testing.assert_array_equal(found.columns["radius"], wanted)
  assert analysis.summarize([found], [0.0])[0]["ACR"] == pytest.approx(
    wanted[file.columns["correct"] == 1].sum() / len(file)
  )


def test_a_file_in_another_norm_is_analysed_again_in_that_norm():
  file = results.read(DIGITS[1])
  one = analysis.with_alpha(analysis.with_norm(file, "linf"), 1e-6)
  other = analysis.with_norm(analysis.with_alpha(file, 1e-6), "linf")
  np.testing.assert_array_equal(one.columns["radius"], other.columns["radius"])
  assert not [text for text in analysis.warnings([one], ["x"], []) if "votes" in text]


def test_norms_are_not_mixed():
  file = results.read(DIGITS[1])
  both = [file, analysis.with_norm(file, "linf")]
  for show in (lambda: analysis.summarize(both, [0.0]), lambda: analysis.plot(both, ())):
    with pytest.raises(InputError, match="radii in l2 and linf"):
      show()
  with pytest.raises(InputError, match="already in linf"):
    analysis.with_norm(both[1], "l1")


def test_files_that_do_not_say_enough_are_refused(linear_variables, images, tmp_path, capsys):
  g = rsjax.smooth(linear, linear_variables, sigma=0.5)
  labels = np.zeros(6, int)
  found = g.certify(images, labels, n=1000, progress=False)
  assert analysis.with_norm(found.results, "linf").settings["dimension"] == 16
  about = {key: value for key, value in found.results.manifest["about"].items() if key != "image_shape"}
  without = results.Results(**(vars(found.results) | {"manifest": found.results.manifest | {"about": about}}))
  with pytest.raises(InputError, match="number of an image's pixels"):
    analysis.with_norm(without, "linf")
  stopped = g.certify(images, labels, radii=[0.1, 0.3], n=10_000, progress=False).results
  with pytest.raises(InputError, match=r"stopped at grid radii 0\.1, 0\.3, in l2"):
    analysis.with_norm(stopped, "linf")
  analysis.with_norm(stopped, "l1")
  predicted = g.predict(images, labels, file=tmp_path / "p.tsv", progress=False).results
  with pytest.raises(InputError, match="has no radii"):
    analysis.with_norm(predicted, "l1")
  refused(analyze.main, [tmp_path / "p.tsv", "--norm", "l1"], capsys, "has no radii")

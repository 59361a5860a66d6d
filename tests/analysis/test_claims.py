"""Whether a file supports a claimed certified accuracy."""

import dataclasses
import math
import re
import shutil
from fractions import Fraction

import helpers
import numpy as np
import pytest

from rsjax import results
from rsjax.analysis import claims, leaderboard, norms, statistics
from rsjax.errors import InputError


@pytest.fixture(scope="module")
def digits():
  """72 images at sigma 0.25; 58 are right with a radius above 0.25: 0.8056."""
  return results.read(helpers.DIGITS[1])


def verdict(file, text, **settings):
  return claims.judge(file, claims.parse(text), **settings)


def cut(file, rows, **settings):
  """The first rows of a file whose manifest expects all."""
  manifest = file.manifest | {"settings": file.settings | settings}
  columns = {name: column[:rows] for name, column in file.columns.items()}
  return dataclasses.replace(file, columns=columns, manifest=manifest)


@pytest.mark.parametrize(
  ("text", "accuracy", "radius"),
  [
    ("0.61 at 0.25", Fraction(61, 100), 0.25),
    ("61% at .25", Fraction(61, 100), 0.25),
    (" 61.5 % @ l2 radius 1 ", Fraction(123, 200), 1.0),
    ("1 at 0", Fraction(1), 0.0),
  ],
)
def test_a_claim_is_an_accuracy_at_a_radius(text, accuracy, radius):
  claim = claims.parse(text)
  assert (claim.accuracy, claim.radius) == (accuracy, radius)


@pytest.mark.parametrize(
  ("text", "mend"),
  [
    ("61 at 0.25", "give 61% at 0.25"),
    ("120% at 1", "above 100 %"),
    ("0.61", "ACCURACY at RADIUS"),
    ("0,61 at 0,25", "ACCURACY at RADIUS"),
    ("-0.1 at 0.25", "ACCURACY at RADIUS"),
    ("nan at 1", "ACCURACY at RADIUS"),
    ("", "ACCURACY at RADIUS"),
  ],
)
def test_what_is_no_claim_is_refused_with_the_mend(text, mend):
  with pytest.raises(InputError, match=mend):
    claims.parse(text)


@pytest.mark.parametrize(
  ("text", "supported"),
  [
    ("0.80 at 0.25", True),
    ("0.81 at 0.25", True),  # as tables round 0.8056
    ("0.8056 at 0.25", True),
    ("80.6% at 0.25", True),
    ("0.82 at 0.25", False),
    ("0.8057 at 0.25", False),
    ("81% at 0.26", False),
    ("0.00 at 9", True),
    ("1 at 0.25", False),  # few digits do not make a claim weak
    ("0.9 at 0.25", False),
  ],
)
def test_a_claim_is_compared_as_it_is_rounded(digits, text, supported):
  assert verdict(digits, text).supported is supported


def test_no_claim_is_supported_by_a_file_whose_manifest_was_taken_away(digits, tmp_path):
  copied = tmp_path / "sigma_0.25.tsv"
  shutil.copy(digits.path, copied)
  said = verdict(results.read_any(copied), "0.81 at 0.25")
  assert not said.supported and "without its manifest sigma_0.25.tsv.json" in str(said)


@pytest.mark.parametrize("hits", [1, 179, 180, 302, 303, 360])
@pytest.mark.parametrize("text", ["0.8417 at 0", "84.17% at 0", "0.84166667 at 0", "0.5 at 0", "0.000 at 0"])
def test_the_numbers_that_a_verdict_shows_compare_as_it_says(hits, text):
  """303 of 360 images, 0.84166..., support 0.8417, which stands for 0.84165 and more."""
  zeros = np.zeros(360, np.int64)
  columns = {"idx": np.arange(360), "label": zeros, "predict": zeros, "radius": zeros + 0.5}
  columns["correct"] = (np.arange(360) < hits).astype(np.int64)
  manifest = {"settings": {"command": "certify"}, "about": {}, "sessions": []}
  said = verdict(results.Results("x", manifest, columns, None), text)
  found = re.search(r", ([0-9.]+) against ([0-9.]+) claimed, which stands for at least ([0-9.]+)$", said.head)
  shown, claimed, least = map(Fraction, found.groups())
  assert said.supported is (shown >= least) and claimed == claims.parse(text).accuracy
  assert shown <= Fraction(hits, 360) < shown + Fraction(1, 10_000)


def test_the_verdict_says_what_was_compared(digits):
  said = str(verdict(digits, "0.81 at 0.25", name="mine"))
  low, high = statistics.accuracy_interval(58, 72)
  for text in (
    "supported by mine: 58 of 72 images",
    "radius > 0.25",
    "0.8055 against 0.81",
    f"95 % interval (Clopper-Pearson) for the number of images: {low:.4f} to {high:.4f}",
    "at most 2 of the 72 are, so that at least 56 of 72 are right, 0.7777, which is below the claim",
    "a subset, 72 of the split's 360 images",
  ):
    assert text in said


def more(b, images, alpha):
  """The probability that a binomial variable is above b, as a sum."""
  return sum(math.comb(images, k) * alpha**k * (1 - alpha) ** (images - k) for k in range(b + 1, images + 1))


@pytest.mark.parametrize(
  ("images", "alpha", "rho"), [(500, 0.001, 0.001), (72, 0.01, 0.05), (10, 0.5, 0.2), (3, 0.001, 0.5)]
)
def test_how_many_certificates_are_wrong_is_the_binomial_quantile(images, alpha, rho):
  """The smallest number that is exceeded with probability rho at most."""
  most = statistics.most_wrong(images, alpha, rho)
  assert more(most, images, alpha) <= rho
  assert most == 0 or more(most - 1, images, alpha) > rho
  with pytest.raises(InputError):
    statistics.most_wrong(images, 0.0, rho)


def test_with_rho_what_may_be_wrong_is_taken_off_first(digits):
  assert verdict(digits, "0.80 at 0.25").supported
  corrected = verdict(digits, "0.80 at 0.25", rho=0.001)
  assert not corrected.supported and "less 2 that may be wrong" in corrected.head
  assert verdict(digits, "0.77 at 0.25", rho=0.001).supported  # 56 of 72


def test_missing_images_count_as_wrong(digits):
  part = cut(digits, 60)
  there = int(statistics.certified(part, [0.25])[0])
  said = verdict(part, "0.80 at 0.25")
  assert not said.supported and "not shown" in said.head
  assert "12 of 72 images are missing and count as wrong" in str(said)
  assert f"the accuracy would be {math.floor(10_000 * there / 72) / 10_000}" in str(said)  # rounded down
  sure = there - statistics.most_wrong(60, 0.001, 0.001)
  assert f"at least {sure} of 72 are right, {math.floor(10_000 * sure / 72) / 10_000}" in str(said)
  assert "of the 60 that are there" in str(said) and "no 95 % interval" in str(said)
  assert verdict(part, "0.60 at 0.25").supported  # whatever the missing ones are
  assert "not supported" in verdict(part, "0.99 at 0.25").head  # whatever they are


def test_images_that_were_chosen_say_nothing_of_the_others(digits):
  said = str(verdict(cut(digits, 72, indices="0,5-355"), "0.80 at 0.25"))
  assert "says nothing of the others" in said


def test_images_that_stopped_at_grid_radii_give_lower_bounds(digits):
  plan = {"id": "x", "looks": [100, 100_000], "alphas": [0.0005, 0.0005]}
  stopped = cut(digits, 72, plan=plan, stop={"rule": "radii", "radii": [0.0, 0.25], "give_up": 0.0})
  columns = {name: column for name, column in stopped.columns.items() if "votes" not in name}
  stopped = dataclasses.replace(stopped, columns=columns)
  off, at = verdict(stopped, "0.99 at 0.3"), verdict(stopped, "0.99 at 0.25")
  assert "not shown" in off.head and "a lower bound" in str(off)
  assert "not supported" in at.head and "lower bound" not in str(at)


def test_a_file_that_contradicts_itself_supports_nothing(digits):
  columns = digits.columns | {"radius": digits.columns["radius"] + 0.1}
  said = verdict(dataclasses.replace(digits, columns=columns), "0.50 at 0.25")
  assert not said.supported and "something contradicts the file: 72 radii are above" in str(said)


@pytest.mark.parametrize("name", ["skip", "seed", "dtype", "split", "precision", "checkpoint", "dataset", "n0"])
def test_a_file_whose_manifest_lacks_a_setting_supports_nothing(digits, name):
  """What `rsjax.check` calls a contradiction is one here, too."""
  settings = {key: value for key, value in digits.settings.items() if key != name}
  lacking = dataclasses.replace(digits, manifest=digits.manifest | {"settings": settings})
  assert claims.contradicting(lacking) == [f"its manifest lacks {name}"]
  said = verdict(lacking, "0.50 at 0.25")
  assert not said.supported and f"lacks {name}" in str(said) and "supports" not in str(said)


def test_a_file_of_the_papers_code_is_judged_with_what_is_not_known_of_it(tmp_path):
  path = tmp_path / "x.tsv"
  path.write_text("idx\tlabel\tpredict\tradius\n" + "".join(f"{i}\t0\t0\t0.500000\n" for i in range(100)))
  said = verdict(results.read_any(path), "1.00 at 0.25")
  assert said.supported and "taken to be 0.001" in str(said) and "no manifest" in str(said)
  assert verdict(results.read_any(path), "1.00 at 0.5").supported is False
  assert verdict(results.read_any(path), "1.00 at 0.5", rule="paper").supported


def test_the_radii_of_the_leaderboard_are_those_of_the_data_set(digits):
  named = lambda name: dataclasses.replace(digits, manifest=digits.manifest | {"about": {"dataset": name}})
  assert leaderboard.radii_of([named("cifar10"), named("cifar10_exact.npz")]) == (0.25, 1.0, 2.0)
  assert leaderboard.radii_of([named("imagenet")]) == (1.0, 2.0)
  for wrong in (["cifar100"], ["digits"], ["cifar10", "imagenet"]):
    with pytest.raises(InputError, match="leaderboard"):
      leaderboard.radii_of([named(name) for name in wrong])


def test_numpy_is_not_part_of_a_verdict(digits):
  found = verdict(digits, "0.81 at 0.25").as_dict()
  assert type(found["supported"]) is bool and not isinstance(found["supported"], np.bool_)


@pytest.mark.parametrize(
  ("text", "norm"),
  [
    ("0.5 at 0.25", None),
    ("0.5 at radius 0.25", None),
    ("0.5 at l2 radius 0.25", "l2"),
    ("50% @ L1 radius 0.25", "l1"),
    ("0.5 at linf radius 0.01", "linf"),
    ("0.5 at patch width 5", "patch"),
  ],
)
def test_a_claim_may_name_its_norm(text, norm):
  assert claims.parse(text).norm == norm


@pytest.mark.parametrize("shown", ["l1", "l2", "linf"])
def test_a_claim_is_held_against_radii_of_its_norm_alone(digits, shown):
  file = norms.with_norm(digits, shown)
  for named in ("l1", "l2", "linf", "patch"):
    claim = f"0.0 at {'patch width' if named == 'patch' else f'{named} radius'} 0.25"
    if named == shown:
      assert verdict(file, claim).supported
      continue
    with pytest.raises(InputError, match=rf"names the {named} .*has the {shown} radius: give `norm`"):
      verdict(file, claim)
  said = str(verdict(file, "0.0 at 0.25"))
  assert f"with a certified {shown} radius > 0.25" in said
  taken = f"the claim names no norm: its radius was taken for the {shown} radius, as the file has it"
  assert (taken in said) == (shown != "l2")


def test_a_claim_on_patches_names_patches():
  file = results.read(helpers.ROOT / "experiments" / "results" / "noises" / "columns.tsv")
  assert "taken for the patch width" in str(verdict(file, "0.0 at 1"))
  assert verdict(file, "0.0 at patch width 1").supported
  with pytest.raises(InputError, match="has the patch width"):
    verdict(file, "0.0 at l2 radius 0.3")


PAPERS = [(20 * i, 3, 3 if i % 4 else 5, 0.9) for i in range(500)]  # 375 of 500 are right


@pytest.mark.parametrize(
  ("rows", "claim", "why"),
  [
    ([row for row in PAPERS if row[1] == row[2]], "1.00 at 0.25", "images are missing between others"),
    (PAPERS[:250], "0.74 at 0.25", "may be incomplete: 250 rows"),
    (PAPERS[100:], "0.75 at 0.25", "begin with image 2,000"),
    ([(*row[:3], 255 * row[3]) for row in PAPERS], "0.75 at 1", "its radii are too large"),
    (
      [(i, 3, 3, 0.0) if i % 80 == 0 else (i, *row) for i, *row in PAPERS],
      "0.99 at 0",
      "radius 0, which proves",
    ),
    (
      [(*row[:3], 0.3) for row in PAPERS],
      "0.75 at 0.28",
      "375 rows count perhaps only because radii were rounded",
    ),
  ],
)
def test_without_a_manifest_what_is_odd_in_a_file_leaves_a_claim_open(rows, claim, why, tmp_path):
  """The numbers may be right, and nothing says so."""
  for given, supported in ((PAPERS, True), (rows, False)):
    path = tmp_path / "noise_0.25" / "sigma_0.25"
    path.parent.mkdir(exist_ok=True)
    lines = ["idx\tlabel\tpredict\tradius", *("\t".join(map(str, row)) for row in given)]
    path.write_text("\n".join(lines) + "\n")
    found = verdict(results.read_any(path), "0.75 at 0.25" if supported else claim)
    assert found.supported == supported
    assert supported or (": not shown by" in found.head and why in str(found))

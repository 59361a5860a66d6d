"""python -m rsjax.attack, and what analyze and check say of its files."""

import json
import shutil

import pytest
from helpers import DIGITS, ran, refused, without_time

from rsjax import analysis, analyze, attack, certify, check, results
from rsjax.errors import InputError


@pytest.fixture(scope="module")
def pair(trained, tmp_path_factory):
  """Result files of certify and of attack, on 16 digits."""
  made = tmp_path_factory.mktemp("pair")
  certified, attacked = made / "certified.tsv", made / "attacked.tsv"
  images = ["digits", trained, "0.25"]
  which = ["--skip", "20", "--max", "16", "--N", "500", "--batch", "512"]
  assert certify.main([*images, str(certified), *which]) == 0
  search = ["--radii", "0.1,0.3,0.6", "--steps", "3", "--noise-vectors", "4"]
  assert attack.main([*images, str(attacked), *which, *search]) == 0
  return certified, attacked, [*images, str(attacked), *which, *search]


@pytest.fixture
def copied(pair, tmp_path):
  """The pair, to be changed."""
  for path in pair[:2]:
    for ending in ("", ".json"):
      shutil.copy(f"{path}{ending}", tmp_path / f"{path.name}{ending}")
  return tmp_path / "certified.tsv", tmp_path / "attacked.tsv"


def test_the_same_command_continues_and_other_settings_are_refused(pair, copied, capsys, tmp_path):
  _, whole, argv = pair
  _, part = copied
  part.write_bytes(b"".join(whole.read_bytes().splitlines(keepends=True)[:4]) + b"60\t")
  argv = [str(part) if text == str(whole) else text for text in argv]
  told = ran(attack.main, argv, capsys)
  assert "robust accuracy is at most" in told.out and "16 of 16 images" in told.out
  assert without_time(part) == without_time(whole)
  refused(attack.main, [*argv, "--method", "ddn"], capsys, 'method was "pgd", is now "ddn"', folder=tmp_path)
  refused(attack.main, [*argv, "--noise-kind", "grid"], capsys, "Gaussian noise", folder=tmp_path)
  refused(attack.main, [*argv, "--steps", "0"], capsys, "--steps must be", folder=tmp_path)
  refused(attack.main, [*argv, "--radii", "a,b"], capsys, "--radii must be numbers", folder=tmp_path)
  refused(
    attack.main, [*argv, "--radii", "0.5,64"], capsys, "divide radii in grey levels by 255", folder=tmp_path
  )
  told = ran(attack.main, [*argv[:3], str(tmp_path / "new.tsv"), *argv[4:], "--dry-run"], capsys)
  assert "nothing was written" in told.out and not (tmp_path / "new.tsv").exists()


def test_analyze_shows_both_bounds_of_robust_accuracy(pair, capsys, tmp_path):
  certified, attacked, _ = pair
  told = ran(analyze.main, [certified, attacked, "-o", tmp_path / "t"], capsys)
  assert "robust accuracy is between" in told.out and "at most (PGD, 3 steps, 4 draws)" in told.out
  said = json.loads((tmp_path / "t" / "certified_accuracy.json").read_text())
  [gap], [file] = said["attacks"], said["files"]
  low, high = file["certified_accuracy"], gap["robust_accuracy_at_most"]
  assert all(a <= b for a, b in zip(low, high)) and gap["contradictions"] == []
  table = (tmp_path / "t" / "robust_accuracy.md").read_text()
  assert "at most" in table and f"- {attacked} beside {certified}: 16 images in both" in table
  assert "at most" in ran(analyze.main, [attacked], capsys).out
  assert "nothing contradicts" in ran(check.main, [attacked], capsys).out
  told = ran(analyze.main, [certified, "-o", tmp_path / "t"], capsys)
  assert "t/robust_accuracy.md is left from other files" in told.err


def test_an_example_inside_a_certified_radius_is_told_and_fails(copied, capsys):
  certified, attacked = copied
  rows = results.read(attacked).columns
  inside = next(i for i, e in zip(rows["idx"], rows["epsilon"]) if 0 < e < 1)
  lines = [line.split("\t") for line in certified.read_text().splitlines()]
  for line in lines[1:]:
    if line[0] == str(inside):
      line[2], line[3], line[4] = line[1], "0.700000", "1"
  certified.write_text("".join("\t".join(line) + "\n" for line in lines))
  assert analyze.main([str(certified), str(attacked), "--claim", "0 at 0"]) == 1
  said = capsys.readouterr()
  assert f"CONTRADICTION: image {inside}: class" in said.err and "inside the radius 0.700000" in said.err
  out = " ".join(said.out.split())  # such a file supports no claim, not even one that is always true
  assert ": supported" not in out and f"something contradicts the file: image {inside}: class" in out


@pytest.mark.parametrize("beside", [True, False])
def test_what_contradicts_an_attacks_file_is_told_with_and_without_certificates(beside, copied, capsys):
  certified, attacked = copied
  assert "warning: " not in ran(analyze.main, [attacked], capsys).err
  lines = [line.split("\t") for line in attacked.read_text().splitlines()]
  for line in lines[1:]:
    line[lines[0].index("epsilon")] = line[lines[0].index("norm")] = "none"
  attacked.write_text("".join("\t".join(line) + "\n" for line in lines))
  manifest = results.manifest_path(attacked)
  said = json.loads(manifest.read_text())
  del said["settings"]["seed"]
  manifest.write_text(json.dumps(said))
  told = ran(analyze.main, [*[certified] * beside, attacked], capsys).err
  assert "have a wrong answer and no example" in told and "its manifest lacks seed" in told


def test_only_images_in_both_files_are_compared(copied, capsys):
  certified, attacked = copied
  lines = attacked.read_text().splitlines(keepends=True)
  attacked.write_text("".join(lines[:9]))
  told = ran(analyze.main, [certified, attacked], capsys)
  assert "only the 8 images that are in both are shown, 8 images are not" in told.err
  assert "incomplete, 8 of 16 images" in told.err


def test_what_does_not_belong_together_is_refused(pair, capsys, tmp_path, trained):
  certified, attacked, _ = pair
  other = ["fits no file of certificates", "its checkpoint is"]
  refused(analyze.main, [DIGITS[1], attacked], capsys, *other, folder=tmp_path)
  refused(analyze.main, [DIGITS[2], attacked], capsys, "its sigma is 0.25, not 0.5", folder=tmp_path)
  refused(analyze.main, [certified, attacked, "--norm", "linf"], capsys, "--norm does not go", folder=tmp_path)
  refused(
    analyze.main, [attacked, "-o", tmp_path / "t"], capsys, "give the file of rsjax.certify", folder=tmp_path
  )
  refused(check.main, [attacked, "--checkpoint", trained], capsys, "not drawn again", folder=tmp_path)
  foreign = tmp_path / "sigma_0.5.txt"  # the same radii, and nothing says of which classifier
  lines = certified.read_text().splitlines()
  foreign.write_text("".join("\t".join(line.split("\t")[:6]) + "\n" for line in lines))
  unknown = "it is not known of which classifier", "for want of a manifest"
  refused(analyze.main, [foreign, attacked], capsys, *unknown, folder=tmp_path)
  with pytest.raises(InputError, match=unknown[0]):
    analysis.compare(results.read_any(foreign), results.read(attacked))


def edit_manifest(path, change):
  manifest = json.loads(results.manifest_path(path).read_text())
  change(manifest["settings"])
  results.manifest_path(path).write_text(json.dumps(manifest))


@pytest.mark.parametrize(
  "name", ["plan", "norm", "method", "iterations", "noise_vectors", "verifications", "seed", "alpha"]
)
def test_a_setting_that_an_attack_lost_is_told(name, copied, capsys):
  path = copied[1]
  edit_manifest(path, lambda settings: settings.pop(name))
  assert check.main([str(path)]) == 1
  assert f"its manifest lacks {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
  ("changes", "said"),
  [
    ({"norm": "linf"}, "says norm linf, but for its radii and method it is l2"),
    ({"verifications": 1}, "says verifications 1, but for its radii and method it is 4"),
    ({"verifications": 9}, "says verifications 9, but for its radii and method it is 4"),
    ({"method": "both"}, "says verifications 4, but for its radii and method it is 7"),
    ({"radii": [0.1, 0.3, 0.6, 0.9]}, "says verifications 4, but for its radii and method it is 5"),
    ({"radii": [0.3, 0.1, 0.6]}, "its attack is not possible: radii must increase"),
    ({"iterations": 0}, "its attack is not possible: `iterations`"),
    ({"iterations": 30}, "a number of draws that its radii cannot have taken"),
    ({"noise_vectors": 4000}, "a number of draws that its radii cannot have taken"),
  ],
)
def test_settings_of_an_attack_that_do_not_go_together_are_told(changes, said, copied, capsys):
  path = copied[1]
  edit_manifest(path, lambda settings: settings.update(changes))
  assert check.main([str(path)]) == 1
  assert said in capsys.readouterr().out
  assert said in "".join(analysis.Found(results.read(path)).contradictions())


@pytest.mark.parametrize("draws", ["1", "12", str(10**9)])
def test_draws_that_an_attack_cannot_have_taken_are_told(draws, copied, capsys):
  path = copied[1]
  lines = [line.split("\t") for line in path.read_text().splitlines()]
  lines[3][lines[0].index("draws")] = draws
  path.write_text("".join("\t".join(line) + "\n" for line in lines))
  assert check.main([str(path)]) == 1
  assert (
    f"1 row has a number of draws that its radii cannot have taken; the first is of image {lines[3][0]}"
    in (capsys.readouterr().out)
  )


def test_the_number_of_images_that_is_told_is_that_of_the_table(copied, capsys):
  certified, attacked = copied
  attacked.write_text("".join(attacked.read_text().splitlines(keepends=True)[:9]))
  told = ran(analyze.main, [certified, attacked], capsys)
  assert "with 8 images, the 95 %" in told.err and "with 16 images" not in told.err

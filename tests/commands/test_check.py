"""The command check: a good file passes, and whatever was edited is found."""

import functools
import json
import re
import shutil
import types

import helpers
import numpy as np
import pytest
from looks import write_file

import rsjax
from rsjax import analyze, certify, check, data, predict, results, train
from rsjax.noise import Gaussian
from rsjax.procedures import Certify, CertifyByLooks, PredictByLooks, Radii, Tolerance
from rsjax.runs import checking, split

DIGITS = str(helpers.DIGITS[1])
refused = functools.partial(helpers.refused, check.main)


@pytest.fixture(scope="module")
def made(trained, tmp_path_factory):
  """The folder of files of digits: c.tsv of CERTIFY, looks.tsv of it by looks, p.tsv of PREDICT by looks."""
  folder = tmp_path_factory.mktemp("made")
  common = lambda name: ["digits", trained, "0.25", str(folder / name), "--skip", "60", "--seed", "7"]
  assert certify.main([*common("c.tsv"), "--N", "300"]) == 0
  assert certify.main([*common("looks.tsv"), "--N", "2000", "--N0", "auto", "--radii", "0.1,0.25"]) == 0
  assert predict.main([*common("p.tsv"), "--N", "400"]) == 0
  return folder


@pytest.fixture
def copy(made, tmp_path):
  """copy(name) -> the path of a copy of a file and its manifest."""

  def copied(name="c.tsv"):
    for ending in ("", ".json"):
      shutil.copy(made / f"{name}{ending}", tmp_path / f"{name}{ending}")
    return tmp_path / name

  return copied


def edit_manifest(path, change):
  manifest = json.loads(results.manifest_path(path).read_text())
  change(manifest)
  results.manifest_path(path).write_text(json.dumps(manifest))


def edit_row(path, row=0, **cells):
  """Replaces cells of a row; a cell may be a function of what stands there."""
  lines = [line.split("\t") for line in path.read_text().splitlines()]
  for name, value in cells.items():
    place = lines[0].index(name)
    lines[row + 1][place] = value(lines[row + 1][place]) if callable(value) else value
  path.write_text("".join("\t".join(line) + "\n" for line in lines))


def ran(code, capsys, *argv):
  """What check says, which must end with this exit code; each contradiction has a line of its own."""
  assert check.main([str(a) for a in argv]) == code
  out, err = capsys.readouterr()
  count = len(re.findall(r"^contradiction: ", out, re.MULTILINE))
  assert (count > 0) == (code == 1)
  if code == 1:
    assert f"rsjax.check: {results.plural(count, 'contradiction')} in {argv[0]}\n" in err
  return out


@pytest.mark.parametrize("name", ["c.tsv", "looks.tsv", "p.tsv"])
def test_a_good_file_passes(name, made, trained, capsys):
  out = ran(0, capsys, made / name)
  assert f"{made / name}: nothing contradicts" in out and "drawn again" not in out
  assert len(re.findall(r"^sha256 of .*: [0-9a-f]{64}$", out, re.MULTILINE)) == 2
  assert len(re.findall(r", as the manifest says: [0-9a-f]{64}$", out, re.MULTILINE)) == 2
  assert bool(re.search(r"^plan, as the manifest says: [0-9a-f]{16}$", out, re.MULTILINE)) == (name != "c.tsv")
  out = ran(0, capsys, made / name, "--checkpoint", trained, "--rows", 3)
  for said in ("manifest", "images: 6 rows of 6, those of --skip 60", "votes:", "data set:", "checkpoint:"):
    assert f"checked: {said}" in out
  assert re.search(
    r"^checked: votes drawn again: images \d+, \d+, \d+, [\d,]+ draws, chosen by --seed \d+$", out, re.M
  )
  assert "note" not in out


def test_a_seed_chooses_the_rows(made, trained, capsys):
  say = lambda *flags: re.findall(
    "drawn again: (.*)", ran(0, capsys, made / "c.tsv", "--checkpoint", trained, "--rows", "2", *flags)
  )
  assert say("--seed", "3") == say("--seed", "3") != say("--seed", "4")
  seed = re.search(r"--seed (\d+)", say()[0])[1]
  assert f"--seed {seed}" in say("--seed", seed)[0]
  assert say("--rows", "99", "--seed", "1")[0].startswith("images 0, 60, 120, 180, 240, 300, 2,400 draws")


def test_several_files_are_checked_in_turn(made, copy, tmp_path, capsys):
  good, bad, other = str(made / "p.tsv"), copy("c.tsv"), copy("looks.tsv")
  raised(bad)
  raised(other)
  assert check.main([good, str(bad), str(other)]) == 1
  out, err = capsys.readouterr()
  assert f"{good}: nothing contradicts" in out
  assert f"2 contradictions in {bad}, {other}\n" in err
  assert check.main([str(bad), str(tmp_path / "none.tsv")]) == 2  # and nothing is said of the first
  out, err = capsys.readouterr()
  assert "none.tsv" in err and not out


def test_an_earlier_versions_file_passes(capsys):
  assert "nothing contradicts" in ran(0, capsys, DIGITS, "--data", "digits")


def test_an_incomplete_file_is_said_and_does_not_contradict(copy, trained, capsys):
  path = copy()
  path.write_text("".join(path.read_text().splitlines(keepends=True)[:4]))
  for flags in ([], ["--checkpoint", trained]):
    assert "note: incomplete, 3 of 6 images" in ran(0, capsys, path, *flags)
  path.write_text("")
  assert "incomplete, 0 of 6 images" in ran(0, capsys, path, "--checkpoint", trained)


def raised(path):
  edit_row(path, radius=lambda text: f"{float(text) + 0.01:.6f}")


def dense(text):
  """int64[10] of the votes in a row of digits."""
  classes, votes, _ = results.parse_votes(text)
  found = np.zeros(10, np.int64)
  found[classes] = votes
  return found


def one_moved(votes):
  """The votes with one draw moved to another class: their sum is as it was."""
  moved = votes.copy()
  moved[votes.argmax()] -= 1
  moved[votes.argmin()] += 1
  return moved


def edited_votes(path):
  edit_row(path, votes=lambda text: results.format_votes(one_moved(dense(text)), 0))


def too_many_votes(path):
  edit_row(path, votes=lambda text: f"{text},invalid:5")


def correct(path):
  edit_row(path, correct=lambda text: str(1 - int(text)))


def another_sigma(path):
  edit_manifest(path, lambda m: m["settings"].update(sigma=0.5))


def cut(path):
  path.write_text("".join(path.read_text().splitlines(keepends=True)[:4]))
  edit_manifest(path, lambda m: m.update(expected=3))


def another_plan(path):
  edit_manifest(path, lambda m: m["settings"]["plan"]["alphas"].reverse())


def no_sessions(path):
  edit_manifest(path, lambda m: m["sessions"].clear())


def one_unit_more(path):
  edit_row(path, radius=lambda text: f"{float(text) + 1e-6:.6f}")


def other_looks(path):
  """The plan of another first look, as if it had been chosen; the rows follow from it."""

  def change(manifest):
    procedure = CertifyByLooks(n0="auto", n=2000, stop=Radii((0.1, 0.25)), first=50)
    manifest["settings"] |= procedure.settings()

  edit_manifest(path, change)


def no_split(path):
  edit_manifest(path, lambda manifest: manifest["settings"].pop("split"))


def no_seed(path):
  edit_manifest(path, lambda m: m["settings"].pop("seed"))


def doubled(column, cell):
  """The column a second time, with other cells."""

  def tamper(path):
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([f"{column}\t{header}", *(f"{cell}\t{row}" for row in rows)]) + "\n")

  return tamper


def in_manifest(**changes):
  """A change of a manifest: `settings__noise=None` takes a value away, others set it."""

  def tamper(path):
    def change(manifest):
      for name, value in changes.items():
        *parts, last = name.split("__")
        place = functools.reduce(lambda node, part: node[part], parts, manifest)
        place.pop(last) if value is None else place.update({last: value})

    edit_manifest(path, change)

  return tamper


@pytest.mark.parametrize(
  ("name", "tamper", "said"),
  [
    ("c.tsv", in_manifest(settings__noise=None), "its manifest lacks noise"),
    ("c.tsv", in_manifest(settings__dtype="float64"), "dtype float64, in which rsjax does not compute"),
    ("p.tsv", in_manifest(sessions=[{}]), "a session of its manifest lacks rsjax, jax, device"),
    ("c.tsv", in_manifest(about__image_shape=[1, 1, 1]), "images are [1, 1, 1], but the checkpoint is for"),
    ("c.tsv", in_manifest(about__checkpoint__num_classes=7), "but its manifest says that there are 7 classes"),
    (
      "c.tsv",
      in_manifest(settings__norm="linf", settings__dimension=1),
      "radii, which are l2 for this noise, are linf for inputs of 1 numbers, but inputs have 64 numbers",
    ),
    ("c.tsv", raised, "1 radius is above what the votes certify; the first is of image 0"),
    ("looks.tsv", raised, "1 radius is above what the votes certify; the first is of image 0"),
    ("c.tsv", edited_votes, "the first is of image 0"),
    ("p.tsv", edited_votes, "1 row does not follow from its votes; the first is of image 0"),
    ("c.tsv", too_many_votes, "line 2: votes are 305, not 300"),
    ("c.tsv", correct, "line 2: correct does not say whether predict is the label"),
    ("c.tsv", another_sigma, "are below what the votes certify"),
    ("c.tsv", cut, "its images, or their number, do not match --skip 60"),
    ("looks.tsv", another_plan, "the plan is called"),
    ("c.tsv", one_unit_more, "1 radius is above what the votes certify"),
    ("looks.tsv", other_looks, "its plan of looks is not the one that rsjax makes"),
    ("c.tsv", no_split, "its manifest lacks split"),
    ("c.tsv", no_sessions, "lists no session"),
    ("p.tsv", no_seed, "its manifest lacks seed"),
    ("c.tsv", in_manifest(about__images=None), "its manifest lacks about.images"),
    ("p.tsv", in_manifest(about__images=None), "its manifest lacks about.images"),
    ("c.tsv", doubled("radius", "9.9"), "line 1 is not the header of a result file"),
    ("p.tsv", doubled("predict", "1"), "line 1 is not the header of a result file"),
  ],
)
def test_what_was_edited_is_found_without_a_checkpoint(name, tamper, said, copy, capsys):
  path = copy(name)
  tamper(path)
  lines = [line for line in ran(1, capsys, path).splitlines() if line.startswith("contradiction: ")]
  assert any(said in line for line in lines), lines


@pytest.mark.parametrize(
  ("changes", "said"),
  [
    ({"about__checkpoint": {}}, "that the checkpoint's arch is None, but it is convnet"),
    *(({"about__checkpoint": junk}, "checkpoint's arch is None, but it is") for junk in ("junk", None, [1], 7)),
    ({"about__checkpoint__training__objective": {"name": "macer"}}, "training.objective.name is macer"),
    ({"about__checkpoint__training__epochs": 90}, "training.epochs is 90"),
    ({"about__checkpoint__dataset_digest": "0"}, "dataset_digest is 0"),
  ],
)
def test_whatever_a_manifest_says_of_the_checkpoint_is_compared(changes, said, copy, trained, capsys):
  path = copy()
  in_manifest(**changes)(path)
  assert said in ran(1, capsys, path, "--checkpoint", trained, "--rows", 1)


def test_the_shape_of_images_is_that_of_the_data(copy, capsys):
  path = copy()
  in_manifest(about__image_shape=[1, 1, 1], about__checkpoint__image_shape=[1, 1, 1])(path)
  out = ran(1, capsys, path, "--data", "digits")
  assert "that images are [1, 1, 1], but those of digits are [8, 8, 1]" in out


def test_a_file_of_a_format_without_noise_names_none(copy, capsys):
  path = copy()
  in_manifest(format="rsjax-results-1")(path)
  refused([path], capsys, "names no noise, which was always Gaussian")


def another_seed(path):
  edit_manifest(path, lambda m: m["settings"].update(seed=8))


def consistent(path, row, votes0, votes, procedure):
  """Puts votes into a row, and all that follows from them."""
  found = procedure.outcome(votes0, votes, Gaussian(0.25))
  file = results.read(path)
  cells = results.row_of(0, found, int(file.columns["label"][row]), 0.1)
  there = path.read_text().splitlines()[0].split("\t")
  edit_row(path, row, **{name: cells[name] for name in there if name not in ("idx", "label", "time")})


def made_up(path):
  votes = np.zeros(10, np.int64)
  votes[2] = 300
  consistent(path, 1, votes // 3, votes, Certify(n=300))


@pytest.mark.parametrize(
  ("name", "tamper", "said"),
  [
    ("c.tsv", another_seed, "draws vote otherwise when they are drawn again"),
    ("looks.tsv", another_seed, "draws vote otherwise when they are drawn again"),
    ("p.tsv", another_seed, "draws vote otherwise when they are drawn again"),
    ("c.tsv", made_up, "image 60: "),
  ],
)
def test_made_up_votes_are_found_by_drawing_again(name, tamper, said, copy, trained, capsys):
  path = copy(name)
  tamper(path)
  assert "nothing contradicts" in ran(0, capsys, path, "--data", "digits")
  assert said in ran(1, capsys, path, "--checkpoint", trained, "--rows", 6)


def test_an_edited_label_is_found_with_the_data(copy, trained, capsys):
  path = copy()
  predicted = results.read(path).columns["predict"]
  row = int(np.flatnonzero(predicted >= 0)[0])
  right = results.read(path).columns["correct"][row]
  label = (predicted[row] + 1) % 10 if right else predicted[row]
  edit_row(path, row, label=str(label), correct=str(1 - right))
  assert "nothing contradicts" in ran(0, capsys, path)
  for flags in (["--data", "digits"], ["--checkpoint", trained, "--rows", "1"]):
    out = ran(1, capsys, path, *flags)
    assert f"1 label differs from that of digits; the first is of image {60 * row}" in out


def test_another_data_set_and_another_checkpoint_contradict(made, trained, small_npz, tmp_path, capsys):
  assert "its data set has digest" in ran(1, capsys, made / "c.tsv", "--data", small_npz)
  other = tmp_path / "other"
  arguments = ["digits", "convnet", other, "--noise", "0.25", "--epochs", "1", "--batch", "256", "--seed", "5"]
  assert train.main([str(a) for a in arguments]) == 0
  capsys.readouterr()
  out = ran(1, capsys, made / "c.tsv", "--checkpoint", other)
  assert "its checkpoint has digest" in out and "nothing is drawn again" in out


def test_what_the_manifest_says_of_checkpoint_and_data_set_is_compared(copy, trained, capsys):
  for name, value in (("arch", "cifar_resnet110"), ("noise_sd", 0.5), ("epoch", 90)):
    path = copy()
    edit_manifest(path, lambda manifest, new={name: value}: manifest["about"]["checkpoint"].update(new))
    said = ran(1, capsys, path, "--checkpoint", trained, "--rows", 1)
    assert f"its manifest says that the checkpoint's {name} is {value}, but it is" in said
  path = copy()
  edit_manifest(path, lambda manifest: manifest["about"].update(dataset="cifar10"))
  assert "its manifest names the data set cifar10, not digits" in ran(1, capsys, path, "--data", "digits")
  edit_manifest(path, lambda manifest: manifest["settings"].pop("split"))
  refused([path, "--data", "digits"], capsys, "lacks split")


def test_rounding_that_always_favours_the_selected_class_contradicts(copy, trained, capsys, monkeypatch):
  monkeypatch.setattr(checking, "_CHANCE", 0.05)  # as for more rows than these six
  path = copy()
  file = results.read(path)
  for row, text in enumerate(file.columns["votes"]):
    votes = dense(text)
    leader = int(votes.argmax())
    others = np.delete(np.arange(10), leader)
    loser = int(others[votes[others].argmax()])
    moved = min(int(votes[loser]), 2)
    votes[leader], votes[loser] = votes[leader] + moved, votes[loser] - moved
    consistent(path, row, dense(file.columns["votes0"][row]), votes, Certify(n=300))
  edit_manifest(path, lambda manifest: manifest["sessions"][0].update(jax="0.0"))
  assert "rounding would be fair" in ran(1, capsys, path, "--checkpoint", trained, "--rows", 6)


def test_votes_may_differ_by_rounding_on_another_device_and_no_further(copy, trained, capsys):
  path = copy()
  edit_manifest(path, lambda m: m["sessions"][0].update(device="another"))
  votes0, votes = (dense(results.read(path).columns[name][0]) for name in ("votes0", "votes"))
  consistent(path, 0, votes0, one_moved(votes), Certify(n=300))
  out = ran(0, capsys, path, "--checkpoint", trained, "--rows", 6)
  assert "note: image 0: 1 of 400 draws vote otherwise when they are drawn again, as rounding may" in out
  assert "device was another" in out
  edit_manifest(path, lambda m: m["settings"].update(seed=8))
  assert "contradiction: image" in ran(1, capsys, path, "--checkpoint", trained, "--rows", 6)


def test_rounding_cannot_make_votes_unanimous(copy, trained, capsys):
  """Where few draws vote otherwise, few logits nearly tie; and there a few votes change a radius most."""
  path = copy()
  edit_manifest(path, lambda m: m["sessions"][0].update(device="another"))
  file = results.read(path)
  counts = [dense(text) for text in file.columns["votes"]]
  row = next(row for row, votes in enumerate(counts) if 3 <= 300 - votes.max() <= 30)
  unanimous = np.where(np.arange(10) == counts[row].argmax(), 300, 0)
  consistent(path, row, dense(file.columns["votes0"][row]), unanimous, Certify(n=300))
  assert "nothing contradicts" in ran(0, capsys, path)
  moved = 300 - counts[row].max()
  assert f"contradiction: image {60 * row}: {moved} of" in ran(
    1, capsys, path, "--checkpoint", trained, "--rows", 6
  )


def test_a_rule_that_would_have_ended_sooner_is_found(copy, trained, capsys):
  path = copy("looks.tsv")
  assert results.read(path).columns["n"].max() > 100
  edit_manifest(path, lambda m: m["settings"]["stop"].update(radii=[0.0]))
  assert "nothing contradicts" in ran(0, capsys, path)
  out = ran(1, capsys, path, "--checkpoint", trained, "--rows", 6)
  assert "by its manifest's rule, drawing ends after 100 draws, not" in out


def test_parameters_of_the_noise_must_go_together(copy, capsys):
  for change, said in (
    (dict(noise="uniform", noise_lambda=1.7), "noise_lambda is 1.7, but for this noise it is 0.433"),
    (dict(noise="laplace", noise_scale=0.7), "noise_scale is 0.7, but for this noise it is 0.1767"),
    (dict(noise="grid", noise_guard=0), "its noise is not possible: grid noise must have"),
  ):
    path = copy()
    edit_manifest(path, lambda m, new=change: m["settings"].update(new))
    assert said in ran(1, capsys, path)


def as_looks(n0, n):
  """What `consistent` needs of a procedure: CERTIFY by looks that ended with so many draws."""
  looks = CertifyByLooks(n0="auto", n=2000)
  return types.SimpleNamespace(outcome=lambda v0, v, noise: looks.outcome(v0, n0, v, n, noise))


def drawn(trained, path, row, n0, n):
  """The votes of a row's first n0 draws and of the n after them."""
  selection = data.Selection(indices=(60 * row,))
  fixed = split.run("digits", trained, Gaussian(0.25), Certify(n0, n), path, selection, seed=7)
  return (dense(fixed.columns[name][0]) for name in ("votes0", "votes"))


def test_an_image_that_was_ended_early_is_drawn_again_up_to_its_look(copy, trained, tmp_path, capsys):
  """By a time budget, say: whatever ended it, its row tells its draws."""
  path = copy("looks.tsv")
  row = int(results.read(path).columns["n"].argmax())
  n0 = int(results.parse_column(results.read(path).columns["votes0"]).draws()[row])
  votes0, votes = drawn(trained, tmp_path / "f.tsv", row, n0, 126)
  consistent(path, row, votes0, votes, as_looks(n0, 126))
  assert results.read(path).columns["n"][row] == 126
  assert "nothing contradicts" in ran(0, capsys, path, "--checkpoint", trained, "--rows", 6)
  consistent(path, row, votes0, one_moved(votes), as_looks(n0, 126))
  assert f"contradiction: image {60 * row}: 1 of" in ran(1, capsys, path, "--checkpoint", trained, "--rows", 6)


def test_selection_draws_that_were_not_asked_for_are_found(copy, trained, tmp_path, capsys):
  """n0 auto draws more where the first draws leave two classes close, and only there."""
  path = copy("looks.tsv")
  n0 = results.parse_column(results.read(path).columns["votes0"]).draws()
  for row in (int(n0.argmin()), int(n0.argmax())):
    other = 1100 - int(n0[row])
    votes0, votes = drawn(trained, tmp_path / f"{row}.tsv", row, other, 2000)
    path = copy("looks.tsv")
    consistent(path, row, votes0, votes, as_looks(other, 2000))
    if other == 1000:
      assert "nothing contradicts" in ran(0, capsys, path)
    else:  # these votes are the first ones, and leave two classes close
      assert "1 row has fewer selection draws than n0 = auto asks for" in ran(1, capsys, path)
    out = ran(1, capsys, path, "--checkpoint", trained, "--rows", 6)
    assert f"image {60 * row}: its first draws ask for another number of selection draws" in out


def test_a_file_made_in_python_is_checked_without_a_checkpoint(tmp_path, linear_variables, images, capsys):
  path = tmp_path / "mine.tsv"
  g = rsjax.smooth(helpers.linear, linear_variables, sigma=0.25)
  g.certify(images, np.zeros(6, int), n=200, file=path, progress=False)
  assert "nothing contradicts" in ran(0, capsys, path)
  refused([path, "--data", "digits"], capsys, "was made in Python")


@pytest.mark.parametrize(
  ("flags", "said"),
  [
    (["missing.tsv"], ["there is no result file missing.tsv"]),
    ([str(helpers.ROOT / "README.md")], ["has no manifest README.md.json beside it"]),
    ([DIGITS, "--rows", "3"], ["give --checkpoint"]),
    ([DIGITS, "--checkpoint", "missing"], ["no checkpoint at"]),
    ([DIGITS, "--checkpoint", "missing", "--rows", "0"], ["--rows must be at least 1"]),
    ([DIGITS, "--checkpoint", "missing", "--seed", "-1"], ["--seed must be at least 0"]),
    ([DIGITS, "--data", "missing.npz"], ["unknown data set 'missing.npz'"]),
  ],
)
def test_bad_input(flags, said, capsys, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  refused(flags, capsys, *said)


def test_check_runs_where_jax_is_not_installed():
  helpers.run_without_jax("check", [DIGITS, "--data", "digits"])


JUNK = (None, "x", -1, 0, 1.5, [], {}, True, [1], {"rule": "radii"}, {"id": "1"}, 10**30, float("inf"))


@pytest.mark.parametrize(
  ("name", "procedure"),
  [
    ("fixed", Certify(n=500)),
    ("radii", CertifyByLooks(n0="auto", n=2000, stop=Radii((0.1, 0.25)))),
    ("tolerance", CertifyByLooks(n=2000, stop=Tolerance())),
    ("predict", PredictByLooks(n=2000)),
  ],
)
def test_no_manifest_makes_a_traceback(name, procedure, tmp_path, capsys):
  """Whatever stands in it: a contradiction, bad input, or nothing that matters."""
  path = tmp_path / name
  write_file(path, procedure, images=5)
  manifest = results.manifest_path(path)
  original = manifest.read_text()
  whole = json.loads(original)
  parts = ("settings", "about")
  places = [(part, key) for part in parts for key in whole[part]]
  places += [("settings", "shard"), ("settings", "indices"), ("settings", "start"), ("settings", "plan")]
  places += [("about", "notes"), ("about", "joined"), ("about", "checkpoint"), ("sessions", 0)]
  places += [
    ("settings", name) for name in ("norm", "radii", "iterations", "noise_vectors", "method", "procedure")
  ]
  for part, key in places:
    for value in JUNK:
      changed = json.loads(original)
      changed[part][key] = value
      manifest.write_text(json.dumps(changed))
      assert check.main([str(path)]) in (0, 1, 2), (part, key, value)
      assert analyze.main([str(path)]) in (0, 2), (part, key, value)
      if (part, key) in (("settings", "n"), ("settings", "alpha"), ("settings", "stop"), ("settings", "plan")):
        assert check.main([str(path)]) or (value is None and procedure.n_varies is False), (part, key, value)
  capsys.readouterr()


@pytest.mark.parametrize(
  "record", ["attack_gap/attack_0.25.tsv", "noises/splitting.tsv", "stopping/digits_0.25/radii.tsv"]
)
def test_no_manifest_of_a_record_makes_a_traceback(record, tmp_path, capsys):
  """As above, for attacks and exact certificates, and for what stands deeper in a manifest."""
  path = tmp_path / "record.tsv"
  source = helpers.ROOT / "experiments" / "results" / record
  path.write_text("".join(source.read_text().splitlines(keepends=True)[:4]))
  whole = json.loads(results.manifest_path(source).read_text()) | {"expected": 3}
  places = [("settings", key) for key in whole["settings"]]
  places += [("about", "checkpoint", key) for key in whole["about"]["checkpoint"]]
  places += [("settings", part, key) for part in ("plan", "stop") for key in whole["settings"].get(part, ())]
  for *parts, key in places:
    for value in (None, "x", 1.5, [], {}, [1], "gone"):
      changed = json.loads(json.dumps(whole))
      place = functools.reduce(lambda node, part: node[part], parts, changed)
      place[key] = value
      if value == "gone":
        del place[key]
      results.manifest_path(path).write_text(json.dumps(changed))
      assert check.main([str(path)]) in (0, 1, 2), (parts, key, value)
      assert analyze.main([str(path)]) in (0, 2), (parts, key, value)
  capsys.readouterr()

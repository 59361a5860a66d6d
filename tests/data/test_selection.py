"""Which images of a split: whatever is asked for is there, once, in that order, or is refused."""

import json

import pytest

from rsjax.cli import arguments
from rsjax.data import Selection
from rsjax.errors import InputError


def parsed(*argv):
  parser = arguments.run_parser("certify", "", "")
  return arguments.selection(parser.parse_args(["digits", "m", "0.25", "out", *argv]))


@pytest.mark.parametrize(
  ("argv", "wanted"),
  [
    ((), list(range(10))),
    (("--skip", "4"), [0, 4, 8]),
    (("--start", "1", "--skip", "4"), [1, 5, 9]),
    (("--start", "7", "--max", "2"), [7, 8]),
    (("--max", "-1"), list(range(10))),
    (("--max", "99"), list(range(10))),
    (("--indices", "3,1, 5-7"), [3, 1, 5, 6, 7]),
    (("--indices", "3,1,5-7", "--max", "3"), [3, 1, 5]),
    (("--indices", "3,1,5-7", "--shard", "2/2"), [1, 6]),
    (("--skip", "2", "--shard", "1/2"), [0, 4, 8]),
  ],
)
def test_the_images_that_were_asked_for(argv, wanted):
  assert parsed(*argv).of(10) == wanted


def test_indices_may_stand_in_a_file(tmp_path):
  path = tmp_path / "chosen.txt"
  path.write_text("# those of the appendix\n3\n1, 8 # and\n5-6\n")
  assert parsed("--indices", str(path)).of(10) == [3, 1, 8, 5, 6]
  path.write_text("idx\n3\n")
  with pytest.raises(InputError, match=r"chosen.txt must be numbers such as 0,20,40-49.*got 'idx'"):
    parsed("--indices", str(path))


@pytest.mark.parametrize("shards", [1, 2, 3, 7])
def test_shards_have_every_image_once_also_when_max_grows(shards):
  parts = lambda most: [Selection(3, most, shard=(i, shards)).of(100) for i in range(1, shards + 1)]
  for most in (10, 20, None):
    assert sorted(i for part in parts(most) for i in part) == Selection(3, most).of(100)
  for small, large in zip(parts(10), parts(20)):
    assert large[: len(small)] == small


@pytest.mark.parametrize(
  ("argv", "message"),
  [
    (("--skip", "0"), "skip must be at least 1"),
    (("--max", "0"), "max must be at least 1"),
    (("--start", "-1"), "start must be at least 0"),
    (("--start", "10"), "start must be below 10"),
    (("--indices", "3,10"), "indices must be from 0 to 9, the images of the split, got 10"),
    (("--indices", "3,1,3"), "3 occurs more than once"),
    (("--indices", "5-3"), "give the smaller number first"),
    (("--indices", "3;4"), "must be numbers such as"),
    (("--indices", ""), "must be numbers such as"),
    (("--indices", "3", "--skip", "2"), "cannot be combined with `skip` or `start`"),
    (("--indices", "3", "--start", "2"), "cannot be combined with `skip` or `start`"),
    (("--shard", "0/4"), "with I from 1 to N, got 0/4"),
    (("--shard", "5/4"), "with I from 1 to N, got 5/4"),
    (("--shard", "2"), "--shard must be I/N"),
    (("--max", "2", "--shard", "3/4"), "shard 3/4 has no image: give at most 2 shards"),
  ],
)
def test_what_cannot_be_selected_is_refused(argv, message):
  with pytest.raises(InputError, match=message):
    parsed(*argv).of(10)


def test_manifests_say_only_what_was_given():
  """So that files that were begun before there were shards are continued."""
  assert Selection(20, 5).settings() == {"skip": 20, "max": 5}
  assert Selection(indices=(0, 1, 2, 7, 9, 10), shard=(2, 3)).settings() == {
    "skip": 1,
    "max": None,
    "indices": "0-2,7,9-10",
    "shard": "2/3",
  }
  assert Selection(start=3).settings()["start"] == 3


@pytest.mark.parametrize(
  "selection",
  [
    Selection(),
    Selection(20, 5),
    Selection(3, start=2, shard=(2, 3)),
    Selection(indices=(7, 3, 4, 5), max_images=3),
    Selection(indices=(0, 1, 2, 7), shard=(1, 2)),
  ],
)
def test_a_manifest_tells_the_selection(selection):
  settings = json.loads(json.dumps({"sigma": 0.25, **selection.settings()}))
  assert Selection.from_settings(settings) == selection


@pytest.mark.parametrize(
  ("settings", "message"),
  [
    ({"skip": "3"}, "skip must be an integer, got '3'"),
    ({"skip": None}, "skip must be an integer"),
    ({"skip": 0}, "skip must be at least 1"),
    ({"skip": True}, "skip must be an integer"),
    ({"max": 2.5}, "max must be an integer"),
    ({"start": -1}, "start must be at least 0"),
    ({"indices": [0, 1]}, "indices must be text"),
    ({"indices": "5-3"}, "indices: 5-3 is not a range"),
    ({"shard": "3"}, "shard must be I/N"),
    ({"shard": "4/3"}, "with I from 1 to N"),
  ],
)
def test_a_manifest_that_tells_none_is_refused(settings, message):
  with pytest.raises(InputError, match=message):
    Selection.from_settings({"skip": 1, "max": None} | settings)

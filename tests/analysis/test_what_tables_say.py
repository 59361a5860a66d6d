"""Tables, plots and names of rows say what a reader could not know: norm, unit, alpha, few draws, which run."""

import csv
import dataclasses
import io

import numpy as np
import pytest
from small_files import made

from rsjax import analysis
from rsjax.errors import InputError

SHAPE = {"image_shape": [2, 2, 1]}
UNUSUAL = {
  "linf radius": lambda: analysis.with_norm(made(about=SHAPE), "linf"),
  "l1 radius": lambda: made(noise="uniform"),
  "radii in units of the inputs": lambda: made(inputs="arrays"),
  "alpha = 0.5": lambda: made(alpha=0.5),
  "n = 20": lambda: made(n=20),
}


def legend(figure):
  return " ".join(text.get_text() for text in figure.axes[0].get_legend().get_texts())


@pytest.mark.parametrize("said", UNUSUAL)
def test_what_is_unusual_is_said_by_every_table_and_plot(said):
  file = UNUSUAL[said]()
  rows = analysis.summarize([file], [0.0, 0.25])
  found = analysis.Found(file)
  for text in (analysis.table([file], [0.0]), analysis.text(rows), found.table([0.0]), repr(found)):
    assert said in text
  figure = found.plot()
  assert said.removeprefix("radii ") in figure.axes[0].get_xlabel() + legend(figure)


@pytest.mark.parametrize("said", ["linf radius", "l1 radius", "radii in units of the inputs"])
def test_norm_and_unit_stand_in_markdown_and_csv(said):
  rows = analysis.summarize([UNUSUAL[said]()], [0.0, 0.25])
  assert said.removeprefix("radii ") in analysis.markdown(rows)
  lines = [*csv.DictReader(io.StringIO(analysis.csv(rows)))]
  assert {f"{line['norm']} radius" for line in lines} == {said if "radius" in said else "l2 radius"}
  assert {line["unit"] for line in lines} == {
    "in units of the inputs" if "units" in said else "pixels in [0, 1]"
  }


def test_what_is_usual_is_not_said():
  table = analysis.table([made()], [0.0])
  assert len(table.splitlines()) == 2 and "n =" not in table and "alpha" not in table
  assert repr(analysis.Found(made())).startswith("4 images certified, sigma = 0.25: ")


def test_what_is_unusual_of_one_row_alone_is_said_of_it_whatever_the_rows_are_called():
  files = [made(), made("other.tsv", alpha=0.5)]
  rows = analysis.summarize(files, [0.0], names=["mine", "yours"])
  assert analysis.text(rows, intervals=False).splitlines()[-1] == "yours: alpha = 0.5"
  assert "yours, alpha = 0.5" in legend(analysis.plot(files, names=["mine", "yours"]))


DIFFERENT = {
  "seed": {"seed": 1},
  "images or labels": {"dataset": "e" * 64},
  "variables": {"checkpoint": "e" * 64},
  "name": {"classifier": "mine"},
  "n0": {"n0": 50},
  "alpha": {"alpha": 0.01},
  "n": {"n": 1000},
  "rows alone": {"radius": (0.4, 0.3, 0.0, 0.2)},
}


@pytest.mark.parametrize("names", [None, ["net"] * 3], ids=["named by settings", "named alike"])
@pytest.mark.parametrize("what", DIFFERENT)
def test_runs_that_differ_have_different_names(what, names):
  files = [made("(in memory)"), made("(in memory)", **DIFFERENT[what]), made("a.tsv", **DIFFERENT[what])]
  found = analysis.labels(files, names)
  assert len({*found}) == 3
  assert len({*(row["name"] for row in analysis.summarize(files, [0.0], names=names))}) == 3


OTHER_IMAGES = {
  "data eeeeeeee": {"dataset": "e" * 64},
  "images 4 to 7": {"idx": np.arange(4, 8)},
  "4 images from 0 to 6": {"idx": np.arange(0, 8, 2)},
}


@pytest.mark.parametrize("names", [None, ["one", "other"]], ids=["named by settings", "named"])
@pytest.mark.parametrize("said", OTHER_IMAGES)
def test_runs_on_other_images_are_told_apart_by_them_also_if_their_sigmas_differ(said, names):
  """Else a reader would compare their accuracies, which only the command `analyze` warned of."""
  changes = dict(OTHER_IMAGES[said])
  index = changes.pop("idx", None)
  files = [made("(in memory)"), made("(in memory)", sigma=0.5, **changes)]
  if index is not None:
    files[1].columns["idx"] = index
  one, other = analysis.labels(files, names)
  assert said in other and said not in one
  assert said in analysis.text(analysis.summarize(files, [0.0], names=names))
  assert said in legend(analysis.plot(files, names=names))
  if names is None:
    assert said in analysis.table(files, [0.0])


def test_runs_of_other_seeds_name_them():
  assert analysis.labels([made(), made(sigma=0.5, seed=1)]) == [
    "sigma = 0.25, seed = 0",
    "sigma = 0.5, seed = 1",
  ]


def test_runs_on_the_same_images_are_not_said_to_differ_in_them():
  found = analysis.labels([made("(in memory)"), made("(in memory)", sigma=0.5)])
  assert found == ["sigma = 0.25", "sigma = 0.5"]


def test_a_run_that_is_given_twice_has_one_name():
  assert len({*analysis.labels([made("(in memory)"), made("(in memory)")])}) == 1


def rows_of(sigma=0.25, radii=(0, 0.25), rule="open", rho=None, **settings):
  return analysis.summarize([made(sigma=sigma, **settings)], radii, rule=rule, rho=rho)


APART = {
  "radii": (rows_of(), rows_of(0.5, (0, 0.5))),
  "order": (rows_of(), rows_of(0.5, (0.25, 0))),
  "norm": (rows_of(), rows_of(noise="laplace")),
  "rule": (rows_of(), rows_of(0.5, rule="paper")),
  "rho": (rows_of(), rows_of(0.5, rho=0.001)),
}


@pytest.mark.parametrize("way", [analysis.text, analysis.markdown, analysis.latex, analysis.caption])
@pytest.mark.parametrize("name", APART)
def test_rows_of_several_calls_that_make_no_table_are_refused(name, way):
  one, other = APART[name]
  differs = {"order": "radii"}.get(name, name)
  for rows in (one + other, other + one):
    with pytest.raises(InputError, match=f"rows whose {differs} differs make no table.*one call of summarize"):
      way(rows)
  assert way(one) and way(one + rows_of(0.5))


def test_of_rows_of_several_calls_the_best_is_marked_only_if_the_images_may_be_the_same():
  other_split, other_images = {"dataset": None, "split": "train"}, {"dataset": "0" * 64}
  for changes, marked in ({}, True), (other_split, False), (other_images, False):
    one, other = made(split="test"), made(radius=(1, 0.6, 0, 0.5), **{"split": "test", "sigma": 0.5, **changes})
    rows = analysis.summarize([one], [0.25]) + analysis.summarize([other], [0.25])
    assert ("**" in analysis.markdown(rows)) == marked


def test_radii_in_grey_levels_are_told():
  for farthest, told in ((64, True), (4, False)):
    text = " ".join(analysis.warnings([made()], ["one"], [0, farthest]))
    assert ("64 is asked for: divide radii in grey levels by 255" in text) == told


def test_warnings_need_a_name_for_each_file():
  with pytest.raises(InputError, match="names must be one per file: got 2 for 1 file"):
    analysis.warnings([made()], ["one", "other"], [0.25])


def test_latex_says_that_a_sigma_is_not_known():
  """An empty cell is the sigma of the row above."""
  unknown = made("theirs.tsv")
  del unknown.settings["sigma"]
  theirs = dataclasses.replace(unknown, expected=None)
  rows = analysis.summarize([made(), theirs, made(seed=1)], [0.25])
  cells = [line.split(" & ")[0] for line in analysis.latex(rows).splitlines() if line.endswith(r"\\")]
  assert cells == [r"$\sigma$", "0.25", "", "?"]

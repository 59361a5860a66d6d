"""Plots drawn one after the other into the same Matplotlib Axes, which may hold a user's own artists."""

import gc
import weakref

import numpy as np
import pytest
import small_files

from rsjax import analysis
from rsjax.analysis import plots
from rsjax.errors import InputError
from rsjax.results import Results

Figure = pytest.importorskip("matplotlib.figure").Figure


def made(path="r.tsv", farthest=0.5, **settings):
  return small_files.made(path, radius=(farthest, 0.3, 0.0, 0.2), **settings)


def attack(farthest=1.5):
  settings = {"command": "attack", "sigma": 0.25, "radii": [0.5, farthest], "norm": "l2", "method": "pgd"}
  columns = {"idx": np.arange(4), "norm": np.array([1.5, 0.0, 0.0, np.inf])}
  return Results("a.tsv", {"settings": settings, "about": {}, "sessions": []}, columns, 4)


@pytest.fixture
def axes():
  return Figure().subplots()


def legend(axes):
  return [text.get_text() for text in axes.get_legend().get_texts()]


def looks(axes):
  """What tells curves apart, and what is said of them."""
  lines = [(line.get_color(), line.get_linestyle(), line._dash_pattern) for line in axes.get_lines()]
  handles = [(line.get_color(), line._dash_pattern) for line in axes.get_legend().legend_handles]
  return lines, handles, legend(axes), axes.get_xlabel(), axes.get_ylabel(), axes.get_xlim(), axes.get_ylim()


WAYS = {
  "found": lambda file, axes: analysis.Found(file).plot(ax=axes),
  "analysis": lambda file, axes: analysis.plot([file], ax=axes),
}
ways = pytest.mark.parametrize("way", WAYS)


@ways
@pytest.mark.parametrize("order", [1, -1])
def test_results_drawn_one_by_one_look_as_those_drawn_at_once(way, order, axes):
  files = [made(farthest=2.0, sigma=0.5), made(), made(n=20, farthest=0.7)][::order]
  for file in files:
    WAYS[way](file, axes)
  assert looks(axes) == looks(analysis.plot(files).axes[0])
  assert axes.get_xlim() == (0, 2.1) and len({line.get_color() for line in axes.get_lines()}) == 3


def test_several_at_once_go_on_where_those_before_them_ended(axes):
  files = [made(f"{i}.tsv", sigma=0.25 * i) for i in range(1, 10)]
  analysis.plot(files[:2], ax=axes)
  analysis.plot(files[2:], ax=axes)
  assert looks(axes) == looks(analysis.plot(files).axes[0])


def test_into_axes_of_a_figure_that_plot_made():
  one, other = made(), made(sigma=0.5)
  figure = analysis.plot([one])
  assert analysis.plot([other], ax=figure.axes[0]) is figure
  assert looks(figure.axes[0]) == looks(analysis.plot([one, other]).axes[0])


REFUSED = {
  "norm": (lambda: made(noise="uniform"), "'l2 radius' .*'l1 radius'"),
  "unit": (lambda: made(inputs="arrays"), "'l2 radius' .*'l2 radius, in units of the inputs'"),
}


@ways
@pytest.mark.parametrize("differ", REFUSED)
def test_what_cannot_be_compared_is_refused_before_anything_is_drawn(differ, way, axes):
  make, words = REFUSED[differ]
  WAYS[way](made(), axes)
  before, children = looks(axes), axes.get_children()
  with pytest.raises(InputError, match=f"{words}.* cannot be compared: .*other axes"):
    WAYS[way](make(), axes)
  assert looks(axes) == before and axes.get_children() == children
  axes.clear()
  WAYS[way](make(), axes)
  assert len(legend(axes)) == 1


def test_equal_names_are_told_apart(axes):
  for name in ("mine", "mine", None, "sigma = 0.25"):
    analysis.plot([made()], ax=axes, names=name and [name])
  assert legend(axes) == ["mine", "mine (2)", "sigma = 0.25", "sigma = 0.25 (2)"]
  analysis.plot([made("other.tsv", sigma=0.5)], ax=axes, names=["mine"])
  assert legend(axes)[-1] == "mine, sigma = 0.5" and len({*legend(axes)}) == 5


def test_names_with_mathematics_and_long_ones_are_shown_as_they_are(axes):
  for name in ("$5_{", "$x$ " + "long " * 20):
    analysis.plot([made(sigma=0.1 * len(name))], ax=axes, names=[name])
  assert not any(text.get_parse_math() for text in axes.get_legend().get_texts())
  assert max(len(line) for text in legend(axes) for line in text.splitlines()) <= 50
  axes.figure.canvas.draw()


def test_bands_thin_lines_and_attacks_go_on_too(axes):
  files = [made(farthest=0.3), made(sigma=0.5)]
  for file in files:
    analysis.plot([file], ax=axes, band=0.95, rho=0.001, attacks=[(0, attack())])
  colours = [line.get_color() for line in axes.get_lines()]
  assert colours[:3] == [colours[0]] * 3 and colours[3:] == [colours[3]] * 3 and colours[0] != colours[3]
  shades = [tuple(shade.get_facecolor()[0, :3]) for shade in axes.collections]
  assert len(shades) == 4 and len({*shades}) == 2 and shades[0] == shades[1]
  names = ["sigma = 0.25", "thin: for all images at once, with probability 0.999", "sigma = 0.5"]
  texts = [text.replace("\n", " ") for text in legend(axes)]
  assert [text for text in texts if "left by" not in text] == names
  assert [text.split(":")[0] for text in texts if "left by" in text] == ["sigma = 0.25", "sigma = 0.5"]
  assert axes.get_xlim() == (0, 1.05 * 1.5)


def test_what_a_user_drew_stays_is_named_and_is_not_cut_off(axes):
  [before] = axes.plot([0, 3], [0.5, 0.4], color="red", label="of a $p^2$aper")
  axes.axhline(0.1)
  points = axes.scatter([4.0], [0.2])
  analysis.plot([made()], ax=axes)
  [between] = axes.plot([0, 1], [0.9, 0.8], label="another")
  analysis.plot([made(sigma=0.5)], ax=axes)
  assert {before, between, points} <= {*axes.get_children()}
  assert legend(axes) == ["sigma = 0.25", "sigma = 0.5", "of a $p^2$aper", "another"]
  assert [text.get_parse_math() for text in axes.get_legend().get_texts()] == [False, False, True, True]
  assert axes.get_xlim()[1] >= 4 and axes.get_ylim() == (0, 1)
  assert [axes.get_lines()[i].get_color() for i in (2, 4)] == [*plots._COLOURS[:2]]


def test_curves_that_a_user_removed_are_not_named(axes):
  for sigma in (0.25, 0.5):
    analysis.plot([made(sigma=sigma)], ax=axes)
  axes.get_lines()[0].remove()
  analysis.plot([made(sigma=1.0)], ax=axes)
  assert legend(axes) == ["sigma = 0.5", "sigma = 1"]
  assert [line.get_color() for line in axes.get_lines()] == [*plots._COLOURS[1:3]]
  axes.clear()
  analysis.plot([made()], ax=axes)
  assert looks(axes) == looks(analysis.plot([made()]).axes[0])


def test_a_figure_that_is_no_longer_used_is_not_kept():
  figure = analysis.plot([made()])
  line = weakref.ref(figure.axes[0].get_lines()[0])
  del figure
  gc.collect()
  assert line() is None

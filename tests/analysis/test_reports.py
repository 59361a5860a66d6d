"""The report: one page, whole, safe, and with the numbers of its files."""

import collections
import dataclasses
import html.parser
import json
import shutil
import sys

import helpers
import numpy as np
import pytest

import rsjax
from rsjax import analysis, results
from rsjax.analysis.reports import classes, images, numbers, seeds
from rsjax.errors import InputError

CIFAR = sorted((helpers.ROOT / "experiments" / "results" / "cifar10_resnet20").glob("*.tsv"))
EVIL = "</title><script>alert(1)</script>\"'><img src=x onerror=alert(1)>-->"


class Page(html.parser.HTMLParser):
  """Elements, ids and text of a page."""

  def __init__(self, text):
    super().__init__()
    self.elements, self.text = [], []
    self.feed(text)

  def handle_starttag(self, tag, attributes):
    self.elements.append((tag, dict(attributes)))

  def handle_data(self, data):
    self.text.append(data)

  def of(self, *tags):
    return [attributes for tag, attributes in self.elements if tag in tags]

  @property
  def words(self):
    return " ".join(" ".join(self.text).split())


def page(path):
  return Page(path.read_text("utf-8"))


def changed(file, settings=None, about=None, columns=None):
  manifest = file.manifest | {
    "settings": file.settings | (settings or {}),
    "about": file.manifest["about"] | (about or {}),
  }
  return dataclasses.replace(file, manifest=manifest, columns=file.columns | (columns or {}))


@pytest.fixture(scope="module")
def digits():
  return results.read(helpers.DIGITS[1])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  """The page on two committed files of CIFAR-10, as the command makes it."""
  from rsjax import analyze

  path = tmp_path_factory.mktemp("report") / "report.html"
  argv = [str(CIFAR[0]), str(CIFAR[2]), "--html", str(path), "--rho", "0.01", "--claim", "0.45 at 0.25"]
  assert analyze.main(argv) == 1  # sigma = 0.5 does not support it
  return page(path)


def test_it_needs_no_network_and_runs_nothing(made):
  for tag, attributes in made.elements:
    assert tag not in ("script", "link", "iframe", "object", "embed", "base")
    for name in ("src", "href", "xlink:href", "srcset", "action"):
      assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)
    assert not any(name.startswith("on") for name in attributes)
  policy = [m["content"] for m in made.of("meta") if m.get("http-equiv") == "Content-Security-Policy"]
  assert policy and "default-src 'none'" in policy[0]


def test_it_is_accessible(made):
  ids = [attributes["id"] for _, attributes in made.elements if "id" in attributes]
  assert len(ids) == len(set(ids))
  for attributes in made.of("a", "use"):
    assert (attributes.get("href") or attributes["xlink:href"])[1:] in ids
  levels = [int(tag[1]) for tag, _ in made.elements if tag in ("h1", "h2", "h3", "h4")]
  assert levels[0] == 1 and levels.count(1) == 1 and max(np.diff(levels)) <= 1
  assert all(a.get("scope") for a in made.of("th")) and made.of("th")
  assert all(a.get("role") == "img" and a.get("aria-label") for a in made.of("svg")) and made.of("svg")
  assert all(a.get("alt") for a in made.of("img"))
  assert made.of("html")[0]["lang"] == "en" and any(m.get("name") == "viewport" for m in made.of("meta"))


def test_it_says_what_a_reader_asks(made):
  for text in (
    "Clopper-Pearson",
    "sigma = 0.25",
    "sigma = 0.5",
    "for all, 0.99",
    "supported by",
    "base classifier, on noisy images",
    "draws/s",
    "42082ae540e5816e6f0d121dfc28b986befabe5dc017ce85d7785ea172636792",
    "a27cecf6ee9529932dc99cf78e4d55e9e4b3e575c71d3aeb1b98ddafa8139206",
    "--skip 5 --max 200 --N0 100 --N 1000 --alpha 0.001",
    "--html",
    "jax 0.10.2",
    "1 x cpu (cpu)",
    "one-sided",
    "n draws for each image, fixed beforehand",
    "which may be chance",  # a warning
  ):
    assert text in made.words, text
  assert "prefers-color-scheme: dark" in " ".join(made.text)


def test_names_from_files_are_text_and_never_elements(digits, tmp_path):
  checkpoint = digits.manifest["about"]["checkpoint"] | {"classes": [EVIL] * 10, "arch": EVIL}
  evil = changed(
    digits,
    settings={"dtype": EVIL, "checkpoint": EVIL, "classifier": EVIL},
    about={"dataset": EVIL, "checkpoint": checkpoint, "notes": [EVIL]},
  )
  session = dict.fromkeys(digits.manifest["sessions"][0], EVIL)
  evil = dataclasses.replace(
    evil, path=f"/tmp/{EVIL}\udcff", notes=(EVIL,), manifest=evil.manifest | {"sessions": [session]}
  )
  path = tmp_path / "report.html"
  analysis.report([evil, digits], path, names=[EVIL, "b"], title=EVIL, command=EVIL)
  found = page(path)
  assert not found.of("script") and found.words.count("<script>alert(1)</script>") > 10
  assert all(a.get("src", "data:").startswith("data:") for a in found.of("img"))
  assert not any(name.startswith("on") for _, attributes in found.elements for name in attributes)


def test_the_base_classifiers_accuracy_is_the_share_of_votes_for_the_label(digits):
  shares = []
  for label, text in zip(digits.columns["label"], digits.columns["votes"]):
    votes = dict(pair.split(":") for pair in text.split(","))
    shares.append(int(votes.get(str(label), 0)) / 100_000)
  found = numbers.base(digits, 0.95)
  assert found["accuracy"] == pytest.approx(np.mean(shares), rel=1e-12)
  assert found["low"] < found["accuracy"] < found["high"]
  assert found["of"] == "estimation" and found["draws"] == 72 * 100_000


def test_votes_that_decided_when_to_stop_say_nothing_of_the_base_classifier(digits):
  stopped = changed(digits, settings={"plan": {}, "stop": {"rule": "anytime"}})
  found = numbers.base(stopped, 0.95)
  assert found["of"] == "selection" and found["draws"] == 72 * 100  # whose number is fixed
  found = numbers.base(changed(stopped, settings={"n0": "auto"}), 0.95)
  assert found["accuracy"] is None and "decided" in found["why"]
  assert numbers.base(results.read_any(CIFAR[0]), 0.9)["of"] == "estimation"


def test_the_histogram_counts_each_image_once_and_knows_the_cap(digits):
  found = numbers.histogram(digits)
  assert sum(map(sum, (found["right"], found["wrong"], found["abstained"]))) == 72
  unanimous = digits.columns["nA"] == digits.columns["n"]
  assert found["unanimous"] == found["at_cap"] == unanimous.sum() > 0
  assert digits.columns["radius"].max() == pytest.approx(found["cap"], abs=1e-6)


@pytest.mark.parametrize(
  ("value", "norm", "text"),
  [
    (0.952864, "l2", "0.952"),
    (0.953, "l2", "0.953"),
    (0.29, "l1", "0.290"),
    (0.0, "l2", "0.000"),
    (5e-06, "l2", "0.000"),
    (0.003199, "linf", "0.00319"),
    (3.0, "patch", "3"),
  ],
)
def test_a_radius_is_never_shown_above_what_is_proved(value, norm, text):
  assert numbers.radius(value, norm) == text


def test_the_report_of_files_that_stopped_early_calls_bounds_and_biased_shares_what_they_are(digits, tmp_path):
  plan = {"id": "x", "looks": [100, 100_000], "alphas": ["0x1p-11", "0x1p-11"]}
  stop = {"rule": "radii", "radii": [0.0, 0.25, 0.5], "give_up": 0.01}
  for name, file in (("fixed", digits), ("stopped", changed(digits, settings={"plan": plan, "stop": stop}))):
    analysis.report([file], tmp_path / "x.html", warnings=[])
    words = page(tmp_path / "x.html").words
    assert ("ACR >= 0." in words) is (name == "stopped")
    assert ("It is no unbiased estimate of p_A" in words) is (name == "stopped")
    assert ("It estimates p_A." in words) is (name == "fixed")
    assert "58 of 72 images (0.81) are right with a certified l2 radius > 0.25" in words


def test_the_report_of_exact_files_speaks_of_no_selection_and_no_estimate(digits, tmp_path):
  exact = changed(digits, settings={"procedure": "exact"})
  analysis.report([exact], tmp_path / "x.html", warnings=[])
  words = page(tmp_path / "x.html").words
  assert "which is p_A" in words
  assert not [text for text in ("selection", "estimation draws", "estimates p_A") if text in words]


def test_the_hard_classes_are_those_of_the_rows(digits):
  label, predict = digits.columns["label"], digits.columns["predict"]
  wrong = collections.Counter((a, b) for a, b in zip(label, predict) if b >= 0 and a != b)
  found = classes.confusions(digits, {})
  assert [(int(p["label"]), int(p["answer"]), p["times"]) for p in found] == [
    (*pair, times) for pair, times in sorted(wrong.items(), key=lambda item: (-item[1], item[0]))
  ]
  table = classes.by_class(digits, [0.0, 0.25], {}, "open")
  assert [row["images"] for row in table["rows"]] == np.bincount(label).tolist()
  assert sum(row["right"] for row in table["rows"]) == digits.columns["correct"].sum()
  assert sum(row["beyond"] for row in table["rows"]) == round(72 * 58 / 72)
  counts = np.array(classes.matrix(digits, {})["counts"])
  assert counts.sum() == 72 and np.trace(counts) == digits.columns["correct"].sum()


def test_of_many_classes_only_the_worst_are_listed(digits, tmp_path):
  label = np.arange(72) * 13
  predict = np.where(np.arange(72) < 60, label, 3)
  columns = {"label": label, "predict": predict, "correct": (label == predict).astype(int)}
  many = changed(digits, columns=columns, about={"checkpoint": {"num_classes": 1000}})
  table = classes.by_class(many, [0.0], {}, "open")
  assert not table["all"] and table["total"] == 72 and table["none"] == 12
  assert len(table["rows"]) == 10 and {row["right"] for row in table["rows"]} == {0}
  assert classes.matrix(many, {}) is None
  analysis.report([many], tmp_path / "report.html")
  assert "classes of lowest certified accuracy, of 72" in page(tmp_path / "report.html").words


def test_files_that_differ_in_the_seed_alone_have_a_spread(digits, tmp_path):
  wrong = digits.columns["correct"].copy()
  wrong[:3] = 0
  answers = digits.columns["predict"].copy()
  answers[:3] = -1
  other = changed(digits, settings={"seed": 1}, columns={"correct": wrong, "predict": answers})
  [group] = seeds.spread([digits, other], ["a", "b"], [0.25], "open")
  assert group["of"] == "noise" and group["seeds"] == [0, 1] and group["changed"] == 3
  name, mean, _, least, greatest = group["rows"][0]
  assert name == "certified accuracy at 0.25" and least <= mean <= greatest
  more = {"alpha": 0.01, "seed": 1}
  assert seeds.spread([digits, changed(digits, settings=more)], ["a", "b"], [0.25], "open") == []
  assert seeds.spread([digits, results.read(helpers.DIGITS[0])], ["a", "b"], [0.25], "open") == []
  training = digits.manifest["about"]["checkpoint"] | {
    "training": digits.manifest["about"]["checkpoint"]["training"] | {"seed": 5}
  }
  trained = changed(digits, settings={"checkpoint": "f00"}, about={"checkpoint": training})
  assert seeds.spread([digits, trained], ["a", "b"], [0.25], "open")[0]["of"] == "training"
  analysis.report([digits, other], tmp_path / "report.html")
  assert "differ in the seed of the noise alone (0, 1)" in page(tmp_path / "report.html").words


def test_files_of_different_bounds_are_told_apart(digits, tmp_path):
  multi = analysis.with_bound(digits, "multi")
  analysis.report([digits, multi], tmp_path / "report.html")
  words = page(tmp_path / "report.html").words
  assert "the files differ in bound: multi-class, one-sided" in words
  assert "multi-class bound" in words and "one-sided bound" in words


def test_pictures_are_of_the_files_own_data_set_or_there_are_none(digits, tmp_path):
  shown = images.extremes(digits, {})
  assert shown["why"] is None
  radii = [image["radius"] for image in dict(shown["groups"])["Right, largest radius"]]
  assert radii == sorted(digits.columns["radius"][digits.columns["correct"] == 1])[::-1][:6]
  assert all(image["picture"].startswith("data:image/png;base64,") for image in shown["groups"][0][1])
  for other, why in (
    (changed(digits, settings={"dataset": "0123"}), "not the file's data set"),
    (changed(digits, about={"dataset": "gone.npz"}), "not here"),
    (changed(digits, about={"dataset": str(tmp_path)}), "reading all of it"),
    (changed(digits, settings={"split": None}), "does not say"),
  ):
    found = images.extremes(other, {})
    assert why in found["why"] and found["groups"][0][1][0]["picture"] is None
  with pytest.raises(InputError, match=r"gone\.npz"):
    images.extremes(digits, {}, "gone.npz")


def test_a_file_of_the_papers_code_gives_a_page_that_says_what_is_not_known(tmp_path):
  path = tmp_path / "noise_0.25" / "sigma_0.25"
  path.parent.mkdir()
  rows = "".join(f"{i}\t{i % 2}\t{i % 3 - 1}\t{0.1 * (i % 3)}\t1\t0:00:01\n" for i in range(60))
  path.write_text("idx\tlabel\tpredict\tradius\tcorrect\ttime\n" + rows)
  with pytest.warns(rsjax.errors.ResultWarning, match="no manifest"):
    rsjax.read(path).report(tmp_path / "report.html", title="theirs")
  words = page(tmp_path / "report.html").words
  assert "theirs" in words and "keeps no votes" in words and "no manifest" in words and "not known" in words


def test_what_the_report_needs_is_said_before_anything_is_read(digits, tmp_path, monkeypatch):
  with pytest.raises(InputError, match="there is no folder"):
    analysis.check_report(tmp_path / "none" / "x.html")
  for name in ("a.tsv", "a.tsv.json", "report"):
    with pytest.raises(InputError, match=r"its path must end in \.html"):
      analysis.check_report(tmp_path / name)
  with pytest.raises(InputError, match="is a folder"):
    analysis.check_report(tmp_path)
  monkeypatch.setitem(sys.modules, "jinja2", None)
  with pytest.raises(InputError, match="pip install jinja2"):
    analysis.report([digits], tmp_path / "x.html")
  assert not (tmp_path / "x.html").exists()


def test_the_tables_json_is_read_into_pandas_as_documented(tmp_path):
  pandas = pytest.importorskip("pandas")
  from rsjax import analyze

  assert analyze.main([str(CIFAR[0]), "--radii", "0", "0.25", "-o", str(tmp_path)]) == 0
  text = (helpers.ROOT / "docs" / "analysis.md").read_text()
  [line] = [line for line in text.splitlines() if "certified_accuracy.json" in line and "explode" in line]
  shutil.copy(tmp_path / "certified_accuracy.json", tmp_path / "x.json")
  code = line.strip().replace("tables/certified_accuracy.json", str(tmp_path / "x.json"))
  names = {"pandas": pandas, "json": json}
  exec(code, names)
  frame = names["accuracies"]
  assert frame["radii"].tolist() == [0.0, 0.25]
  assert frame["certified_accuracy"].tolist() == pytest.approx([0.645, 0.445])
  assert results.read(CIFAR[0]).to_pandas()["idx"].tolist()[:2] == [0, 5]

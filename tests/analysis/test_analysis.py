import csv
import dataclasses
import io
import json
import re

import numpy as np
import pytest
from helpers import PUBLISHED
from scipy import stats

from rsjax import analysis, bounds, results
from rsjax.analysis import statistics
from rsjax.analysis.claims import judge, parse
from rsjax.errors import InputError
from rsjax.noise import Gaussian
from rsjax.results import Results


def made(expected=5, path="r.tsv", **settings):
  columns = {
    "idx": np.arange(5),
    "label": np.array([1, 1, 3, 0, 1]),
    "predict": np.array([1, 2, -1, 0, 1]),
    "correct": np.array([1, 0, 0, 1, 1]),
    "radius": np.array([0.5, 0.9, 0.0, 0.25, 0.0]),
  }
  settings = {"command": "certify", "sigma": 0.25} | settings
  return editable(Results(path, {"settings": settings, "about": {}, "sessions": []}, columns, expected))


def editable(results):
  """The file with arrays that may be changed, as whoever tampers with a file changes them."""
  results.columns.update({name: values.copy() for name, values in results.columns.items()})
  return results


_RUN = {
  "precision": "default",
  "dataset": "d" * 64,
  "checkpoint": "c" * 64,
  "split": "test",
  "skip": 2,
  "max": None,
}
_RUN |= {"dtype": "float32", "noise": "gaussian"}
_SESSION = {"rsjax": "0", "jax": "0", "device": "cpu"}


def sampled(images=40, n=1000, classes=4, alpha=0.001, seed=0, noise=0.25, **settings):
  """A file as CERTIFY writes it, from votes drawn at random."""
  rng = np.random.default_rng(seed)
  share = rng.dirichlet([0.3] * classes, images)
  votes0, votes = (np.array([rng.multinomial(m, p) for p in share]) for m in (100, n))
  selected = votes0.argmax(1)
  n_a = votes[np.arange(images), selected]
  p_lower = bounds.lower_confidence_bound(n_a, n, alpha)
  radius = bounds.radius(p_lower, Gaussian(0.25))
  predict, label = np.where(bounds.abstains(p_lower), -1, selected), share.argmax(1)
  as_text = lambda all_votes: np.array([results.format_votes(v, 0) for v in all_votes], object)
  columns = {
    "idx": 2 * np.arange(images), "label": label, "predict": predict, "radius": radius,
    "correct": (predict == label).astype(int), "time": np.ones(images), "n": np.full(images, n),
    "nA": n_a, "pABar": p_lower,
    "votes0": as_text(votes0), "votes": as_text(votes),
  }  # fmt: skip
  numbers = {"n": n, "alpha": alpha, "seed": 0}
  settings = {"command": "certify", "sigma": 0.25, "n0": 100, **numbers, **_RUN} | settings
  about = {"checkpoint": {"noise_sd": noise}}
  manifest = {"settings": settings, "about": about, "sessions": [_SESSION]}
  return editable(Results(f"{seed}.tsv", manifest, columns, images))


def test_certified_accuracy_is_in_the_open_ball_and_in_the_papers_tables_in_the_closed():
  radii = [0.0, 0.2, 0.25, 0.49, 0.5, 0.9]
  np.testing.assert_allclose(analysis.certified_accuracy(made(), radii), [0.6, 0.4, 0.2, 0.2, 0.0, 0.0])
  paper = analysis.certified_accuracy(made(), radii, rule="paper")
  np.testing.assert_allclose(paper, [0.6, 0.4, 0.4, 0.2, 0.2, 0.0])
  with pytest.raises(InputError, match="radii must be"):
    analysis.certified_accuracy(made(), [-1])


def test_summaries():
  assert analysis.average_certified_radius(made()) == pytest.approx(0.15)
  assert analysis.abstention_rate(made()) == pytest.approx(0.2)


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the paper's result files are not here")
def test_the_papers_cifar10_table_from_the_papers_files():
  """As its authors printed it, to the digit; in the open ball it differs by rows of exactly that radius."""
  table = {
    "0.12": "0.59 0.00 0.00 0.00 0.00 0.00",
    "0.25": "0.60 0.43 0.27 0.00 0.00 0.00",
    "0.50": "0.55 0.41 0.32 0.23 0.15 0.09",
    "1.00": "0.39 0.34 0.28 0.22 0.17 0.14",
  }
  radii = [0.25, 0.5, 0.75, 1.0, 1.25, 1.5]
  files = [results.read_any(PUBLISHED / f"noise_{s}/test/sigma_{s}") for s in table]
  rows = analysis.summarize(files, radii, rule="paper")
  for row, wanted in zip(rows, table.values()):
    assert " ".join(f"{value:.2f}" for value in row["certified_accuracy"]) == wanted
  # the best of a column as printed, in bold, with 0.33's like treated as equal
  assert analysis.latex(rows).count(r"\textbf") == 6 + 1
  for f in files:
    paper, ours = (500 * analysis.certified_accuracy(f, radii, rule) for rule in ("paper", "open"))
    exactly = [np.sum((f.columns["radius"] == r) & (f.columns["correct"] == 1)) for r in radii]
    np.testing.assert_allclose(paper - ours, exactly)
  assert [f.settings["sigma"] for f in files] == [0.12, 0.25, 0.5, 1.0]
  assert all(any("three significant figures" in note for note in f.notes) for f in files)
  mismatch = results.read_any(PUBLISHED / "noise_0.25/test/sigma_0.50")
  assert analysis.labels([mismatch]) == ["sigma = 0.5, training noise 0.25"]


def test_intervals_hold_what_they_promise():
  """Accuracy: at least 95 % of the time, at every size; ACR: about that. Narrower ones do not."""
  rng = np.random.default_rng(0)
  for total, p in ((20, 0.9), (500, 0.6)):
    hits = rng.binomial(total, p, 4000)
    low, high = analysis.accuracy_interval(hits, total)
    assert np.mean((low <= p) & (p <= high)) >= 0.95
  low, high = analysis.accuracy_interval(hits, total, 0.9)
  assert np.mean((low <= p) & (p <= high)) < 0.95
  truth, held = 0.75 * 0.5, []
  for _ in range(600):
    f = made()
    f.columns.update(radius=rng.uniform(0, 1, 200), correct=(rng.uniform(size=200) < 0.75).astype(int))
    f.columns["idx"] = np.arange(200)
    low, high = analysis.acr_interval(f)
    held.append(low <= truth <= high)
  assert 0.925 < np.mean(held) < 0.975


def test_the_high_probability_bound_holds_with_its_probability():
  """Certificates that are wrong with probability alpha each: the bound fails at most with probability rho."""
  rng = np.random.default_rng(0)
  images, alpha, rho = 500, 0.02, 0.05
  wrong = rng.binomial(images, alpha, 20_000)  # of certificates that all say "correct"
  bound = analysis.high_probability_accuracy(np.ones(20_000), images, alpha, rho)
  assert np.mean(bound > 1 - wrong / images) <= rho
  without_the_2 = 1 - alpha - np.sqrt(alpha * (1 - alpha) * np.log(1 / rho) / images) - np.log(1 / rho) / 1500
  assert np.all(bound < without_the_2)
  assert analysis.high_probability_accuracy(np.array([0.001]), 500, 0.001, 0.001) == 0


def test_an_incomplete_file_says_so_wherever_it_is_named():
  assert analysis.labels([made()]) == ["sigma = 0.25"]
  assert "only 5 of 9 images" in analysis.labels([made(expected=9)])[0]
  assert "only 5 of 9 images" in analysis.table([made(expected=9)], [0.0])


def test_labels_tell_files_apart():
  assert analysis.labels([sampled(), sampled(n=500)]) == ["sigma = 0.25, n = 1,000", "sigma = 0.25, n = 500"]
  assert analysis.labels([sampled(noise=0.5), sampled()]) == [
    "sigma = 0.25, training noise 0.5",
    "sigma = 0.25, training noise 0.25",
  ]
  assert analysis.labels([sampled(seed=1), sampled(seed=2)]) == ["sigma = 0.25 (1.tsv)", "sigma = 0.25 (2.tsv)"]


@pytest.mark.parametrize(
  ("name", "label"), [("mine_0.25", "mine_0.25"), ("mine.tsv", "mine"), ("mine_0.25.txt", "mine_0.25")]
)
def test_a_foreign_files_name_is_not_cut_at_a_dot(name, label, tmp_path):
  (tmp_path / name).write_text("idx\tlabel\tpredict\tradius\n0\t1\t1\t0.5123\n")
  (found,) = analysis.labels([results.read_any(tmp_path / name)])
  assert found == label


def test_a_file_without_rows_is_refused_by_name():
  empty = made()
  empty.columns.update({name: column[:0] for name, column in empty.columns.items()})
  for call in (lambda: analysis.grid(empty), lambda: analysis.table([empty], [0.0])):
    with pytest.raises(InputError, match=r"r\.tsv has no rows yet, of 5"):
      call()


def test_tables_say_the_same_in_every_format():
  files, radii = [made(), sampled()], [0.0, 0.25]
  rows = analysis.summarize(files, radii, names=["a_b", "c"], rho=0.001)
  short = analysis.table(files, radii).splitlines()
  assert len(short) == 5  # the second name is too long for a line with numbers
  assert "0.60" in short[1] and "0.20" in short[1] and "0.150" in short[1]
  accuracy = [f"{v:.2f}" for row in rows for v in row["certified_accuracy"]]
  for text in (analysis.text(rows), analysis.markdown(rows), analysis.markdown(rows, True)):
    assert all(value in text for value in accuracy)
  assert all(f"{100 * float(value):.0f}" in analysis.latex(rows) for value in accuracy)
  assert r"a\_b &" in analysis.latex(rows)
  assert "99.9 % from" in analysis.text(analysis.summarize(files, radii, confidence=0.999))
  assert "95 % from" in analysis.text(rows) and "for all, 0.999" in analysis.text(rows)
  assert "**" not in analysis.markdown(rows, True)  # they are of different images
  rows = analysis.summarize([sampled(), sampled(seed=1)], radii, rho=0.001)
  assert re.search(r"\*\*0\.\d\d\*\* \(0\.\d\d–0\.\d\d\)", analysis.markdown(rows, True))  # noqa: RUF001
  rows = analysis.summarize(files, radii, names=["a_b", "c"], rho=0.001)
  read = list(csv.DictReader(io.StringIO(analysis.csv(rows))))
  [first, *_] = [r for r in read if r["quantity"] == "certified_accuracy" and r["name"] == "a_b"]
  assert (float(first["value"]), float(first["radius"])) == (0.6, 0.0)
  assert float(first["low"]) == pytest.approx(stats.binomtest(3, 5).proportion_ci(0.95).low)
  assert json.loads(json.dumps(rows)) == rows


@pytest.mark.parametrize("farthest", [0.0, 0.1, 0.6, 1.9, 9.0])
def test_grid_is_short_and_reaches_far(farthest):
  r = made()
  r.columns["radius"] = np.array([0, 0, 0, 0, farthest])
  grid = analysis.grid(r)
  assert grid[0] == 0.0
  assert 1 <= len(grid) <= 11
  assert grid[-1] <= farthest


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_plot_needs_no_display(tmp_path, ending, monkeypatch):
  monkeypatch.delenv("DISPLAY", raising=False)
  path = tmp_path / f"plot.{ending}"
  analysis.plot(
    [made(), made(9), sampled()], path, "$5_{", names=["_a", "$", "b"], panels="noise", band=0.95, rho=0.001
  )
  assert path.stat().st_size > 1000


def test_another_alpha_gives_what_certify_would_have_given():
  f = sampled()
  again = analysis.with_alpha(f, 0.001)
  for name in f.columns:
    np.testing.assert_array_equal(again.columns[name], f.columns[name])
  stricter = analysis.with_alpha(f, 1e-6)
  assert np.all(stricter.columns["radius"] <= f.columns["radius"])
  assert analysis.abstention_rate(stricter) > analysis.abstention_rate(f)
  # back from where images abstain: the selected class is found among the selection's votes
  back = analysis.with_alpha(stricter, 0.001)
  for name in ("predict", "radius", "correct"):
    np.testing.assert_array_equal(back.columns[name], f.columns[name])
  assert stricter.settings["alpha"] == 1e-6


def test_fewer_draws_are_a_random_choice_of_those_made():
  """Counts have the law of a smaller run: binomial for a class of known probability."""
  n, small, p = 2000, 100, 0.8
  rng = np.random.default_rng(1)
  f = sampled(images=3000, n=n)
  counts = rng.binomial(n, p, 3000)
  f.columns["votes"] = np.array([f"1:{k},invalid:{n - k}" if k < n else f"1:{k}" for k in counts], object)
  f.columns.update(predict=np.ones(3000, int), nA=counts, label=np.ones(3000, int))
  f.columns["votes0"] = np.full(3000, "1:100", object)
  less = analysis.with_draws(f, small)
  found = less.columns["nA"]
  assert stats.kstest(found + rng.uniform(size=3000), _continued_binomial(small, p)).pvalue > 0.01
  assert stats.kstest(found + rng.uniform(size=3000), _continued_binomial(small, p + 0.01)).pvalue < 1e-4
  p_lower = bounds.lower_confidence_bound(found, small, 0.001)
  np.testing.assert_array_equal(less.columns["radius"], bounds.radius(p_lower, Gaussian(0.25)))
  assert set(less.columns["n"].tolist()) == {small}
  classes, kept, invalid = results.parse_votes(less.columns["votes"][0])
  assert (classes.tolist(), kept.sum() + invalid, kept[0]) == ([1], small, found[0])
  whole = analysis.with_draws(sampled(), 1000)
  np.testing.assert_array_equal(whole.columns["radius"], sampled().columns["radius"])
  with pytest.raises(InputError, match="from 1 to the 1,000 draws"):
    analysis.with_draws(sampled(), 1001)
  for n in (1e3, 1.5, "100", True, None):
    with pytest.raises(InputError, match="n must be an integer from 1 to the 1,000 draws"):
      analysis.with_draws(sampled(), n)


def _continued_binomial(n, p):
  """The distribution function of Binomial(n, p) plus an independent uniform of [0, 1)."""
  law = stats.binom(n, p)
  return lambda x: law.cdf(np.floor(x) - 1) + (x - np.floor(x)) * law.pmf(np.floor(x))


def test_files_without_votes_cannot_be_analysed_again():
  for call in (analysis.with_alpha, analysis.with_draws):
    with pytest.raises(InputError, match=r"r\.tsv keeps no votes"):
      call(made(), 0.01 if call is analysis.with_alpha else 10)


def test_a_confidence_is_no_alpha():
  for call in (analysis.with_alpha, analysis.as_predictions):
    with pytest.raises(InputError, match=r"at most 0\.5, got 0\.95: for a confidence of 0\.95, give 0\.05"):
      call(sampled(), 0.95)


def test_agreement_of_predictions_with_more_draws():
  truth = analysis.as_predictions(sampled(images=400))
  shares = analysis.agreement(analysis.with_draws(truth, 50), truth)
  assert tuple(shares) == analysis.CATEGORIES
  assert sum(shares.values()) == pytest.approx(1)
  assert shares["correct, inaccurate"] + shares["incorrect, inaccurate"] < 0.01
  assert shares["abstain"] > analysis.abstention_rate(truth)
  with pytest.raises(InputError, match="fewer than"):
    analysis.agreement(truth, analysis.with_draws(truth, 50))
  with pytest.raises(InputError, match="no more draws than"):
    analysis.agreement(truth, truth)
  with pytest.raises(InputError, match="another sigma"):
    analysis.agreement(truth, sampled(images=400, sigma=0.5))
  with pytest.raises(InputError, match="lacks image 40"):
    analysis.agreement(truth, sampled(images=20))


def test_agreement_by_hand():
  f = made()
  f.settings["command"] = "predict"
  reference = made()
  reference.columns["predict"] = np.array([1, 2, 3, 2, 0])
  shares = analysis.agreement(f, reference)
  assert list(shares.values()) == [0.2, 0.4, 0.2, 0.0, 0.2]


def test_where_the_reference_abstains_its_votes_must_tell_the_leading_class(tmp_path):
  """Otherwise PREDICT's answer would count as inaccurate, whatever the smoothed classifier's class is."""
  truth = sampled(images=400)
  assert (truth.columns["predict"] == -1).any()
  answers = analysis.with_draws(analysis.as_predictions(truth), 50)
  truth.columns["n"] = np.full(len(truth), 10**6)  # so that it has more draws, with votes or without
  assert sum(analysis.agreement(answers, truth).values()) == pytest.approx(1)
  del truth.columns["votes"]
  with pytest.raises(
    InputError, match=r"abstains on \d+ images of .* and has no votes that tell the leading class"
  ):
    analysis.agreement(answers, truth)


def test_a_reference_of_another_network_by_its_path_is_refused(tmp_path):
  files = []
  for noise in ("0.50", "0.25"):
    path = tmp_path / f"noise_{noise}" / "sigma_0.50"
    path.parent.mkdir()
    path.write_text("idx\tlabel\tpredict\tradius\n0\t1\t1\t0.25\n")
    files.append(results.read_any(path))
  with pytest.raises(InputError, match=r"another training noise than .*: 0\.25, not 0\.5"):
    analysis.agreement(*files)


def said(files, radii=(0.0, 0.25)):
  return "\n".join(analysis.warnings(files, analysis.labels(files), list(radii)))


def test_a_referee_finds_nothing_to_say_of_a_good_file():
  good = sampled(images=500)
  good.manifest["about"]["images"] = 1000  # of which every second is certified
  assert said([good]) == ""


def test_what_a_referee_would_ask():
  assert "incomplete, 5 of 9 images" in said([made(9)])
  assert "with 5 images, the 95 % interval of an accuracy of one half reaches 0." in said([made()])
  constant = sampled(images=200)
  constant.columns["predict"][:] = 2
  assert "answers nearly always class 2" in said([constant])
  unordered = sampled(images=200)
  unordered.columns["idx"][[3, 4]] = unordered.columns["idx"][[4, 3]]
  assert "not in the order" in said([unordered])
  gap = sampled(images=200)
  gap.columns["idx"][100:] += 6
  assert "not evenly spaced: most are 2 apart, some 8" in said([gap])
  inflated = sampled(images=200)
  inflated.columns["radius"][inflated.columns["radius"].argmax()] += 0.001
  assert "1 radius is above what the votes certify" in said([inflated])
  edited = sampled(images=200)
  edited.columns["predict"][edited.columns["predict"] != 2] = 2
  assert "rows do not follow from their votes" in said([edited])
  for name, value in (("nA", 1000), ("nA", 0)):
    edited = sampled(images=200)
    edited.columns[name][7] = value
    assert "1 row does not follow from its votes; the first is of image 14" in said([edited])
  digests = [sampled(images=200, dataset="a"), sampled(images=200, dataset="b")]
  assert "of one name, but with other images" in said(digests)
  other = sampled(images=300)
  assert "is of other images than" in said([sampled(images=200), other])
  assert "the files differ in alpha: 0.001, 0.01" in said([sampled(alpha=0.01), sampled()])
  assert "the files differ in n: 500, 1000" in said([sampled(n=500), sampled()])
  mixed = sampled(images=200)
  mixed.manifest["sessions"][:] = [_SESSION | {"jax": "0.7.2"}, _SESSION | {"jax": "0.10.2"}]
  assert "more than one jax: 0.10.2, 0.7.2" in said([mixed])


def test_other_labels_of_the_same_images_are_told():
  one, other = sampled(images=200), sampled(images=200)
  assert "other labels" not in said([one, other])
  other.columns["label"] = other.columns["label"].copy()
  other.columns["label"][[3, 8]] += 1
  assert "has other labels than" in (told := said([one, other])) and "2 images, the first is 6" in told
  assert "same rows" not in told
  other.settings["dataset"] = "another"
  assert "other labels" not in said([one, other])


@pytest.mark.parametrize(
  "again",
  [
    lambda f: analysis.with_alpha(f, 0.001),
    lambda f: analysis.with_draws(f, 999),
    lambda f: analysis.with_bound(f, "one-sided"),
    lambda f: analysis.with_bound(f, "multi"),
    lambda f: analysis.with_top_k(f, 2),
    lambda f: analysis.at_share(f, 0.5),
    analysis.as_predictions,
  ],
)
def test_what_is_analysed_again_still_tells_what_contradicted_the_file(again):
  wrong = sampled(images=200)
  assert "votes certify" not in said([again(wrong)])
  wrong.settings["sigma"] = 0.5
  assert "as it was read" in (told := said([again(wrong)])) and "below what the votes certify" in told


def test_one_run_given_twice_is_told():
  one, other, copy = sampled(seed=0), sampled(seed=1), sampled(seed=0)
  assert "same rows" not in said([one, other])
  assert "hold the same rows: one run was given 2 times" in said([one, other, copy])


def test_differences_that_may_be_chance_are_named():
  close, far = sampled(images=300, seed=3), sampled(images=300, seed=4)
  for f in (close, far):
    f.columns.update(label=np.zeros(300, int), correct=(f.columns["predict"] == 0).astype(int))
  assert "may be chance" in said([close, far])
  far.columns.update(
    predict=np.full(300, -1), correct=np.zeros(300, int), radius=np.zeros(300), nA=np.zeros(300, int)
  )
  assert "may be chance" not in said([close, far], [0.25])


def with_hits(hits, first=0):
  """A file of images that are certified at 0.5, or not."""
  file, right = made(), np.array(hits, int)
  file.columns.clear()
  file.columns.update(
    idx=first + np.arange(len(right)), label=0 * right, predict=right - 1, correct=right, radius=0.5 * right
  )
  return file


def test_differences_on_the_same_images_are_judged_image_by_image():
  """10 of 60 images more is chance between samples, and not where no image of the other's is lost."""
  more, fewer = [1] * 40 + [0] * 20, [1] * 30 + [0] * 30
  assert "may be chance" not in said([with_hits(more), with_hits(fewer)], [0.25])
  text = said([with_hits(more), with_hits(fewer, first=60)], [0.25])
  p = stats.fisher_exact([[40, 20], [30, 30]]).pvalue
  assert f"at radius 0.25 (p = {p:.2g})" in text and "in ACR" in text
  mixed = [0] * 8 + [1] * 38 + [0] * 14  # lacks 8 of the 40, has 6 others
  p = stats.binomtest(6, 8 + 6).pvalue
  assert f"(p = {p:.2g})" in said([with_hits(more), with_hits(mixed)], [0.25])


def test_more_rows_than_images_are_not_called_incomplete():
  more = made(expected=4)
  texts = (said([more]), analysis.labels([more])[0], repr(analysis.Found(more)))
  assert all("more rows than images, 5 rows for 4 images" in text for text in texts)
  assert not any("incomplete" in text or "only" in text for text in texts)


def test_a_selection_that_cannot_be_is_told_briefly():
  long = sampled(images=72, skip=1, indices=list(range(0, 360, 5)))
  long.manifest["about"]["images"] = 360
  assert "indices must be text" in said([long]) and "40, 45" not in said([long])


def test_images_in_common_are_compared_and_no_others():
  """Of 60 images each, 30 are common and the same in both: nothing else tells the files apart."""
  one, other = with_hits([0] * 5 + [1] * 55), with_hits([1] * 30 + [0] * 30, first=30)
  assert "(p = 1)" in said([one, other], [0.25])
  for f, split in ((one, "train"), (other, "test")):
    f.settings["split"] = split
  text = said([one, other], [0.25])
  assert "differ in split" in text and "in common" not in text and "(p = 1)" not in text


def with_radii(idx, radii):
  """A file of right answers with these radii, 0 for an abstention."""
  file, radii = made(), np.asarray(radii)
  right = (radii > 0).astype(int)
  file.columns.clear()
  file.columns.update(idx=np.asarray(idx), label=0 * right, predict=right - 1, correct=right, radius=radii)
  return file


def test_the_norm_of_a_file_without_a_manifest_is_said_to_be_assumed():
  foreign, known = of_images(np.arange(200)), sampled()
  for files, assumed in (([foreign], True), ([foreign, known], True), ([known], False)):
    rows = analysis.summarize(files, [0.0])
    texts = analysis.caption(rows), analysis.latex(rows)
    assert all(("without a manifest is taken to be l2" in text) == assumed for text in texts)
  told = str(judge(foreign, parse("0.5 at 0.25")))
  assert "the norm is taken to be l2" in told


def test_a_file_of_rsjax_without_its_manifest_is_tested_against_others():
  files = with_hits([1] * 40 + [0] * 20), with_hits([0] * 8 + [1] * 38 + [0] * 14)
  files[1].manifest["about"]["manifest"] = "missing"
  assert "may be chance" in said(files, [0.25])


def test_who_is_ahead_on_its_own_images_may_be_behind_on_those_in_common():
  """The second file also has 100 hard images; on the first 100, it is better at 0.5 and in ACR."""
  first = np.where(np.arange(100) < 60, 0.55, 0.1)
  second = np.concatenate([np.where(np.arange(100) < 80, 0.7, 0.2), np.zeros(100)])
  text = said([with_radii(range(100), first), with_radii(range(200), second)], [0.5])
  assert "at radius 0.5 (0.600 against 0.800 on the same images), " in text
  assert text.count("is ahead of") == text.count("but behind it on the images that both have") == 2
  assert f"({first.mean():.3f} against {second[:100].mean():.3f} on the same images)" in text
  assert "chance" not in text
  apart = said([with_radii(range(100), first), with_radii(range(1000, 1100), second[:100])], [0.5])
  assert "behind" not in apart


def test_files_whose_labels_differ_are_not_tested():
  files = with_hits([1] * 40 + [0] * 20), with_hits([0] * 8 + [1] * 38 + [0] * 14)
  assert "may be chance" in said(files, [0.25])
  files[1].columns["label"] = files[1].columns["label"] + 1
  text = said(files, [0.25])
  assert "has other labels" in text and "ahead" not in text


def test_that_files_may_be_of_other_images_is_told_of_arrays_beside_a_data_set():
  named, arrays, unlike = sampled(dataset="d"), sampled(seed=1, dataset="e"), sampled(seed=2, dataset="d")
  named.manifest["about"]["dataset"] = unlike.manifest["about"]["dataset"] = "mine.npz"
  assert "may be of different images: the digests" in said([named, arrays])
  assert "may be of different images" not in said([named, unlike])


@pytest.mark.parametrize(
  ("labels", "told"),
  [
    (["macer", "gaussian"], ["macer is, by its manifest, of a classifier trained with the objective gaussian"]),
    (["gaussian", "MACER (ours)"], []),
    (["a", "b"], []),
    (["gaussian, not macer", "macer"], []),
    (["laplace noise", "sigma = 0.25, Gaussian noise"], []),
  ],
)
def test_labels_that_name_the_objective_of_another_file_are_told(labels, told):
  files = sampled(), sampled(seed=1)
  for f, name in zip(files, ("gaussian", "macer")):
    f.manifest["about"]["checkpoint"]["training"] = {"objective": {"name": name}}
  text = "\n".join(analysis.warnings(files, labels, [0.0]))
  assert all(one in text for one in told) and ("by its manifest" in text) == bool(told)


def test_images_of_another_digest_are_other_images():
  """8 others of 60 are chance on the same images; of other data, nothing that can be compared."""
  one, other = with_hits([1] * 40 + [0] * 20), with_hits([0] * 8 + [1] * 38 + [0] * 14)
  for digests, compared in ((("d", "d"), True), (("d", "e"), False), (("d", None), True)):
    for f, digest in zip((one, other), digests):
      f.settings["dataset"] = digest
    assert ("may be chance" in said([one, other], [0.25])) is compared


def test_a_manifest_that_does_not_fit_its_rows_is_named():
  whole = sampled(images=300)
  whole.manifest["about"]["images"] = 600
  assert said([whole]) == ""
  for name in ("seed", "split", "precision"):
    value = whole.settings.pop(name)
    assert f"its manifest lacks {name}" in said([whole])
    whole.settings[name] = value
  whole.settings.update(skip=3)
  assert "do not match --skip 3" in said([whole])
  bold = sampled(images=300)
  bold.settings.update(sigma=0.5)
  assert "are below what the votes certify" in said([bold])
  bold.settings.pop("n")
  assert "its manifest lacks n" in said([bold])
  for again in (lambda: analysis.with_alpha(bold, 0.01), lambda: analysis.with_draws(bold, 10)):
    with pytest.raises(InputError, match="lacks n: its votes cannot be analysed"):
      again()
  whole.manifest["sessions"].clear()
  assert "lists no session" in said([whole])


def test_a_table_says_what_it_is_of():
  rows = analysis.summarize([sampled(), sampled(seed=2)], [0.0, 0.25], names=["a", "b"], rho=0.001)
  assert "radius > R" in analysis.caption(rows) and "n 1,000" in analysis.caption(rows)
  assert "95 % intervals" in analysis.caption(rows, True)
  assert "alpha" not in analysis.caption(
    analysis.summarize([sampled(), sampled(alpha=0.01)], [0.0], rule="paper")
  )
  assert analysis.markdown(rows).count("for all, 0.999") == analysis.latex(rows).count("for all, 0.999") == 2


def test_statistics_of_predictions_need_certificates():
  with pytest.raises(InputError, match="is from PREDICT"):
    statistics.certified(analysis.as_predictions(sampled()), [0.0])


def of_images(index, path="cifar10/sigma_0.25"):
  """A file without manifest of these images."""
  index = np.asarray(index)
  right, file = np.ones(len(index), int), made(expected=None, path=path)
  columns = {"idx": index, "label": index % 3, "predict": index % 3, "correct": right, "radius": 0.5 * right}
  return Results(path, file.manifest, columns, None)


@pytest.mark.parametrize(
  ("path", "step", "size"),
  [("cifar10/x", 20, 10_000), ("a/imagenet/x", 100, 50_000), ("MNIST_x", 1, 10_000), ("svhn/x", 20, 26_032)],
)
def test_a_file_that_ends_early_for_its_set_gives_a_hint(path, step, size):
  whole = np.arange(0, size, step)
  assert "incomplete" not in said([of_images(whole, path)])
  part = whole[: 6 * len(whole) // 7]
  text, apart = said([of_images(part, path)]), f"{step} image{'s' * (step > 1)} apart"
  assert (
    f"may be incomplete: {len(part):,} rows, {apart}, end with image {part[-1]:,}; the {size:,} images" in text
  )
  assert f"give {len(whole):,} rows" in text


def test_a_file_that_ends_early_is_found_beside_others_and_by_usual_sizes():
  whole, part = np.arange(0, 10_000, 20), np.arange(0, 8540, 20)
  text = said([of_images(part, "a/x"), of_images(whole, "b/x")])
  assert (
    "a/x), 427 images from 0 to 8520: may be incomplete: 427 rows" in text
    and "those of another file end with 9,980, 500 rows" in text
  )
  assert text.count("may be incomplete") == 1
  assert "a set of 10,000 images gives 500 rows" in said([of_images(part, "x")])
  for index, path in ((whole, "x"), (np.arange(72), "x"), (part, "cifar10/train/x"), ([0, 7, 9], "cifar10/x")):
    assert "may be incomplete" not in said([of_images(index, path)])
  assert "may be incomplete" not in said([made(9)])  # its manifest says it


def test_a_file_that_begins_late_gives_a_hint():
  late = np.arange(5000, 10_000, 20)
  for path in ("cifar10/x", "x"):
    assert (
      "may be incomplete: 250 rows, 20 images apart, begin with image 5,000; 250 rows would come before it"
      in (said([of_images(late, path)]))
    )
  assert "begin with image 5,000; 5,000 rows would come" in said([of_images(np.arange(5000, 5500), "plain/x")])
  assert "may be incomplete" not in said([of_images(np.arange(7, 10_000, 20), "x")])


@pytest.mark.parametrize("folder", ["pretrained", "self_training", "adv_train", "training"])
def test_a_path_that_speaks_of_training_is_not_of_training_images(folder):
  part = np.arange(0, 5000, 20)
  assert "may be incomplete: 250 rows" in said([of_images(part, f"cifar10/{folder}/sigma_0.25")])
  assert "may be incomplete" not in said([of_images(part, f"{folder}/train/sigma_0.25")])


def test_a_path_of_two_sets_gives_no_wrong_size():
  assert "incomplete" not in said(
    [of_images(np.arange(0, 10_000, 20), "cifar10/cifar_from_imagenet/sigma_0.25")]
  )


def test_images_missing_in_between_are_counted():
  index = np.delete(np.arange(0, 10_000, 20), [100, 200, 201])
  assert "3 images are missing between others, the first is 2,000" in said([of_images(index)])
  assert "1 image is missing between others" in said([of_images(np.delete(np.arange(200), 50), "x")])


def test_data_of_one_digest_is_the_same_under_any_name():
  files = [
    sampled(images=200, n=n, dataset=digest, split=split)
    for n, digest, split in ((1000, "d", "test"), (2000, "d", "val"))
  ]
  for f, name in zip(files, ("mine.npz", "copy.npz")):
    f.manifest["about"]["dataset"] = name
  assert "differ in d" not in said(files) and "of one name" not in said(files)
  assert not any("npz" in label for label in analysis.labels(files))
  assert "copy.npz" not in analysis.caption(analysis.summarize(files, [0.0]))
  assert sum(analysis.agreement(*map(analysis.as_predictions, files)).values()) == pytest.approx(1)
  foreign = of_images(2 * np.arange(200))
  assert "different data sets" not in said([*files, foreign])
  files[1].settings["dataset"] = "e"
  assert "the files are of different data sets: copy.npz, mine.npz" in said(files)
  assert "may be chance" not in said(files) and "**" not in analysis.markdown(analysis.summarize(files, [0.0]))


@pytest.mark.parametrize("count", [1, 2, 5, 11])
@pytest.mark.parametrize("name", ["a", "sigma = 0.25, training noise 0.5", "x" * 200])
def test_tables_in_a_terminal_fit_80_columns_and_lose_nothing(count, name):
  rows = analysis.summarize([sampled(), sampled(seed=1)], [0.05 * i for i in range(count)], names=[name, "b"])
  text = analysis.text(rows)
  assert max(map(len, text.splitlines())) <= 80
  cells = " ".join(text.split())
  for row in rows:
    for value in (*row["certified_accuracy"], row["abstained"]):
      assert f" {value:.2f}" in cells
    assert f"{row['ACR']:.3f}" in cells
  for head in (*(f"{0.05 * i:g}" for i in range(count)), "ACR", "abstain", "images"):
    assert cells.split().count(head) >= 1
  assert name in "".join(analysis.markdown(rows).splitlines())


def test_one_is_not_plural():
  one = sampled(images=1)
  for text in (said([one]), repr(analysis.Found(one)), analysis.table([sampled(images=1)], [0.0])):
    assert not re.search(r"\b1 (images|rows|files|radii)\b", text)
  assert "with 1 image, the" in said([one]) and repr(analysis.Found(one)).startswith("1 image certified")


def test_what_concerns_many_files_is_said_once():
  files = [of_images(np.arange(0, 40 + i % 7), f"runs/{i}/x.tsv") for i in range(1500)]
  names = analysis.labels(files)
  assert len(set(names)) == 1500 and max(map(len, names)) < 50
  text = analysis.warnings(files, names, [0.0])
  assert len(text) < 20 and max(map(len, text)) < 300
  [few] = [t for t in text if "an accuracy of one half" in t]
  assert few.startswith("1,500 files, in other numbers each, such as")
  [other] = [t for t in text if "more files are of other images" in t]
  assert other.startswith("1,282 more")
  same = [of_images(np.arange(50), f"runs/{i}/x.tsv") for i in range(1500)]
  [few] = [t for t in analysis.warnings(same, analysis.labels(same), []) if "with 50" in t]
  assert "and 1,497 more: with 50 images" in few


def test_paths_are_shortened_to_what_tells_them_apart():
  paths = ["/very/long/folder/noise_0.25/test/sigma_0.25", "/very/long/folder/noise_0.50/test/sigma_0.25"]
  assert analysis.labels([of_images([1, 2], path) for path in paths]) == [
    "sigma = 0.25 (noise_0.25/test/sigma_0.25)",
    "sigma = 0.25 (noise_0.50/test/sigma_0.25)",
  ]
  deep = [f"/a/{x}/c/d/e/f.tsv" for x in "pq"]
  assert analysis.labels([of_images([1], path) for path in deep])[1] == "sigma = 0.25 (q/.../f.tsv)"


def test_one_label_for_two_sigmas_keeps_them_apart_everywhere():
  files, radii = [sampled(), sampled(seed=1, sigma=0.5)], [0.0, 0.25]
  rows = analysis.summarize(files, radii, names=["SmoothAdv", "SmoothAdv"])
  assert [row["name"] for row in rows] == ["SmoothAdv, sigma = 0.25", "SmoothAdv, sigma = 0.5"]
  for text in (analysis.text(rows), analysis.markdown(rows), analysis.csv(rows)):
    assert "SmoothAdv, sigma = 0.5" in text
  legend = analysis.plot(files, names=["SmoothAdv", "SmoothAdv"]).axes[0].get_legend()
  assert [t.get_text() for t in legend.get_texts()] == [row["name"] for row in rows]
  one = analysis.summarize([sampled(), sampled(seed=1)], radii, names=["A", "B"])
  assert [row["name"] for row in one] == ["A", "B"] and "sigma 0.25" in analysis.caption(one)
  incomplete = analysis.summarize([made(9)], radii, names=["A"])
  assert "only 5 of 9 images" in incomplete[0]["name"]
  with pytest.raises(InputError, match="got 1 for 2 files"):
    analysis.summarize(files, radii, names=["A"])


def test_latex_is_a_table_with_all_that_it_needs():
  files = [sampled(seed=2, sigma=0.5), sampled(), sampled(seed=1)]
  rows = analysis.summarize(files, [0.0, 0.25], names=["50% \\ A_b", "A", "<{B}>"])
  for intervals in (False, True):
    lines = analysis.latex(rows, intervals).splitlines()
    assert lines[0] == r"% needs \usepackage{booktabs}"
    assert lines[1] == r"\begin{table}" and lines[-1] == r"\end{table}"
    [caption] = [line for line in lines if line.startswith(r"\caption{")]
    assert r"(\%)" in caption and "$> r$" in caption and r"$\alpha$ 0.001" in caption and "$n$ 1,000" in caption
    body = [line for line in lines if line.endswith(r"\\")]
    assert [line.split(" & ")[0] for line in body] == [r"$\sigma$", "0.25", "", "0.5"]
    assert [line.split(" & ")[1] for line in body[1:]] == ["A", r"$<$\{B\}$>$", r"50\% \textbackslash{} A\_b"]
    assert len({len(line.split(" & ")) for line in body}) == 1
    text = "\n".join(lines)
    assert text.replace(r"\{", "").count("{") == text.replace(r"\}", "").count("}")
    assert lines.count(r"\midrule") == 2  # below the head, and between the sigmas
    for row in rows:
      assert all(f"{100 * v:.0f}" in text for v in row["certified_accuracy"])
  many = analysis.latex(analysis.summarize([sampled(images=1000)], [0.0])).splitlines()
  assert re.match(r"0\.25 & \d\d\.\d & 0\.\d{3} ", many[-4])  # no method: there is only one


def test_plot_draws_into_given_axes_and_returns_the_figure(tmp_path):
  figure = pytest.importorskip("matplotlib.figure").Figure()
  left, right = figure.subplots(1, 2)
  assert analysis.plot([made(), sampled()], ax=left, title="$5_{") is figure
  assert analysis.Found(sampled()).plot(ax=right) is figure
  assert (len(left.get_lines()), len(right.get_lines())) == (2, 1)
  assert left.get_title() == "$5_{" and left.get_xlabel() == "l2 radius"
  inner = figure.subfigures(1, 1).subplots()
  assert analysis.plot([made()], tmp_path / "x.png", ax=inner) is figure and (tmp_path / "x.png").exists()
  assert len(analysis.plot([made()]).axes) == len(analysis.Found(made()).plot(tmp_path / "y.svg").axes) == 1
  with pytest.raises(InputError, match="2 panels do not fit into one `ax`"):
    analysis.plot([sampled(), sampled(sigma=0.5)], ax=left, panels="sigma")


def test_lower_bounds_are_rounded_down_everywhere():
  row = analysis.summarize([sampled(images=500)], [0.0, 0.25], rho=0.001)[0]
  row |= {"high_probability": [0.4556, 0.3], "ACR": 0.47165, "ACR_is_lower_bound": True}
  row |= {"certified_accuracy": [0.4556, 0.3]}
  text, latex = analysis.text([row], intervals=False), analysis.latex([row])
  markdown = analysis.markdown([row])
  assert text.splitlines()[1].split()[3:6] == ["0.46", "0.30", ">=0.471"]
  assert text.splitlines()[2].split()[-2:] == ["0.45", "0.30"]
  assert "| 0.45 | 0.30 |" in markdown and "| >= 0.471 |" in markdown
  assert "& 45 & 30 &" in latex and r"& $\geq$ 0.471" in latex


def test_an_acr_that_is_a_lower_bound_is_not_the_best():
  """More draws might have raised it, or another grid: nothing says which is the greater."""
  rows = analysis.summarize([sampled(), sampled(sigma=0.5)], [0.0, 0.25])
  assert any(f"**{row['ACR']:.3f}**" in analysis.markdown(rows) for row in rows)
  rows[0]["ACR_is_lower_bound"] = True
  for table in (analysis.markdown(rows), analysis.latex(rows)):
    assert not any(f"**{row['ACR']:.3f}" in table or f"textbf{{{row['ACR']:.3f}" in table for row in rows)
    assert "**0" in table or "textbf{" in table  # of the accuracies


def test_what_holds_for_all_images_stands_below_its_own_row():
  rows = analysis.summarize([sampled(), sampled(sigma=0.5)], [0.0, 0.25], rho=0.001)
  heads = [line.split("|")[1].strip() for line in analysis.markdown(rows).splitlines()[2:]]
  assert heads == [rows[0]["name"], "for all, 0.999", rows[1]["name"], "for all, 0.999"]


def test_an_interval_that_is_not_known_is_no_number():
  row = analysis.summarize([sampled(images=1)], [0.0])[0]
  assert row["ACR_interval"] == [0.0, None] and json.loads(json.dumps(row))
  assert "?" in analysis.text([row]) and "e+" not in analysis.text([row])
  assert analysis.csv([row]).count("1000000000") == 0


def test_names_stay_in_their_cells():
  files, names = [sampled(), sampled(seed=1)], ["ours | tuned", "a\nb"]
  rows = analysis.summarize(files, [0.0], names=names)
  lines = analysis.markdown(rows).splitlines()
  assert "ours \\| tuned" in lines[2] and lines[3].startswith("| a b")
  assert {line.replace("\\|", "").count("|") for line in lines} == {lines[0].count("|")}


def test_radii_that_nearly_agree_are_told_apart():
  file = sampled()
  assert "0.1234561" in analysis.table([file], [0.1234561, 0.1234562])
  tiny = dataclasses.replace(file, columns=file.columns | {"radius": np.full(len(file), 1e-7)})
  assert analysis.grid(tiny) == [0.0]

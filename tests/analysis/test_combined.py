"""One certificate from several files: what it certifies, its error by draws, and what is refused."""

import dataclasses
import functools
import itertools
import json

import numpy as np
import pytest
from helpers import DIGITS, linear, ran, refused
from looks import write_file
from scipy import special

import rsjax
from rsjax import analysis, analyze, bounds, results
from rsjax.bounds import Plan
from rsjax.errors import InputError
from rsjax.noise import Gaussian
from rsjax.procedures import Anytime, Certify, CertifyByLooks, Counts, PredictByLooks, Radii

ALPHA, RUNS = 0.1, 3000


def made(sigma, votes, selected=0, alpha=ALPHA, **settings):
  """Results of rows with int64[rows, classes] votes, the class `selected` by a draw of its own, label 0."""
  votes = np.asarray(votes)
  rows, classes = votes.shape
  counts = Counts(
    np.tile(np.arange(classes), rows), votes.ravel(), np.arange(1, rows + 1) * classes, np.zeros(rows, int)
  )
  columns = {
    "idx": np.arange(rows),
    "label": np.zeros(rows, int),
    **{name: np.zeros(rows) for name in ("predict", "radius", "time", "nA", "pABar")},
    "votes0": np.array([f"{c}:1" for c in np.broadcast_to(selected, rows)], object),
    "votes": np.array(results.format_counts(counts), object),
    "n": votes.sum(1),
  }
  said = {
    "command": "certify",
    "noise": "gaussian",
    "sigma": sigma,
    "n0": 1,
    "n": int(votes.sum(1).max()),
    "alpha": alpha,
  }
  said |= {"dataset": "d" * 64, "checkpoint": "c" * 64, "seed": 0, "precision": "default"} | settings
  session = dict.fromkeys(("rsjax", "jax", "device"), "0")
  manifest = {"format": results.FORMAT, "expected": rows, "about": {}, "sessions": [session]}
  manifest["settings"] = said
  return analysis.at_share(results.Results(f"sigma {sigma:g}", manifest, columns, rows), 1.0)


def proved(scales, answer):
  """The radius of the cascade's answer that known probabilities prove: of [(sigma, shares), ...], any order."""
  found = 0.0
  for sigma, shares in scales:
    limits = [sigma * special.ndtri(shares[answer])]
    limits += [s * special.ndtri(1 - np.delete(p, answer).max()) for s, p in scales if s > sigma]
    found = max(found, min(limits))
  return found


def false_share(file, scales):
  """The fraction of rows whose radius is larger than known probabilities prove for their answer."""
  true = {c: proved(scales, c) for c in range(len(scales[0][1]))}
  return np.mean(
    [c >= 0 and (r > true[c] or true[c] == 0) for c, r in zip(file.columns["predict"], file.columns["radius"])]
  )


EVEN = [(sigma, (0.5, 0.25, 0.25)) for sigma in (0.5, 0.25, 0.12)]
WORLDS = [
  EVEN,  # no answer has any radius
  [(0.5, (0.5, 0.5, 0.0)), (0.25, (0.5, 0.5, 0.0))],  # nor here
  [(1.0, (0.3, 0.5, 0.2)), (0.25, (0.99, 0.01, 0.0))],  # the larger sigma leaves none
  [(1.0, (0.9, 0.05, 0.05)), (0.25, (0.6, 0.3, 0.1))],
]


@pytest.mark.parametrize("world", range(len(WORLDS)))
@pytest.mark.parametrize("same_noise", [False, True])
def test_a_cascade_is_false_in_alpha_of_all_runs_at_most(world, same_noise):
  world, files = WORLDS[world], []
  for place, (sigma, shares) in enumerate(world):
    rng = np.random.default_rng(0 if same_noise else place)
    draws = rng.random((RUNS, 101, 1)) > np.cumsum(shares)[:-1]  # the same u in each file, or others
    files.append(made(sigma, np.apply_along_axis(np.bincount, 1, draws.sum(2), minlength=3)))
  assert false_share(analysis.cascade(files), world) <= ALPHA


def test_an_alpha_that_is_not_shared_would_be_found():
  rng = np.random.default_rng(1)
  votes = [rng.multinomial(400, shares, RUNS) for _, shares in EVEN]
  shared, unshared = (
    analysis.cascade([made(s, v, alpha=a) for (s, _), v in zip(EVEN, votes)])
    for a in (ALPHA, len(EVEN) * ALPHA)
  )
  assert false_share(shared, EVEN) <= ALPHA < 1.5 * ALPHA < false_share(unshared, EVEN)


def test_an_upper_bound_by_a_normal_approximation_would_be_found():
  """Where the other class is rare it is 0, and the larger sigma limits nothing."""
  world = [(0.5, (0.99, 0.01)), (0.49, (1.0, 0.0))]
  rng = np.random.default_rng(2)
  votes = rng.multinomial(50, world[0][1], RUNS)
  files = [made(0.5, votes), made(0.49, np.tile([3000, 0], (RUNS, 1)))]
  found = analysis.cascade(files)
  assert false_share(found, world) <= ALPHA
  alone = bounds.radius(bounds.lower_confidence_bound(3000, 3000, ALPHA / 2), Gaussian(0.49))
  share = votes[:, 1] / 50
  upper = share - special.ndtri(ALPHA / 20) * np.sqrt(share * (1 - share) / 50)
  near = np.minimum(alone, 0.5 * special.ndtri(1 - np.clip(upper, 1e-9, 1)))
  assert (near > proved(world, 0)).mean() > 3 * ALPHA


def test_an_answer_is_limited_by_larger_sigmas_and_not_by_smaller_ones():
  rows = lambda *votes: np.array(votes)
  small, large = (
    rows([990, 10, 0], [990, 10, 0], [990, 10, 0]),
    rows([0, 1000, 0], [400, 300, 300], [200, 450, 350]),
  )
  one = analysis.cascade([made(0.25, small, alpha=0.001), made(1.0, large, alpha=0.001)])
  assert one.path == "cascade of sigma 1, 0.25"  # in any order
  low, other = (bounds.lower_confidence_bound(k, 1000, a) for k, a in ((990, 0.0004), ([0, 700, 550], 0.00005)))
  limits = bounds.radius(other, Gaussian(1.0))
  assert one.columns["predict"].tolist() == [-1, 0, -1]  # 450 of 1,000 may be half
  assert one.columns["radius"].tolist() == [0, min(limits[1], bounds.radius(low, Gaussian(0.25))), 0]
  swapped = analysis.cascade([made(1.0, small, alpha=0.001), made(0.25, large, alpha=0.001)])
  assert swapped.columns["predict"].tolist() == [0, 0, 0]
  assert swapped.columns["radius"].tolist() == [bounds.radius(low, Gaussian(1.0))] * 3


@pytest.mark.parametrize(
  ("n", "cascade", "dual"), [(500, "n = 500", "n = 500"), (2000, "n = 2,000 and 500", "n = 500 and 2,000")]
)
def test_the_draws_of_the_files_are_said(n, cascade, dual):
  few, other = (made(sigma, [[n, 0, 0], [n // 2, n // 2, 0]]) for sigma, n in ((0.25, 500), (1.0, n)))
  assert cascade in analysis.table(analysis.cascade([few, other]), [0.25])
  assert dual in analysis.table(analysis.dual(few, [other]), [0.25])


def test_radii_are_those_of_exact_arithmetic():
  """Of a grid of counts, by mpmath at 30 digits: never above, and at most a millionth below."""
  mpmath = pytest.importorskip("mpmath", reason="mpmath is not installed: radii are not recomputed")
  grid = [(k, m) for k, m in itertools.product((0, 26, 40, 55, 60), (0, 5, 20, 31)) if k + m <= 60]
  rows = [(*one, *two) for one, two in itertools.product(grid, grid)]
  votes = lambda first: np.array(
    [(row[first], row[first + 1], 60 - row[first] - row[first + 1]) for row in rows]
  )
  files = [made(0.5, votes(0), alpha=0.05), made(0.25, votes(2), alpha=0.05)]
  found = analysis.cascade(files)
  with mpmath.workdps(30):

    @functools.cache
    def exact(k, tenths):
      """The bound of k of 60, as a quantile, by bisection."""
      level, low, high = mpmath.mpf("0.05") / 2 * tenths / 10, mpmath.mpf(0), mpmath.mpf(1)
      for _ in range(60 if k else 0):
        p = (low + high) / 2
        tail = sum(mpmath.binomial(60, j) * p**j * (1 - p) ** (60 - j) for j in range(k, 61))
        low, high = (p, high) if tail <= level else (low, p)
      return mpmath.sqrt(2) * mpmath.erfinv(2 * low - 1) if low > 0 else mpmath.mpf(-9)

    compared = 0
    for row, radius, predict in zip(rows, found.columns["radius"], found.columns["predict"]):
      large, small = row[:2], row[2:]
      most = max(large[1], 60 - sum(large))
      first = exact(large[0], 8) / 2
      second = min(exact(small[0], 8) / 4, exact(60 - most, 1) / 2)
      true = max(first, second)
      assert (predict >= 0) == (true > 0)
      assert max(true, 0) - mpmath.mpf("1.1e-6") <= radius <= max(true, 0)
      compared += true > 0
  assert compared > 50


def test_a_linear_classifier_is_certified_up_to_its_distance_at_most(linear_variables, images):
  w, b = linear_variables
  labels = np.zeros(len(images), int)
  files = [
    rsjax.smooth(linear, linear_variables, sigma=sigma).certify(images, labels, n=1000, progress=False).results
    for sigma in (0.25, 0.5)
  ]
  files = [dataclasses.replace(f, path=f"{f.settings['sigma']}") for f in files]
  score = images.reshape(len(images), -1) / 255 @ w + b
  both = analysis.cascade(files)
  answered = both.columns["predict"] >= 0
  assert answered.sum() >= 3 and (both.columns["predict"] == (score > 0))[answered].all()
  assert (both.columns["radius"] <= abs(score)).all()
  alone = np.max([analysis.at_share(f, 0.4).columns["radius"] for f in files], axis=0)
  assert (both.columns["radius"] <= alone).all() and (both.columns["radius"] > 0.8 * alone)[answered].all()
  chosen = analysis.dual(files[0], files)  # class 1 chooses the second file
  assert (chosen.columns["radius"] <= abs(score)).all() and (chosen.columns["predict"] >= 0).sum() >= 3


def test_dual_takes_the_smaller_radius_of_the_chooser_and_the_chosen(tmp_path, capsys):
  chooser = made(0.5, [[900, 100], [100, 900], [510, 490], [0, 1000]], selected=[0, 1, 0, 1], alpha=0.01)
  first = made(0.25, [[990, 10]] * 4, alpha=0.01)
  second = made(1.0, [[700, 300], [700, 300], [700, 300], [500, 500]], alpha=0.01)
  found = analysis.dual(chooser, [first, second])
  halves = [analysis.at_share(f, 0.5).columns["radius"] for f in (chooser, first, second)]
  assert found.columns["predict"].tolist() == [0, 0, -1, -1]
  assert found.columns["radius"].tolist() == [
    min(halves[0][0], halves[1][0]),
    min(halves[0][1], halves[2][1]),
    0,
    0,
  ]
  assert halves[0][0] == bounds.radius(bounds.lower_confidence_bound(900, 1000, 0.005), Gaussian(0.5))
  for name, file in (("chooser", chooser), ("first", first), ("second", second)):
    analysis.Found(file).save(tmp_path / name)
  said = ran(
    analyze.main, ["--combine", "dual", *(tmp_path / n for n in ("chooser", "first", "second"))], capsys
  )
  assert "dual smoothing, sigma 0.5 chooses of 0.25, 1" in said.out and "alpha 0.01" in said.out
  with pytest.raises(InputError, match="answers class 1, but only classes below 1 choose a file"):
    analysis.dual(chooser, [first])


def test_dual_is_false_in_alpha_at_most_also_where_files_depend_on_each_other():
  """The worst dependence: the answer is selected by draws that the chooser counts, as other n0 can have it."""
  rng = np.random.default_rng(3)
  chooser = rng.multinomial(400, (0.6, 0.4), RUNS)
  limit = 0.5 * special.ndtri(0.6)  # what the chooser's probability proves
  errors = {}
  for alpha in (ALPHA, 2 * ALPHA):
    asking = made(0.5, chooser, alpha=alpha)
    wrong = analysis.at_share(asking, 0.5).columns["radius"] > limit
    even, sure = rng.multinomial(400, (0.5, 0.5), RUNS), np.tile([400, 0], (RUNS, 1))
    answering = made(0.25, np.where(wrong[:, None], sure, even), alpha=alpha)
    found = analysis.dual(asking, [answering, answering])
    errors[alpha] = np.mean((found.columns["radius"] > limit) | (~wrong & (found.columns["predict"] >= 0)))
  assert errors[ALPHA] <= ALPHA < 1.3 * ALPHA < errors[2 * ALPHA]


def test_files_by_looks_have_their_share_of_each_alpha(tmp_path):
  files = [
    write_file(tmp_path / name, CertifyByLooks(n=5000, stop=s))
    for name, s in (("a", Anytime()), ("b", Radii((0.0, 0.2))))
  ]
  plan = Plan.from_settings(files[1].settings["plan"])
  half = analysis.at_share(files[1], 0.5)
  due = bounds.lower_bound_at_look(half.columns["nA"], half.columns["n"], plan.scaled(0.5))
  assert half.columns["radius"].tolist() == bounds.radius(due, Gaussian(0.25)).tolist()
  found = analysis.dual(files[0], [files[1]] * 4)
  assert (found.columns["radius"] <= half.columns["radius"]).all() and found.columns["radius"].max() > 0
  other = dataclasses.replace(
    files[1], manifest=files[1].manifest | {"settings": files[1].settings | {"sigma": 0.5}}
  )
  both = analysis.cascade([files[0], other])
  assert (both.columns["radius"] > 0).sum() > 20
  text = "\n".join(analysis.warnings([both], ["x"], [0.0]))
  assert f"{other.path}: images ended early" in text and f"{files[0].path}: images ended early" not in text
  assert f"{other.path}: " in text and "above what the votes certify" not in text.split(files[0].path)[0]
  del files[1].manifest["settings"]["plan"]
  with pytest.raises(InputError, match="has no plan of looks"):
    analysis.dual(files[0], [files[1]])


def test_files_of_one_norm_are_combined_whatever_their_noise():
  votes = {0.5: [[900, 60, 40]], 0.25: [[930, 40, 30]]}
  kinds = {"uniform": rsjax.Uniform, "laplace": rsjax.Laplace, "grid": rsjax.GridGaussian}
  lower = lambda k, share: bounds.lower_confidence_bound([k], 1000, share * 0.01)

  def of_noise(n):
    own = {name: value for name, value in n.settings().items() if name != "sigma"}
    return made(n.sigma, votes[n.sigma], alpha=0.01, **own)

  for large, small in (("uniform", "laplace"), ("laplace", "uniform"), ("grid", "grid")):
    noises = [kinds[large](0.5), kinds[small](0.25)]
    files = [of_noise(n) for n in noises]
    found = analysis.cascade(files)
    of_others = lower(1000 - 60, 0.05) - getattr(noises[0], "void", 0)
    own = [bounds.radius(lower(k, 0.4), n) for k, n in zip((900, 930), noises)]
    due = max(own[0], min(own[1], bounds.radius(of_others, noises[0])))
    assert found.columns["radius"] == due > 0
    assert found.settings["norm"] == noises[0].norm
    assert noises[0].norm in analysis.caption(analysis.summarize([found], [0.0]))
    name = "uniform noise" if "uniform" in (large, small) else "grid noise"
    assert name in analysis.labels([found])[0]
    chosen = analysis.dual(files[0], [files[1]] * 3)
    assert chosen.columns["radius"] == min(analysis.at_share(f, 0.5).columns["radius"] for f in files)
  gaussian = of_noise(Gaussian(0.5))
  for how in (analysis.cascade, lambda files: analysis.dual(files[0], files[1:])):
    with pytest.raises(InputError, match=r"certifies l2 radii, .* l1 radii: give files of noises of one norm"):
      how([of_noise(rsjax.Uniform(0.25)), gaussian])


def test_tables_and_plots_of_a_cascade(tmp_path, capsys):
  said = ran(
    analyze.main, ["--combine", "cascade", *DIGITS, "-o", tmp_path, "--intervals", "--rho", 0.01], capsys
  ).out
  assert "cascade of sigma 0.5, 0.25, 0.12" in said and "alpha 0.001" in said
  [row] = json.loads((tmp_path / "certified_accuracy.json").read_text())["files"]
  alone = [analysis.summarize([results.read(path)], [0.0, 0.5])[0]["ACR"] for path in DIGITS]
  assert row["ACR"] > 0.9 * max(alone) and row["images"] == 72
  named = ran(
    analyze.main, ["--combine", "cascade", *DIGITS[1:], "--label", "ours", "--alpha", 1e-4, "--n", 5000], capsys
  )
  assert "ours" in named.out and "alpha 0.0001" in named.out
  found = analysis.cascade([results.read(path) for path in DIGITS])
  assert "certified accuracy" in repr(analysis.Found(found))
  with pytest.raises(InputError, match="is not saved, because its rows follow"):
    analysis.Found(found).save(tmp_path / "x.tsv")
  with pytest.raises(InputError, match="keeps no votes"):
    analysis.with_alpha(found, 1e-5)


def test_files_that_do_not_belong_together_are_refused(tmp_path, capsys):
  one, other = (results.read(path) for path in DIGITS[1:])

  def changed(file, settings=None, about=None, **columns):
    manifest = json.loads(json.dumps(file.manifest))
    manifest["settings"] |= settings or {}
    manifest["about"] |= about or {}
    return dataclasses.replace(file, manifest=manifest, columns=file.columns | columns)

  fewer = dataclasses.replace(one, columns={name: column[:9] for name, column in one.columns.items()})
  digest = {"dataset": "another"}
  for files, said in (
    ([one], "two files or more, got 1"),
    ([one, one], "another sigma in each file, got 0.25, 0.25"),
    ([other, fewer], r"of other images than .* \(9 and 72 rows\)"),
    ([other, changed(one, idx=one.columns["idx"] + 1)], "of other images"),
    ([other, changed(one, label=one.columns["label"] + 1)], "not of one data set"),
    ([other, changed(one, digest)], "not of one data set"),
    ([changed(other, {"dataset": None}), changed(one, {"dataset": None})], "not of one data set"),
    ([other, changed(one, about={"checkpoint": {"num_classes": 9}})], "files of 9 and 10 classes"),
    ([other, analysis.with_alpha(one, 1e-5)], "1e-05, .* 0.001, and they must share one: give `alpha`"),
    ([other, analysis.with_top_k(one, 2)], "without top-k"),
    ([other, write_file(tmp_path / "p.tsv", PredictByLooks(n=1000))], "holds no certificates"),
  ):
    with pytest.raises(InputError, match=said):
      analysis.cascade(files)
    if len(files) == 2 and "sigma" not in said and "classes" not in said:
      with pytest.raises(InputError, match=said):
        analysis.dual(files[0], files[1:])
  with pytest.raises(InputError, match="cascade or dual"):
    analysis.combine("best", [one, other])
  foreign = tmp_path / "foreign.tsv"
  foreign.write_text("idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t1\t1\t0.5\t1\t0:00:01\n")
  refused(analyze.main, ["--combine", "cascade", DIGITS[0], foreign], capsys, str(foreign), "keeps no votes")
  for more in (["--bound", "multi"], ["--top-k", "2"], ["--reference", DIGITS[1]]):
    refused(analyze.main, ["--combine", "cascade", *DIGITS, *more], capsys, "--combine has its own bounds")
  refused(
    analyze.main,
    ["--combine", "dual", *DIGITS[:2]],
    capsys,
    "answers class 9, but only classes below 1 choose a file",
  )
  stopped = write_file(tmp_path / "s.tsv", CertifyByLooks(n=5000, stop=Radii((0.0, 0.25))))
  fixed = write_file(tmp_path / "f.tsv", Certify(n=5000))
  refused(
    analyze.main, ["--combine", "dual", fixed.path, stopped.path, "--alpha", 1e-4], capsys, "at another alpha"
  )

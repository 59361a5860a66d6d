"""`analyze --top-k K`: the radius within which the label stays among the K most probable classes."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import DIGITS, ran, refused
from looks import write_file
from scipy import optimize, special

import rsjax
from rsjax import analysis, analyze, bounds, results
from rsjax.analysis import contradictions
from rsjax.errors import InputError
from rsjax.noise import Gaussian
from rsjax.procedures import Anytime, Certify, CertifyByLooks, PredictByLooks, Radii, certify_top_k

SIGMA, EDGES = 0.5, (-0.6, 0.1, 0.5)


def bands(variables, images):
  """Class 0 to 3 by where w . x lies between `EDGES`: the smoothed classifier is known in closed form."""
  scores = images.reshape(len(images), -1) @ variables
  inside = jnp.searchsorted(jnp.array(EDGES), scores)
  return -jnp.abs(jnp.arange(4.0)[None] - inside[:, None].astype(jnp.float32))


def shares(at):
  """The probabilities of the four bands where w . x is `at`."""
  return np.diff(special.ndtr((np.array([-np.inf, *EDGES, np.inf]) - at) / SIGMA))


def true_radius(at, label, k):
  """How far w . x must move before k other bands are at least as probable as that of the label; 0: they are."""
  lead = lambda x: shares(x)[label] - np.sort(np.delete(shares(x), label))[-k]
  if lead(at) <= 0:
    return 0.0
  ways = []
  for sign in (-1, 1):
    steps = np.linspace(0, 3, 601)
    lost = [r for r in steps if lead(at + sign * r) <= 0]
    if lost:
      i = int(np.searchsorted(steps, lost[0]))
      ways.append(optimize.brentq(lambda r, s=sign: lead(at + s * r), steps[i - 1], steps[i]))
  return min(ways, default=np.inf)


@pytest.fixture(scope="module")
def certified():
  """(results of 24 images, labelled by their most probable, second or third class; w . x of each)."""
  rng = np.random.default_rng(3)
  images = rng.random((24, 4, 4, 1), np.float32)
  w = rng.normal(size=16).astype(np.float32)
  w /= np.linalg.norm(w)
  at = images.reshape(24, -1) @ w
  labels = np.array([np.argsort(-shares(x))[(0, 0, 1, 2)[i % 4]] for i, x in enumerate(at)])
  found = rsjax.smooth(bands, w, sigma=SIGMA).certify(images, n=2000, progress=False).results
  return dataclasses.replace(found, columns=found.columns | {"label": labels}), at


@pytest.mark.parametrize("k", [1, 2, 3])
def test_radii_do_not_exceed_those_of_a_classifier_that_is_known(certified, k):
  found, at = certified
  top = analysis.with_top_k(found, k)
  true = np.array([true_radius(x, label, k) for x, label in zip(at, found.columns["label"])])
  assert (top.columns["radius"] <= true).all()
  assert (top.columns["predict"] == np.where(top.columns["correct"] == 1, found.columns["label"], -1)).all()
  assert (true[top.columns["correct"] == 1] > 0).all()
  assert top.columns["radius"].sum() > 0.4 * true[np.isfinite(true)].sum()


def test_draws_confirm_the_closed_form():
  """2,000 runs at one point, for each class that is among the top k there."""
  rng, at, alpha, means = np.random.default_rng(5), 0.6, 0.05, []
  votes = rng.multinomial(1000, shares(at), 2000)
  counts = results.parse_column([",".join(f"{c}:{n}" for c, n in enumerate(row) if n) for row in votes])
  for label, k in ((3, 1), (3, 2), (2, 1), (2, 2), (2, 3), (1, 2), (1, 3)):
    found = certify_top_k(counts, np.full(2000, label), k, alpha, Gaussian(SIGMA))
    assert (found.radius > true_radius(at, label, k)).mean() <= alpha, (label, k)
    means.append(found.radius.mean())
  assert np.array(means)[[1, 3, 4]].min() > 0.03 and means[2] == means[5] == 0


def test_the_top_one_is_the_multi_class_bound_where_the_label_was_selected():
  file = results.read(DIGITS[2])
  multi, top = analysis.with_bound(file, "multi"), analysis.with_top_k(file, 1)
  same = multi.columns["predict"] == file.columns["label"]
  assert same.sum() > 50
  np.testing.assert_allclose(top.columns["radius"][same], multi.columns["radius"][same], atol=1.01e-6)
  assert (top.columns["radius"][~same] > 0).sum() <= 3  # selected another class
  more = analysis.with_top_k(file, 3)
  assert (more.columns["radius"] > top.columns["radius"] - 0.05).all()
  assert more.columns["correct"].sum() > top.columns["correct"].sum()


def test_tables_plots_and_captions_name_it(tmp_path, capsys):
  said = ran(analyze.main, ["--top-k", 2, *DIGITS[:2], "-o", tmp_path], capsys).out
  assert said.startswith("certified top-2 accuracy of the smoothed classifier")
  assert "sigma = 0.25, top-2" in said and "among the 2 most probable classes" in " ".join(said.split())
  for ending in ("md", "tex", "csv", "json"):
    assert "top-2" in (tmp_path / f"certified_accuracy.{ending}").read_text()
  assert "Certified top-2 accuracy" in (tmp_path / "certified_accuracy.tex").read_text()
  rows = json.loads((tmp_path / "certified_accuracy.json").read_text())["files"]
  assert [row["top_k"] for row in rows] == [2, 2]
  figure = analysis.plot([analysis.with_top_k(results.read(DIGITS[0]), 2)])
  assert figure.axes[0].get_ylabel() == "certified top-2 accuracy"
  assert "the label is the most probable class" in " ".join(
    ran(analyze.main, ["--top-k", 1, DIGITS[0]], capsys).out.split()
  )
  plain = ran(analyze.main, [DIGITS[0]], capsys).out
  assert "top-" not in plain and plain.startswith("certified accuracy of")


def test_claims_are_judged_and_the_report_is_refused(tmp_path, capsys):
  said = " ".join(ran(analyze.main, ["--top-k", 2, DIGITS[1], "--claim", "0.9 at 0.25"], capsys).out.split())
  assert "supported by sigma = 0.25, top-2: 66 of 72 images have their label among the top 2 with" in said
  for flags in (["--top-k", 2, DIGITS[1]], ["--combine", "cascade", *DIGITS]):
    refused(
      analyze.main, [*flags, "--html", tmp_path / "x.html"], capsys, "the report explains the certificates"
    )
  grid = write_file(tmp_path / "grid.tsv", CertifyByLooks(n=5000, stop=Radii((0.0, 0.25))))
  for flags in (["--top-k", 2, grid.path], ["--combine", "dual", *[grid.path] * 5]):
    assert analyze.main([str(a) for a in [*flags, "--claim", "0.99 at 0.25"]]) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "not shown by" in out and "by a rule for other radii: certified accuracy is a lower bound" in out


def test_a_table_of_both_kinds_tells_them_apart():
  file = results.read(DIGITS[1])
  both = [file, analysis.with_top_k(file, 5)]
  rows = analysis.summarize(both, [0.0])
  assert "top-5" in rows[1]["name"] and "top-5" not in rows[0]["name"]
  assert analysis.caption(rows).startswith("Certified accuracy: right (of top-k: the label is among")
  assert "top-5" in repr(analysis.Found(both[1]))
  assert "top_k" not in analysis.with_bound(both[1], "one-sided").settings
  assert analysis.with_bound(both[1], "one-sided").columns["radius"].tolist() == file.columns["radius"].tolist()
  assert "top_k" not in analysis.as_predictions(both[1]).settings


def test_it_stays_at_another_alpha_and_with_fewer_draws(capsys):
  top = analysis.with_top_k(results.read(DIGITS[1]), 2)
  for again in (analysis.with_alpha(top, 1e-6), analysis.with_draws(top, 1000)):
    assert again.settings["top_k"] == 2 and not [*contradictions.of_rows(again)]
    assert again.columns["radius"].sum() < top.columns["radius"].sum()
  ran(
    analyze.main, ["--top-k", 2, DIGITS[1], "--alpha", 1e-5, "--n", 1000, "--rho", 0.01, "--intervals"], capsys
  )


def test_files_by_looks_are_valid_and_say_that_they_are_lower_bounds(tmp_path):
  """The bounds of a plan hold together; but images stopped by the radius of the class that was selected."""
  files = {
    "grid": write_file(tmp_path / "grid.tsv", CertifyByLooks(n=5000, stop=Radii((0.0, 0.25)))),
    "anytime": write_file(tmp_path / "anytime.tsv", CertifyByLooks(n=5000, stop=Anytime())),
    "fixed": write_file(tmp_path / "fixed.tsv", Certify(n=5000)),
  }
  top = {name: analysis.with_top_k(file, 2) for name, file in files.items()}
  plan = bounds.Plan.from_settings(files["grid"].settings["plan"])
  votes = results.parse_column(files["grid"].columns["votes"])
  label = files["grid"].columns["label"]
  pair = bounds.top_k_bounds_at_look(votes.of(label), votes.largest_others(label, 2), votes.draws(), plan)
  assert top["grid"].columns["radius"].tolist() == bounds.top_k_radius(*pair, Gaussian(0.25)).tolist()
  assert (top["anytime"].columns["radius"] <= top["fixed"].columns["radius"] + 1e-9).all()
  said = {name: "\n".join(analysis.warnings([f], ["x"], [0.0, 0.25])) for name, f in top.items()}
  assert "ended early, by the radius of the class that was certified" in said["grid"]
  assert "lower bounds" in said["grid"] and not any(
    "ended early" in said[name] for name in ("anytime", "fixed")
  )
  assert "stopped at grid radii" in analysis.labels([top["grid"]])[0]
  with pytest.raises(InputError, match="at another alpha"):
    analysis.with_alpha(top["grid"], 1e-5)
  del files["grid"].manifest["settings"]["plan"]
  with pytest.raises(InputError, match="has no plan of looks"):
    analysis.with_top_k(files["grid"], 2)


def test_draws_that_voted_for_nobody_count_as_one_class_more():
  file = results.read(DIGITS[1])
  votes = file.columns["votes"].copy()
  votes[0] = "0:40000,1:30000,2:20000,3:10000"
  votes[1] = "0:40000,1:30000,3:10000,invalid:20000"
  changed = dataclasses.replace(
    file, columns=file.columns | {"votes": votes, "label": np.zeros_like(file.columns["label"])}
  )
  radius = analysis.with_top_k(changed, 2).columns["radius"]
  assert radius[0] == radius[1] > 0


def test_what_cannot_be_is_refused(tmp_path, capsys):
  for k, said in (
    (0, "at least 1, got 0"),
    (10, "below the number of classes, 10 as the manifest"),
    (11, "got 11"),
  ):
    refused(analyze.main, ["--top-k", k, DIGITS[1]], capsys, said)
  refused(analyze.main, ["--top-k", 2, DIGITS[1], "--bound", "multi"], capsys, "has its own bound")
  refused(analyze.main, ["--top-k", 2, DIGITS[1], "--reference", DIGITS[1]], capsys, "--reference")
  foreign = tmp_path / "foreign.tsv"
  foreign.write_text("idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t1\t1\t0.5\t1\t0:00:01\n")
  refused(analyze.main, ["--top-k", 2, foreign], capsys, str(foreign), "keeps no votes of the classes")
  predictions = write_file(tmp_path / "predict.tsv", PredictByLooks(n=1000))
  refused(analyze.main, ["--top-k", 2, predictions.path], capsys, "is of PREDICT")
  unlabelled = results.read(DIGITS[1])
  del unlabelled.columns["label"]
  with pytest.raises(InputError, match="give `labels`"):
    analysis.with_top_k(unlabelled, 2)
  with pytest.raises(InputError, match="integer"):
    analysis.with_top_k(results.read(DIGITS[1]), True)
  with pytest.raises(InputError, match=r"4 as .* shows in labels and votes, got 4"):
    analysis.with_top_k(write_file(tmp_path / "four.tsv", Certify(n=1000)), 4)


def test_it_is_not_saved_as_if_it_were_the_classifier_s_answer(tmp_path):
  top = analysis.with_top_k(results.read(DIGITS[1]), 2)
  with pytest.raises(InputError, match="are not saved"):
    analysis.Found(top).save(tmp_path / "x.tsv")
  assert not [*tmp_path.iterdir()]

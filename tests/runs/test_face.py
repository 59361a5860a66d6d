"""The Python face: `rsjax.smooth`, `load` and `read`, as a newcomer uses them."""

import copy
import pathlib
import re
import shutil
import subprocess
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import linear, without_time

import rsjax
from rsjax import analysis, analyze, certify, data, procedures, results
from rsjax.classifiers import checkpoint
from rsjax.errors import ResultWarning
from rsjax.noise import Gaussian
from rsjax.procedures import Certify, Predict
from rsjax.smoothing import Execution, Smoothed

LABELS = np.arange(6) % 2


@pytest.fixture
def g(linear_variables):
  return rsjax.smooth(linear, linear_variables, sigma=0.25)


def test_a_newcomers_lines(g, images, tmp_path):
  found = g.certify(images, LABELS, n=1000, progress=False)
  assert len(found) == 6
  assert found.radius.dtype == np.float64 and found["radius"] is found.radius
  assert found.certified_accuracy([0.0, 0.25]).shape == (2,)
  assert found.certified_accuracy(0.0) == ((found.predict == LABELS) & (found.predict != -1)).mean()
  assert found.acr() == (found.radius * (found.predict == LABELS)).mean()
  assert "6 images certified, sigma = 0.25" in repr(found)
  frame = found.to_pandas()
  assert frame["radius"].tolist() == found.radius.tolist()
  assert {"idx", "label", "n", "nA", "votes"} <= set(frame)
  html = found._repr_html_()
  assert "<table>" in html and f"<td>{found.radius[0]:.6g}</td>" in html
  assert "radius" in found.table([0.0]) and "radius" in dir(found)
  with pytest.raises(AttributeError, match="no column 'nothing'"):
    print(found.nothing)
  found.plot(tmp_path / "plot.png")
  assert (tmp_path / "plot.png").stat().st_size > 5000
  answers = g.predict(images, LABELS, n=100, progress=False)
  assert "6 images predicted" in repr(answers) and "pvalue" in answers.columns


def test_its_certificates_are_the_engines(g, linear_variables, images):
  settings = dict(n0=50, n=500, alpha=0.01, seed=3)
  found = g.certify(images, n0=50, n=500, alpha=0.01, seed=3, indices=[4, 1], progress=False)
  smoothed = Smoothed(linear, linear_variables, Gaussian(0.25))
  examples = [(i, images[i]) for i in (4, 1)]
  wanted = dict(smoothed.outcomes(Certify(50, 500, 0.01), examples, seed=settings["seed"]))
  assert found.idx.tolist() == [4, 1]
  assert found.radius.tolist() == [wanted[i].radius for i in (4, 1)]
  assert found.n.tolist() == [500, 500]
  predicted = g.predict(images, n=300, alpha=0.01, seed=3, indices=[4, 1], progress=False)
  wanted = dict(smoothed.outcomes(Predict(300, 0.01), examples, seed=3))
  assert predicted.predict.tolist() == [wanted[i].prediction for i in (4, 1)]


def test_a_file_is_written_continued_and_read(g, images, tmp_path):
  whole, stopped = tmp_path / "whole.tsv", tmp_path / "stopped.tsv"
  found = g.certify(images, LABELS, n=1000, file=whole, progress=False)
  in_memory = g.certify(images, LABELS, n=1000, progress=False)
  for name, column in found.columns.items():
    assert name == "time" or column.tolist() == in_memory[name].tolist()
  g.certify(images, LABELS, n=1000, file=stopped, progress=False)
  rows = stopped.read_text().splitlines(keepends=True)
  stopped.write_text("".join(rows[:3]) + rows[3][:10])
  g.certify(images, LABELS, n=1000, file=stopped, progress=False)
  assert without_time(stopped) == without_time(whole)
  in_memory.save(tmp_path / "saved" / "x.tsv")
  assert without_time(tmp_path / "saved" / "x.tsv") == without_time(whole)
  assert rsjax.read(whole).acr() == found.acr()
  assert analysis.warnings([results.read(tmp_path / "saved" / "x.tsv")], ["x"], []) == analysis.warnings(
    [results.read(whole)], ["x"], []
  )
  with pytest.raises(rsjax.InputError, match="exists"):
    in_memory.save(whole)
  with pytest.raises(rsjax.InputError, match=r"other settings.*sigma was 0.25"):
    rsjax.smooth(linear, g.variables, sigma=0.5).certify(images, LABELS, n=1000, file=whole, progress=False)


def test_a_label_that_was_changed_in_a_file_is_refused(g, images, tmp_path):
  path = tmp_path / "r.tsv"
  g.certify(images, LABELS, n=200, file=path, progress=False)
  whole = path.read_text()
  header, first, *rows = whole.splitlines(keepends=True)
  cells = dict(zip(header.split("\t"), first.split("\t")))
  label = 1 - int(cells["label"])
  cells |= {"label": str(label), "correct": str(int(int(cells["predict"]) == label))}
  manifest = rsjax.results.manifest_path(path)
  before = manifest.read_bytes()
  for kept in (rows, rows[:2]):  # a complete file, and one that is continued
    path.write_text("".join([header, "\t".join(cells.values()), *kept]))
    with pytest.raises(rsjax.InputError, match=rf"line 2 says that image 0 has label {label}, but"):
      g.certify(images, LABELS, n=200, file=path, progress=False)
    assert manifest.read_bytes() == before


def test_an_image_that_cannot_be_used_is_refused_before_a_file_is_begun(g, images, tmp_path):
  odd, path = images.astype(np.float32) / 255, tmp_path / "r.tsv"
  odd[-1, 0, 0] = np.nan
  with pytest.raises(rsjax.InputError, match=f"image {len(images) - 1} is float32 and holds NaN"):
    g.certify(odd, LABELS, n=200, file=path, progress=False)
  mixed = [*images[:-1], np.zeros(images.shape[1:], np.float32)]
  with pytest.raises(rsjax.InputError, match="must be of one shape and dtype"):
    g.certify(mixed, LABELS, n=200, file=path, progress=False)
  assert not path.exists()
  assert len(g.certify(images, LABELS, n=200, file=path, progress=False)) == len(images)


def test_a_file_that_contradicts_itself_is_warned_of_when_it_is_read(g, images, tmp_path):
  path = tmp_path / "r.tsv"
  g.certify(images, LABELS, n=1000, file=path, progress=False)
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    assert rsjax.read(path).contradictions() == []
  lines = [line.split("\t") for line in path.read_text().splitlines()]
  row = next(row for row in lines[1:] if float(row[3]) > 0)
  row[3] = f"{float(row[3]) + 0.1:.6f}"
  path.write_text("".join("\t".join(line) + "\n" for line in lines))
  with pytest.warns(UserWarning, match="1 radius is above what the votes certify"):
    found = rsjax.read(path)
  assert "above what the votes certify" in "\n".join(found.warnings())


def test_printing_a_classifier_does_not_print_its_weights():
  printed = repr(rsjax.smooth(linear, {"w": np.zeros((300, 300), np.float32)}, sigma=0.25))
  assert "Gaussian(sigma=0.25)" in printed and len(printed) < 300


def test_a_warning_is_shown_each_time(g, images):
  with pytest.warns(rsjax.errors.ResultWarning, match="no uint8 pixel is above 15"):
    g.certify(images // 16, LABELS, n=100, progress=False)
  code = "import warnings, rsjax.errors as e\nfor _ in 'ab': warnings.warn('odd', e.ResultWarning)"
  ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
  assert ended.stderr.count("odd") >= 2 and ended.stderr.count("ResultWarning: odd") == 2


def test_results_are_taken_in_either_form_and_a_radius_alone(g, images, tmp_path):
  found = g.certify(images, LABELS, n=1000, progress=False)
  for files in (found, [found], [found.results]):
    assert analysis.table(files, [0.25]) == analysis.table([found.results], [0.25])
    assert analysis.plot(files)
  assert found.table(0.25) == found.table([0.25])
  with pytest.raises(KeyError, match="no column 0, only idx"):
    found[0]
  predicted = g.predict(images, LABELS, progress=False)
  for use in (predicted.table, predicted.plot, lambda: analysis.plot([predicted.results])):
    with pytest.raises(rsjax.InputError, match="is from PREDICT, which certifies no radius"):
      use()
  found.save(tmp_path / "r.tsv")
  (tmp_path / "r.tsv.json").unlink()
  with pytest.warns(rsjax.errors.ResultWarning, match="no manifest"):
    found = rsjax.read(tmp_path / "r.tsv")
  assert "(no manifest: it is not known whether all images are there)" in repr(found)


def test_paths_are_refused_where_results_are_due(tmp_path):
  path = tmp_path / "r.tsv"
  for given in (path, str(path), [path], [str(path)]):
    for use in (
      lambda f: analysis.table(f, [0.25]),
      lambda f: analysis.summarize(f, [0.25]),
      lambda f: analysis.warnings(f, ["x"], [0.25]),
      analysis.plot,
      analysis.labels,
      analysis.cascade,
      lambda f: analysis.report(f, tmp_path / "r.html"),
    ):
      with pytest.raises(rsjax.InputError, match=r"got the path '.*r.tsv': give rsjax.results.read\(path\)"):
        use(given)


@pytest.mark.parametrize("mask", [[True, False], np.array([True, False]), jnp.array([False, True])])
def test_a_mask_is_refused_as_indices(g, mask):
  with pytest.raises(rsjax.InputError, match=r"give np.flatnonzero\(mask\)"):
    g.certify(np.zeros((2, 4, 4, 1), np.uint8), indices=mask)


class WithGradients:
  """As a tensor of PyTorch that NumPy cannot read."""

  def __array__(self, *args, **kwargs):
    raise RuntimeError("Use tensor.detach().numpy() instead.")


@pytest.mark.parametrize(
  ("image", "message"),
  [
    ((np.zeros((4, 4, 1), np.uint8), 3), "image 0, a tuple, .*pair .*give images and labels apart"),
    ([np.zeros((4, 4, 1), np.float32), 3], "image 0, a list, .*pair .*give images and labels apart"),
    (WithGradients(), r"image 0, a WithGradients, cannot be converted to an array: Use tensor.detach\(\)"),
  ],
)
def test_images_that_are_no_arrays_are_refused_with_the_mend(g, image, message):
  for use in (g.check, lambda x: g.certify(x, n=100, progress=False), lambda x: g.predict(x, n=100)):
    with pytest.raises(rsjax.InputError, match=message):
      use([image])
  with pytest.raises(
    rsjax.InputError, match="got generator: give an array of all images, and their labels apart"
  ):
    g.certify(one for one in [image])
  with pytest.raises(rsjax.InputError, match="labels must be 1 integers, one per image, got a list"):
    g.certify(np.zeros((1, 4, 4, 1), np.uint8), [image])


def test_without_labels_there_are_radii_and_no_accuracy(g, images, tmp_path):
  found = g.certify(images, n=500, progress=False)
  assert "label" not in found.columns and "correct" not in found.columns
  assert "median radius" in repr(found)
  for use in (lambda: found.acr(), lambda: found.certified_accuracy(0.1), lambda: found.save(tmp_path / "x")):
    with pytest.raises(rsjax.InputError, match="labels"):
      use()
  for use in (
    lambda: found["correct"],
    lambda: analysis.warnings([found.results], ["x"], []),
    lambda: analysis.table([found.results], [0.0]),
    lambda: found.table(),
  ):
    with pytest.raises(rsjax.InputError, match="labels"):
      use()
  assert analysis.with_alpha(found.results, 0.01).columns["radius"].min() >= 0
  assert len(analysis.as_predictions(found.results)) == 6
  with pytest.raises(rsjax.InputError, match="labels"):
    g.certify(images, n=500, file=tmp_path / "y", progress=False)
  for nothing, said in (
    (dict(images=images[:0], labels=LABELS[:0]), "a result file needs at least one image"),
    (dict(images=images, labels=LABELS, indices=[]), "indices hold no position"),
  ):
    with pytest.raises(rsjax.InputError, match=said):
      g.certify(**nothing, n=500, file=tmp_path / "y", progress=False)
  assert list(tmp_path.iterdir()) == []
  with pytest.raises(rsjax.InputError, match="no radius"):
    g.predict(images, LABELS, n=100, progress=False).acr()


def test_a_trained_classifier_is_loaded_as_the_command_certifies_it(trained, tmp_path):
  from rsjax import data

  out = tmp_path / "c.tsv"
  assert certify.main(["digits", trained, "0.25", str(out), "--max", "3", "--N", "500"]) == 0
  digits = data.load("digits", "test")
  found = rsjax.load(trained, sigma=0.25).certify(
    digits.images, digits.labels, n=500, indices=range(3), progress=False
  )
  for name in ("idx", "label", "predict", "radius", "votes0", "votes"):
    assert found[name].tolist() == results.read(out).columns[name].tolist()


def test_the_bar_is_on_stderr(g, images, capsys):
  g.certify(images, n=200)
  said = capsys.readouterr()
  assert not said.out
  assert "6/6 images" in said.err and "draws" in said.err


def test_numpys_numbers_are_numbers(linear_variables, images, tmp_path):
  g = rsjax.smooth(linear, linear_variables, sigma=np.float32(0.25))
  numbers = dict(n0=np.int64(50), n=np.int32(500), alpha=np.float64(0.01), seed=np.int64(3))
  found = g.certify(images, LABELS, file=tmp_path / "x.tsv", progress=False, **numbers)
  again = rsjax.smooth(linear, linear_variables, sigma=0.25).certify(
    images, LABELS, n0=50, n=500, alpha=0.01, seed=3, file=tmp_path / "x.tsv", progress=False
  )
  assert found.radius.tolist() == again.radius.tolist()


def test_a_wrong_image_is_said_before_a_wrong_classifier(linear_variables, images):
  g = rsjax.smooth(batch_statistics, linear_variables, sigma=0.25)
  with pytest.raises(rsjax.InputError, match=r"^images must be uint8.*but image 0 is float64.*give .astype"):
    g.certify(images.astype(np.float64), n=100, progress=False)


@pytest.mark.parametrize(
  ("wrong", "message"),
  [
    (dict(labels=np.zeros(5, int)), "labels must be 6 integers"),
    (dict(labels=np.zeros(6)), "labels must be 6 integers"),
    (dict(labels=np.zeros((6, 1), int)), r"got int64\[6, 1\]: give labels\[:, 0\]"),
    (dict(labels=np.eye(6, dtype=int)), r"got int64\[6, 6\]: give labels.argmax\(1\)"),
    (dict(labels=[0, 1, 0, -5, 0, 1]), "labels must be 0 or more, got -5"),
    (dict(labels=np.ma.masked_array(LABELS, LABELS == 1)), r"labels are a masked array.*give labels\.data"),
    (dict(images=np.ma.masked_array(np.zeros((6, 4, 4, 1), np.uint8), True)), "images are a masked array"),
    (dict(indices=np.where(LABELS == 1)), r"got \[1 3 5\]: give np.ravel\(indices\)"),
    (dict(indices=[0.5]), "indices must be integers"),
    (dict(indices=np.array([0.0, 1.0])), r"indices must be integers, got 0.0: give .*\.astype\(int\)"),
    (dict(indices=slice(0, 2)), r"got slice\(0, 2, None\): give range\(0, 2\)"),
    (dict(indices=slice(None, -1, 3)), r": give range\(0, 5, 3\)"),
    (dict(indices=[]), "indices hold no position: leave out `indices` for all images"),
    (dict(indices=3), r"a sequence of integers, got 3: give \[3\]"),
    (dict(images=None), "images must be a sequence"),
    (dict(images=data.load("digits", "test")), r"got Dataset: give its \.images, and its \.labels"),
    (dict(images="photos"), "images must be a sequence of arrays, or an array, got str"),
    (dict(labels=list("abcdef")), r"class, as np.unique\(labels, return_inverse=True\)\[1\] does"),
    (dict(images=np.zeros((6, 4, 4, 1), np.int64)), r"give .astype\(np.uint8\) if its values are 0 to 255"),
    (dict(images=[np.zeros((4, 4), np.uint8)] * 6), r"give image\[..., None\] if channels are missing"),
    (dict(n="100"), "n must be an integer of at least 1, got '100'"),
    (dict(indices=[0, 6]), "positions of the 6 images, from 0 on, got 6"),
    (dict(indices=[1, 1]), "different images"),
    (dict(n=9), "give n >= 10"),
    (dict(n0=0), "n0 must be"),
    (dict(alpha=1.0), "alpha"),
    (dict(alpha=0.95), "probability that an answer is wrong.*for a confidence of 0.95, give 0.05"),
    (dict(images=np.zeros((4, 4, 1), np.uint8)), r"give images\[None\] if it is one image"),
    (dict(seed=-1), "seed"),
    (dict(images=np.full((2, 4, 4, 1), 200, np.float32)), "from 200 to 200, .* give images / 255"),
    (dict(images=np.full((2, 4, 4, 1), 1.0001, np.float32)), r"to 1.00010002, .* give np.clip\(images, 0, 1\)"),
    (dict(images=np.full((2, 4, 4, 1), 15, np.float32)), "largest value that a pixel can have, such as 15"),
    (dict(images=np.full((2, 4, 4, 1), -1, np.float32)), r"from -1 to -1, .* give \(images \+ 1\) / 2"),
    (dict(images=np.full((2, 4, 4, 1), -2, np.float32)), "from -2 to -2, .* before normalisation"),
    (dict(images=np.full((2, 4, 4, 1), np.nan, np.float32)), "holds NaN or infinite values"),
  ],
)
def test_what_cannot_be_used_is_refused(g, images, wrong, message):
  with pytest.raises(rsjax.InputError, match=message):
    g.certify(**{"images": images, "progress": False} | wrong)


def test_no_noise_and_no_function_are_refused(linear_variables):
  for sigma in (0.0, -1.0, float("nan"), 1e-50):
    with pytest.raises(rsjax.InputError, match="sigma"):
      rsjax.smooth(linear, linear_variables, sigma=sigma)
  with pytest.raises(rsjax.InputError, match="apply must be a function"):
    rsjax.smooth("linear", linear_variables, sigma=0.5)


def batch_statistics(variables, x):
  return linear(variables, (x - x.mean(0, keepdims=True)) / (x.std(0, keepdims=True) + 0.1))


def dropout(variables, x):
  return linear(variables, jnp.where(jax.random.bernoulli(jax.random.key(0), 0.9, x.shape), x, 0))


def neighbours(variables, x):
  """Logits leak from one row to the next."""
  return linear(variables, x + 0.2 * jnp.roll(x, 1, 0))


@pytest.mark.parametrize("apply", [batch_statistics, dropout, neighbours])
def test_a_classifier_whose_rows_are_coupled_is_refused(apply, linear_variables, images):
  with pytest.raises(rsjax.InputError, match="voids the guarantee"):
    rsjax.smooth(apply, linear_variables, sigma=0.25).certify(images, n=100, progress=False)


def test_a_small_coupling_is_warned_of_and_none_is_not(g, linear_variables, images):
  def slight(variables, x):
    return linear(variables, x + 2e-4 * jnp.roll(x, 1, 0))

  with pytest.warns(UserWarning, match="more than rounding explains"):
    rsjax.smooth(slight, linear_variables, sigma=0.25).certify(images, n=100, progress=False)
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    g.certify(images, n=100, progress=False)


def within(w, b):
  """A classifier whose weights are part of the function."""
  return lambda variables, x: linear((w, b), x)


def test_a_file_is_of_one_classifier(linear_variables, images, tmp_path):
  """Also where the variables tell nothing: the file of one function is not returned for another."""
  w, b = linear_variables
  run = lambda g, **more: g.certify(images, LABELS, n=100, progress=False, **more)
  for variables in ((), {}, None):
    with pytest.raises(rsjax.InputError, match="give smooth a name"):
      run(rsjax.smooth(within(w, b), variables, sigma=0.25), file=tmp_path / "x.tsv")
  run(rsjax.smooth(within(w, b), (), sigma=0.25))  # in memory nothing is mistaken
  assert not (tmp_path / "x.tsv").exists()
  path = tmp_path / "x.tsv"
  found = run(rsjax.smooth(within(w, b), (), sigma=0.25, name="mine"), file=path)
  again = run(rsjax.smooth(within(w, b), (), sigma=0.25, name="mine"), file=path)
  assert again.radius.tolist() == found.radius.tolist()
  assert found.settings["classifier"] == "mine"
  with pytest.raises(rsjax.InputError, match='classifier was "mine", is now "yours"'):
    run(rsjax.smooth(within(w, b), (), sigma=0.25, name="yours"), file=path)
  with pytest.raises(rsjax.InputError, match="begun with another classifier"):
    run(rsjax.smooth(within(w + 0.1, b), (), sigma=0.25, name="mine"), file=path)
  last = w.copy()
  last[-1] += 1e-6  # less than rounding changes logits
  for transformed in (lambda apply: apply, jax.jit, jax.checkpoint):
    again = run(rsjax.smooth(transformed(within(w, b)), (), sigma=0.25, name="mine"), file=path)
    assert again.radius.tolist() == found.radius.tolist()
    with pytest.raises(rsjax.InputError, match="numbers that `apply` holds itself differ"):
      run(rsjax.smooth(transformed(within(last, b)), (), sigma=0.25, name="mine"), file=path)
  voting = lambda c: lambda _, x: jax.nn.one_hot((linear((w, b), x - c)[:, 1] > 0).astype(int), 2)
  run(rsjax.smooth(voting(0.4), (), sigma=0.25, name="mine"), file=tmp_path / "voting.tsv")
  with pytest.raises(rsjax.InputError, match="numbers that `apply` holds itself differ"):
    run(rsjax.smooth(voting(0.401), (), sigma=0.25, name="mine"), file=tmp_path / "voting.tsv")
  both = [found.results, run(rsjax.smooth(within(w, b), (), sigma=0.25, name="yours")).results]
  assert "mine" in analysis.table(both, [0.0]) and "yours" in analysis.table(both, [0.0])
  for name in ("", " ", 3, "a\nb", "\x1b[1A"):
    with pytest.raises(rsjax.InputError, match="name must be a non-empty string"):
      rsjax.smooth(linear, linear_variables, sigma=0.25, name=name)


def test_another_function_of_the_same_variables_does_not_continue_a_file(linear_variables, images, tmp_path):
  path, other = tmp_path / "x.tsv", lambda variables, x: linear(variables, (x - 0.45) / 0.9)
  run = lambda apply: rsjax.smooth(apply, linear_variables, sigma=0.25).certify(
    images, LABELS, n=100, file=path, progress=False
  )
  run(linear)
  before = path.read_text()
  run(lambda variables, x: linear(variables, x) * 1)  # another function that is the same
  with pytest.raises(rsjax.InputError, match=r"its variables are the same, but its logits for image 0 differ"):
    run(other)
  assert path.read_text() == before


@pytest.fixture(scope="module")
def two_classes():
  """40 images of two classes, by their brightness, and the network of grey levels that tells them apart."""
  labels = np.arange(40) % 2
  pixels = np.random.default_rng(0).integers(0, 100, (40, 4, 4, 1)) + 120 * labels[:, None, None, None]
  variables = np.float32(4.0)
  apply = lambda v, x: jnp.stack([110 * v - x.mean((1, 2, 3)) * v, x.mean((1, 2, 3)) * v - 110 * v], 1)
  return apply, variables, pixels.astype(np.uint8), labels


def test_a_look_tells_accuracy_and_answers(two_classes):
  apply, variables, images, labels = two_classes
  right = lambda v, x: apply(v, x * 255)
  look = rsjax.smooth(right, variables, sigma=0.1).check(images, labels)
  assert look.accuracy() == (1.0, 1.0) and not look.warnings
  assert "40 images: accuracy 1.00 clean, 1.00 with noise; 2 of 2 classes answered" in str(look)
  assert "accuracy" not in str(rsjax.smooth(right, variables, sigma=0.1).check(images, most=5))
  with pytest.raises(rsjax.InputError, match="voids the guarantee"):
    rsjax.smooth(lambda v, x: right(v, x - x.mean(0, keepdims=True)), variables, sigma=0.1).check(images)
  for wrong, message in ((dict(labels=labels[1:]), "labels must be 40"), (dict(most=0), "most must be")):
    with pytest.raises(rsjax.InputError, match=message):
      rsjax.smooth(right, variables, sigma=0.1).check(images, **wrong)


def test_inputs_on_another_scale_are_told_before_anything_is_certified(two_classes):
  apply, variables, images, labels = two_classes
  for known in (labels, None):
    with pytest.warns(UserWarning, match=r"class 0 is answered for 24 of 24 noisy images.*\[0, 1\]"):
      rsjax.smooth(apply, variables, sigma=0.1).certify(images, known, n=20, progress=False)
  with pytest.warns(UserWarning, match="class 0 is answered"):
    rsjax.smooth(apply, variables, sigma=0.1).predict(images, labels, n=20, progress=False)
  [warning] = rsjax.smooth(apply, variables, sigma=0.1).check(images, labels).warnings
  assert "class 0 is answered for 40 of 40" in warning


def test_one_answer_for_images_of_one_class_is_told_to_be_possibly_constant(two_classes):
  apply, variables, images, labels = two_classes
  told = "class 0 is answered for 20 of 20 noisy images, and is the label of 100%: a classifier that answers"
  for scale in (1, 255):  # wrong and right: nothing but images of the other class can tell them apart
    g = rsjax.smooth(lambda v, x, scale=scale: apply(v, x * scale), variables, sigma=0.1)
    [warning] = g.check(images[::2], labels[::2]).warnings
    assert told in warning and "would look the same; add images of other classes" in warning
  with pytest.warns(UserWarning) as given:
    g.certify(images[::2], labels[::2], n=20, progress=False)
  assert any(told in str(warning.message) for warning in given)


def test_logits_that_are_not_finite_are_no_answer(two_classes):
  apply, variables, images, labels = two_classes
  look = rsjax.smooth(lambda v, x: apply(v, x) * jnp.nan, variables, sigma=0.1).check(images, labels)
  assert look.warnings == (
    "the logits of 40 of 40 noisy images are not finite: no image can be certified by them",
  )
  assert "0 of 2 classes answered" in str(look)


def test_draws_whose_logits_are_not_finite_are_told_once_a_run(two_classes, tmp_path):
  apply, variables, images, labels = two_classes

  def sick(v, x):  # of the images of one class, for every draw
    logits = apply(v, x * 255)
    return jnp.where(logits.argmax(1, keepdims=True) == 1, jnp.nan, logits)

  g = rsjax.smooth(sick, variables, sigma=0.01)
  told = (
    r"[\d,]+ draws of \d+ images gave logits that are not finite; these draws count in n and vote for no class"
  )
  for use in (lambda: g.certify(images, labels, n=100, file=tmp_path / "sick.tsv", progress=False),
              lambda: g.predict(images, n=100, fixed=True, progress=False)):  # fmt: skip
    with warnings.catch_warnings(record=True) as caught:
      warnings.simplefilter("always")
      use()
    assert [bool(re.fullmatch(told, str(one.message))) for one in caught].count(True) == 1
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    rsjax.smooth(lambda v, x: apply(v, x * 255), variables, 0.01).certify(images, labels, n=100, progress=False)


def test_images_that_are_odd_are_told(g, images, linear_variables):
  dark, twice = (images > 128).astype(np.uint8), (images / 255 / 255).astype(np.float32)
  raw = (np.rint(images / 255 * 16) / 255).astype(np.float32)  # of 0..16
  for odd, told in (
    (dark, "no uint8 pixel is above 1"),
    (twice, "divided by 255 twice"),
    (raw, "no float32 pixel is above 0.0627"),
  ):
    with pytest.warns(UserWarning, match=told):
      g.certify(odd, n=100, progress=False)
    assert any(told in warning for warning in g.check(odd).warnings)
  flat = lambda v, x: linear(v, x.reshape(len(x), -1)[:, :16].reshape(-1, 4, 4, 1))
  first = np.zeros((2, 3, 8, 8), np.uint8) + 99
  with pytest.warns(UserWarning, match="channels before height and width"):
    rsjax.smooth(flat, linear_variables, sigma=0.25).certify(first, n=100, progress=False)


def test_labels_that_are_none_of_the_classes_are_refused(g, images):
  for use in (g.check, lambda *args: g.certify(*args, n=100, progress=False), g.predict):
    with pytest.raises(
      rsjax.InputError, match=r"labels must be below the classifier's 2 classes, got 2: subtract 1"
    ):
      use(images, LABELS + 1)
    wrapped = (LABELS - 1).astype(np.uint8)  # subtracting again would make 254 of it
    for labels in (wrapped, np.where(wrapped == 0, np.uint8(1), wrapped)):
      with pytest.raises(rsjax.InputError, match=r"got 255: 255 is what -1 becomes as uint8"):
        use(images, labels)
    with pytest.raises(rsjax.InputError, match=r"got 7$"):
      use(images, LABELS + 6)


def test_a_checkpoint_is_used_as_it_was_made_for_or_told(trained, images):
  own = rsjax.load(trained, sigma=0.25)
  arrays = data.load("digits", "test").array()[:2]
  assert own.certify(arrays, [0, 1], n=100, progress=False).settings["dtype"] == "float32"
  with pytest.warns(UserWarning, match=r"trained with noise_sd = 0.25, not 0.5"):
    other = rsjax.load(trained, sigma=0.5)
  for use in (other.check, lambda x: other.certify(x, n=100, progress=False)):
    with pytest.raises(rsjax.InputError, match=r"images must be \[8, 8, 1\].*got \[4, 4, 1\]"):
      use(images)


def test_pytorchs_tensors_are_refused_with_the_mend():
  torch = pytest.importorskip("torch", reason="PyTorch is not installed: its tensors are not tried")
  with pytest.raises(rsjax.InputError, match=r"tensor.detach\(\).numpy\(\)"):
    rsjax.smooth(linear, {"w": torch.zeros(3)}, sigma=0.25)


def test_a_module_of_pytorch_is_refused_with_the_mend():
  module = type("Net", (type("Module", (), {"__module__": "torch.nn.modules.module"}),), {})()
  with pytest.raises(rsjax.InputError, match=r"rsjax\.from_torch\(module, example_shape\)"):
    rsjax.smooth(module, None, sigma=0.25)


@pytest.mark.parametrize("inputs", ["images", "arrays"])
def test_tables_of_pandas_are_refused_because_they_are_taken_by_column(inputs):
  pandas = pytest.importorskip("pandas", reason="pandas is not installed: its tables are not tried")
  frame = pandas.DataFrame(np.eye(6, dtype=np.float32))
  g = rsjax.smooth(lambda v, x: x @ v, np.eye(6, dtype=np.float32), sigma=0.25, inputs=inputs)
  for given in (frame, frame[0]):
    for use in (g.check, lambda x: g.certify(x, n=100, progress=False), lambda x: g.predict(x, n=100)):
      with pytest.raises(rsjax.InputError, match=r"to_numpy\(np.float32\)"):
        use(given)


def test_labels_counted_from_1_are_told():
  """Of ten classes, by a network that is right; also for few images, and never for labels that are right."""
  right = np.arange(40) % 9
  images = np.full((40, 4, 4, 1), 1, np.uint8) * (25 * right[:, None, None, None]).astype(np.uint8)
  apply = lambda v, x: v * -jnp.abs(x.mean((1, 2, 3))[:, None] * 255 - jnp.arange(0.0, 250, 25)[None])
  g = rsjax.smooth(apply, np.float32(1), 0.01)
  for count, looked in ((4, 4), (40, 24)):
    with pytest.warns(
      UserWarning, match=f"0 of {looked} labels .*, but {looked} are its answer plus 1: are labels counted"
    ):
      g.certify(images[:count], right[:count] + 1, n=20, progress=False)
    [warning] = g.check(images[:count], right[:count] + 1).warnings
    assert "subtract 1 from each label" in warning
    assert not g.check(images[:count], right[:count]).warnings
  assert not g.check(images[:2], right[:2] + 1).warnings  # may be by chance


def test_accuracy_at_chance_is_told(two_classes):
  apply, variables, images, labels = two_classes
  right = lambda v, x: apply(v, x * 255)
  [warning] = (
    rsjax.smooth(right, variables, sigma=0.1).check(images, (labels + np.arange(40) // 20) % 2).warnings
  )
  assert "accuracy with noise is at chance, 20 of 40 images (without noise 20)" in warning


def test_radii_of_another_norm_say_so_and_words_are_no_radii(images, linear_variables):
  found = rsjax.smooth(linear, linear_variables, noise=rsjax.noise.Laplace(0.25)).certify(
    images, LABELS, n=200, progress=False
  )
  assert ", l1 radius, n = 200: " in repr(found) and found.table().endswith("\nl1 radius, n = 200")
  for use in (found.certified_accuracy, found.table):
    with pytest.raises(rsjax.InputError, match=r"radii must be numbers, such as .* got 'a'"):
      use("a")


def test_drawing_stops_when_it_is_settled(g, images, linear_variables):
  settings = dict(n=5000, progress=False)
  fixed = g.certify(images, LABELS, **settings)
  one = g.certify(images, LABELS, radii=0.3, give_up=0.0, **settings)
  assert ((one.radius > 0.3) <= (fixed.radius > 0.3)).all() and one.n.sum() < fixed.n.sum()
  several = g.certify(images, LABELS, radii=[0.0, 0.3], **settings)
  with warnings.catch_warnings():
    warnings.simplefilter("error")
    several.certified_accuracy([0.0, 0.3])
    assert "ACR" in repr(several)
  with pytest.warns(
    UserWarning, match="at grid radii, so that certified accuracy at others, such as 0.1, is a lower"
  ):
    several.certified_accuracy([0.1, 0.3])
  with pytest.warns(ResultWarning, match="at grid radii, so that the ACR is a lower bound"):
    assert several.acr() <= fixed.acr() + 1e-9
  near = g.certify(images, LABELS, tolerance=0.1, n0="auto", **settings)
  assert (near.radius <= fixed.radius + 0.05).all() and near.n.sum() < fixed.n.sum()
  as_rule = g.certify(images, LABELS, stop=procedures.Radii((0.0, 0.3)), **settings)
  assert as_rule.radius.tolist() == several.radius.tolist()
  assert several.settings["stop"]["radii"] == [0.0, 0.3]
  budget = g.certify(images, LABELS, n=10**8, time_budget=0.5, progress=False)
  assert len(budget) == 6 and budget.n.max() < 10**8 and budget.results.complete
  w, b = linear_variables
  exact = abs(float(linear((w, b), images[:1].astype(np.float32) / 255)[0, 1])) / float(jnp.linalg.norm(w))
  # Votes hardly ever settle whether the exact radius is certified.
  early = dict(n=10**8, radii=exact, give_up=0, time_budget=0.3, progress=False)
  assert "1 image ended before drawing was done" in repr(g.certify(images[:1], LABELS[:1], **early))
  assert "ended before" not in repr(several)
  looks, paper = g.predict(images, LABELS, progress=False), g.predict(images, fixed=True, progress=False)
  assert looks.settings["n"] == 100_000 and paper.settings["n"] == 1000
  both = (looks.predict >= 0) & (paper.predict >= 0)
  assert (looks.predict == paper.predict)[both].all()
  assert g.draws_per_second(images[0]) > 100


@pytest.mark.parametrize("in_a_file", [False, True])
def test_a_budget_that_is_over_before_the_first_look_says_so(g, images, in_a_file, tmp_path, monkeypatch):
  monkeypatch.setattr("rsjax.runs.certification._Budget.__call__", lambda self: True)
  file = tmp_path / "x.tsv" if in_a_file else None
  with pytest.warns(ResultWarning, match="was over when 0 of 6 images had a first look: give more time"):
    found = g.certify(images, LABELS, n=10**6, time_budget=0.25, file=file, progress=False)
  assert len(found) == 0 and "0 of 6 images" in repr(found)


@pytest.mark.parametrize(
  ("wrong", "message"),
  [
    (dict(radii=[0.3, 0.2]), "increasing"),
    (dict(radii=[]), "radii must be numbers"),
    (dict(radii=[5.0]), "radii must be below"),
    (dict(radii=0.1, tolerance=0.1), "radii and tolerance are different rules"),
    (dict(tolerance=0), "a tolerance of 0 never stops drawing"),
    (dict(give_up=0.01), "give_up applies only to radii and tolerance"),
    (dict(radii=0.1, give_up=0.5), "give_up must be"),
    (dict(stop="soon"), 'stop must be "anytime"'),
    (dict(stop=0.25), 'stop must be "anytime"'),
    (dict(time_budget=0), "time budget must be a positive"),
    (dict(time_budget="2h"), "time budget must be a positive number of seconds, got '2h'"),
    (dict(n0="auto"), 'n0="auto" needs a rule'),
    (dict(n0="some", radii=0.1), "n0 must be a number of draws or 'auto'"),
    (dict(radii=0.1, n=100), "leave no look"),
  ],
)
def test_a_rule_that_cannot_be_used_is_refused(g, images, wrong, message):
  with pytest.raises(rsjax.InputError, match=message):
    g.certify(**{"images": images, "n": 2000, "progress": False} | wrong)


def test_what_apply_raises_keeps_its_traceback(linear_variables, images):
  def broken(variables, x):
    raise LookupError("a bug in the model")

  with pytest.raises(LookupError, match="a bug in the model") as raised:
    rsjax.smooth(broken, linear_variables, sigma=0.25).certify(images, n=100, progress=False)
  assert raised.traceback[-1].name == "broken"
  assert any("called as apply(variables, float32[2, 4, 4, 1])" in note for note in raised.value.__notes__)


def test_an_apply_of_numpy_is_sent_to_jax_numpy(linear_variables, images):
  apply = lambda variables, x: np.asarray(linear(variables, np.asarray(x)))
  with pytest.raises(jax.errors.TracerArrayConversionError) as raised:
    rsjax.smooth(apply, linear_variables, sigma=0.25).certify(images, n=100, progress=False)
  assert any("write apply with jax.numpy (docs/frameworks.md has" in note for note in raised.value.__notes__)


def test_pandas_missing_is_said_with_the_command_that_mends_it(g, images, monkeypatch):
  found = g.certify(images, n=100, progress=False)
  monkeypatch.setitem(sys.modules, "pandas", None)
  with pytest.raises(rsjax.InputError, match="pip install pandas"):
    found.to_pandas()


def test_files_of_a_classifier_whose_training_has_not_ended_say_so(trained, tmp_path, capsys):
  metadata, tree = checkpoint.read(pathlib.Path(trained) / "checkpoint")
  checkpoint.save(tmp_path / "m", tree, metadata | {"epoch": 1})
  assert (
    certify.main(["digits", str(tmp_path / "m"), "0.25", str(tmp_path / "c.tsv"), "--max", "1", "--N", "100"])
    == 0
  )
  with pytest.warns(ResultWarning, match="stands at epoch 1 of 2"):
    g = rsjax.load(tmp_path / "m", sigma=0.25)
  digits = data.load("digits", "test")
  g.certify(digits.images, digits.labels, indices=[0], n=100, file=tmp_path / "p.tsv", progress=False)
  capsys.readouterr()
  for name in ("c.tsv", "p.tsv"):
    assert analyze.main([str(tmp_path / name)]) == 0
    assert "the classifier's training stands at epoch 1 of 2" in capsys.readouterr().err


@pytest.mark.parametrize("sigma", [0, -0.25, "0.25", np.nan, 1e-60])
def test_a_sigma_that_cannot_be_used_is_refused_in_one_way(sigma):
  with pytest.raises(rsjax.InputError, match=r"sigma must be a number > 0 \(in units of .*\), got"):
    rsjax.smooth(linear, np.ones(3), sigma=sigma)


def test_warnings_name_the_users_line(tmp_path, g, images):
  path = tmp_path / "x.tsv"
  g.certify(images, LABELS, n=1000, radii=[0.0, 0.5], file=path, progress=False)
  shutil.copy(path, tmp_path / "z.tsv")
  dark = np.full((16, 4, 4, 1), 5, np.uint8)
  for use in (
    lambda: rsjax.smooth(linear, g.variables, sigma=25.0),  # grey levels?
    lambda: rsjax.read(path).certified_accuracy([0.1]),
    lambda: rsjax.read(tmp_path / "z.tsv"),  # no manifest
    lambda: g.certify(dark, n=100),
  ):
    with warnings.catch_warnings(record=True) as caught:
      warnings.simplefilter("always")
      use()
    assert {warning.filename for warning in caught} == {__file__}


@pytest.mark.parametrize("rows", [8, 64])
def test_a_smoothed_classifier_whose_globals_change_is_refused_whatever_is_compiled_anew(
  rows, linear_variables, images
):
  sign = [1.0]
  g = rsjax.smooth(lambda variables, x: sign[0] * linear(variables, x), linear_variables, 0.5)
  certified = lambda **how: g.certify(images, n=100, progress=False, **how).predict
  first = certified()
  np.testing.assert_array_equal(certified(), first)
  sign[0] = -1.0
  for call in (lambda: certified(execution=Execution(rows=rows)), certified, lambda: g.check(images)):
    with pytest.raises(rsjax.InputError, match="other logits than the program"):
      call()
  sign[0] = 1.0
  np.testing.assert_array_equal(certified(), first)


def test_a_smoothed_classifier_keeps_the_variables_that_it_was_given(images):
  """Arrays of NumPy that change, and containers, such as the state of a Flax NNX model that is trained on."""
  w = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
  given = {"w": w, "b": jnp.zeros(3)}
  g = rsjax.smooth(lambda v, x: x.reshape(len(x), -1) @ v["w"] + v["b"][None], given, 0.5)
  again = rsjax.smooth(g.apply, {"w": w.copy(), "b": jnp.zeros(3)}, 0.5)
  w *= -1
  given["b"] = jnp.asarray([0.0, 0.0, 1e3])
  found, wanted = (of.certify(images, n=100, progress=False).predict for of in (g, again))
  np.testing.assert_array_equal(found, wanted)
  assert (found != 2).any()


def test_what_a_result_shows_of_itself_cannot_be_changed(g, images):
  """Else ACR, tables and saved files would be of other numbers than those that were certified."""
  found = g.certify(images, LABELS, n=100, progress=False)
  changes = [
    lambda shown, name: shown.update({name: 9}),
    lambda shown, name: shown.__setitem__(name, 9),
    lambda shown, name: shown.pop(name),
    lambda shown, name: shown.clear(),
  ]
  for shown, name, told in (
    (found.columns, "radius", r"columns are read-only: take a copy, dict\(found\.columns\)"),
    (found.settings, "sigma", "settings are read-only"),
  ):
    for change in changes:
      with pytest.raises(TypeError, match=told):
        change(shown, name)
    assert type(copy.deepcopy(shown)) is type(shown | {}) is dict
  assert found.settings["sigma"] == 0.25

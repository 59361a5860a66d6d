"""The checkpoints in experiments/results certify real images as their records say."""

import re

import numpy as np
import pytest
from helpers import ROOT, SHARED

import rsjax
from rsjax import results
from rsjax.analysis import statistics

RESULTS = ROOT / "experiments" / "results"
IMAGES = SHARED / "cifar10" / "cifar10_exact_test1000.npz"


def test_the_page_says_what_the_records_say():
  page = (ROOT / "docs" / "trained-models.md").read_text()
  rows = [[cell.strip(" `") for cell in line.split("|")[1:-1]] for line in page.splitlines() if "| `" in line]
  assert len(rows) >= 5
  for outdir, arch, sigma, epochs, digest, images, n, *accuracies in rows:
    folder, noise = outdir.split("/")
    file = results.read(RESULTS / folder / f"{noise}_sigma_{sigma}.tsv")
    network = file.manifest["about"]["checkpoint"]
    assert (network["arch"], network["noise_sd"], network["epoch"]) == (arch, float(sigma), int(epochs))
    assert file.settings["checkpoint"].startswith(digest) and file.settings["sigma"] == float(sigma)
    assert file.settings["n"] == int(n.replace(",", "")) and (RESULTS / outdir / "checkpoint").is_dir()
    certified = statistics.certified(file, [0, 0.25, 0.5, 0.75], "paper") / len(file)
    assert accuracies == [f"{share:.3f}" for share in certified]
    assert re.search("exact", file.manifest["about"]["dataset"]) and len(file) == int(images)


@pytest.mark.skipif(not IMAGES.exists(), reason="needs CIFAR-10's exact test images in ../shared/data/cifar10")
def test_two_images_are_certified_as_in_the_record():
  """Images 0 and 25, whose answers are certain enough that 1,000 draws give them in any arithmetic."""
  record = results.read(RESULTS / "cifar10_cpu" / "noise_0.25_sigma_0.25.tsv")
  archive = np.load(IMAGES)
  g = rsjax.load(RESULTS / "cifar10_cpu" / "noise_0.25", sigma=0.25)
  found = g.certify(archive["images"], archive["labels"], n=1000, indices=[0, 25], progress=False)
  rows = [record.columns["idx"].tolist().index(i) for i in (0, 25)]
  assert found.predict.tolist() == record.columns["predict"][rows].tolist()
  shares = found.nA / 1000
  np.testing.assert_allclose(shares, (record.columns["nA"] / record.columns["n"])[rows], atol=0.06)
  assert (found.radius > 0).all()

"""The checkpoints in experiments/results certify real images as their records say."""

import numpy as np
import pytest
from helpers import ROOT, SHARED

import rsjax
from rsjax import results

RESULTS = ROOT / "experiments" / "results"
IMAGES = SHARED / "cifar10" / "cifar10_exact_test1000.npz"


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

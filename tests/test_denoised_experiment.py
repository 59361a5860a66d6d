"""experiments/denoised.py: the record that is kept is what its result files say."""

import denoised
from helpers import ROOT

from rsjax import results

RECORD = ROOT / "experiments" / "results" / "denoised"


def test_the_record_is_what_its_files_say_and_a_denoiser_was_in_front_where_it_says_so():
  found = {}
  for sigma in (0.25, 0.5):
    for way in denoised.WAYS:
      file = results.read(RECORD / f"{way}_{sigma:g}.tsv")
      assert file.complete and file.settings["sigma"] == sigma
      assert ("denoiser" in file.settings) == (way != "plain")
      about = file.manifest["about"]["checkpoint"]
      assert about["noise_sd"] == 0
      if way in ("mse", "stability"):
        assert (about["denoiser"]["denoiser"], about["denoiser"]["noise_sd"]) == ("dncnn", sigma)
      found[sigma, way] = file
  lines = denoised.table(found).splitlines()
  for page in (RECORD / "summary.md", ROOT / "experiments" / "README.md"):
    assert set(lines) <= set(page.read_text().splitlines()), page
  assert len({file.columns["idx"].tobytes() for file in found.values()}) == 1

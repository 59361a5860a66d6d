"""The command visualize, as users type it."""

import numpy as np
from helpers import ran, refused
from PIL import Image

from rsjax import visualize


def pixels(path):
  with Image.open(path) as image:
    return np.asarray(image, float)


def test_noisy_images_share_their_noise(tmp_path, capsys):
  ran(visualize.main, ["digits", tmp_path, "3,7", 0.1, 0.2], capsys)
  assert {p.name for p in tmp_path.iterdir()} == {
    *(f"{i}_{s}.png" for i in (3, 7) for s in ("0", "0.1", "0.2")), "contact_sheet.png"
  }  # fmt: skip
  plain, little, more = (pixels(tmp_path / f"7_{s}.png") for s in ("0", "0.1", "0.2"))
  inside = (little > 0) & (little < 255) & (more > 0) & (more < 255)
  assert inside.sum() > 10
  np.testing.assert_allclose((more - plain)[inside], 2 * (little - plain)[inside], atol=1.6)
  assert pixels(tmp_path / "contact_sheet.png").shape[1] > 3 * 160
  for argv, said in (
    (["digits", tmp_path, "3,x", 0.1], "INDEX must be integers"),
    (["digits", tmp_path, "360", 0.1], "INDEX must be from 0 to 359"),
    (["digits", tmp_path, "3", "-1"], "sigma must be"),
    (["digits", tmp_path / "3_0.1.png", "3", 0.1], "cannot be used as a directory"),
  ):
    refused(visualize.main, ["--", *argv], capsys, said)

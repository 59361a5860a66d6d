"""experiments/robust_training.py: objectives side by side, and nothing done twice."""

import argparse
import shutil

import robust_training

from rsjax import results


def test_objectives_stand_beside_gaussian_and_nothing_is_done_twice(tmp_path, capsys):
  out = tmp_path / "out"
  flags = [
    str(out),
    "--objectives",
    "consistency",
    "--epochs",
    "2",
    "--seeds",
    "1",
    "--N",
    "200",
    "--skip",
    "40",
  ]
  assert robust_training.main(flags) == 0
  files = {name: results.read(out / f"{name}_0.tsv") for name in ("gaussian", "consistency")}
  assert all(file.complete and file.settings["sigma"] == 0.5 for file in files.values())
  text = (out / "summary.md").read_text()
  for name, file in files.items():
    acr = (file.columns["radius"] * file.columns["correct"]).mean()
    assert f"| {name} | " in text and f"| {acr:.3f} | {acr:.3f} |" in text
  assert (out / "summary.png").exists() and str(out) not in text
  shutil.rmtree(out / "consistency_0")  # its result file is enough
  first = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
  capsys.readouterr()
  assert robust_training.main(flags) == 0
  again = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
  assert {p: v for p, v in again.items() if p.suffix != ".png"} == {
    p: v for p, v in first.items() if p.suffix != ".png"
  }
  file = out / "consistency_0.tsv"
  args = robust_training.parser().parse_args(flags)
  assert robust_training._is_done(args, file, "consistency", 0)
  for name, seed, change in (
    ("stability", 0, {}),
    ("consistency", 1, {}),
    ("consistency", 0, {"epochs": 3}),
    ("consistency", 0, {"noise": 0.25}),
    ("consistency", 0, {"arch": "lenet"}),
    ("consistency", 0, {"dataset": "mnist"}),
    ("consistency", 0, {"N": 300}),
    ("consistency", 0, {"skip": 20}),
  ):
    other = argparse.Namespace(**vars(args) | change)
    assert not robust_training._is_done(other, file, name, seed), (name, seed, change)

"""experiments/noises.py, float_attack.py and noise_speed.py."""

import json

import float_attack
import noise_speed
import noises

from rsjax import results


def test_each_kind_stands_in_the_tables_of_its_norms_and_nothing_is_done_twice(tmp_path, monkeypatch):
  monkeypatch.setitem(noises.KINDS, "grid", ("--N", 200))
  monkeypatch.setitem(noises.KINDS, "uniform", ("--N", 200))
  out = tmp_path / "out"
  flags = [str(out), "--kinds", "grid", "uniform", "--epochs", "1", "--batch", "720", "--skip", "60"]
  assert noises.main(flags) == 0
  found = {kind: results.read(out / f"{kind}.tsv") for kind in ("grid", "uniform")}
  assert {kind: file.settings["noise"] for kind, file in found.items()} == {k: k for k in found}
  trained = {kind: file.manifest["about"]["checkpoint"]["training"]["noise"] for kind, file in found.items()}
  assert {kind: drawn["noise"] for kind, drawn in trained.items()} == {k: k for k in found}
  text = (out / "summary.md").read_text()
  tables = {part.split()[0]: part for part in text.split("Certified accuracy by ")[1:]}
  assert "| grid |" in tables["l2"] and "uniform |" not in tables["l2"]
  assert "| uniform |" in tables["l1"] and "| grid (from l2) |" in tables["l1"]
  assert "| uniform (from l1) |" in tables["l-infinity"]
  assert all((out / f"{norm}.png").exists() for norm in ("l2", "l1", "linf")) and str(out) not in text
  kept = {path: path.read_bytes() for path in out.rglob("*") if path.suffix in (".tsv", ".md")}
  assert noises.main(flags) == 0
  assert {path: path.read_bytes() for path in kept} == kept


def test_the_attack_makes_certificates_of_float_noise_false_and_none_of_grid_noise(capsys):
  assert float_attack.main(["--N", "100"]) == 0
  said = capsys.readouterr().out
  assert "float noise: A FALSE CERTIFICATE" in said and "grid noise: no false certificate" in said
  assert "float noise, image: class 1" in said and "float noise, its neighbour: class 0" in said


def test_the_speed_of_grid_noise_is_recorded_with_its_spread(tmp_path):
  flags = ["--arch", "convnet", "--rows", "8", "--steps", "2", "--repeats", "3"]
  assert noise_speed.main([*flags, "--out", str(tmp_path / "speed.json")]) == 0
  record = json.loads((tmp_path / "speed.json").read_text())
  found = record["time_of_grid_over_gaussian"]
  assert (
    found["least"] <= found["quartiles"][0] <= found["median"] <= found["quartiles"][1] <= found["greatest"]
  )
  assert len(found["all"]) == 3 and set(record["draws_per_second"]) == {"gaussian", "grid"}
  assert record["settings"]["rows"] == 8 and "out" not in record["settings"]

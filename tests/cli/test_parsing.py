"""What is typed wrongly is named, with what was meant, under one line of usage."""

import sys

import pytest
from helpers import refused

from rsjax import __main__, analyze, certify, convert, predict, quickstart, train, visualize
from rsjax.cli import console

RUN = ["digits", "c", "0.25", "o.tsv"]


@pytest.mark.parametrize(
  ("main", "arguments", "said"),
  [
    (train.main, ["digits", "convnet", "o", "--epoch", "3"], "did you mean --epochs?"),
    (train.main, ["digits", "convnet", "o", "--weight_decay", "0"], "did you mean --weight-decay?"),
    (train.main, ["digits", "convnet", "o", "--lr-step-size=3"], "did you mean --lr_step_size?"),
    (certify.main, [*RUN, "--n", "100"], "did you mean --N?"),
    (predict.main, [*RUN, "--aplha", "0.1"], "did you mean --alpha?"),
    (analyze.main, ["r.tsv", "--radius", "1"], "did you mean --radii?"),
    (convert.main, ["c", "o", "--normalisation", "none"], "did you mean --normalization?"),
    (train.main, ["digits", "convnet", "o", "--gpu", "0"], "CUDA_VISIBLE_DEVICES"),
    (certify.main, [*RUN, "--device", "cuda"], "CUDA_VISIBLE_DEVICES"),
    (certify.main, [*RUN, "--zzzzzz"], "unrecognized arguments: --zzzzzz"),
    (certify.main, [*RUN, "--N", "100k"], "invalid int value: '100k': give 100000"),
    (certify.main, [*RUN, "--N", "1e5"], "give 100000"),
    (certify.main, [*RUN, "--N", "100,000"], "give 100000"),
    (certify.main, [*RUN, "--N", "0.5"], "give a whole number"),
    (certify.main, [*RUN, "--N", "1M"], "give 1000000"),
    (
      certify.main,
      ["digits", "c", "0,25", "o.tsv"],
      "invalid float value: '0,25': give 0.25, with a decimal point",
    ),
    (certify.main, ["digits", "c", "0,0.25", "o.tsv"], "give one number, with a decimal point"),
    (certify.main, [*RUN, "--radii", "0", "0.25", ".5"], "give --radii 0,0.25,.5, separated by commas"),
    (train.main, ["digits", "convnet", "o", "--noise", "0,5"], "give 0.5, with a decimal point"),
    (visualize.main, ["digits", "o", "0", "0,0.25"], "give 0 0.25, separated by spaces"),
    (quickstart.main, ["--sigma", "0.12,0.25"], "give 0.12 0.25, separated by spaces"),
    (certify.main, ["digits", "c", "much", "o.tsv"], "invalid float value: 'much'\n"),
    (certify.main, ["digits"], "required: CHECKPOINT, SIGMA, OUTFILE"),
  ],
)
def test_what_was_meant_is_said_under_one_line_of_usage(main, arguments, said, capsys, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  errors = []
  monkeypatch.setattr("argparse.ArgumentParser._print_message", lambda self, text, file: errors.append(text))
  with pytest.raises(SystemExit, match="2"):
    main(arguments)
  text = "".join(errors)
  assert said in text
  usage, error = text.splitlines()
  assert usage.startswith("usage: python -m rsjax.") and usage.endswith("[options]; --help lists them")
  assert ": error: " in error


@pytest.mark.parametrize(
  ("typed", "program"),
  [
    ("/usr/bin/rsjax", "rsjax certify"),
    ("/lib/rsjax/__main__.py", "python -m rsjax certify"),
    ("/lib/rsjax/certify.py", "python -m rsjax.certify"),
    ("", "python -m rsjax.certify"),
  ],
)
def test_programs_are_named_as_they_were_typed(typed, program, monkeypatch, capsys, tmp_path):
  monkeypatch.setattr(sys, "argv", [typed])
  monkeypatch.chdir(tmp_path)
  main = certify.main if program.endswith("rsjax.certify") else lambda argv: __main__.main(["certify", *argv])
  refused(main, ["digits"], capsys, f"usage: {program} DATASET CHECKPOINT... SIGMA OUTFILE [options]")
  arguments = ["cifar10", "c", "0.25", "o.tsv", "--data-dir", tmp_path]
  refused(main, arguments, capsys, f"{program[:-7]}prepare cifar10")
  with pytest.raises(SystemExit, match="0"):
    main(["--help"])
  assert f"  {program} digits out/digits_0.25" in capsys.readouterr().out
  name = "rsjax certify" if program == "rsjax certify" else "rsjax.certify"
  assert console.run("certify", lambda args: (_ for _ in ()).throw(OSError("no room")), None) == 1
  assert capsys.readouterr().err == f"{name}: no room\n"

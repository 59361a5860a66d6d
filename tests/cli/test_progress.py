"""What the bars leave in a file, and what of them fits a terminal."""

import contextlib
import io
import types

import pytest

from rsjax.cli.progress import TrainProgress
from rsjax.runs import progress


def test_in_a_file_each_state_of_a_bar_is_a_line(capsys):
  bar = progress.bar(1000, " draws")
  bar.set_description("compiling")
  bar.set_description("1/10 images", refresh=False)
  bar.update(1000)
  bar.close()
  lines = capsys.readouterr().err.split("\n")
  assert lines.pop() == ""
  assert [line for line in lines if line != line.strip() or not line] == []
  assert "\r" not in "".join(lines)
  assert lines[1].startswith("compiling: 0") and lines[-1].startswith("1/10 images: 1.00k/1.00k [")


PLAN = {
  "images": 1_281_167, "shape": "", "classes": 10, "epochs": 4, "done": 0, "augment": "none",
  "dtype": "float32", "noise": {"noise": "gaussian", "sigma": 0.25}, "devices": 1, "notes": [],
}  # fmt: skip


def ended(number, test_loss=0.1, train_loss=0.1, test_accuracy=1.0):
  """What an epoch left."""
  return types.SimpleNamespace(
    number=number, train_loss=train_loss, test_loss=test_loss, test_accuracy=test_accuracy
  )


@pytest.mark.parametrize(
  ("losses", "notes"),
  [
    ((2.31, 2.303, 2.3, 2.303), ["after 3 epochs the test loss, 2.3, is that of guessing: try a smaller --lr"]),
    ((2.31, 2.303, 2.29, 2.304), ["after 4 epochs the test loss, 2.304, is that of guessing: try a smaller"]),
    ((2.31, 2.303, 2.29, 2.2), []),
    ((2.303, 2.4, 3.3, 11.2), []),  # worse than guessing: of a network that is sure of itself
  ],
)
def test_a_network_that_does_not_learn_is_told_once(losses, notes, capsys):
  told = TrainProgress()
  told.start(PLAN)
  for number, loss in enumerate(losses):
    told.epoch(ended(number, loss, test_accuracy=0.1))
  told.close()
  lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
  assert len(lines) == len(notes)
  for line, note in zip(lines, notes):
    assert note in line


def test_a_loss_that_is_guessings_by_chance_is_no_matter(capsys):
  told = TrainProgress()
  told.start(PLAN)
  for number in range(4):
    told.epoch(ended(number, 2.303, test_accuracy=0.6))
  told.close()
  assert "note: " not in capsys.readouterr().err


def test_a_denoiser_whose_loss_is_no_cross_entropy_has_no_such_note(capsys):
  told = TrainProgress()
  told.start(PLAN)
  for number in range(4):
    told.epoch(ended(number, 99.0, test_accuracy=float("nan")))
  told.close()
  assert "note: " not in capsys.readouterr().err


class Terminal(io.StringIO):
  def isatty(self):
    return True


def test_the_bar_of_training_names_the_running_epoch_and_fits_80_columns(monkeypatch):
  monkeypatch.setenv("COLUMNS", "80")
  terminal = Terminal()
  plan = PLAN | {"epochs": 1000, "done": 998}
  with contextlib.redirect_stderr(terminal):
    told = TrainProgress()
    told.start(plan)
    told._bar.start_t -= 350_000  # days, at a slow rate
    told.images(400)
    told._bar.refresh()
    before = terminal.getvalue().split("\r")[-1]
    told.epoch(ended(998, train_loss=12.3456, test_accuracy=0.9999))
    told._bar.refresh()
    after = terminal.getvalue().split("\r")[-1]
    told.epoch(ended(999))
    told._bar.refresh()
    last = terminal.getvalue().split("\r")[-1]
    told.close()
  assert before.startswith("epoch 999/1000: ")
  assert after.startswith("epoch 1000/1000, loss 12.3, acc 100%: ")
  assert last.startswith("epoch 1000/1000, loss 0.1, acc 100%: ")
  for line in (before, after, last):
    assert len(line.rstrip()) < 80 and "images]" not in line
    assert line.rstrip().endswith(("images/s", "s/ images")), line

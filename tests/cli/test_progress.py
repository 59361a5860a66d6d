"""What the bars leave in a file, and what of them fits a terminal."""

import contextlib
import io
import types

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


class Terminal(io.StringIO):
  def isatty(self):
    return True


def test_the_bar_of_training_names_the_running_epoch_and_fits_80_columns(monkeypatch):
  monkeypatch.setenv("COLUMNS", "80")
  terminal = Terminal()
  plan = {"images": 1_281_167, "shape": "", "classes": 10, "epochs": 1000, "done": 998}
  plan |= {
    "noise": {"noise": "gaussian", "sigma": 0.25},
    "augment": "none",
    "dtype": "float32",
    "devices": 1,
    "notes": [],
  }
  ended = types.SimpleNamespace(number=998, train_loss=12.3456, test_accuracy=0.9999)
  with contextlib.redirect_stderr(terminal):
    told = TrainProgress()
    told.start(plan)
    told._bar.start_t -= 350_000  # days, at a slow rate
    told.images(400)
    told._bar.refresh()
    before = terminal.getvalue().split("\r")[-1]
    told.epoch(ended)
    told._bar.refresh()
    after = terminal.getvalue().split("\r")[-1]
    told.epoch(types.SimpleNamespace(number=999, train_loss=0.1, test_accuracy=1.0))
    told._bar.refresh()
    last = terminal.getvalue().split("\r")[-1]
    told.close()
  assert before.startswith("epoch 999/1000: ")
  assert after.startswith("epoch 1000/1000, loss 12.3, acc 100%: ")
  assert last.startswith("epoch 1000/1000, loss 0.1, acc 100%: ")
  for line in (before, after, last):
    assert len(line.rstrip()) < 80 and "images]" not in line
    assert line.rstrip().endswith(("images/s", "s/ images")), line

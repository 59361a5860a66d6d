"""Progress of the commands on stderr: the plan of a run, then a bar with rate and ETA."""

import math
import sys
import time
from typing import Any

from rsjax.cli import interrupts
from rsjax.runs.progress import Progress, TrainingProgress, bar

_PATIENCE = 10.0  # seconds for which an interrupted run goes on with its image; it is drawn again
_SOON, _NEAR = 3, 0.01  # after so many epochs, a loss as near as this to that of guessing is told
# Of training, for 80 columns: 1000 epochs of ten hours fit.
_EPOCHS = "{desc}{percentage:3.0f}% {elapsed}<{remaining} {rate_fmt}"


class Notes(Progress):
  """Prints the notes of a certification, and shows no bar."""

  def note(self, text: str) -> None:
    print(f"note: {text}", file=sys.stderr)


class RunProgress(Notes):
  """Prints the plan of a certification and shows a bar over its draws."""

  def __init__(self, finish_images: bool = True) -> None:
    """finish_images: whether an interrupt first lets the image be finished whose draws have begun to arrive."""
    self._bar: Any = None
    self._draws = self._rows = self._images = 0
    self._finish_images = finish_images

  def start(self, plan: dict[str, Any]) -> None:
    from rsjax.results import plural  # late: NumPy takes its time, which --help need not wait for

    self._rows, self._images = plan["done"], plan["images"]
    self._anytime, self._varies = plan["anytime"], plan["n varies"]
    self._counts_rows = self._varies and not self._anytime
    print(
      f"{plural(self._images, 'image')}, {self._rows} of them already done; "
      f"{'at most ' if plan['n varies'] else ''}{plural(plan['draws per image'], 'draw')} per image, "
      f"{plan['dtype']}, {plan['devices']} x {plan['device']}",
      file=sys.stderr,
    )
    for note in plan["notes"]:
      self.note(note)
    self._started, self._before = time.perf_counter(), self._rows
    left = self._images - self._rows
    self._bar = bar(left, " images") if self._counts_rows else bar(left * plan["draws per image"], " draws")
    self._bar.set_description("choosing --batch" if self._rows < self._images else "done")

  def expect(self, estimate: Any) -> None:
    print(f"{'at most' if self._varies else 'about'} {estimate}", file=sys.stderr)

  def rows(self, rows: int) -> None:
    if self._rows < self._images:
      self._bar.set_description(f"compiling for {rows} draws per step")

  def draws(self, count: int) -> None:
    if self._anytime:
      interrupts.check_for_good()
    else:
      interrupts.check_unless_finishing()
    if not self._draws:
      self._describe()
      if self._anytime:
        interrupts.finish_first("ending the run")
      elif self._finish_images:
        interrupts.finish_first("finishing the current image", _PATIENCE)
    self._draws += count
    self._bar.update(0 if self._counts_rows else count)

  def row(self) -> None:
    self._rows += 1
    self._bar.update(1 if self._counts_rows else 0)
    self._describe()
    if not self._anytime:
      interrupts.check()

  def _describe(self) -> None:
    self._bar.set_description(f"{self._rows}/{self._images} images", refresh=False)

  def close(self) -> None:
    if self._bar is not None:
      self._bar.close()

  def summary(self, outfile: str) -> str:
    """The last line of a run: how much, how fast."""
    from rsjax.results import plural

    seconds = time.perf_counter() - self._started
    draws = plural(self._draws, "draw")
    rate = f"{draws} in {seconds:.1f} s, {self._draws / seconds:,.0f} draws/s including compilation"
    images = plural(self._images, "image")
    if self._counts_rows and self._rows:
      rate += f", {self._draws / max(1, self._rows - self._before):,.0f} draws per image"
    return f"{outfile}: {self._rows} of {images}; {rate if self._draws else 'all already done'}"


class PrepareProgress:
  """Shows a bar over the images of each split of a `data.preparation`."""

  def __init__(self) -> None:
    self._bar: Any = None
    self.wrote = False

  def start(self, split: str, size: int, done: int) -> None:
    self.close()
    self.wrote = True
    self._bar = bar(size, " images", initial=done)
    self._bar.set_description(f"writing {split}")

  def images(self, count: int) -> None:
    interrupts.check()
    self._bar.update(count)

  def close(self) -> None:
    if self._bar is not None:
      self._bar.close()


def _noise(settings: dict[str, Any]) -> str:
  """The noise of training by its parameters, for example noise_sd 0.25; by its name, too, if not Gaussian."""
  from rsjax.noise import Gaussian, called, parameter_names  # late, as above

  kind = [] if settings["noise"] == Gaussian.name else [called(settings["noise"])]
  names = {name: "noise_sd" if name == "sigma" else name for name in parameter_names(settings)}
  return ", ".join([*kind, *(f"{shown} {settings[name]:g}" for name, shown in names.items())])


class TrainProgress(TrainingProgress):
  """Prints the plan of a training and shows a bar over its images."""

  def __init__(self, resume: bool = False) -> None:
    self._bar: Any = None
    self._last: Any = None
    self._epochs, self._resume = 0, resume
    self._noted = False

  def start(self, plan: dict[str, Any]) -> None:
    self._epochs, self._done = plan["epochs"], int(plan["done"])
    self._classes = plan["classes"]
    kind = plan["noise"]["noise"]
    from rsjax.noise import Gaussian, called

    self._under = "noise" if kind == Gaussian.name else called(kind)
    print(
      f"{plan['images']} training images of {plan['shape']} (height x width x channels), {plan['classes']} "
      f"classes;\nepochs: {self._epochs}, {plan['done']:.4g} of them already done; "
      f"{_noise(plan['noise'])}, augment {plan['augment']}, {plan['dtype']}, devices: {plan['devices']}",
      file=sys.stderr,
    )
    for note in plan["notes"]:
      print(f"note: {note}", file=sys.stderr)
    if self._resume and not plan["done"]:
      print("note: there is nothing to continue: training begins anew", file=sys.stderr)
    done = round(plan["done"] * plan["images"])
    self._bar = bar(self._epochs * plan["images"], " images", done, terminal=_EPOCHS)
    self._bar.set_description("compiling" if plan["done"] < self._epochs else "done")

  def images(self, count: int) -> None:
    interrupts.check()
    interrupts.finish_first("saving the state of the training")
    if self._last is None:
      self._describe(self._done + 1)
    self._bar.update(min(count, self._bar.total - self._bar.n))

  def epoch(self, epoch: Any) -> None:
    self._last = epoch
    self._describe(min(epoch.number + 2, self._epochs))
    guesses = (
      abs(epoch.test_loss - math.log(self._classes)) < _NEAR and epoch.test_accuracy < 1.5 / self._classes
    )
    if epoch.number + 1 >= _SOON and guesses and not self._noted:
      self._noted = True
      self._bar.write(
        f"note: after {epoch.number + 1} epochs the test loss, {epoch.test_loss:.4g}, is that of guessing: try "
        "a smaller --lr, or --schedule onecycle, which begins with a small one",
        file=sys.stderr,
      )

  def _describe(self, running: int) -> None:
    """Shows the epoch that is running, and what the one before it gave."""
    gave = f", loss {self._last.train_loss:.3g}" if self._last else ""
    if self._last and not math.isnan(self._last.test_accuracy):
      gave += f", acc {self._last.test_accuracy:.0%}"
    self._bar.set_description(f"epoch {running}/{self._epochs}{gave}", refresh=False)

  def damaged(self, path: Any) -> None:
    print(f"warning: {path} cannot be read; continuing from the previous save", file=sys.stderr)

  def close(self) -> None:
    if self._bar is not None:
      self._bar.close()

  def summary(self) -> str:
    """The end of the last line: how well the network does."""
    if not self._last:
      return ", already trained"
    if math.isnan(self._last.test_accuracy):  # a denoiser has a loss alone
      return f", test loss under {self._under} {self._last.test_loss:.4g}"
    return f", test accuracy under {self._under} {self._last.test_accuracy:.1%}"

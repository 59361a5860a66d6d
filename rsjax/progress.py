"""Progress of the commands on stderr: bars with rate and ETA, and the plan before them."""

import sys
import time

from rsjax import interrupts


def bar(total, unit, initial=0):
  """A tqdm bar on stderr; where that is no terminal, a line every ten seconds."""
  from tqdm import tqdm

  live = sys.stderr.isatty()
  return tqdm(
    total=total,
    initial=initial,
    unit=unit,
    unit_scale=True,
    file=sys.stderr if live else _Lines(),
    dynamic_ncols=live,
    mininterval=0.2 if live else 10,
    maxinterval=10 if live else 60,
    smoothing=0.1,
    bar_format=None if live else "{desc}{n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}]",
  )


class _Lines:
  """What a bar writes to where nothing can be overwritten, as in a file: each state a line of its own."""

  def write(self, text):
    line = text.strip()
    if line:
      print(line, file=sys.stderr)

  def flush(self):
    sys.stderr.flush()


class RunProgress:
  """A `result_runs.Progress` that prints the plan and shows a bar over draws."""

  def __init__(self, finish_images=True):
    """finish_images: interrupted, the image whose draws have begun to arrive is finished first."""
    self._bar, self._draws, self._rows, self._images = None, 0, 0, 0
    self._finish_images = finish_images

  def start(self, plan):
    self._rows, self._images = plan["done"], plan["images"]
    print(
      f"{self._images} images, {self._rows} of them done before; {plan['draws per image']:,} draws an image, "
      f"{plan['dtype']}, {plan['devices']} x {plan['device']}",
      file=sys.stderr,
    )
    for note in plan["notes"]:
      print(f"note: {note}", file=sys.stderr)
    self._started = time.perf_counter()
    self._bar = bar((self._images - self._rows) * plan["draws per image"], " draws")
    self._bar.set_description("choosing --batch" if self._rows < self._images else "done")

  def rows(self, rows):
    if self._rows < self._images:
      self._bar.set_description(f"compiling for {rows} draws a step")

  def draws(self, count):
    interrupts.check_unless_finishing()
    if not self._draws:
      self._describe()
      if self._finish_images:
        interrupts.finish_first("finishing the image that is being certified")
    self._draws += count
    self._bar.update(count)

  def row(self):
    self._rows += 1
    self._describe()
    interrupts.check()

  def _describe(self):
    self._bar.set_description(f"{self._rows}/{self._images} images", refresh=False)

  def close(self):
    if self._bar is not None:
      self._bar.close()

  def summary(self, outfile):
    seconds = time.perf_counter() - self._started
    rate = f"{self._draws:,} draws in {seconds:.1f} s, {self._draws / seconds:,.0f} draws/s with compilation"
    return f"{outfile}: {self._rows} of {self._images} images; {rate if self._draws else 'all done before'}"


class PrepareProgress:
  """A `preparation.Progress` that shows a bar over the images of each split."""

  def __init__(self):
    self._bar, self.wrote = None, False

  def start(self, split, size, done):
    self.close()
    self.wrote = True
    self._bar = bar(size, " images", initial=done)
    self._bar.set_description(f"writing {split}")

  def images(self, count):
    interrupts.check()
    self._bar.update(count)

  def close(self):
    if self._bar is not None:
      self._bar.close()


class TrainProgress:
  """A `training_runs.Progress` that prints the plan and shows a bar over images."""

  def __init__(self, resume=False):
    self._bar, self._epochs, self._last, self._resume = None, 0, None, resume

  def start(self, plan):
    self._epochs, self._done = plan["epochs"], int(plan["done"])
    print(
      f"{plan['images']} training images of {plan['shape']} (height x width x channels), {plan['classes']} "
      f"classes;\nepochs: {self._epochs}, {plan['done']:.4g} of them done before; "
      f"noise_sd {plan['noise_sd']:g}, augment {plan['augment']}, {plan['dtype']}, devices: {plan['devices']}",
      file=sys.stderr,
    )
    for note in plan["notes"]:
      print(f"note: {note}", file=sys.stderr)
    if self._resume and not plan["done"]:
      print("note: nothing to continue there: training begins", file=sys.stderr)
    self._bar = bar(self._epochs * plan["images"], " images", initial=round(plan["done"] * plan["images"]))
    self._bar.set_description("compiling" if plan["done"] < self._epochs else "done")

  def images(self, count):
    interrupts.check()
    interrupts.finish_first("saving where training stands")
    if self._last is None:
      self._bar.set_description(f"epoch {self._done + 1}/{self._epochs}", refresh=False)
    self._bar.update(min(count, self._bar.total - self._bar.n))

  def epoch(self, epoch):
    self._last = epoch
    self._bar.set_description(
      f"epoch {epoch.number + 1}/{self._epochs}, train loss {epoch.train_loss:.3f}, "
      f"test acc {epoch.test_accuracy:.1%}",
      refresh=False,
    )

  def damaged(self, path):
    print(f"warning: {path} cannot be read; continuing from the save before it", file=sys.stderr)

  def close(self):
    if self._bar is not None:
      self._bar.close()

  def summary(self):
    return f", test accuracy under noise {self._last.test_accuracy:.1%}" if self._last else ", trained before"

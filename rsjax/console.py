"""What the commands share: exit codes, error lines, progress bars and common flags."""

import argparse
import os
import signal
import sys
import threading
import time

import rsjax
from rsjax.errors import DivergedError, InputError

INTERRUPTED = 130


def run(command, body, args):
  """Runs body(args) as `python -m rsjax.COMMAND`; returns the exit code.

  0 done; 1 the run itself failed; 2 something given cannot be used; 130 interrupted.
  """
  _interrupt.clear()
  before = _catch_interrupts()
  try:
    body(args)
    return 0
  except InputError as error:
    if _interrupt.is_set():  # a library turned the interrupt into an error of its own
      return _say_interrupted(command)
    print(f"rsjax.{command}: error: {' '.join(str(error).split())}", file=sys.stderr)
    return 2
  except (DivergedError, OSError) as error:
    print(f"rsjax.{command}: {error}", file=sys.stderr)
    return 1
  except KeyboardInterrupt:
    return _say_interrupted(command)
  finally:
    if before is not None:
      signal.signal(signal.SIGINT, before)


def _say_interrupted(command):
  print(f"\nrsjax.{command}: interrupted; the same command continues from here", file=sys.stderr)
  return INTERRUPTED


_interrupt = threading.Event()


def _catch_interrupts():
  """Notes Ctrl-C besides raising it; returns the handler to restore, None outside the main thread.

  Raised within a garbage collection, a KeyboardInterrupt is lost: the bars raise it again.
  """

  def handler(number, frame):
    _interrupt.set()
    raise KeyboardInterrupt

  if threading.current_thread() is not threading.main_thread():
    return None
  return signal.signal(signal.SIGINT, handler)


def _raise_lost_interrupt():
  if _interrupt.is_set():
    raise KeyboardInterrupt


def leave(code):
  """Ends the process with `run`'s exit code.

  Interrupted, it ends at once: where Ctrl-C came during a compilation, XLA's destructors can crash, and
  the exit code would be that of the crash.
  """
  sys.stdout.flush()
  sys.stderr.flush()
  if code == INTERRUPTED:
    os._exit(code)
  sys.exit(code)


def parser(command, description, epilog):
  made = argparse.ArgumentParser(
    f"python -m rsjax.{command}",
    description=description,
    epilog=epilog,
    formatter_class=argparse.RawDescriptionHelpFormatter,
  )
  made.add_argument("--version", action="version", version=f"rsjax {rsjax.__version__}")
  return made


DATASET_HELP = (
  "digits (scikit-learn's, no download); cifar10, cifar100, svhn_cropped, mnist, fashion_mnist or imagenet, "
  "once rsjax.prepare has built it; a .npz file (x_train y_train x_test y_test, uint8 NHWC); or a folder with "
  "{train,test}/<class>/*.{png,jpg}"
)


def add_data_dir(made):
  made.add_argument(
    "--data-dir",
    help="where data sets by name are kept (default: TFDS_DATA_DIR, or ~/tensorflow_datasets)",
  )


def run_parser(command, description, epilog):
  """The arguments that certify and predict share."""
  made = parser(command, description, epilog)
  made.add_argument("dataset", metavar="DATASET", help=DATASET_HELP)
  made.add_argument("checkpoint", metavar="CHECKPOINT", help="a directory that rsjax.train wrote")
  made.add_argument(
    "sigma", metavar="SIGMA", type=float, help="standard deviation of the noise, pixels in [0, 1]"
  )
  made.add_argument(
    "outfile", metavar="OUTFILE", help="result file (TSV); continued if it was begun with these settings"
  )
  add_data_dir(made)
  made.add_argument("--split", default="test", help="train or test (default: test)")
  made.add_argument("--skip", type=int, default=1, help="take every SKIPth image (default: 1)")
  made.add_argument("--max", type=int, help="stop after MAX images (default: all)")
  made.add_argument("--alpha", type=float, default=0.001, help="failure probability per image (default: 0.001)")
  made.add_argument("--seed", type=int, default=0, help="of the noise (default: 0)")
  made.add_argument(
    "--dtype",
    choices=("float32", "bfloat16"),
    help="what the classifier computes in (default: float32 on CPU, bfloat16 on accelerators)",
  )
  made.add_argument(
    "--batch",
    type=_batch,
    metavar="N",
    help="noisy images a step, over all devices; never changes a result (default: auto, the fastest that fits)",
  )
  made.add_argument(
    "--compilation-cache",
    metavar="DIR",
    help="keep compiled programs there for later runs; only you should be able to write to it "
    "(default: JAX_COMPILATION_CACHE_DIR, or none)",
  )
  made.add_argument(
    "--distributed",
    action="store_true",
    help="one of several processes that share the work; process 0 writes OUTFILE. Needs no more on Cloud TPU, "
    "Slurm and Kubernetes; elsewhere give the next three",
  )
  made.add_argument("--coordinator", metavar="HOST:PORT", help="where process 0 listens")
  made.add_argument("--processes", type=int, metavar="N", help="number of processes")
  made.add_argument("--process", type=int, metavar="I", help="this process's number, from 0")
  return made


def _batch(text):
  """--batch as an int, None for auto."""
  return None if text == "auto" else int(text)


def execute(command, args, settings):
  """Runs `result_runs.run` with a bar for the arguments of `run_parser`.

  Returns:
    (results, RunProgress); results is None in processes that do not write.
  """
  from rsjax import devices, processes, result_runs

  cluster = (args.coordinator, args.processes, args.process)
  if args.distributed:
    processes.start(*cluster)
  elif any(value is not None for value in cluster):
    raise InputError("--coordinator, --processes and --process need --distributed")
  if args.compilation_cache:
    devices.keep_compiled(args.compilation_cache)
  progress = RunProgress() if processes.first() else result_runs.Progress()
  try:
    results = result_runs.run(
      command,
      args.dataset,
      args.checkpoint,
      settings,
      args.outfile,
      data_dir=args.data_dir,
      split=args.split,
      skip=args.skip,
      max_images=args.max,
      dtype=args.dtype,
      rows=args.batch,
      progress=progress,
    )
  finally:
    progress.close()
  if results is not None:
    report_invalid(results)
  return results, progress


def report_invalid(results):
  """Warns of draws that voted for nobody."""
  from rsjax.results import parse_votes

  columns = [results.columns[name] for name in ("votes0", "votes") if name in results.columns]
  invalid = sum(parse_votes(text)[1] for column in columns for text in column)
  if invalid:
    print(
      f"warning: {invalid:,} draws gave logits that are not finite; they count in n and vote for nobody",
      file=sys.stderr,
    )


def bar(total, unit, initial=0):
  """A tqdm bar on stderr; where that is no terminal, a line every ten seconds."""
  from tqdm import tqdm

  live = sys.stderr.isatty()
  return tqdm(
    total=total,
    initial=initial,
    unit=unit,
    unit_scale=True,
    file=sys.stderr,
    dynamic_ncols=live,
    mininterval=0.2 if live else 10,
    maxinterval=10 if live else 60,
    smoothing=0.1,
    bar_format=None if live else "{desc}{n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}]\n",
  )


class RunProgress:
  """A `result_runs.Progress` that prints the plan and shows a bar over draws."""

  def __init__(self):
    self._bar, self._draws, self._rows, self._images = None, 0, 0, 0

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
    _raise_lost_interrupt()
    if not self._draws:
      self._describe()
    self._draws += count
    self._bar.update(count)

  def row(self):
    self._rows += 1
    self._describe()

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
    _raise_lost_interrupt()
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
      f"classes; epochs: {self._epochs}, {plan['done']:.4g} of them done before; "
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
    _raise_lost_interrupt()
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

"""What the commands share: exit codes, error lines and common flags."""

import argparse
import os
import shlex
import signal
import sys

import rsjax
from rsjax import interrupts
from rsjax.errors import DivergedError, InputError


def run(command, body, args):
  """Runs body(args) as `python -m rsjax.COMMAND`, or a script COMMAND.py; returns the exit code.

  0 done; 1 the run itself failed; 2 something given cannot be used; 130 interrupted, 143 by SIGTERM.
  """
  name = command if command.endswith(".py") else f"rsjax.{command}"
  with interrupts.catching():
    try:
      body(args)
      return 0
    except InputError as error:
      if interrupts.code():  # a library turned the interrupt into an error of its own
        return _say_interrupted(name)
      print(f"{name}: error: {' '.join(str(error).split())}", file=sys.stderr)
      return 2
    except (DivergedError, OSError) as error:
      print(f"{name}: {error}", file=sys.stderr)
      return 1
    except KeyboardInterrupt:
      return _say_interrupted(name)
    except Exception:
      if interrupts.code():  # so did an extension module that was being imported
        return _say_interrupted(name)
      raise


def _say_interrupted(name):
  print(f"\n{name}: interrupted; the same command continues from here", file=sys.stderr)
  return interrupts.code() or interrupts.CODES[signal.SIGINT]


def leave(code):
  """Ends the process with `run`'s exit code.

  Interrupted, it ends at once: where Ctrl-C came during a compilation, XLA's destructors can crash, and
  the exit code would be that of the crash.
  """
  try:
    sys.stdout.flush()
  except BrokenPipeError:  # whoever read it, as `head` does, has had enough
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
  sys.stderr.flush()
  if code in interrupts.CODES.values():
    os._exit(code)
  sys.exit(code)


def type_command(command, main, *arguments):
  """Shows `python -m rsjax.COMMAND ...` and runs its `main` in this process, for scripts of several commands.

  Where it fails, this process ends with its exit code.
  """
  argv = [str(a) for a in arguments]
  print(f"\n$ python -m rsjax.{command} {shlex.join(argv)}", flush=True)
  code = main(argv)
  if code in interrupts.CODES.values():
    raise KeyboardInterrupt
  if code:
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
  made.add_argument(
    "checkpoint", metavar="CHECKPOINT", help="a directory that rsjax.train or rsjax.convert wrote"
  )
  made.add_argument(
    "sigma", metavar="SIGMA", type=float, help="standard deviation of the noise, pixels in [0, 1]"
  )
  made.add_argument(
    "outfile", metavar="OUTFILE", help="result file (TSV); continued if it was begun with these settings"
  )
  add_data_dir(made)
  made.add_argument("--split", default="test", help="train or test (default: test)")
  made.add_argument("--skip", type=int, default=1, help="take every SKIPth image (default: 1)")
  made.add_argument("--max", type=int, help="stop after MAX images; -1: all (default: all)")
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
  import jax

  from rsjax import devices, processes, result_runs
  from rsjax.progress import RunProgress

  cluster = (args.coordinator, args.processes, args.process)
  if args.distributed:
    processes.start(*cluster)
  elif any(value is not None for value in cluster):
    raise InputError("--coordinator, --processes and --process need --distributed")
  if args.compilation_cache:
    devices.keep_compiled(args.compilation_cache)
  alone = jax.process_count() == 1  # else others would wait for a process that stopped
  progress = RunProgress(finish_images=alone) if processes.first() else result_runs.Progress()
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
      max_images=None if args.max == -1 else args.max,
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
  invalid = sum(parse_votes(text)[-1] for column in columns for text in column)
  if invalid:
    print(
      f"warning: {invalid:,} draws gave logits that are not finite; they count in n and vote for nobody",
      file=sys.stderr,
    )

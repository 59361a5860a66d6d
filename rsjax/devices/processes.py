"""Several processes, on one host or many, that run one program together.

    start()  # on Cloud TPU, Slurm and Kubernetes; elsewhere start("host0:1234", count=2, index=0)
    together(check_what_was_given)  # fails in all processes if it fails in one

Each process runs the same code on the same arguments; JAX's devices are then those of all of them.
Process 0 decides whatever could differ (timings, how far a file is) and writes. With one process, as without
`start`, everything here does nothing.
"""

import atexit
import hashlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax
import numpy as np

from rsjax.devices import farewell
from rsjax.errors import InputError

T = TypeVar("T")

WAIT = 300.0  # seconds for which the processes wait for each other when they start
_TELL = 10.0  # seconds after which, and every so many, it is said for whom


def start(address: str | None = None, count: int | None = None, index: int | None = None) -> None:
  """Joins the processes; call it before anything else of JAX.

  Args:
    address: HOST:PORT of process 0; None if the cluster knows it (Cloud TPU, Slurm, Kubernetes).
    count: the number of processes.
    index: the number of this process, from 0.

  Raises:
    InputError: if only some are given, or if none is given and no cluster knows them.
  """
  given = {"`address`": address, "`count`": count, "`index`": index}
  missing = [name for name, value in given.items() if value is None]
  if 0 < len(missing) < 3:
    raise InputError(f"{', '.join(missing)} must be given, too: give all of `address`, `count` and `index`")
  if count is not None and index is not None and not 0 <= index < count:
    raise InputError(f"`index` must be from 0 to {count - 1} (`count` - 1), got {index}")
  _join(address, count, index)


def _join(address: str | None, count: int | None, index: int | None) -> None:
  """`jax.distributed.initialize`, which would ignore signals while it waits, and later SIGTERM altogether.

  Raises:
    InputError: as for `start`, and if the others do not come within `WAIT` seconds.
  """
  others = f"{count - 1} more of {count} processes" if count else "the other processes"
  who = f"process {'?' if index is None else index} waits for {others}" + (f" at {address}" if address else "")
  # With a longer timeout than ours: at the end of its own, XLA ends the process with a trace.
  joining = lambda: jax.distributed.initialize(address, count, index, initialization_timeout=int(WAIT) + 3600)
  try:
    _waited(joining, who, WAIT)
  except TimeoutError as error:
    leave_without_others(2)
    raise InputError(
      f"{who}, which did not come within {WAIT:.0f} s: start all of them, with the same `address` and `count`, "
      "and each `index` once"
    ) from error
  except (ValueError, RuntimeError) as error:
    raise InputError(
      f"the processes could not be joined ({error}): outside Cloud TPU, Slurm and Kubernetes give `address` "
      "(HOST:PORT of process 0), `count` and `index`"
    ) from error
  if threading.current_thread() is threading.main_thread():
    handler = signal.getsignal(signal.SIGTERM)
    if handler is not None:
      signal.signal(signal.SIGTERM, handler)  # JAX's preemption service has taken it, and ends nothing by it
  farewell.watch()


def _waited(function: Callable[[], T], who: str, most: float = float("inf")) -> T:
  """function(), which waits for other processes, in a thread: signals are obeyed, and the wait is reported.

  Raises:
    TimeoutError: after `most` seconds.
  """
  results: list[T] = []
  raised: list[Exception] = []

  def run() -> None:
    try:
      results.append(function())
    except Exception as error:
      raised.append(error)

  thread = threading.Thread(target=run, daemon=True)
  before, told = time.monotonic(), 0.0
  thread.start()
  while thread.is_alive():
    thread.join(0.1)
    waited = time.monotonic() - before
    if waited > most:
      raise TimeoutError(who)
    if waited - told > _TELL:
      told = waited
      end = f", for at most {most:.0f} s" if most < float("inf") else ""
      print(f"{who}: {waited:.0f} s so far{end}", file=sys.stderr, flush=True)
  if raised:
    raise raised[0]
  return results[0]


def leave_without_others(code: int) -> None:
  """Makes this process exit with `code`, without waiting for the other processes, which are lost.

  JAX would wait for them at exit, and then end the process with a trace.
  """
  atexit.register(os._exit, code)  # runs before JAX's own


def first() -> bool:
  """Whether this is process 0, which writes and speaks."""
  return jax.process_index() == 0


def agree(number: float) -> float:
  """Process 0's number, in all processes; exact for integers up to 2**24 in magnitude."""
  return number if jax.process_count() == 1 else _gather(np.float32(number))[0].item()


def together(function: Callable[[], T]) -> T:
  """function() in all processes; if it raises in one, none goes on.

  Raises:
    InputError: in the processes in which it did not raise; the message names the process in which it did.
  """
  if jax.process_count() == 1:
    return function()
  error = result = None
  try:
    result = function()
  except Exception as raised:
    error = raised
  failed = np.flatnonzero(_gather(np.uint32(error is not None)))
  if error is not None:
    raise error
  if len(failed):
    raise InputError(f"process {failed[0]} of {jax.process_count()} could not start: see its error")
  return cast(T, result)


def check_alike(text: str) -> None:
  """Raises InputError, in all processes, unless all have the same text."""
  words = np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint32)
  if jax.process_count() > 1:
    gathered = _gather(words)
    others = np.flatnonzero((gathered != gathered[0]).any(-1))
    if len(others):
      raise InputError(
        f"process {others[0]} has other settings, data, checkpoint or versions than process 0: start all with "
        "the same"
      )


def _gather(array: Any) -> np.ndarray:
  from jax.experimental import multihost_utils

  count = jax.process_count()
  who = f"process {jax.process_index()} waits for {count - 1} more of {count} processes"
  return _waited(lambda: np.asarray(multihost_utils.process_allgather(array)), who)

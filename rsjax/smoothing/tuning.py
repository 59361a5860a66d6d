"""Chooses the rows per step by a short timed search, and remembers the choice for the next run.

  >>> rows = best_rows(apply, variables, image.shape, lambda: "linear float32", draws=1000)
  >>> execution = Execution(rows)

Starting from the rule of thumb of `execution.default_rows`, the search doubles (or halves) the rows as long as
draws come faster and the compiled program says that it fits into memory. The search may take one twentieth of
the time that the draws will take; short runs do not search. Rows change speed, never a result.
"""

import collections
import contextlib
import json
import os
import pathlib
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

import rsjax
from rsjax import devices, files
from rsjax.devices import processes
from rsjax.noise import Gaussian, Noise
from rsjax.procedures import Steps as ProcedureSteps
from rsjax.smoothing import execution as executions
from rsjax.smoothing import inputs, scheduling, votes

_FEWEST_STEPS = 200  # a run of fewer default steps does not search
_SHARE = 0.05  # of the run's time, that the search may take
_GAIN = 1.03  # what more rows must bring, to be kept
_SECONDS = 0.3  # a timing
_TIMINGS = 4  # of each number of rows, of which the fastest counts: other work on the machine only slows
_MEMORY = 0.85  # of the free memory, that a step may need


def best_rows(
  apply: votes.Apply,
  variables: Any,
  image_shape: tuple[int, ...],
  name: Callable[[], str],
  *,
  draws: int,
  noise: Noise = Gaussian(0.5),
  mesh: Mesh | None = None,
  cache: str | pathlib.Path | None = None,
) -> int:
  """Rows per step with which draws come fastest.

  Args:
    apply, variables, image_shape: as for `votes.Steps`; uint8 images.
    name: returns the name of classifier and dtype under which the choice is remembered; called only if needed.
    draws: how many draws the run will take; a search that would not pay is left out or cut short.
    noise: what is drawn.
    mesh: as for `Execution`.
    cache: the file of remembered choices; None: `default_cache()`.

  Returns:
    A number of rows whose compiled program fits into memory. Several processes agree on it.
  """
  mesh = mesh or devices.draws_mesh()
  start = executions.default_rows(image_shape, mesh)
  if not is_long(image_shape, draws, mesh):
    return start
  cache = default_cache() if cache is None else files.local(cache)
  device = mesh.devices.flat[0].device_kind
  by = "".join(f", {setting} by {value}" for setting, value in devices.settings().items())
  versions = f"jax {jax.__version__}{by}, rsjax {rsjax.__version__}"
  drawn = "" if noise.name == Gaussian.name else f", {noise.name} noise"
  key = f"{device} x {mesh.size}, {name()}, {list(image_shape)}{drawn}, {versions}"
  remembered = int(processes.agree(_read(cache).get(key, 0)))
  if remembered:
    return remembered

  def rate(rows: int) -> float:
    """Draws per second, 0 if memory is too small."""
    return _rate(apply, variables, image_shape, executions.Execution(rows, mesh).resolve(image_shape), noise)

  before = time.perf_counter()
  while not (fastest := rate(start)):
    start //= 2
    if start < mesh.size:
      return mesh.size  # the run itself will say that memory is too small
  best, finished = start, False
  for factor in (2, 0.5):
    rows, improved = best, False
    while True:
      spent = time.perf_counter() - before
      if processes.agree(spent > _SHARE * draws / fastest):
        break
      rows = int(rows * factor)
      if rows < mesh.size:
        break
      found = rate(rows)
      if found < _GAIN * fastest:
        finished = factor < 1 or improved
        break
      best, fastest, improved = rows, found, True
    if improved:
      break
  if finished and processes.first():
    _write(cache, key, best)
  return best


def is_long(image_shape: tuple[int, ...], draws: int, mesh: Mesh | None = None) -> bool:
  """Whether so many draws take long enough for a search, or a measurement, to pay."""
  return draws >= _FEWEST_STEPS * executions.default_rows(image_shape, mesh or devices.draws_mesh())


def measure(
  apply: votes.Apply,
  variables: Any,
  image_shape: tuple[int, ...],
  execution: executions.Execution,
  noise: Noise = Gaussian(0.5),
) -> float:
  """Draws per second in the long run; measuring takes about a second, after the compilation of the run.

  Args:
    apply, variables, image_shape: as for `best_rows`.
    execution: its rows are those of the steps; None: the rule of thumb.
    noise: what is drawn.
  """
  return _timed(apply, variables, image_shape, execution.resolve(image_shape), noise, timings=2)


def fitting_rows(
  apply: votes.Apply,
  variables: Any,
  image_shape: tuple[int, ...],
  rows: int,
  mesh: Mesh | None = None,
  noise: Noise = Gaussian(0.5),
) -> int:
  """The rows, halved until a step fits into memory: they change speed, never a result.

  Far more rows than usual are not tried: on CPUs a process that asks for too much memory is killed.
  """
  mesh = mesh or devices.draws_mesh()
  free = devices.memory_free(mesh.local_mesh.devices.flat[0])
  usual = executions.default_rows(image_shape, mesh)
  while free is not None and rows > 4 * usual:
    if _fits(apply, variables, image_shape, rows, mesh, free, noise):
      break
    rows //= 2
  return int(processes.agree(rows))


def _fits(
  apply: votes.Apply,
  variables: Any,
  image_shape: tuple[int, ...],
  rows: int,
  mesh: Mesh,
  free: int,
  noise: Noise,
) -> bool:
  """Whether a step fits; looked up in the compiled program only where its noisy images alone would fit."""
  noisy = 4 * rows // mesh.size * int(np.prod(image_shape))
  if noisy > _MEMORY * free:
    return False
  try:
    need = votes.memory_needed(
      apply, variables, image_shape, executions.Execution(rows, mesh).resolve(image_shape), noise
    )
  except jax.errors.JaxRuntimeError as error:
    if not votes.out_of_memory(error):
      raise
    return False
  return need <= _MEMORY * free


def default_cache() -> pathlib.Path:
  """The file in which choices are remembered, in the user's cache directory; os.devnull if there is none."""
  home = os.path.expanduser("~")  # unlike pathlib's: no error for a user without HOME and name
  root = os.environ.get("XDG_CACHE_HOME") or (os.path.join(home, ".cache") if os.path.isabs(home) else "")
  return pathlib.Path(root, "rsjax", "rows.json") if os.path.isabs(root) else pathlib.Path(os.devnull)


class _Timed:
  """The procedure that asks for n draws and wants nothing of them."""

  def __init__(self, n: int) -> None:
    self.n = n

  def steps(self, noise: Noise) -> ProcedureSteps:
    yield (self.n,)
    return None  # type: ignore[return-value]


def _rate(
  apply: votes.Apply,
  variables: Any,
  image_shape: tuple[int, ...],
  execution: executions.Resolved,
  noise: Noise,
) -> float:
  free = devices.memory_free(execution.mesh.local_mesh.devices.flat[0])
  try:
    need = votes.memory_needed(apply, variables, image_shape, execution, noise)
    if processes.agree(free is not None and need > _MEMORY * free):
      return 0.0
    return _timed(apply, variables, image_shape, execution, noise, _TIMINGS)
  except jax.errors.JaxRuntimeError as error:
    if not votes.out_of_memory(error) or jax.process_count() > 1:
      raise
    return 0.0


def _timed(
  apply: votes.Apply,
  variables: Any,
  image_shape: tuple[int, ...],
  execution: executions.Resolved,
  noise: Noise,
  timings: int,
) -> float:
  """Draws per second, in the fastest of some timings; processes agree on it."""
  images = len(image_shape) == 3  # else it cannot be; arrays of three axes take as long as images
  example = (0, np.zeros(image_shape, np.uint8 if images else np.float32))
  kind = inputs.IMAGES if images else inputs.ARRAYS
  as_given = executions.Execution(execution.rows, execution.mesh, execution.depth)

  def seconds(steps: int) -> float:
    procedure: Any = _Timed(steps * execution.rows)
    before = time.perf_counter()
    drawn = scheduling.outcomes(apply, variables, [example], procedure, noise, inputs=kind, execution=as_given)
    collections.deque(drawn, 0)
    return time.perf_counter() - before

  seconds(1)
  steps = int(processes.agree(max(2, int(_SECONDS / max(seconds(1), 1e-4)))))
  return float(processes.agree(steps * execution.rows / min(seconds(steps) for _ in range(timings))))


def _read(cache: pathlib.Path) -> dict[str, int]:
  try:
    remembered = json.loads(cache.read_text())
  except (OSError, ValueError):
    return {}
  good = isinstance(remembered, dict)
  return {k: v for k, v in remembered.items() if isinstance(v, int) and v > 0} if good else {}


def _write(cache: pathlib.Path, key: str, rows: int) -> None:
  """Whole or not at all; where it cannot be written, the next run searches again."""
  if cache == pathlib.Path(os.devnull):
    return
  remembered = _read(cache) | {key: rows}
  with contextlib.suppress(OSError):
    cache.parent.mkdir(parents=True, exist_ok=True)
    with files.whole(cache, shared=True) as file:
      file.write(json.dumps(remembered, indent=2) + "\n")

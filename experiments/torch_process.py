"""PyTorch in a process of its own, of this or of another Python, which answers one command at a time.

The two frameworks' threads, allocators and versions stay apart, while their lines are measured in turn.
Commands and answers are lines of JSON; arrays go through files.
"""

import json
import pathlib
import subprocess
import sys

import jax
import numpy as np


class TorchError(RuntimeError):
  """What went wrong in the other process."""


class TorchProcess:
  """A running `torch_peer.py`; a context manager.

  Args:
    python: the interpreter that has PyTorch, or None for this one.
    folder: for the arrays.

  Raises:
    TorchError: if PyTorch is not there.
  """

  def __init__(self, python: pathlib.Path | None, folder: pathlib.Path):
    self._folder = folder
    script = pathlib.Path(__file__).with_name("torch_peer.py")
    pipe = subprocess.PIPE
    try:
      self._process = subprocess.Popen(
        [python or sys.executable, script], stdin=pipe, stdout=pipe, text=True, start_new_session=True
      )  # Ctrl-C is for this process, which ends the other
    except OSError as error:
      raise TorchError(f"{python} does not start: {error}") from error
    self.version = self._answer()

  def __enter__(self):
    return self

  def __exit__(self, kind, *raised):
    if kind is not None:  # it may be in the midst of something long
      self._process.kill()
    self._close()

  def ask(self, command, **arguments):
    """The answer to a command of `torch_peer.Server`; raises TorchError with what it says went wrong."""
    self._process.stdin.write(json.dumps([command, arguments]) + "\n")
    self._process.stdin.flush()
    return self._answer()

  def network(self, arch, classes, mean, std, variables):
    """Makes a network of Flax variables the one that the next commands are about."""
    path = self._folder / "variables.npz"
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    np.savez(path, **{"/".join(key.key for key in keys): leaf for keys, leaf in leaves})
    self.ask("network", arch=arch, classes=classes, mean=mean, std=std, path=str(path))

  def save(self, name, array):
    """The path of an array that the other process can load."""
    path = self._folder / f"{name}.npy"
    np.save(path, array)
    return str(path)

  def _answer(self):
    line = self._process.stdout.readline()
    if not line:
      raise TorchError(f"PyTorch's process ended with exit code {self._close()}")
    answer, error = json.loads(line)
    if error:
      raise TorchError(error)
    return answer

  def _close(self):
    self._process.stdin.close()  # which ends it
    self._process.stdout.close()
    return self._process.wait()

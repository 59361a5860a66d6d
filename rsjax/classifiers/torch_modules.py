"""Any PyTorch module as a base classifier: torchax runs its operations on JAX.

    apply, variables = from_torch(module, (32, 32, 3), normalization="cifar10")

The module is copied, put into evaluation mode and checked, and its logits on JAX are compared with PyTorch's,
before anything else runs. Weights are held as `variables`; nothing of the module is executed per step, since
JAX compiles what torchax traced.
"""

import contextlib
import copy
import functools
import random
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from rsjax import devices
from rsjax.classifiers import torch_given as given
from rsjax.classifiers.classifier import some
from rsjax.errors import InputError
from rsjax.smoothing import agreement
from rsjax.smoothing.inputs import check_shape
from rsjax.smoothing.votes import Apply

if TYPE_CHECKING:
  import torch

_PROBES = 4  # inputs on which PyTorch's logits and JAX's are compared
_AGREE = {"float32": 1e-3, "bfloat16": 5e-2}  # of the logits' size, by which they may differ


def from_torch(
  module: "torch.nn.Module",
  example_shape: Sequence[int],
  *,
  normalization: Literal["inside"] | str | tuple[Sequence[float], Sequence[float]] | None = None,
  channels_first: bool | None = None,
) -> tuple[Apply, dict[str, Any]]:
  """A PyTorch module as `apply` and `variables`, for `rsjax.smooth`.

  Args:
    module: takes [b, c, h, w] for images, and returns logits [b, classes], or an object or a dictionary with
      such `logits`. It computes in float32, or in bfloat16 if all of its weights are. It is copied: later
      training, or a change of its mode, changes nothing.
    example_shape: (h, w, c) of an image, or the shape of another input, as rsjax gets it, without the batch.
    normalization: for images: "inside", if the module takes pixels in [0, 1], because it normalises them itself
      or was trained on them; a name of `normalization.NAMED`, such as "cifar10"; or (mean, std), one number per
      channel or one for all, in units of [0, 1] pixels. It may be left out if the module itself normalises by
      numbers that it holds, under any name (`torch_inside`).
    channels_first: whether the last axis comes before the others in the module's input; None: for images.

  Returns:
    (apply, variables): apply(variables, inputs) -> float32[b, classes], for float32 inputs of b times the
    example's shape; it raises InputError for another shape, in which a module may be another function.
    variables are the module's parameters and buffers by name, and "mean" and "std", if it is given a
    normalisation.

  Raises:
    InputError: if torchax is missing or lacks an operation, which the message names; if the module cannot be
      put into evaluation mode, or answers differently each time; if its logits on JAX are not those of PyTorch;
      and for arguments that cannot be used.
  """
  torch, torchax = _libraries()
  shape = given.shape_of(example_shape)
  module = given.in_evaluation(torch, module)
  moved = len(shape) == 3 if channels_first is None else channels_first
  dtype = given.dtype_of(torch, module)
  x = np.random.default_rng(0).normal(0.5, 0.5, (_PROBES, *shape)).astype(np.float32)
  wanted = _by_pytorch(torch, module, _prepared(x, None, moved), dtype)  # before anything is asked of its input
  trial = copy.deepcopy(module)  # whose numbers are changed; what it keeps of them must not get into the module
  answer = lambda images: _answer(torch, trial, _prepared(images, None, moved), dtype)
  pair = given.normalization_of(trial, normalization, shape, answer, dtype)
  if pair is not None:
    wanted = _by_pytorch(torch, module, _prepared(x, pair, moved), dtype)
  with _named_layers(module) as place:
    apply, variables = _by_jax(torch, torchax, module, shape, pair, moved, dtype)
    _trace(apply, variables, x, place)
  with jax.default_matmul_precision("highest"):
    found = np.asarray(devices.jit(apply, once=True)(variables, x))
  gap = (np.abs(found - wanted) / agreement.sizes(wanted)).max()
  if not gap <= _AGREE[dtype]:
    raise InputError(
      f"the module's logits on JAX differ from PyTorch's by {float(f'{100 * gap:.2g}'):g} % of their "
      "size, more than rounding explains. If forward casts to integers, as by .byte(), clamp to their range "
      "first; if it enters torch.autocast, which JAX does not, leave that out, and give module.bfloat16() if "
      "it is to compute in bfloat16; else torchax computes one of its operations otherwise"
    )
  return apply, variables


def _libraries() -> tuple[Any, Any]:
  try:
    import torch
    import torchax
    import torchax.tensor
  except ImportError as error:
    raise InputError(
      f"from_torch needs PyTorch and torchax ({error}): pip install torch 'torchax>=0.0.14.dev20261001'"
    ) from error
  return torch, torchax


def _prepared(x: np.ndarray, pair: Any, moved: bool) -> np.ndarray:
  """The inputs as the module takes them."""
  x = x if pair is None else (x - pair[0]) / pair[1]
  return np.ascontiguousarray(np.moveaxis(x, -1, 1) if moved else x)


def _by_pytorch(torch: Any, module: Any, x: np.ndarray, dtype: str) -> np.ndarray:
  """The module's logits by PyTorch, float32[inputs, classes], which must be the same when asked again."""
  inputs = torch.from_numpy(x).to(getattr(torch, dtype))
  found: list[np.ndarray] = []
  states: list[Any] = []
  for _ in range(2):
    try:
      with torch.no_grad():
        logits = _logits(module(inputs.clone()))
    except Exception as error:
      raise InputError(
        f"the module fails in PyTorch on an input of {list(x.shape)}, which example_shape leads to: "
        f"{given.first_line(error)}"
      ) from error
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2 or len(logits) != len(x):
      what, mend = type(logits).__name__, ": give a module whose forward calls this one and returns them alone"
      if isinstance(logits, dict) and logits:
        what, mend = f"dict of {some([*map(str, logits)])}", f"{mend}, by the key that holds its logits"
      if isinstance(logits, torch.Tensor):
        what, mend = str(list(logits.shape)), ""
      raise InputError(
        f"the module must return logits [{len(x)}, classes] for {len(x)} inputs, got {what}{mend}"
      )
    found.append(logits.float().numpy())
    states.append(_random_states(torch))
  if not np.isfinite(found).all():
    raise InputError("the module's logits are not finite in PyTorch")
  if states[0] != states[1] or np.abs(found[0] - found[1]).max() > 1e-4 * np.abs(found[0]).max():
    raise InputError(
      "the module answers differently each time in evaluation mode: something in it is random, such as "
      "torch.nn.functional.dropout without training=self.training"
    )
  if _answer(torch, module, x[:-1], dtype) is None:
    raise InputError(
      f"the module takes {len(x)} inputs, but fails with {len(x) - 1}: it must take any number, so "
      "write -1, or len(x), where it reshapes them"
    )
  return found[0]


def _random_states(torch: Any) -> tuple[Any, ...]:
  """The states of the generators of PyTorch, Python and NumPy, which a random function changes."""
  return torch.get_rng_state().numpy().tobytes(), random.getstate(), str(np.random.get_state())


def _answer(torch: Any, module: Any, x: np.ndarray, dtype: str) -> np.ndarray | None:
  """The module's logits by PyTorch, or None where it fails, or where they are not finite."""
  try:
    with torch.no_grad():
      inputs = torch.from_numpy(x.copy()).to(getattr(torch, dtype))  # which the module may change
      logits = _logits(module(inputs)).float().numpy()
  except Exception:  # of any kind, by what the module's numbers were changed to
    return None
  return logits if np.isfinite(logits).all() else None


def _by_jax(
  torch: Any, torchax: Any, module: Any, shape: tuple[int, ...], pair: Any, moved: bool, dtype: str
) -> tuple[Apply, dict[str, Any]]:
  """(apply, variables) of the module with what comes before it."""

  class Positional(torch.overrides.TorchFunctionMode):
    """Gives `linear` its arguments by position: torchax has other names for them."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
      if function is torch.nn.functional.linear:
        return function(*_linear(*args, **(kwargs or {})))
      return function(*args, **(kwargs or {}))

  statistics = ("mean", "std")
  if not module.state_dict().keys().isdisjoint(statistics):  # of the module's own, which it does not use
    statistics = ("input_mean", "input_std")

  class Whole(torch.nn.Module):
    def __init__(self) -> None:
      super().__init__()
      self.module = module
      for name, values in zip(statistics, pair or ()):
        self.register_buffer(name, torch.from_numpy(values))

    def forward(self, x: Any) -> Any:
      if pair is not None:
        mean, std = (getattr(self, name) for name in statistics)
        x = (x - mean) / std
      x = (x.movedim(-1, 1) if moved else x).to(getattr(torch, dtype))
      with torch.device("jax"), Positional():  # "jax": of tensors that the module makes without naming a device
        return _logits(self.module(x)).float()

  states, run = torchax.extract_jax(Whole().eval())
  variables = {name.removeprefix("module."): np.array(value) for name, value in states.items()}
  names = {name.removeprefix("module."): name for name in states}

  def apply(variables: dict[str, Any], x: jax.Array) -> jax.Array:
    check_shape(jnp.shape(x)[1:], shape)
    if variables.keys() != names.keys():
      lacking, odd = sorted(names.keys() - variables.keys()), sorted(variables.keys() - names.keys())
      raise InputError(
        "variables must be those of from_torch, for which apply was made"
        + (f"; missing: {some(lacking)}" if lacking else "")
        + (f"; unknown: {some(odd)}" if odd else "")
      )
    with (
      warnings.catch_warnings(),
      jax.numpy_dtype_promotion("standard"),
      jax.numpy_rank_promotion("allow"),
      torch.no_grad(),
      torchax.default_env().override_property(prng=jax.random.key(0)),  # else a key of the trace outlives it
    ):
      warnings.filterwarnings("ignore", "Explicitly requested dtype")  # int64, which PyTorch has everywhere
      return run({names[name]: jnp.asarray(value) for name, value in variables.items()}, (jnp.asarray(x),))

  return apply, variables


def _linear(input: Any, weight: Any, bias: Any = None) -> tuple[Any, ...]:
  """The arguments of `torch.nn.functional.linear`, by its names, in its order."""
  return input, weight, bias


def _logits(returned: Any) -> Any:
  """What Hugging Face's models return has the logits in it, as do many dictionaries."""
  if isinstance(returned, dict):
    return returned.get("logits", returned)
  return getattr(returned, "logits", returned)


@contextlib.contextmanager
def _named_layers(module: Any) -> Iterator[Callable[[], str]]:
  """A function that names the layer in which an error was raised: the last that was entered and not left."""
  entered: list[str] = []

  def enter(name: str, layer: Any, _: Any) -> None:
    entered.append(f"the layer {name} ({type(layer).__name__})" if name else "the module")

  def leave(*_: Any) -> None:
    entered.pop()

  hooks = []
  for name, layer in module.named_modules():
    hooks.append(layer.register_forward_pre_hook(functools.partial(enter, name)))
    hooks.append(layer.register_forward_hook(leave))
  try:
    yield lambda: entered[-1] if entered else "the module"
  finally:
    for hook in hooks:
      hook.remove()


def _trace(apply: Apply, variables: Any, x: np.ndarray, place: Callable[[], str]) -> None:
  """Traces the module once, and says of what torchax cannot run where it is."""
  from torchax.tensor import OperatorNotFound

  try:
    jax.eval_shape(apply, variables, x)
  except OperatorNotFound as error:
    found = re.search(r"name (\S+) has no lowering", str(error))
    told = f"it has no {found[1]} for JAX" if found else given.first_line(error)
    raise InputError(f"torchax cannot run {place()}: {told}; write it with other operations") from error
  except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError) as error:
    raise InputError(
      f"{place()} needs the values of its input in Python (.item(), .numpy(), an if), which a compiled program "
      "does not have: write it with tensor operations, such as torch.where"
    ) from error
  except Exception as error:  # PyTorch has run the module on the same inputs
    if "mixed math between" in str(error):
      raise InputError(
        f"{place()} uses layers or tensors that torchax does not find, such as layers in a Python list or a "
        "lambda, an nn.ParameterList, the tensors of a hook, or tensors by torch.from_numpy or new_tensor: use "
        "nn.ModuleList, an nn.Parameter or register_buffer under a name, and torch.tensor"
      ) from error
    raise InputError(f"torchax cannot run {place()}: {given.first_line(error)}") from error

"""What `from_torch` is given: checks of the module, the shape of its input, and its normalisation.

Nothing here imports PyTorch: it comes as an argument from where it is known to be installed.
"""

import copy
import types
from collections.abc import Sequence
from typing import Any

import numpy as np

from rsjax.classifiers import normalization, torch_inside
from rsjax.classifiers.classifier import some
from rsjax.classifiers.torch_inside import Answer
from rsjax.errors import InputError, warn


def shape_of(given: Sequence[int]) -> tuple[int, ...]:
  """The shape of one input, checked."""
  try:
    shape = tuple(map(int, given))
  except (TypeError, ValueError):
    shape = ()
  if not shape or min(shape) < 1:
    raise InputError(f"example_shape must be the shape of one input, such as (32, 32, 3), got {given!r}")
  if len(shape) == 3 and shape[0] <= 4 < shape[2]:
    raise InputError(
      f"example_shape {shape} looks like channels before height and width: give (h, w, c), as rsjax has images"
    )
  return shape


def in_evaluation(torch: Any, module: Any) -> Any:
  """A copy of the module on the CPU, in evaluation mode, without wrappers for several devices."""
  if not isinstance(module, torch.nn.Module):
    told = type(module).__name__ + (": give the module before torch.export" if _exported(module) else "")
    raise InputError(f"module must be a torch.nn.Module, got {told}")
  for name, layer in module.named_modules():
    if isinstance(layer, torch.jit.ScriptModule) or _exported(layer):
      by = "torch.export" if _exported(layer) else "torch.jit"
      raise InputError(f"{name and 'layer '}{name or 'module'} must be the torch.nn.Module itself, before {by}")
    replaced = isinstance(vars(layer).get("forward"), types.FunctionType)
    if replaced and not hasattr(layer, "_orig_mod"):  # a copy would run the original's layers
      raise InputError(f"forward of {name or 'the module'} was replaced by a function: define it in a class")
  try:
    module = _copied(torch, module)
    module.eval()  # whatever it returns: some forget `return self`
    module = _plain(torch, module.cpu()).requires_grad_(False)
  except InputError:
    raise
  except Exception as error:
    if "deepcopy protocol" in str(error):
      raise InputError(
        "the module holds weights that PyTorch cannot copy, such as those of pruning, or of an old weight_norm "
        "or spectral_norm: call prune.remove, remove_weight_norm or remove_spectral_norm of torch.nn.utils on "
        "these layers first"
      ) from error
    raise InputError(f"the module cannot be copied to the CPU: {first_line(error)}") from error
  training = [name or "the module itself" for name, layer in module.named_modules() if layer.training]
  if training:
    raise InputError(f"these layers stay in training mode after eval(): {some(training)}")
  coupled = [
    name
    for name, layer in module.named_modules()
    if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm) and layer.running_mean is None
  ]
  if coupled:
    raise InputError(
      f"these batch norms have no running statistics, so that images of a batch affect others: {some(coupled)}"
    )
  return module


def _exported(value: Any) -> bool:
  """Whether a module or program is one that torch.export made."""
  return any(kind.__module__.startswith("torch.export.") for kind in type(value).__mro__)


def _copied(torch: Any, module: Any) -> Any:
  """A copy of the module, in which each wrapper is replaced by a copy of the module that it holds."""
  wrappers = (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)
  copies: dict[int, Any] = {}  # what deepcopy takes for the objects that have these ids
  for layer in reversed(list(module.modules())):
    held: Any = layer.module if isinstance(layer, wrappers) else getattr(layer, "_orig_mod", None)
    if held is not None:  # "_orig_mod": of torch.compile
      copies[id(layer)] = copy.deepcopy(held, copies)
  return copy.deepcopy(module, copies)


def _plain(torch: Any, module: Any) -> Any:
  """The module, whose weights are no longer computed from others, as by spectral_norm; it is changed.

  PyTorch's remove_parametrizations would also change the module that this one is a copy of: they share a class.
  """
  for place, layer in module.named_modules():
    if torch.nn.utils.parametrize.is_parametrized(layer):
      weights = {name: getattr(layer, name).detach() for name in layer.parametrizations}
      if odd := [name for name, weight in weights.items() if not torch.equal(weight, getattr(layer, name))]:
        raise InputError(
          f"{place}.{odd[0]} is another tensor each time: its parametrization is random in evaluation mode"
        )
      del layer.parametrizations
      layer.__class__ = layer.__class__.__bases__[0]
      for name, weight in weights.items():
        layer.register_parameter(name, torch.nn.Parameter(weight))
  return module


def normalization_of(module: Any, given: Any, shape: tuple[int, ...], answer: Answer, dtype: str) -> Any:
  """(mean, std) with which inputs are normalised before the module; None: it takes them as they are.

  `answer` and `dtype`: as for `torch_inside.normalising`.
  """
  if len(shape) != 3:
    if given not in (None, "inside"):
      raise InputError(
        f"normalization is for images, but example_shape is {shape}: normalise within the module"
      )
    return None
  channels = shape[-1]
  inside = torch_inside.normalising(module, answer, shape, dtype)
  if inside.grey and given in (None, "inside"):
    raise InputError(
      f"the module gets pixels in [0, 1], which {some(inside.grey)} cannot be for: divide means and deviations "
      "of grey levels by 255, or let the module multiply its input by 255 first"
    )
  if given == "inside" or (given is None and inside.normalising):
    return None
  if inside.normalising:
    raise InputError(
      f"the module normalises its input itself, by {some(inside.normalising)}: leave out normalization, or "
      "images are normalised twice; if it was trained with both, put both into the module"
    )
  if given == "none":
    raise InputError('normalization="none" is called "inside" here: the module takes pixels in [0, 1]')
  statistics = normalization.NAMED
  if given is None or (isinstance(given, str) and given not in statistics):
    what = "is missing" if given is None else f"{given!r} is not known"
    told = f", and the logits do not depend on {some(inside.idle)}" if inside.idle else ""
    told = f", and the logits depend on {some(inside.suspects)}" if inside.suspects else told
    if_so = "these normalise its input" if inside.suspects else "the module takes pixels in [0, 1]"
    raise InputError(
      f'normalization {what}{told}: give "inside" if {if_so}; else what the weights were trained with, as '
      f"(mean, std), or as a name: {', '.join(map(repr, statistics))}"
    )
  if inside.suspects:
    warn(
      f"the module's logits depend on {some(inside.suspects)}: if its input is normalised by them, it is now "
      'normalised twice, and normalization must be "inside"'
    )
  mean, std = statistics[given] if isinstance(given, str) else normalization.pair_of(given, channels)
  normalization.check(mean, std, "normalization", channels)
  if (odd := normalization.swapped(mean, std)) is not None:
    warn(f"normalization: {odd}")
  return np.array(mean, np.float32), np.array(std, np.float32)


def dtype_of(torch: Any, module: Any) -> str:
  """The dtype of the module's weights: "float32" or "bfloat16"."""
  held = {t.dtype for t in (*module.parameters(), *module.buffers()) if t.is_floating_point()}
  if len(held) > 1 or not held <= {torch.float32, torch.bfloat16}:
    names = ", ".join(sorted(str(dtype).removeprefix("torch.") for dtype in held))
    raise InputError(
      f"the module's weights must all be float32, or all bfloat16, got {names}: give module.float()"
    )
  return str(next(iter(held), torch.float32)).removeprefix("torch.")


def first_line(error: Exception) -> str:
  """The error's kind and the first line of its message."""
  return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"

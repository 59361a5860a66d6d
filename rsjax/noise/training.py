"""The noise that a base classifier is trained under: how it is drawn, and what a checkpoint says of it."""

from typing import Any

from rsjax.noise.gaussian import Gaussian
from rsjax.noise.grid import GridGaussian
from rsjax.noise.noise import Noise


def perturb_for_training(noise: Noise, key: Any, images: Any) -> Any:
  """The images under a fresh draw for each, from a JAX key, for training; no certificate depends on it.

  A noise that is not added to images has a method `perturb_for_training(key, images)` of its own, and no
  `sample`.

  Args:
    noise: the noise.
    key: a JAX key.
    images: float32[..., h, w, c] in [0, 1]; each of the leading axes' images is drawn for independently.

  Returns:
    float32 of the images' shape.
  """
  if own := getattr(noise, "perturb_for_training", None):
    return own(key, images)
  return images + noise.sample(key, images.shape)  # type: ignore[attr-defined]


def kind_of_training(metadata: dict[str, Any]) -> str | None:
  """The name of the noise that a checkpoint's metadata say it was trained under; None if they do not say.

  Metadata with `noise_sd` alone are of Gaussian noise. Those of an ensemble say it if its members agree.
  """
  if isinstance(members := metadata.get("members"), list):
    kinds = {kind_of_training(member) for member in members}
    return kinds.pop() if len(kinds) == 1 else None
  training = metadata.get("training")
  drawn = training.get("noise") if isinstance(training, dict) else None
  if isinstance(drawn, dict):
    return str(drawn.get("noise"))
  return None if metadata.get("noise_sd") is None else Gaussian.name


def suits(trained: str | None, kind: str) -> bool:
  """Whether a network that was trained under one kind of noise is at home in another; None: not known.

  Grid noise is Gaussian noise to a network.
  """
  grid_or_not = {GridGaussian.name: Gaussian.name}
  return trained is None or grid_or_not.get(trained, trained) == grid_or_not.get(kind, kind)


def called(kind: str) -> str:
  """What texts call the noise of this name."""
  return f"{kind.capitalize() if kind == Gaussian.name else kind} noise"

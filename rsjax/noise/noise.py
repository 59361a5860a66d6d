"""What every noise has."""

from typing import Any, ClassVar, Protocol


class Noise(Protocol):
  """A frozen dataclass of its parameters, which are checked when it is made.

  Attributes:
    name: under which manifests know it.
    norm: in which the radii are that it proves, "l2" for example.
  """

  name: ClassVar[str]
  norm: ClassVar[str]

  @classmethod
  def from_settings(cls, settings: dict[str, Any]) -> "Noise":
    """The noise that a manifest's settings describe."""
    ...

  def settings(self) -> dict[str, Any]:
    """What a manifest says of it: `noise`, its name, and its fields by their names."""
    ...

  def parameters(self) -> Any:
    """What `perturb` is given first: arrays, so that one compiled program serves all parameters."""
    ...

  @staticmethod
  def perturb(parameters: Any, key: Any, index: Any, draw: Any, images: Any) -> Any:
    """The images with the noise of their (seed, index, draw): certification's, the same for ever.

    Args:
      parameters: of `parameters`.
      key: `threefry.base_key(seed)`.
      index: uint32[rows], each row's image index.
      draw: uint32[rows], each row's draw number.
      images: float32[rows, h, w, c].

    Returns:
      float32[rows, h, w, c].
    """
    ...

  def sample(self, key: Any, shape: tuple[int, ...]) -> Any:
    """float32[shape] of noise from a key of JAX: training's, which no certificate depends on."""
    ...

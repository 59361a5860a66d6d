"""Files of exact certificates, from all draws of a noise: what is meant by them, and what does not apply.

  >>> is_exact({"procedure": "exact"})
  True

No alpha belongs to them, and no choice of draws: their certificates are true or false, and never by chance.
"""

from collections.abc import Iterator
from typing import Any

from rsjax import noise
from rsjax.errors import InputError
from rsjax.procedures import EXACT
from rsjax.results import Results


def is_exact(settings: dict[str, Any]) -> bool:
  """Whether the settings are of exact certificates."""
  return settings.get("procedure") == EXACT


def is_closed(results: Results, rule: str) -> bool:
  """Whether an image of radius R counts at R: by the rule of the paper's tables, and where the theorem says so.

  Exact radii are those of closed balls.
  """
  return rule != "open" or is_exact(results.settings)


def sign(rows: list[dict[str, Any]]) -> str:
  """How radii compare with R to count: ">"; ">=" by the rule of the paper's tables and if it is exact."""
  closed = {row["closed"] for row in rows}
  return ">" if closed == {False} else ">=" if closed == {True} else "> (exact ones: >=)"


def check_random(results: Results, what: str) -> None:
  """Refuses to do `what` with a file of exact certificates.

  Raises:
    InputError: then.
  """
  if is_exact(results.settings):
    raise InputError(
      f"{results.path} cannot be analysed {what}: its certificates are exact, from all draws of "
      f"{results.settings.get('noise')} noise, without an alpha or a bound"
    )


def shape_of(results: Results) -> list[int] | None:
  """[height, width, channels] of a file's images, or the shape of other inputs; None if it does not say."""
  about = results.manifest["about"]
  checkpoint = about.get("checkpoint")
  shape = about.get("image_shape") or (checkpoint.get("image_shape") if isinstance(checkpoint, dict) else None)
  known = isinstance(shape, list) and shape and all(isinstance(size, int) and size > 0 for size in shape)
  return shape if known else None


def wrong_passes(results: Results) -> Iterator[str]:
  """What is wrong about the number of draws of a file of exact certificates: it must be that of its noise."""
  settings = results.settings
  if not is_exact(settings) or noise.lacking(settings):
    return
  try:
    kind, shape = noise.from_settings(settings), shape_of(results)
    if not noise.is_exact(kind):
      yield f"its certificates are said to be exact, which {kind.name} noise does not allow"
    elif shape is None or len(shape) != 3:
      yield "its manifest does not say how large the images are, and so not how many draws there must be"
    elif (due := kind.passes(tuple(shape))) != settings.get("n"):  # type: ignore[attr-defined]
      yield f"its images have {settings.get('n')} draws, but {kind.name} noise has {due:,}"
  except InputError as error:
    yield str(error)

"""Which well-known data set a name means; upper and lower case, -, _ and spaces make no difference.

>>> meant_by("CIFAR-10"), meant_by("cifar10_exact.npz"), named_in("out/CIFAR_10/sigma_0.25")
('cifar10', None, ['cifar10'])
"""

import re

from rsjax.data.named import SETS

_NAMES = ("digits", *SETS)
_BETWEEN = r"[-_\s]*"


def meant_by(name: object) -> str | None:
  """The set, "digits" or a key of `named.SETS`, that a name as a whole means; None for another."""
  found = (known for known in _NAMES if isinstance(name, str) and re.fullmatch(_pattern(known), name, re.I))
  return next(found, None)


def named_in(text: str) -> list[str]:
  """All sets that are named somewhere in a text, such as a path; "cifar100" does not name cifar10."""
  return [known for known in _NAMES if re.search(rf"{_pattern(known)}(?!\d)", text, re.I)]


def _pattern(known: str) -> str:
  return _BETWEEN + _BETWEEN.join(known.replace("_", "")) + _BETWEEN

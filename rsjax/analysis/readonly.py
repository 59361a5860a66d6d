"""A dict that refuses changes: what a result shows of itself is what its numbers are computed from.

>>> shown = ReadOnly({"sigma": 0.25}, "settings are read-only")
>>> shown["sigma"] = 1.0
Traceback (most recent call last):
  ...
TypeError: settings are read-only
>>> shown | {"sigma": 1.0}
{'sigma': 1.0}
"""

from collections.abc import Mapping
from typing import Any, NoReturn


class ReadOnly(dict[str, Any]):
  """A copy of a mapping; whatever would change it raises TypeError, with the message that was given.

  Args:
    content: what it holds.
    message: why it does not change, and what to do.
  """

  def __init__(self, content: Mapping[str, Any], message: str) -> None:
    super().__init__(content)
    self._message = message

  def _refuse(self, *_: Any, **__: Any) -> NoReturn:
    raise TypeError(self._message)

  __setitem__ = __delitem__ = __ior__ = _refuse
  update = pop = popitem = clear = setdefault = _refuse

  def __reduce__(self) -> tuple[Any, ...]:
    return dict, (dict(self),)

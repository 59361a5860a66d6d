"""Words of sentences: counts, as "1 image" or "1,500 files", and text of others, which may hold anything."""

import unicodedata

_CONTROL = ("Cc", "Zl", "Zp")  # Unicode's categories of control characters and line ends


def plural(count: int, one: str, many: str | None = None) -> str:
  """The count and the noun (or noun and verb) that goes with it; `many` defaults to `one` with an s."""
  return f"{count:,} {one if count == 1 else many or one + 's'}"


def harmless(text: str) -> str:
  r"""The text with control characters and line ends escaped, which might colour a terminal or forge lines.

  >>> harmless("good" + chr(10) + chr(27) + "[1A")
  'good\\n\\x1b[1A'
  """
  if text.isprintable():
    return text
  return "".join(repr(c)[1:-1] if unicodedata.category(c) in _CONTROL else c for c in text)

"""Counts in sentences: "1 image", "2 images", "1,500 files"."""


def plural(count: int, one: str, many: str | None = None) -> str:
  """The count and the noun (or noun and verb) that goes with it; `many` defaults to `one` with an s."""
  return f"{count:,} {one if count == 1 else many or one + 's'}"

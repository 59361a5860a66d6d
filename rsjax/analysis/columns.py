"""Text tables that fit a terminal: long names get their own lines, and columns are split into blocks."""

import textwrap
from collections.abc import Sequence

WIDTH = 80  # of a terminal, in columns
_NAME = 26  # the longest name that shares its line with numbers, where all does not fit


def fitted(
  corner: str, heads: Sequence[str], widths: Sequence[int], lines: Sequence[tuple[str, Sequence[str]]]
) -> str:
  """The table as text, no line longer than `WIDTH`.

  Args:
    corner: the head of the names.
    heads: the heads of the columns; a line break in one makes a head of two lines.
    widths: the widths of the columns, including the space before them; they are reduced if needed to fit.
    lines: name and cells; cells that are missing at the end of a line are left empty.
  """
  name_width = max(len(name) for name in (corner, *(name for name, _ in lines)))
  if name_width + sum(widths) > WIDTH:  # closer together
    texts = [[*head.split("\n"), *(cells[c] for _, cells in lines if c < len(cells))]
             for c, head in enumerate(heads)]  # fmt: skip
    widths = [2 + max(map(len, column)) for column in texts]
  if name_width + sum(widths) > WIDTH:
    name_width = max(len(name) for name in (corner, *(n for n, _ in lines)) if len(name) <= _NAME)
  blocks: list[list[int]] = [[]]
  for column, width in enumerate(widths):
    if blocks[-1] and name_width + sum(widths[c] for c in blocks[-1]) + width > WIDTH:
      blocks.append([])
    blocks[-1].append(column)
  return "\n\n".join(_block(corner, heads, widths, lines, name_width, columns) for columns in blocks)


def _block(
  corner: str,
  heads: Sequence[str],
  widths: Sequence[int],
  lines: Sequence[tuple[str, Sequence[str]]],
  name_width: int,
  columns: Sequence[int],
) -> str:
  def line(name: str, cells: Sequence[str]) -> str:
    return (
      f"{name:{name_width}}" + "".join(f"{cells[c]:>{widths[c]}}" for c in columns if c < len(cells))
    ).rstrip()

  split = [head.split("\n") for head in heads]
  height = max(map(len, split))
  padded = [[""] * (height - len(words)) + words for words in split]
  texts = [line(corner if row == height - 1 else "", [words[row] for words in padded]) for row in range(height)]
  for name, cells in lines:
    if not any(c < len(cells) for c in columns):
      continue
    if len(name) > name_width:
      texts += textwrap.wrap(name, WIDTH, subsequent_indent="  ")
      name = ""
    texts.append(line(name, cells))
  return "\n".join(texts)

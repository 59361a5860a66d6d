"""Result files: one row per image, appended and flushed as it is certified, with a manifest beside it.

  >>> manifest = Manifest(settings={"sigma": 0.25}, indices=[0, 5], about={}, session={})
  >>> with open_for_append("new.tsv", manifest, CERTIFY_COLUMNS) as writer:
  ...   print(writer.done, "of", len(manifest.indices))
  0 of 2
  >>> file = read("out.tsv")
  >>> file.complete, float(file.columns["radius"].max())
  (True, 0.952864)

A result file is TSV with a header; the first columns are the paper's, under its names. `OUTFILE.json`,
the manifest, holds the settings and how many rows there should be. A file can be continued only with
the settings it was begun with; an incomplete last line is then dropped. All votes are kept, sparsely, as
`class:count` pairs, so that any other bound can be computed from them later.

The label enters here, beside the certificate, and nowhere else. Each module of this package has one topic:
votes and rows (their text), manifest, differences (of settings), writing, reading, shards (of one run),
foreign (files of other tools), foreign_radii (whether their numbers fit each other), wording.
"""

from rsjax.results.foreign import read_any, read_foreign
from rsjax.results.manifest import FORMAT, Manifest, manifest_path, read_manifest
from rsjax.results.reading import Results, check_labels, parse_columns, read, read_rows
from rsjax.results.rows import (
  ATTACK_COLUMNS,
  CERTIFY_COLUMNS,
  PREDICT_COLUMNS,
  columns_of,
  command_of,
  of_command,
  row_of,
  with_n,
)
from rsjax.results.shards import join
from rsjax.results.votes import INVALID, format_counts, format_votes, parse_column, parse_votes
from rsjax.results.wording import harmless, plural
from rsjax.results.writing import ResultWriter, open_for_append, rows_done, save

__all__ = [
  "ATTACK_COLUMNS",
  "CERTIFY_COLUMNS",
  "FORMAT",
  "INVALID",
  "PREDICT_COLUMNS",
  "Manifest",
  "ResultWriter",
  "Results",
  "check_labels",
  "columns_of",
  "command_of",
  "format_counts",
  "format_votes",
  "harmless",
  "join",
  "manifest_path",
  "of_command",
  "open_for_append",
  "parse_column",
  "parse_columns",
  "parse_votes",
  "plural",
  "read",
  "read_any",
  "read_foreign",
  "read_manifest",
  "read_rows",
  "row_of",
  "rows_done",
  "save",
  "with_n",
]

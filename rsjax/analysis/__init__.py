"""Result files to certified accuracies, tables and plots.

  >>> file = results.read("out.tsv")
  >>> print(analysis.table([file], [0.0, 0.25, 0.5]))
  radius            0   0.25    0.5      ACR  abstain  images
  sigma = 0.25   0.93   0.81   0.64    0.543     0.00      72

Each module of this package has one topic: statistics (numbers of one file), reanalysis (the same votes at
another alpha, n or bound, or for top-k), looks (files whose images ended early), combined (one certificate
from several files), agreement (PREDICT against a file of more draws), attacked (files of an attack, and what
lies between them and certificates), contradictions (within one file), draws (their number in its rows), said
(by its manifest, of itself), exact (files without chance), referee (what should be said of the files),
significance (whether the best is clear of the next), spacing (which images they are of), claims, leaderboard
(whose radii a table can have), labels, apart (names told apart), unusual (what tables must not leave
unsaid), columns (text that fits a terminal), tables, latex, plots, reports (an HTML page), found (one file
as a value to look at), in_words (that in one line), values (bounds of medians as a value).
"""

from rsjax.analysis.agreement import CATEGORIES, agreement
from rsjax.analysis.attacked import Gap, attacked_accuracy, compare
from rsjax.analysis.combined import cascade, combine, dual
from rsjax.analysis.found import Found
from rsjax.analysis.labels import labels, norm_words, some
from rsjax.analysis.latex import latex
from rsjax.analysis.norms import with_norm
from rsjax.analysis.plots import plot
from rsjax.analysis.reanalysis import as_predictions, at_share, with_alpha, with_bound, with_draws, with_top_k
from rsjax.analysis.referee import warnings
from rsjax.analysis.reports import check_report, report
from rsjax.analysis.statistics import (
  abstention_rate,
  accuracy_interval,
  acr_interval,
  average_certified_radius,
  certified_accuracy,
  common_grid,
  grid,
  high_probability_accuracy,
)
from rsjax.analysis.tables import caption, csv, markdown, summarize, table, text
from rsjax.analysis.values import FoundValues

__all__ = [
  "CATEGORIES",
  "Found",
  "FoundValues",
  "Gap",
  "abstention_rate",
  "accuracy_interval",
  "acr_interval",
  "agreement",
  "as_predictions",
  "at_share",
  "attacked_accuracy",
  "average_certified_radius",
  "caption",
  "cascade",
  "certified_accuracy",
  "check_report",
  "combine",
  "common_grid",
  "compare",
  "csv",
  "dual",
  "grid",
  "high_probability_accuracy",
  "labels",
  "latex",
  "markdown",
  "norm_words",
  "plot",
  "report",
  "some",
  "summarize",
  "table",
  "text",
  "warnings",
  "with_alpha",
  "with_bound",
  "with_draws",
  "with_norm",
  "with_top_k",
]

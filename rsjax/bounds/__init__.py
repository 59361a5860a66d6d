"""Vote counts to confidence bounds and certified radii; NumPy and SciPy only.

  >>> from rsjax import bounds
  >>> p = bounds.lower_confidence_bound(99_000, 100_000, alpha=0.001)
  >>> round(float(p), 6)
  0.988989
  >>> float(bounds.certified_radius(p, sigma=0.5))
  1.144999

binomial: bounds and tests of a proportion. sequential: bounds that hold at several looks at the votes at once.
radii: from a bound to a radius, by noise. exact: from a margin of votes to a radius, without any probability.
multiclass: the two-sided radius, from two counts. topk: the radius within which a class is among the k most
probable. median: from the noisy outputs of a real function to bounds of their median.
"""

from rsjax.bounds.binomial import (
  binomial_p_value,
  check_alpha,
  interval,
  lower_confidence_bound,
  smallest_n_to_certify,
  smallest_n_to_predict,
)
from rsjax.bounds.exact import check_exact_noise, exact_radius, votes_to_spare
from rsjax.bounds.median import check_distance, median_bounds, median_ranks, smallest_n_for_median
from rsjax.bounds.multiclass import (
  LOWER_SHARE,
  MULTI,
  ONE_SIDED,
  UPPER_SHARE,
  BoundKind,
  bound_from_settings,
  bound_settings,
  check_bound,
  check_multiclass_noise,
  multiclass_bounds,
  multiclass_bounds_at_look,
  multiclass_distance,
  multiclass_radius,
  shows_more,
)
from rsjax.bounds.norms import NORMS, in_norm, l2_distance
from rsjax.bounds.radii import (
  RADIUS_DIGITS,
  abstains,
  certified_radius,
  check_noise,
  check_sigma,
  radius,
  round_down,
)
from rsjax.bounds.sequential import (
  Plan,
  answers_at_look,
  default_plan,
  lower_bound_at_look,
  votes_to_certify,
  votes_to_predict,
)
from rsjax.bounds.topk import (
  shows_top_k,
  top_k_bounds,
  top_k_bounds_at_look,
  top_k_distance,
  top_k_radius,
)

__all__ = [
  "LOWER_SHARE",
  "MULTI",
  "NORMS",
  "ONE_SIDED",
  "RADIUS_DIGITS",
  "UPPER_SHARE",
  "BoundKind",
  "Plan",
  "abstains",
  "answers_at_look",
  "binomial_p_value",
  "bound_from_settings",
  "bound_settings",
  "certified_radius",
  "check_alpha",
  "check_bound",
  "check_distance",
  "check_exact_noise",
  "check_multiclass_noise",
  "check_noise",
  "check_sigma",
  "default_plan",
  "exact_radius",
  "in_norm",
  "interval",
  "l2_distance",
  "lower_bound_at_look",
  "lower_confidence_bound",
  "median_bounds",
  "median_ranks",
  "multiclass_bounds",
  "multiclass_bounds_at_look",
  "multiclass_distance",
  "multiclass_radius",
  "radius",
  "round_down",
  "shows_more",
  "shows_top_k",
  "smallest_n_for_median",
  "smallest_n_to_certify",
  "smallest_n_to_predict",
  "top_k_bounds",
  "top_k_bounds_at_look",
  "top_k_distance",
  "top_k_radius",
  "votes_to_certify",
  "votes_to_predict",
  "votes_to_spare",
]

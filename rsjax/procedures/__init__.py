"""CERTIFY and PREDICT: which draws they ask for, and what follows from the votes. No JAX.

  >>> procedure = Certify(n0=10, n=1000)
  >>> steps = procedure.steps(Gaussian(0.25))
  >>> next(steps)  # how many draws to select with, and how many others to estimate with
  (10, 1000)
  >>> try:
  ...   steps.send((np.array([9, 1]), np.array([950, 50])))
  ... except StopIteration as end:
  ...   print(end.value.prediction, end.value.radius)
  0 0.35...

A procedure is a frozen dataclass with a generator, `steps`, that asks for fresh draws of one image and receives
their votes, as often as needed, and returns an outcome. How the draws are made is not its concern (see
`rsjax.smoothing.scheduling`). counts: votes of many rows. fixed: procedures whose number of draws is fixed
beforehand. exact: all draws of a noise that has finitely many. sequential: procedures that look at the votes
and stop. stopping: their rules for stopping. outcomes: what procedures return. topk: what votes say of a class
that is given. median: bounds of a real function's median, from its outputs instead of votes. attack: what an
attack searches, and how its points are verified.
"""

from rsjax.procedures.attack import Attack, Attacked
from rsjax.procedures.counts import Counts
from rsjax.procedures.exact import EXACT, Exact, certify_exactly
from rsjax.procedures.fixed import Certify, Predict, certify, checked_alpha, predict
from rsjax.procedures.median import CertifyMedian, MedianBounds
from rsjax.procedures.outcomes import ABSTAIN, Certificate, Certificates, Outcome, Prediction, Predictions
from rsjax.procedures.procedure import EndNow, Procedure, Steps, end_now
from rsjax.procedures.sequential import (
  AUTO,
  CertifyByLooks,
  PredictByLooks,
  certify_at_looks,
  is_anytime,
  predict_at_looks,
)
from rsjax.procedures.stopping import Anytime, Radii, StopRule, Tolerance
from rsjax.procedures.topk import certify_top_k, certify_top_k_at_looks

__all__ = [
  "ABSTAIN",
  "AUTO",
  "EXACT",
  "Anytime",
  "Attack",
  "Attacked",
  "Certificate",
  "Certificates",
  "Certify",
  "CertifyByLooks",
  "CertifyMedian",
  "Counts",
  "EndNow",
  "Exact",
  "MedianBounds",
  "Outcome",
  "Predict",
  "PredictByLooks",
  "Prediction",
  "Predictions",
  "Procedure",
  "Radii",
  "Steps",
  "StopRule",
  "Tolerance",
  "certify",
  "certify_at_looks",
  "certify_exactly",
  "certify_top_k",
  "certify_top_k_at_looks",
  "checked_alpha",
  "end_now",
  "is_anytime",
  "predict",
  "predict_at_looks",
]

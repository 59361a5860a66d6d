"""The engine: noisy rows to votes on the devices, many images at once, for any procedure.

  >>> smoothed = Smoothed(apply, variables, Gaussian(0.25))
  >>> for index, outcome in smoothed.outcomes(Certify(n0=100, n=1000), enumerate(images[:2])):
  ...   print(index, outcome.prediction, outcome.radius)
  0 0 0.36...
  1 0 0.26...

execution: what decides speed, and never a result. packing: rows of many images in one step. votes: the one
hot program. scheduling: which draws are made when, and whose they are. tuning: how many rows a step.
inspection: a first look at a classifier. smoothed: a base classifier with its noise, the object that all of
this serves.
"""

from rsjax.smoothing.execution import Execution
from rsjax.smoothing.scheduling import outcomes
from rsjax.smoothing.smoothed import Smoothed

__all__ = ["Execution", "Smoothed", "outcomes"]

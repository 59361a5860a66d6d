"""The engine: noisy rows to votes on the devices, many images at once, for any procedure.

  >>> smoothed = Smoothed(apply, variables, Gaussian(0.25))
  >>> for index, outcome in smoothed.outcomes(Certify(n0=100, n=1000), enumerate(images[:2])):
  ...   print(index, outcome.prediction, outcome.radius)
  0 0 0.36...
  1 0 0.26...

execution: settings that decide speed, and never a result. packing: rows of many images in one step. votes: the
one compiled program of certification. outputs: the same for a real function's outputs. scheduling: which draws
are made when, and for which image. tuning: how many rows per step. inspection: a first look at a classifier.
looking: what such a look found, and what is odd about it.
agreement: how far its outputs agree. constants: digests of a function as it is traced.
smoothed: a base classifier with its noise, the object that users of this package work with.
"""

from rsjax.smoothing.execution import Execution
from rsjax.smoothing.scheduling import outcomes
from rsjax.smoothing.smoothed import Smoothed

__all__ = ["Execution", "Smoothed", "outcomes"]

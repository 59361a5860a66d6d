"""What a run will take, from a short measurement on this device.

>>> print(Estimate(2200, "draws", 1100.0, 3_100_000))
2 seconds at 1,100 draws/s, as measured here; memory 3.1 MB
"""

import dataclasses
import math

from rsjax.results import plural


@dataclasses.dataclass(frozen=True)
class Estimate:
  """What a run will take.

  Attributes:
    count, unit: how many units of work it has, and their name: draws or images.
    rate: units per second in the long run, without start-up, compilation and evaluation.
    memory: peak bytes of a device, or on CPUs of the process, during the measurement; None if unknown.
  """

  count: int
  unit: str
  rate: float
  memory: int | None

  @property
  def seconds(self) -> float:
    """How long it takes."""
    return self.count / self.rate

  def __str__(self) -> str:
    memory = "" if self.memory is None else f"; memory {in_bytes(self.memory)}"
    return f"{in_time(self.seconds)} at {self.rate:,.0f} {self.unit}/s, as measured here{memory}"


def in_time(seconds: float) -> str:
  """A duration for people: "42 seconds", "12 minutes", "3.4 hours", "2.1 days"."""
  if seconds >= 172_800:
    return f"{seconds / 86_400:.1f} days"
  if seconds >= 7200:
    return f"{seconds / 3600:.1f} hours"
  if seconds >= 120:
    return plural(math.ceil(seconds / 60), "minute")
  return plural(math.ceil(seconds), "second")


def in_bytes(count: float) -> str:
  """A size for people: "3.1 MB"."""
  for unit in ("bytes", "kB", "MB"):
    if count < 1000:
      return f"{count:.0f} {unit}" if unit == "bytes" or count >= 100 else f"{count:.1f} {unit}"
    count /= 1000
  return f"{count:.1f} GB"

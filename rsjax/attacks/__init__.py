"""Attacks on the smoothed classifier, pure functions within a compiled step.

    gradient = lambda images: jax.grad(lambda v: log_loss(logits_of(v), labels).mean())(images)
    change = pgd(gradient, images, 64 / 256, steps=10, instead=lambda step: -normal(step))

geometry: lengths, projections. smoothed: what is maximised. pgd, ddn: the attacks, each as the code that it is
named after has it. They differ in details, and results published for one do not hold for another.

No attack is differentiated: what it returns is a constant to the loss that is computed on it.
"""

from rsjax.attacks.ddn import ddn
from rsjax.attacks.geometry import AXES, clip_to_pixels, lengths, project, unit
from rsjax.attacks.pgd import ascend, pgd, pgd_clipped_last
from rsjax.attacks.smoothed import log_loss

__all__ = [
  "AXES",
  "ascend",
  "clip_to_pixels",
  "ddn",
  "lengths",
  "log_loss",
  "pgd",
  "pgd_clipped_last",
  "project",
  "unit",
]

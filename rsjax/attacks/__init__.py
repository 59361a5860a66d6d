"""Attacks on the smoothed classifier, pure functions within a compiled step.

    gradient = lambda images: jax.grad(lambda v: log_loss(logits_of(v), labels).mean())(images)
    change = pgd(gradient, images, 64 / 256, steps=10, instead=lambda step: -normal(step))

geometry: lengths, projections. smoothed: what is maximised. pgd, ddn: the attacks, each as the code that it is
named after has it. They differ in details, and results published for one do not hold for another. search: the
program that uses them against a smoothed classifier, as `rsjax.attack` does.

No attack is differentiated: what it returns is a constant to the loss that is computed on it.
"""

from rsjax.attacks.ddn import ddn
from rsjax.attacks.geometry import AXES, clip_to_pixels, lengths, project, unit
from rsjax.attacks.pgd import ascend, pgd, pgd_clipped_last
from rsjax.attacks.search import make_search
from rsjax.attacks.smoothed import log_loss

__all__ = [
  "AXES",
  "ascend",
  "clip_to_pixels",
  "ddn",
  "lengths",
  "log_loss",
  "make_search",
  "pgd",
  "pgd_clipped_last",
  "project",
  "unit",
]

"""Makes the object of `face`: of a function and its variables, `rsjax.smooth`; of a directory, `rsjax.load`.

>>> g = smooth(apply, variables, sigma=0.25)
>>> found = g.certify(images[:2], n=1000, progress=False)
>>> found.predict, found.radius
(array([0, 0]), array([0.36..., 0.26...]))
"""

import pathlib
from collections.abc import Sequence
from typing import Any

from rsjax import devices
from rsjax.classifiers import denoised
from rsjax.errors import warn
from rsjax.noise import Noise
from rsjax.runs import given, split, trained
from rsjax.runs.face import SmoothedClassifier
from rsjax.smoothing.inputs import IMAGES, Inputs
from rsjax.smoothing.votes import Apply


def smooth(
  apply: Apply,
  variables: Any,
  sigma: float | None = None,
  *,
  noise: Noise | None = None,
  name: str | None = None,
  inputs: Inputs = IMAGES,
) -> SmoothedClassifier:
  """The classifier `apply` smoothed by Gaussian noise of `sigma`, or by another `noise`.

  Args:
    apply: any pure function (variables, float32[b, h, w, c]) -> logits[b, classes], for pixels in [0, 1]. It
      normalises them itself, and each row's logits are independent of the other rows.
    variables: the pytree of arrays that `apply` takes, as they are now: arrays that change later, as NumPy's
      and those of a Flax NNX state may, do not change this classifier.
    sigma: standard deviation of Gaussian noise, in units of [0, 1] pixels.
    noise: another noise, such as `rsjax.GridGaussian(0.25)`.
    name: the classifier's name in result files. A file needs one if variables hold no arrays, as when the
      weights are inside `apply`: nothing else would distinguish the files of two such classifiers.
    inputs: "images", or "arrays" for embeddings, tables, audio, video or other float32 of one shape and any
      range. Sigma and radii are then in their units, and nothing about pixels is checked.

  Raises:
    InputError: for a sigma that is not a positive number, an empty name, both sigma and noise, or noise that is
      not for these inputs.
  """
  return SmoothedClassifier(apply, variables, given.noise_of(sigma, noise, inputs), name, inputs=inputs)


def load(
  path: str | pathlib.Path | Sequence[str | pathlib.Path],
  sigma: float | None = None,
  *,
  noise: Noise | None = None,
  dtype: str | None = None,
  denoiser: str | pathlib.Path | None = None,
) -> SmoothedClassifier:
  """The classifier in a directory that `rsjax.train` or `rsjax.convert` wrote, smoothed by noise.

  Args:
    path: the directory; several: their ensemble, whose logits are the mean of its members'.
    sigma, noise: as for `smooth`.
    dtype: "float32" or "bfloat16", what it computes in; None: float32 on CPU, bfloat16 on accelerators.
    denoiser: a directory that `rsjax.train` or `rsjax.convert` wrote; the classifier is given what the denoiser
      makes of a noisy image.

  Raises:
    InputError: if there is no classifier, for members that do not fit each other, or for a sigma that is not a
      positive number.
  """
  noise = given.noise_of(sigma, noise)
  classifier = denoised.load(path, denoiser, noise)
  for note in split.notes(noise, classifier):
    warn(note)
  dtype = dtype or devices.default_dtype()
  apply, variables = classifier.inference(dtype)
  shape = None if denoiser else classifier.members[0].spec.image_shape
  return SmoothedClassifier(
    apply,
    variables,
    noise,
    image_shape=shape,
    dtype=dtype,
    notes=tuple(split.unfinished(classifier)),
    trained_on=trained.sets_of(classifier),
  )

"""CERTIFY and PREDICT of a smoothed classifier, as streams over images.

  >>> smoothing = Smoothing(sigma=0.25, n0=100, n=100_000, alpha=0.001, seed=0)
  >>> for c in certify(apply, variables, enumerate(images[:2]), smoothing):
  ...   print(c.index, c.prediction, c.radius)
  0 0 0.44...
  1 0 0.31...

`apply(variables, images) -> logits` is any pure function from float32[b, h, w, c] in [0, 1] to
[b, classes]; normalisation is part of it, because sigma is in units of [0, 1] pixels. It must treat
each image by itself: batch statistics would couple draws and void the guarantee.

`Smoothing` holds all that fixes the guarantee; `votes.Execution` what only fixes speed. The label of
an image is no argument here: a certificate cannot depend on it.

Both functions are only policies for asking for draws. Votes are counted for all classes, so CERTIFY
asks for the selection and the estimation draws of an image at once, and the rows of several images
share the device's steps.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from rsjax import bounds, noise
from rsjax.errors import InputError
from rsjax.votes import Execution, Request, count_votes

ABSTAIN = -1


@dataclasses.dataclass(frozen=True)
class Smoothing:
  """What fixes the guarantee, apart from the classifier and its compute dtype.

  Attributes:
    sigma: standard deviation of the Gaussian noise, in units of [0, 1] pixels.
    n0: draws to select the class with (CERTIFY).
    n: draws to estimate with; those of PREDICT.
    alpha: probability, per image, with which the answer may be wrong.
    seed: of the noise. Draws [0, n0) select and draws [n0, n0 + n) estimate.
  """

  sigma: float
  n0: int = 100
  n: int = 100_000
  alpha: float = 0.001
  seed: int = 0

  def __post_init__(self):
    bounds.check_sigma(self.sigma)
    bounds.check_alpha(self.alpha)
    noise.check_seed(self.seed)
    for name in ("n0", "n"):
      value = getattr(self, name)
      if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} must be an integer of at least 1, got {value}")
    if self.n0 + self.n > noise.WORD:
      raise InputError(f"n0 + n must be at most 2**32, got {self.n0 + self.n}")


@dataclasses.dataclass(frozen=True)
class Certificate:
  """What CERTIFY found for one image.

  Attributes:
    index: the image's.
    prediction: class of the smoothed classifier, or ABSTAIN (-1).
    radius: certified l2 radius in units of [0, 1] pixels, rounded down; 0 where it abstains. The
      prediction is constant within the open ball of this radius.
    selected: the class whose probability was bounded, also where it abstains.
    n_a: estimation draws that voted for it.
    p_lower: lower confidence bound of its probability.
    votes0, votes: int64[classes], the selection's and the estimation's votes.
    invalid0, invalid: draws among them whose logits were not finite; they voted for nobody.
  """

  index: int
  prediction: int
  radius: float
  selected: int
  n_a: int
  p_lower: float
  votes0: np.ndarray
  votes: np.ndarray
  invalid0: int
  invalid: int


@dataclasses.dataclass(frozen=True)
class Prediction:
  """What PREDICT found for one image.

  Attributes:
    index: the image's.
    prediction: class of the smoothed classifier, or ABSTAIN (-1).
    p_value: of the two-sided test that the two leading classes are equally likely.
    votes: int64[classes].
    invalid: draws whose logits were not finite; they voted for nobody.
  """

  index: int
  prediction: int
  p_value: float
  votes: np.ndarray
  invalid: int


def certify(
  apply: Callable,
  variables,
  examples: Iterable[tuple[int, np.ndarray]],
  smoothing: Smoothing,
  execution: Execution = Execution(),
  progress: Callable[[int], None] = lambda draws: None,
) -> Iterator[Certificate]:
  """Certifies each image, in order; takes images from `examples` only as rows become free.

  Args:
    apply, variables: the base classifier; see the module's docstring.
    examples: (index, image) pairs; image uint8[h, w, c] in 0..255 or float32[h, w, c] in [0, 1], all
      alike; index, from 0 to 2**32 - 1, names the image to the noise.
    smoothing: what fixes the guarantee.
    execution: what fixes speed.
    progress: called with the number of draws that have arrived, each time some have.

  Yields:
    One `Certificate` per image. With probability at least 1 - alpha per image, the radius is not above
    the true one of the smoothed classifier and the prediction is its class.

  Raises:
    InputError: for images or a classifier that are not as described, or an n with which no vote could
      certify at this alpha.

  Source: CERTIFY in Cohen et al. 2019, section 3.2.2.
  """
  check_can_certify(smoothing)
  ranges = ((0, smoothing.n0), (smoothing.n0, smoothing.n))
  counted = _votes(apply, variables, examples, ranges, smoothing, execution, progress)
  return (certificate(index, votes0, votes, smoothing) for index, (votes0, votes) in counted)


def predict(
  apply: Callable,
  variables,
  examples: Iterable[tuple[int, np.ndarray]],
  smoothing: Smoothing,
  execution: Execution = Execution(),
  progress: Callable[[int], None] = lambda draws: None,
) -> Iterator[Prediction]:
  """Predicts each image's class under the smoothed classifier with n draws, or abstains.

  Arguments as for `certify`; n0 is not used. With probability at least 1 - alpha per image, PREDICT
  abstains or answers the smoothed classifier's class.

  Source: PREDICT in Cohen et al. 2019, section 3.2.1.
  """
  check_can_predict(smoothing)
  ranges = ((0, smoothing.n),)
  counted = _votes(apply, variables, examples, ranges, smoothing, execution, progress)
  return (prediction(index, votes, smoothing) for index, (votes,) in counted)


def check_can_certify(smoothing):
  """Raises InputError if not even a unanimous vote of n draws certifies at alpha."""
  _check_settings(smoothing)
  smallest = bounds.smallest_n_to_certify(smoothing.alpha)
  if smoothing.n < smallest:
    raise InputError(
      f"n = {smoothing.n} draws can never certify at alpha = {smoothing.alpha}: give n >= {smallest}"
    )


def check_can_predict(smoothing):
  """Raises InputError if PREDICT abstains even on a unanimous vote of n draws at alpha."""
  _check_settings(smoothing)
  smallest = bounds.smallest_n_to_predict(smoothing.alpha)
  if smoothing.n < smallest:
    raise InputError(
      f"n = {smoothing.n} draws can never answer at alpha = {smoothing.alpha}: give n >= {smallest}"
    )


def _check_settings(smoothing):
  if not isinstance(smoothing, Smoothing):
    raise InputError(f"settings must be a Smoothing, got {smoothing!r}: give Smoothing(sigma=...)")


def certificate(index, votes0, votes, smoothing):
  """The certificate that int64[classes] selection and estimation votes give."""
  selected = int(votes0.argmax())
  n_a = int(votes[selected])
  p_lower, abstains, radius = bounds.certify_votes(n_a, smoothing.n, smoothing.alpha, smoothing.sigma)
  return Certificate(
    index=index,
    prediction=ABSTAIN if abstains else selected,
    radius=float(radius),
    selected=selected,
    n_a=n_a,
    p_lower=float(p_lower),
    votes0=votes0,
    votes=votes,
    invalid0=smoothing.n0 - int(votes0.sum()),
    invalid=smoothing.n - int(votes.sum()),
  )


def prediction(index, votes, smoothing):
  """The prediction that int64[classes] votes give."""
  second, first = np.sort(votes)[-2:] if len(votes) > 1 else (0, votes[0])
  p_value = float(bounds.binomial_p_value(first, first + second))
  return Prediction(
    index=index,
    prediction=int(votes.argmax()) if p_value <= smoothing.alpha else ABSTAIN,
    p_value=p_value,
    votes=votes,
    invalid=smoothing.n - int(votes.sum()),
  )


def _votes(apply, variables, examples, ranges, smoothing, execution, progress):
  """Yields (index, votes of each (first, count) range) for each example."""
  waiting = collections.deque()

  def requests():
    for example in examples:
      index, image = _checked(example)
      waiting.append(index)
      for first, count in ranges:
        yield Request(image, index, first, count)

  counted = count_votes(
    apply,
    variables,
    requests(),
    seed=smoothing.seed,
    sigma=smoothing.sigma,
    execution=execution,
    smallest_count=min(count for _, count in ranges),
    progress=progress,
  )
  for group in zip(*[counted] * len(ranges)):
    yield waiting.popleft(), group


def _checked(example):
  try:
    index, image = example
  except (TypeError, ValueError) as error:
    raise InputError("examples must be (index, image) pairs: give enumerate(images)") from error
  image = np.array(image)  # a copy: it is used again while later examples are made
  if not 0 <= index < noise.WORD:
    raise InputError(f"an image's index must be from 0 to 2**32 - 1, got {index}")
  if image.ndim != 3 or image.dtype not in (np.uint8, np.float32):
    raise InputError(
      f"image {index} must be uint8[h, w, c] or float32[h, w, c] in [0, 1], "
      f"got {image.dtype}{list(image.shape)}"
      + (": give .astype(np.float32)" if image.dtype == np.float64 else "")
    )
  if image.dtype == np.float32 and not (np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1):
    raise InputError(
      f"image {index} is float32 and not within [0, 1], or NaN: give pixels in [0, 1] or uint8, and normalise "
      "within the classifier"
    )
  return index, image

"""Published settings by method, data set and sigma: what the authors' commands, scripts and logs say.

Learning rates drop where each script drops them: SmoothAdv's own after every 50 epochs on CIFAR-10 and every 30
on ImageNet, for its Gaussian networks, too; those of consistency regularisation, SmoothMix and CAT-RS, and so
everything that they trained again, one epoch later.

Sources: Hadisalman/smoothing-adversarial, jh-jeong/smoothing-consistency, jh-jeong/smoothmix,
alinlab/smoothing-catrs, eth-sri/acr-weakness and microsoft/denoised-smoothing: commands, scripts, logs and
paths of results.
"""

from typing import Any

from rsjax.errors import InputError

Settings = dict[str, Any]

_COMMON: Settings = dict(batch=256, schedule="step", momentum=0.9, weight_decay=1e-4)
_RECIPES: dict[str, Settings] = {
  "cifar10": dict(**_COMMON, lr=0.1, epochs=150, lr_drops=(51, 101), augment="crop-flip"),
  "mnist": dict(**_COMMON, lr=0.01, epochs=90, lr_drops=(31, 61), augment="none"),
  "imagenet": dict(**_COMMON, lr=0.1, epochs=90, lr_drops=(31, 61), augment="resized-crop-flip"),
}
_ONE_STEP: Settings = dict(attack="pgd", steps=1, noise_vectors=1, warmup=1)  # SmoothAdv on ImageNet

# Objective's settings by sigma; recipe's settings that differ from the data set's.
_PRESETS: dict[tuple[str, str], tuple[dict[float, Settings], Settings]] = {
  ("cifar10", "gaussian"): ({s: {} for s in (0.12, 0.25, 0.5, 1.0)}, dict(lr_drops=(50, 100))),  # SmoothAdv's
  ("cifar10", "stability"): ({0.25: dict(lbd=2.0), 0.5: dict(lbd=2.0), 1.0: dict(lbd=1.0)}, {}),
  ("cifar10", "smoothadv"): (  # as trained again for CAT-RS
    {
      0.25: dict(epsilon=256.0, noise_vectors=4),
      0.5: dict(epsilon=256.0, noise_vectors=8),
      1.0: dict(epsilon=512.0, noise_vectors=2),
    },
    {},
  ),
  ("cifar10", "macer"): (  # as trained again for CAT-RS
    {0.25: dict(lbd=12.0), 0.5: dict(lbd=6.0), 1.0: dict(lbd=12.0, deferred=51)},
    dict(batch=64),
  ),
  ("cifar10", "consistency"): ({0.25: dict(lbd=20.0), 0.5: dict(lbd=10.0), 1.0: dict(lbd=10.0)}, {}),
  ("cifar10", "smoothadv_consistency"): (
    {
      0.25: dict(lbd=2.0, epsilon=255.0, noise_vectors=4),
      0.5: dict(lbd=1.0, epsilon=512.0, noise_vectors=2),
      1.0: dict(lbd=1.0, epsilon=512.0, noise_vectors=2),
    },
    {},
  ),
  ("cifar10", "smoothmix"): (
    {0.25: dict(alpha=0.5), 0.5: dict(alpha=1.0, mix_step=1), 1.0: dict(alpha=2.0, mix_step=1)},
    {},
  ),
  ("cifar10", "catrs"): ({0.25: dict(lbd=0.5), 0.5: dict(lbd=1.0), 1.0: dict(lbd=2.0)}, {}),
  ("cifar10", "reweighted"): (
    {
      0.25: dict(steps=3, alpha=0.25, easy_from=60, threshold=0.5),
      0.5: dict(steps=6, alpha=0.25, easy_from=70, threshold=0.4),
      1.0: dict(steps=4, alpha=0.5, easy_from=60, threshold=0.4),
    },
    dict(lr_drops=(50, 100)),
  ),
  ("mnist", "gaussian"): ({s: {} for s in (0.25, 0.5, 1.0)}, {}),
  ("mnist", "stability"): ({s: dict(lbd=2.0) for s in (0.25, 0.5, 1.0)}, {}),
  ("mnist", "smoothadv"): ({s: dict(epsilon=255.0, noise_vectors=4) for s in (0.25, 0.5, 1.0)}, {}),
  ("mnist", "macer"): (
    {0.25: dict(lbd=16.0, deferred=31), 0.5: dict(lbd=16.0, deferred=31), 1.0: dict(lbd=6.0, deferred=31)},
    {},
  ),
  ("mnist", "consistency"): ({0.25: dict(lbd=10.0), 0.5: dict(lbd=5.0), 1.0: dict(lbd=5.0)}, {}),
  ("mnist", "smoothadv_consistency"): (
    {s: dict(lbd=1.0, epsilon=255.0, noise_vectors=4) for s in (0.25, 0.5, 1.0)},
    {},
  ),
  ("mnist", "smoothmix"): (
    {
      0.25: dict(noise_vectors=4, alpha=1.0, steps=2, eta=5.0),
      0.5: dict(noise_vectors=4, alpha=1.0, steps=4, eta=5.0),
      1.0: dict(noise_vectors=4, alpha=1.0, steps=8, eta=5.0),
    },
    {},
  ),
  ("mnist", "catrs"): ({0.25: dict(lbd=1.0)}, dict(epochs=150, lr_drops=(51, 101))),
  ("imagenet", "gaussian"): ({0.25: {}, 0.5: {}, 1.0: {}}, dict(lr_drops=(30, 60))),
  ("imagenet", "smoothadv"): (
    {
      0.25: dict(attack="ddn", steps=2, noise_vectors=1, warmup=1, epsilon=512.0),
      0.5: dict(**_ONE_STEP, epsilon=255.0),
      1.0: dict(**_ONE_STEP, epsilon=512.0),
    },
    dict(lr_drops=(30, 60)),
  ),
  ("imagenet", "consistency"): ({0.5: dict(lbd=5.0, eta=0.5), 1.0: dict(lbd=5.0, eta=0.1)}, {}),
  ("imagenet", "catrs"): (
    {1.0: dict(lbd=2.0, noise_vectors=2, steps=1, doubled_from=80, confidence_mask=True)},
    dict(lr_dips=(85,)),
  ),
  # Denoisers: from random weights by the mean squared error; then, with init_from, by stability.
  ("cifar10", "denoise"): (
    {s: {} for s in (0.12, 0.25, 0.5, 1.0)},
    dict(optimizer="adam", lr=1e-3, epochs=90, lr_drops=(31, 61)),
  ),
  ("cifar10", "denoise_stability"): (
    {s: {} for s in (0.12, 0.25, 0.5, 1.0)},
    dict(optimizer="adam", lr=1e-4, epochs=20, lr_drops=None),
  ),
}

METHODS = tuple(dict.fromkeys(method for _, method in _PRESETS))


def preset(method: str, dataset: str, sigma: float | None) -> tuple[Settings, Settings]:
  """(settings of the objective, settings of the recipe) that were published.

  Args:
    method: the objective's name.
    dataset: the data set's name.
    sigma: standard deviation of the training noise.

  Raises:
    InputError: if there are none; the message says which there are.
  """
  sets = [name for name, other in _PRESETS if other == method]
  if not sets:
    raise InputError(f"there is no preset {method!r}: give one of {', '.join(METHODS)}")
  if dataset not in sets:
    raise InputError(
      f"preset {method} has published settings for {', '.join(sets)}, not for {dataset}: "
      f"give `objective` {method} and its options"
    )
  by_sigma, own = _PRESETS[dataset, method]
  if sigma not in by_sigma:
    raise InputError(
      f"preset {method} has published settings for noise {', '.join(map(str, by_sigma))} on {dataset}, not for "
      f"{sigma}: give `objective` {method} and its options"
    )
  return by_sigma[sigma], _RECIPES[dataset] | own

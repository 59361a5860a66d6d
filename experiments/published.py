"""Published results of each training objective on CIFAR-10: ACR and certified accuracy (radius >= R).

ResNet-110, all 10,000 test images, n0 = 100, n = 100,000, alpha = 0.001, computed from the authors' own
files of single images: those of alinlab/smoothing-catrs (Gaussian: of Hadisalman/smoothing-adversarial), of
jh-jeong/smoothing-consistency and of jh-jeong/smoothmix. SmoothMix at sigma 0.5 is with the one-step adversary.
"""

IMAGES = 10_000
RADII = (0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25)

# {objective: {sigma: (ACR, certified accuracy at RADII in per cent)}}
_FILES = {
  "gaussian": {
    0.12: (0.276, 83.2, 59.8, 0),
    0.25: (0.424, 76.7, 61.2, 42.2, 25.1),
    0.5: (0.525, 65.7, 54.9, 42.8, 32.5, 22.0, 14.1, 8.3, 3.9),
    1.0: (0.511, 47.1, 40.9, 33.8, 27.7, 22.1, 17.2, 13.3, 9.7, 6.6, 4.3),
  },
  "stability": {
    0.25: (0.420, 73.0, 58.9, 42.9, 26.8),
    0.5: (0.531, 62.1, 52.6, 42.7, 33.3, 23.8, 16.1, 9.8, 4.7),
    1.0: (0.514, 43.0, 37.8, 32.5, 27.5, 23.1, 18.8, 14.7, 11.0, 7.7, 5.2),
  },
  "smoothadv": {
    0.25: (0.544, 73.4, 65.6, 57.0, 47.5),
    0.5: (0.684, 65.3, 57.8, 49.9, 41.7, 33.7, 26.0, 19.5, 12.9),
    1.0: (0.790, 43.7, 40.3, 36.9, 33.8, 30.5, 27.0, 24.0, 21.4, 18.4, 15.9),
  },
  "macer": {
    0.25: (0.531, 79.5, 69.0, 55.8, 40.6),
    0.5: (0.691, 64.2, 57.5, 49.9, 42.3, 34.8, 27.6, 20.2, 12.6),
    1.0: (0.744, 41.4, 38.5, 35.2, 32.3, 29.3, 26.4, 23.4, 20.2, 17.4, 14.5),
  },
  "consistency": {
    0.25: (0.552, 75.8, 67.6, 58.1, 46.7),
    0.5: (0.720, 64.3, 57.5, 50.6, 43.2, 36.2, 29.5, 22.8, 16.1),
    1.0: (0.756, 46.3, 42.2, 38.1, 34.3, 30.0, 26.3, 22.9, 19.7, 16.6, 13.8),
  },
  "smoothadv_consistency": {
    1.0: (0.816, 41.7, 39.0, 36.2, 33.5, 30.7, 27.6, 24.7, 22.0, 19.5, 17.3),
  },
  "smoothmix": {
    0.25: (0.553, 77.1, 67.9, 57.9, 46.7),
    0.5: (0.736, 63.5, 57.2, 50.5, 43.4, 36.7, 30.6, 24.7, 19.1),
  },
  "catrs": {
    0.25: (0.562, 76.3, 68.1, 58.8, 48.2),
    0.5: (0.757, 62.3, 56.8, 50.5, 44.6, 38.5, 32.7, 27.1, 20.6),
    1.0: (0.815, 43.2, 40.2, 37.2, 34.3, 31.0, 28.1, 24.9, 22.0, 19.3, 16.8),
  },
}

OBJECTIVES = tuple(_FILES)
ACR = {name: {sigma: row[0] for sigma, row in rows.items()} for name, rows in _FILES.items()}
ACCURACY = {
  name: {sigma: {r: round(value / 100, 4) for r, value in zip(RADII, row[1:])} for sigma, row in rows.items()}
  for name, rows in _FILES.items()
}

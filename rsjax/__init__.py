"""rsjax: certified robustness by randomized smoothing (Cohen, Rosenfeld, Kolter, ICML 2019).

The rooms, and what each needs:

  bounds, results, analysis     counts to certificates, files and curves; no JAX
  noise, votes, smoothing       CERTIFY and PREDICT for any `apply(variables, images) -> logits`
  data, models, training        what the commands train and certify
  train, certify, predict       the commands: `python -m rsjax.certify --help`
  quickstart                    all of it on real digits: `python -m rsjax.quickstart`

`python -m rsjax` lists the commands; docs/architecture.md has every room and what it may import.

Importing `rsjax` itself imports nothing heavy.
"""

__version__ = "0.1.0"

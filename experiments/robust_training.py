"""Every training objective on one data set, with several seeds: certified accuracy and ACR beside Gaussian's.

  python experiments/robust_training.py OUT [--noise 0.5 --epochs 60 --seeds 3]

Each training and each certification is a command of rsjax, is shown as one, and does nothing where it is
complete. Interrupted at any time, the same command continues. Where a complete result file lies in OUT, its
training is not needed: more seeds or objectives can join a record that keeps only result files. Everything lies
in one folder:

  OUT/OBJECTIVE_SEED/     checkpoint and log of a training
  OUT/OBJECTIVE_SEED.tsv  result file of its certification at sigma = noise, its manifest beside it
  OUT/votes_SEED.tsv      votes of the Gaussian network of this seed on the training images, for catrs
  OUT/summary.md          one line per objective: ACR by seed, the gain over Gaussian, certified accuracy
  OUT/summary.png         certified accuracy against radius, of the first seed

The settings are not tuned: SETTINGS has them, the same for each seed.
"""

import datetime
import shlex
import sys

import jax
import numpy as np
import pipeline
from scipy import stats

from rsjax import analysis, certify, files, predict, results, train
from rsjax.cli import console

FIRST = "gaussian"  # what the others are compared with, and whose votes catrs takes
_COPIES = ("--noise-vectors", 2, "--steps", 4)
SETTINGS = {
  "gaussian": (),
  "stability": ("--lbd", 2),
  "consistency": ("--lbd", 5),
  "smoothmix": ("--alpha", 0.25, "--steps", 4, "--eta", 5),
  "macer": ("--lr", 0.01, "--lbd", 6, "--noise-vectors", 8),  # the rate of its authors
  "smoothadv": ("--epsilon", 64, *_COPIES),
  "smoothadv_consistency": ("--epsilon", 64, "--lbd", 1, *_COPIES),
  "catrs": ("--epsilon", 64, "--lbd", 1, *_COPIES),
  "reweighted": (
    *("--alpha", 0.25, "--steps", 6, "--threshold", 0.4, "--noise-vectors", 2),
    *("--easy-from", 28, "--reweigh-every", 4),  # of 60 epochs, about as its authors' of 150
  ),
}
RADII = (0.0, 0.25, 0.5, 0.75, 1.0)


def parser():
  made = pipeline.small_parser(__doc__)
  add = made.add_argument
  add("--objectives", nargs="+", choices=SETTINGS, default=list(SETTINGS), help="only these (default: all)")
  add("--noise", type=float, default=0.5, help="of training and certification (default: 0.5)")
  add("--batch", type=int, default=128, help="images per batch of the recipe (default: 128)")
  add("--seeds", type=int, default=3, help="trainings of each objective (default: 3)")
  add("--N", type=int, default=10_000, help="draws per image to certify with (default: 10000)")
  add("--skip", type=int, default=1, help="certify every SKIPth test image (default: 1)")
  add("--vote-N", type=int, default=1000, help="draws per training image for catrs (default: 1000)")
  return made


def main(argv=None):
  return console.run("robust_training.py", _body, parser().parse_args(argv))


def _body(args):
  out = files.local(args.out)
  out.mkdir(parents=True, exist_ok=True)
  chosen = [FIRST, *(name for name in args.objectives if name != FIRST)]
  for seed in range(args.seeds):
    for name in chosen:
      if _is_done(args, out / f"{name}_{seed}.tsv", name, seed):
        continue
      _train(args, out, name, seed)
      common = [args.dataset, out / f"{name}_{seed}", f"{args.noise:g}", out / f"{name}_{seed}.tsv"]
      console.type_command("certify", certify.main, *common, "--N", args.N, "--skip", args.skip)
  text = summary(out, args, chosen)
  (out / "summary.md").write_text(text, encoding="utf-8")
  first = [results.read(out / f"{name}_0.tsv") for name in chosen]
  analysis.plot(first, out / "summary.png", f"{args.dataset}, sigma = {args.noise:g}, seed 0", names=chosen)
  print(f"\n{text}\nwrote {out}/summary.md and summary.png")


def _recipe(args, name, seed):
  """{flag: value} of a training."""
  own = dict(zip(SETTINGS[name][::2], SETTINGS[name][1::2]))
  shared = {"--epochs": args.epochs, "--batch": args.batch, "--lr_step_size": max(1, args.epochs // 3)}
  return {"--objective": name, **own, "--seed": seed, **shared}


def _is_done(args, path, name, seed):
  """Whether there is a complete result file of a training and a certification with these settings."""
  if not path.exists():
    return False
  file = results.read(path)
  network = file.manifest["about"]["checkpoint"]
  trained = network["training"] | network["training"]["objective"]
  trained |= {"objective": trained["name"], "arch": network["arch"], "dataset": network["dataset"]}
  recipe = {flag.strip("-").replace("-", "_"): value for flag, value in _recipe(args, name, seed).items()}
  recipe |= {"noise_sd": args.noise, "arch": args.arch, "dataset": args.dataset}
  asked = {"sigma": args.noise, "n": args.N, "skip": args.skip}
  has = lambda said, wanted: all(said.get(key) == value for key, value in wanted.items())
  return file.complete and has(file.settings, asked) and has(trained, recipe)


def _train(args, out, name, seed):
  """Types the training, and before it what it needs."""
  recipe = _recipe(args, name, seed)
  flags = ["--noise", f"{args.noise:g}", *(word for pair in recipe.items() for word in pair)]
  if name == "catrs":
    votes, model = out / f"votes_{seed}.tsv", out / f"{FIRST}_{seed}"
    own = ["--split", "train", "--fixed", "--N", args.vote_N]
    console.type_command("predict", predict.main, args.dataset, model, f"{args.noise:g}", votes, *own)
    flags += ["--votes", votes]
  console.type_command("train", train.main, args.dataset, args.arch, out / f"{name}_{seed}", *flags)


def summary(out, args, chosen):
  """The text of summary.md."""
  read = {name: [results.read(out / f"{name}_{seed}.tsv") for seed in range(args.seeds)] for name in chosen}
  plain = _counted(read[FIRST])
  heads = ["objective", "settings", "ACR", *["by seed"], "gain (95 %)", *(f"{r:g}" for r in RADII)]
  lines = [heads, ["---", "---", *["---:"] * (len(heads) - 2)]]
  for name in chosen:
    counted = _counted(read[name])
    accuracy = np.mean([analysis.certified_accuracy(f, RADII) for f in read[name]], axis=0)
    lines.append(
      [
        name,
        shlex.join(map(str, SETTINGS[name])),
        f"{counted.mean():.3f}",
        ", ".join(f"{acr:.3f}" for acr in counted.mean(1)),
        "" if name == FIRST else gain((counted - plain).mean(0)),
        *(f"{value:.3f}" for value in accuracy),
      ]
    )
  table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
  typed = [
    f"--{k.replace('_', '-')} {v}" for k, v in vars(args).items() if k not in ("out", "objectives", "note")
  ]
  images, found = len(read[FIRST][0]), jax.devices()
  return f"""# Robust training on {args.dataset}

    python experiments/robust_training.py OUT {shlex.join(shlex.split(" ".join(typed)))}

{datetime.date.today()}, {pipeline.versions()}, {len(found)} x {found[0].device_kind}. {args.note or ""}

{args.arch}, {args.epochs} epochs, {args.seeds} seeds; each network is certified on {images} test images at
sigma = {args.noise:g} with n = {args.N:,}, alpha = 0.001.

{table}

- **ACR**: mean over seeds. **Gain**: mean difference from {FIRST}'s ACR, with a 95 % interval over images
  (Student's t of the images' differences, averaged over seeds). It says nothing of other settings or networks.
- **0 to {RADII[-1]:g}**: certified accuracy at these radii, mean over seeds.
"""


def _counted(several):
  """float64[seeds, images]: the radius of each image that is right, else 0."""
  return np.array([np.where(f.columns["correct"] == 1, f.columns["radius"], 0.0) for f in several])


def gain(difference):
  """The mean of the images' differences, and its interval over images."""
  half = stats.t.ppf(0.975, len(difference) - 1) * difference.std(ddof=1) / np.sqrt(len(difference))
  return f"{difference.mean():+.3f} ({difference.mean() - half:+.3f} to {difference.mean() + half:+.3f})"


if __name__ == "__main__":
  sys.exit(main())

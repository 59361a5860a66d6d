"""A classifier trained without noise, certified without a denoiser and behind three: certified accuracy.

  python experiments/denoised.py OUT [--sigmas 0.25 0.5 --updates 300]

The denoisers are a small diffusion model for every sigma, and for each sigma a small DnCNN, trained by its mean
squared error, and then for the classifier's answers. Interrupted at any time, the same command continues, but
begins an unfinished training of the diffusion model anew. Everything lies in one folder:

  OUT/classifier/          checkpoint and log of the classifier
  OUT/denoiser/            checkpoint of the diffusion model, as for `certify --denoiser`
  OUT/mse_SIGMA/           checkpoint and log of the DnCNN, trained by its error
  OUT/stability_SIGMA/     of the same, trained on for the classifier
  OUT/plain_SIGMA.tsv      result file of the classifier on its own, its manifest beside it
  OUT/denoised_SIGMA.tsv   result file of the classifier behind the diffusion model
  OUT/mse_SIGMA.tsv        behind the DnCNN; OUT/stability_SIGMA.tsv: behind that trained on
  OUT/summary.md           the table

The settings are not tuned.
"""

import datetime
import shlex
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pipeline
from tqdm import tqdm

from rsjax import analysis, certify, data, files, results, train
from rsjax.classifiers import checkpoint, denoiser
from rsjax.cli import console
from rsjax.models import unet
from rsjax.models.diffusion import Diffusion

RADII = (0.0, 0.25, 0.5, 0.75, 1.0)
WAYS = {
  "plain": "none",
  "denoised": "diffusion",
  "mse": "DnCNN, mean squared error",
  "stability": "DnCNN, stability",
}
_DNCNNS = ("mse", "stability")
_HOW = ("--batch", 64, "--optimizer", "adam", "--lr", "0.001")


def parser():
  made = pipeline.small_parser(__doc__)
  add = made.add_argument
  add("--updates", type=int, default=300, help="updates of the U-Net, 64 images each (default: 300)")
  add("--dncnn", default="dncnn5_32", help="architecture of the DnCNNs (default: dncnn5_32)")
  add(
    "--dncnn-epochs",
    type=int,
    default=40,
    help="of training by error; half as many for stability (default: 40)",
  )
  add(
    "--sigmas", type=float, nargs="+", default=[0.25, 0.5], help="noise, pixels in [0, 1] (default: 0.25 0.5)"
  )
  add("--skip", type=int, default=5, help="certify every SKIPth test image (default: 5)")
  add("--N", type=int, default=1000, help="draws per image (default: 1000)")
  return made


def main(argv=None):
  return console.run("denoised.py", _body, parser().parse_args(argv))


def _body(args):
  out = files.local(args.out)
  out.mkdir(parents=True, exist_ok=True)
  how = ["--noise", 0, "--epochs", args.epochs, "--batch", 128, "--lr_step_size", max(1, args.epochs // 3)]
  console.type_command("train", train.main, args.dataset, args.arch, out / "classifier", *how)
  if not (out / "denoiser").exists():
    _train_denoiser(args, out / "denoiser")
  found = {}
  for sigma in args.sigmas:
    fronts = {"denoised": out / "denoiser", **_train_dncnns(args, out, sigma)}
    for way in WAYS:
      front = ["--denoiser", fronts[way]] if way in fronts else []
      told = [args.dataset, out / "classifier", sigma, out / f"{way}_{sigma:g}.tsv", *front]
      console.type_command("certify", certify.main, *told, "--skip", args.skip, "--N", args.N)
      found[sigma, way] = results.read(told[3])
  text = _summary(out, args, found)
  (out / "summary.md").write_text(text, encoding="utf-8")
  print(f"\n{text}\nwrote {out}/summary.md")


def _train_dncnns(args, out, sigma):
  """Types the trainings of a DnCNN at a sigma; {way: its directory}."""
  paths = {way: out / f"{way}_{sigma:g}" for way in _DNCNNS}
  behind = ["--classifier", out / "classifier", "--init-from", paths["mse"]]
  for way, share, flags in (("mse", 1, ["denoise"]), ("stability", 2, ["denoise_stability", *behind])):
    epochs = max(1, args.dncnn_epochs // share)
    told = [args.dataset, args.dncnn, paths[way], "--noise", sigma, "--objective", *flags, *_HOW]
    drops = ["--epochs", epochs, "--lr_step_size", max(1, epochs // 2)]
    with pipeline.counting_cpu(paths[way]):
      console.type_command("train", train.main, *told, *drops)
  return paths


def _train_denoiser(args, path):
  """Trains a U-Net to predict the noise of random timesteps (Ho et al. 2020): mean squared error, Adam."""
  images = data.load(args.dataset, "train").images
  images = 2 * np.asarray(images, np.float32) / 255 - 1
  channels = images.shape[-1]
  layout = unet.Layout(32, (1, 2), 1, (), heads=2, out_channels=channels)
  process = Diffusion(layout, "cosine", 1000)
  share = jnp.asarray(process.remaining(), jnp.float32)
  network = unet.UNet(layout)
  optimizer = optax.adam(optax.cosine_decay_schedule(2e-3, args.updates))

  def loss(variables, x, key):
    keys = jax.random.split(key)
    timesteps = jax.random.randint(keys[0], (len(x),), 0, process.steps)
    noise, at = jax.random.normal(keys[1], x.shape), share[timesteps][:, None, None, None]
    noisy = jnp.sqrt(at) * x + jnp.sqrt(1 - at) * noise
    return jnp.mean((network.apply(variables, noisy, timesteps.astype(jnp.float32)) - noise) ** 2)

  @jax.jit
  def update(variables, state, x, key):
    value, gradient = jax.value_and_grad(loss)(variables, x, key)
    change, state = optimizer.update(gradient, state)
    return optax.apply_updates(variables, change), state, value

  rng, key, values = np.random.default_rng(0), jax.random.key(1), []
  variables = jax.jit(lambda key: unet.init(layout, key, channels))(jax.random.key(0))
  state, begun = optimizer.init(variables), time.process_time()
  for i in tqdm(range(args.updates), "U-Net", unit=" updates"):
    x = images[rng.integers(0, len(images), 64)]
    variables, state, value = update(variables, state, x, jax.random.fold_in(key, i))
    values.append(float(value))
  facts = {
    "updates": args.updates,
    "seconds": round(time.process_time() - begun, 1),
    "loss": float(np.mean(values[-50:])),
  }
  metadata = denoiser.metadata_of(process, images.shape[1:])
  checkpoint.save(path / "checkpoint", variables, metadata | {"training": facts})


def table(found):
  """One line per (sigma, way) of {(sigma, way): results}."""
  heads = ["sigma", "denoiser", "ACR", *(f"{r:g}" for r in RADII), "abstained"]
  lines = [heads, ["---:", "---", *["---:"] * (len(heads) - 2)]]
  for (sigma, way), file in found.items():
    acr = np.where(file.columns["correct"] == 1, file.columns["radius"], 0.0).mean()
    numbers = [acr, *analysis.certified_accuracy(file, RADII), analysis.abstention_rate(file)]
    lines.append([f"{sigma:g}", WAYS[way], *(f"{number:.3f}" for number in numbers)])
  return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _summary(out, args, found):
  training = checkpoint.read_metadata(out / "denoiser" / "checkpoint")["training"]
  spent = pipeline.cpu_seconds(out)
  took = {way: " and ".join(f"{spent[f'{way}_{sigma:g}']:g}" for sigma in args.sigmas) for way in _DNCNNS}
  typed = [f"--{k.replace('_', '-')} {' '.join(f'{one:g}' for one in v) if isinstance(v, list) else v}"
           for k, v in vars(args).items() if k not in ("out", "note")]  # fmt: skip
  images, devices = len(next(iter(found.values()))), jax.devices()
  return f"""# Denoise, then classify: {args.dataset}

    python experiments/denoised.py OUT {shlex.join(shlex.split(" ".join(typed)))}

{datetime.date.today()}, {pipeline.versions()}, {len(devices)} x {devices[0].device_kind}. {args.note or ""}

{args.arch}, {args.epochs} epochs without noise, one seed. The diffusion model is a small U-Net,
trained with {training["updates"]} updates of 64 images in {training["seconds"]:g} s, to a mean squared error of
{training["loss"]:.3f} in the last 50. The other denoisers are {args.dncnn}, one for each sigma, trained in
{took["mse"]} s by the mean squared error, and then in {took["stability"]} s for the classifier's answers.
Seconds are those of CPU cores, compilation included.
{images} test images, n = {args.N:,}, alpha = 0.001. Radii are l2, in units of pixels in [0, 1].

{table(found)}
"""


if __name__ == "__main__":
  sys.exit(main())

"""python -m rsjax.convert CHECKPOINT OUTDIR: published PyTorch checkpoints to rsjax's format, and back."""

import argparse
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

from rsjax import files
from rsjax.cli import arguments, console, parsing
from rsjax.errors import InputError

EPILOG = """examples:
  python -m rsjax.convert checkpoint.pth.tar out/resnet110 --normalization cifar10 --noise 0.25
  python -m rsjax.convert checkpoint.pth.tar --check cifar10 --noise 0.25    which normalisation fits?
  python -m rsjax.convert cifar10_uncond_50M_500K.pt out/denoiser      for certify --denoiser
  python -m rsjax.convert checkpoint.pth.tar out/dncnn --noise 0.25    a denoiser, too
  python -m rsjax.convert out/resnet110 again.pth.tar --to-torch

The command reads the paper's checkpoint.pth.tar, those of SmoothAdv, MACER, Consistency, SmoothMix and CAT-RS,
torchvision's resnet50, RobustBench's wide residual networks, timm's vision transformers, and safetensors; and
denoisers: OpenAI's cifar10_uncond_50M_500K.pt and 256x256_diffusion_uncond.pt, and the DnCNNs of denoised
smoothing. It does not execute anything in them, and refuses a file with a tensor that is left over, missing or
of another shape. What tensors do not show (activations, eps of norms, strides, heads) is taken to be as in the
published network, and printed; give a module that differs to rsjax.from_torch. The command needs PyTorch:
pip install torch safetensors

Weights work only with the normalisation that they were trained with, and most files do not record it. The named
ones subtract the mean of each channel, then divide by its standard deviation, for pixels in [0, 1]:
  cifar10        .4914 .4822 .4465   .2023 .1994 .2010   (the paper's; for .2470 .2435 .2616 give six numbers)
  imagenet       .485 .456 .406   .229 .224 .225
  cifar100       .507075 .486549 .440918   .267334 .256438 .27615
  svhn_cropped   .437682 .44377 .472804   .19803 .201016 .197036
  half           .5 .5 .5   .5 .5 .5   (most vision transformers)
  center         only the mean of cifar10 or imagenet, by image size (some models of SmoothAdv)
  none           pixels in [0, 1] as they are (MACER)"""


def parser() -> argparse.ArgumentParser:
  """The command's arguments."""
  made = parsing.parser("convert", "Convert PyTorch checkpoints to rsjax's format, and back.", EPILOG)
  add = made.add_argument
  add(
    "checkpoint", metavar="CHECKPOINT", help="a PyTorch file; with --to-torch, a checkpoint directory of rsjax"
  )
  add("outdir", metavar="OUTDIR", nargs="?", help="directory to create; with --to-torch, the file to write")
  add(
    "--normalization",
    metavar="NAME",
    help="cifar10, imagenet, cifar100, svhn_cropped, center, half, none, or six numbers: three means and "
    "three standard deviations, one per channel, for pixels in [0, 1], such as "
    ".49,.48,.45,.20,.20,.20",
  )
  add(
    "--key", help="which network to take if the file holds several (averaged weights, a teacher, an ensemble)"
  )
  add(
    "--noise_sd",
    "--noise",
    type=float,
    help="standard deviation of the training noise, pixels in [0, 1], to record with the checkpoint "
    "(default: unknown)",
  )
  add(
    "--check",
    metavar="DATASET",
    help="print the accuracy on test images of DATASET, clean and noisy, with each normalisation; without "
    "OUTDIR, do nothing else",
  )
  add("--sigma", type=float, help="noise for --check, pixels in [0, 1] (default: --noise_sd, or 0.25)")
  add("--max", type=int, default=500, help="number of images for --check (default: 500)")
  arguments.add_data_dir(made)
  add("--to-torch", action="store_true", help="write a checkpoint of rsjax in the format of the paper's code")
  return made


def main(argv: list[str] | None = None) -> int:
  """Runs the command; returns its exit code."""
  return console.run("convert", _body, parser().parse_args(argv))


def _body(args: argparse.Namespace) -> None:
  for path in (args.checkpoint, args.outdir or "", args.check or "", args.data_dir or ""):
    files.local(path)
  if args.outdir is None and (args.to_torch or not args.check):
    raise InputError("OUTDIR is missing: give a directory to create (only --check works without one)")
  if args.to_torch:
    _to_torch(args)
    return
  from rsjax import bounds
  from rsjax.classifiers import normalization, torch_denoisers, torch_files
  from rsjax.noise import Gaussian

  if args.normalization is not None:
    normalization.parsed(args.normalization, normalization.usual((32, 32, 3)))  # before anything is read
  if args.noise_sd is not None and not 0 <= args.noise_sd < float("inf"):
    raise InputError(f"noise_sd must be a number >= 0, got {args.noise_sd}")
  for name, value in (("--noise", args.noise_sd), ("--sigma", args.sigma)):
    arguments.check_grey_levels(value or 0, name)
  sigma = (args.noise_sd or 0.25) if args.sigma is None else args.sigma
  noise = Gaussian(sigma)
  bounds.check_noise(noise)
  out = args.outdir and _new(args.outdir)
  if (found := torch_denoisers.read(args.checkpoint)) is not None:
    _save_denoiser(out, args, found)
    return
  file = torch_files.read(args.checkpoint, args.key)
  variables = torch_files.to_variables(file)
  taken = f", the network under {file.about['key']!r}" if "key" in file.about else ""
  print(f"{args.checkpoint}: {file.arch}, {file.num_classes} classes{taken}", file=sys.stderr)
  _tell_assumed(args, torch_files.assumed(file.arch), "; if yours differs, give its module to rsjax.from_torch")
  candidates = normalization.usual(file.image_shape)
  given = None if args.normalization is None else normalization.parsed(args.normalization, candidates)
  if file.normalization and given and not _close(given, file.normalization):
    raise InputError(
      f"{args.checkpoint} holds its normalisation, mean and std {file.normalization}: leave out --normalization"
    )
  chosen = given or file.normalization
  if args.noise_sd is None and file.noise_sd is not None:
    print(f"{args.checkpoint}: noise_sd = {file.noise_sd:g}, as the file says", file=sys.stderr)
    arguments.check_grey_levels(file.noise_sd, "noise_sd")
    args.noise_sd = file.noise_sd
    noise = noise if args.sigma is not None else Gaussian(args.noise_sd or sigma)
  for warning in _warnings(file, chosen, args.noise_sd):
    print(f"warning: {warning}", file=sys.stderr)
  if args.check:
    named = chosen is None or any(_close(chosen, pair) for pair in candidates.values())
    _check(args, file, variables, candidates if named else candidates | {"given": chosen}, noise)
  if out is None:
    return
  if chosen is None:
    raise InputError(
      f"{args.checkpoint} does not record the normalisation that it was trained with: give --normalization "
      f"{'|'.join(candidates)}, or six numbers (--check DATASET shows which one fits)"
    )
  _save(out, args, file, variables, chosen)
  print(f"{out}: {file.arch}, {file.num_classes} classes, mean {list(chosen[0])}, std {list(chosen[1])}")


def _warnings(file: Any, normalization: Any, noise_sd: float | None) -> Iterator[str]:
  """What a user should know before the weights are used."""
  from rsjax.classifiers import normalization as pairs
  from rsjax.classifiers import torch_files
  from rsjax.classifiers.classifier import some
  from rsjax.results import plural

  if file.unused:
    places = [f"{place} ({plural(count, 'tensor')})" for place, count in file.unused.items()]
    yield (
      f"{file.path} also holds tensors that are not converted: {some(places)}. If they are averaged weights "
      "(EMA), which are usually the ones to certify, save a file of them"
    )
  yield from file.unread
  if file.noise_sd not in (None, noise_sd):
    yield f"{file.path} says that it was trained with noise_sd = {file.noise_sd:g}, not {noise_sd:g}"
  if torch_files.untouched(file):
    yield (
      "all batch norms have their initial statistics, means 0 and variances 1: either the network was "
      "not trained, or its weights are an average (SWA, EMA) that still needs torch.optim.swa_utils.update_bn"
    )
  if normalization and (told := pairs.swapped(*map(list, normalization))):
    yield f"{told} --check DATASET tells which normalisation fits"


def _close(one: Any, other: Any) -> bool:
  import numpy as np

  return np.allclose(np.array(one), np.array(other), atol=1e-5)


def _new(path: str) -> pathlib.Path:
  """The path of a directory that does not exist yet, or is empty."""
  from rsjax.classifiers import checkpoint

  out = checkpoint.check_path(path)
  if out.exists() and (not out.is_dir() or any(out.iterdir())):
    raise InputError(f"{path} exists: give a new directory")
  return out


def _save(out: pathlib.Path, args: argparse.Namespace, file: Any, variables: Any, normalization: Any) -> None:
  from rsjax.classifiers.classifier import Spec

  metadata = {
    **Spec(file.arch, int(file.num_classes), file.image_shape, *normalization).metadata(),
    **({} if args.noise_sd is None else {"noise_sd": args.noise_sd}),
    "origin": {"file": pathlib.Path(args.checkpoint).name, "sha256": file.digest, **file.about},
  }
  _write(out, variables, metadata)


def _save_denoiser(out: Any, args: argparse.Namespace, file: Any) -> None:
  if any(value is not None for value in (args.normalization, args.check, args.key)):
    flags = "--normalization, --check and --key"
    raise InputError(f"{args.checkpoint} holds a denoiser, {file.name}: {flags} are for classifiers")
  if args.noise_sd is not None and file.metadata["denoiser"] == "diffusion":
    raise InputError(f"{args.checkpoint} holds a denoiser for every sigma, {file.name}: leave out --noise_sd")
  _tell_assumed(args, file.assumed)
  _write(out, file.variables, file.metadata | ({} if args.noise_sd is None else {"noise_sd": args.noise_sd}))
  print(f"{out}: the denoiser {file.name}; give it to rsjax.certify as --denoiser")


def _tell_assumed(args: argparse.Namespace, assumed: str, mend: str = "") -> None:
  print(f"{args.checkpoint}: taken to have what tensors do not show: {assumed}{mend}", file=sys.stderr)


def _write(out: pathlib.Path, variables: Any, metadata: dict[str, Any]) -> None:
  from rsjax.classifiers import checkpoint

  try:
    checkpoint.save(out / "checkpoint", variables, metadata)
  except OSError as error:
    raise InputError(f"{out} cannot be written: {error.strerror or error}") from error


def _check(args: argparse.Namespace, file: Any, variables: Any, candidates: dict[str, Any], noise: Any) -> None:
  """Prints the accuracy with each normalisation, and which one fits."""
  import numpy as np

  from rsjax import bounds, data
  from rsjax.classifiers import accuracy
  from rsjax.classifiers.classifier import Spec

  dataset = data.load(args.check, "test", args.data_dir)
  if dataset.image_shape != file.image_shape or dataset.num_classes > file.num_classes:
    raise InputError(
      f"{args.check} has images of {dataset.image_shape} and {dataset.num_classes} classes, but the network is "
      f"for {file.image_shape} and {file.num_classes}"
    )
  if args.max < 1:
    raise InputError(f"max must be at least 1, got {args.max}")
  chosen = range(0, len(dataset), max(1, len(dataset) // args.max))[: args.max]
  images, labels = np.stack([dataset.images[i] for i in chosen]), dataset.labels[list(chosen)]
  print(f"{len(chosen)} test images of {args.check}: accuracy clean, and with noise of sigma {noise.sigma:g}\n")
  found = {}
  model = Spec(file.arch, file.num_classes, file.image_shape, (0.0,) * 3, (1.0,) * 3).model("float32")
  hits = accuracy.hits(model, variables, images, labels, chosen, noise, candidates.values())
  for name, (clean, noisy) in zip(candidates, hits):
    found[name] = clean, noisy
    low, high = bounds.interval(noisy, len(chosen), 0.95)
    print(f"{name:18}{clean / len(chosen):8.3f}{noisy / len(chosen):8.3f}   (95 %: {low:.3f} to {high:.3f})")
  second, best = sorted(found, key=lambda name: found[name][1])[-2:]
  margin = (found[best][1] - found[second][1]) / len(chosen)
  clear = (
    bounds.interval(found[best][1], len(chosen), 0.95)[0]
    > bounds.interval(found[second][1], len(chosen), 0.95)[1]
  )
  told = "" if clear else ": too close to tell; give more images (--max), or ask whoever trained it"
  tied = [name for name in found if found[name][1] == found[best][1]]
  ahead = "all equal" if len(tied) > 1 else f"ahead of {second} by {margin:.3f}"
  print(f"\nbest with noise: {', '.join(tied)}, {ahead}{told}")


def _to_torch(args: argparse.Namespace) -> None:
  from rsjax.classifiers import checkpoint, normalization, torch_files

  if any(value is not None for value in (args.normalization, args.check, args.noise_sd, args.key)):
    raise InputError("--to-torch cannot be combined with --normalization, --noise_sd, --check or --key")
  if pathlib.Path(args.outdir).exists():
    raise InputError(f"{args.outdir} exists: give a new file")
  classifier = checkpoint.load(args.checkpoint)
  metadata = classifier.metadata
  torch_files.write(args.outdir, classifier.variables, metadata)
  print(f"{args.outdir}: {metadata['arch']}, in the format of the paper's code")
  usual = normalization.NAMED["cifar10" if metadata["image_shape"][0] == 32 else "imagenet"]
  if not _close((metadata["mean"], metadata["std"]), usual):
    print(
      "warning: the paper's code normalises with its own constants, but this network needs mean "
      f"{metadata['mean']}, std {metadata['std']}: change the normalisation layer of that code",
      file=sys.stderr,
    )


if __name__ == "__main__":
  console.leave(main())

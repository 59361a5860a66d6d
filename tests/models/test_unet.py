"""The U-Nets have the published sizes and names, and compute what a reference in PyTorch computes."""

import math

import jax
import numpy as np
import pytest

from rsjax.classifiers import torch_denoisers
from rsjax.errors import InputError
from rsjax.models import unet

# Layouts here, and the same for the reference: attention by level there is by factor of the sides.
PUBLISHED = {
  "cifar10_uncond_50M_500K.pt": (
    unet.CIFAR10,
    dict(width=128, multiples=(1, 2, 2, 2), blocks=3, attention=(2, 4), heads=4),
    52_546_438,
  ),
  "256x256_diffusion_uncond.pt": (
    unet.IMAGENET,
    dict(width=256, multiples=(1, 1, 2, 2, 4, 4), blocks=2, attention=(8, 16, 32), residual=True),
    552_814_086,
  ),
}
SMALL = {
  "convolutions resample": (
    unet.Layout(32, (1, 2), 1, (1,), heads=4),
    dict(width=32, multiples=(1, 2), blocks=1, attention=(2,), heads=4),
  ),
  "residual blocks resample": (
    unet.Layout(32, (1, 3), 1, (1,), head_width=16, residual=True),
    dict(width=32, multiples=(1, 3), blocks=1, attention=(2,), head_width=16, residual=True),
  ),
}


@pytest.mark.parametrize("file", PUBLISHED)
def test_a_published_u_net_has_its_names_shapes_and_count_of_parameters(file):
  torch, reference = pytest.importorskip("torch"), pytest.importorskip("torch_unet")
  layout, arguments, count = PUBLISHED[file]
  wanted = torch_denoisers.published_names(layout)
  assert sum(map(math.prod, wanted.values())) == count
  with torch.device("meta"):
    state = reference.UNet(**arguments).state_dict()
  assert {name: tuple(tensor.shape) for name, tensor in state.items()} == wanted


@pytest.mark.parametrize("kind", SMALL)
def test_a_u_net_computes_what_the_reference_computes(kind):
  torch, reference = pytest.importorskip("torch"), pytest.importorskip("torch_unet")
  layout, arguments = SMALL[kind]
  network = reference.UNet(**arguments).eval()
  generator = torch.Generator().manual_seed(0)
  with torch.no_grad():
    for parameter in network.parameters():
      size = 0.2 if parameter.ndim == 1 else 1.5 * parameter[0].numel() ** -0.5
      parameter.add_(size * torch.randn(parameter.shape, generator=generator))
  state = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
  params = torch_denoisers.from_published(layout, state)
  rng = np.random.default_rng(0)
  images = rng.normal(size=(2, 8, 12, 3)).astype(np.float32)
  timesteps = np.float32([3.25, 700])
  with torch.no_grad():
    wanted = network(torch.from_numpy(images.transpose(0, 3, 1, 2)), torch.from_numpy(timesteps))
  wanted = wanted.numpy().transpose(0, 2, 3, 1)
  found = jax.jit(unet.UNet(layout).apply)(params, images, timesteps)
  assert np.abs(wanted).mean() > 0.1
  np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


def test_sides_that_cannot_be_halved_often_enough_are_refused():
  layout = SMALL["convolutions resample"][0]
  with pytest.raises(InputError, match="multiples of 2, got 8 x 9"):
    jax.eval_shape(unet.UNet(layout).init, jax.random.key(0), np.zeros((1, 8, 9, 3)), np.zeros(1))

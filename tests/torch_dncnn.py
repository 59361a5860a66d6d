"""DnCNN in PyTorch under its published names, as a reference.

Written for the tests, from Zhang et al. 2017, and the settings of Salman et al. 2020 and names in their files.
"""

import torch
from torch import nn


class DnCNN(nn.Module):
  def __init__(self, depth=17, features=64, channels=3):
    super().__init__()
    conv = lambda inputs, outputs, bias=False: nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)
    layers = [conv(channels, features, bias=True), nn.ReLU()]
    for _ in range(depth - 2):
      layers += [conv(features, features), nn.BatchNorm2d(features, eps=1e-4, momentum=0.95), nn.ReLU()]
    self.dncnn = nn.Sequential(*layers, conv(features, channels))

  def forward(self, x):
    return x - self.dncnn(x)


def random_network(depth, features, channels=3, seed=0):
  """With random weights and statistics, in evaluation mode."""
  net, generator = DnCNN(depth, features, channels), torch.Generator().manual_seed(seed)
  with torch.no_grad():
    for name, tensor in net.state_dict().items():
      if name.endswith("running_var") or (tensor.ndim == 1 and name.endswith("weight")):
        tensor.uniform_(0.5, 1.5, generator=generator)
      elif tensor.is_floating_point():
        size = 0.2 if tensor.ndim == 1 else tensor[0].numel() ** -0.5
        tensor.copy_(size * torch.randn(tensor.shape, generator=generator))
  return net.eval()


def published(net, arch, parallel=False):
  """What a published file holds of it."""
  prefix = "module." if parallel else ""
  state = {prefix + name: tensor for name, tensor in net.state_dict().items()}
  moments = {"step": 1, "exp_avg": torch.zeros(3), "exp_avg_sq": torch.zeros(3)}
  optimizer = {"state": {0: moments}, "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "params": [0]}]}
  return {"arch": arch, "epoch": 90, "state_dict": state, "optimizer": optimizer}

"""The field's networks in PyTorch under their published names, as a reference for conversion.

Written for the tests, from the papers and the names in published files: He et al. 2016, and torchvision's v1.5.
"""

import torch
from torch import nn


def conv(inputs, outputs, kernel, stride=1):
  return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)


class Residual(nn.Module):
  """A block of two 3x3 convolutions, or the bottleneck of three where `inner` is given."""

  def __init__(self, inputs, outputs, stride, inner=None):
    super().__init__()
    if inner is None:
      sizes = ((inputs, outputs, 3, stride), (outputs, outputs, 3, 1))
    else:
      sizes = ((inputs, inner, 1, 1), (inner, inner, 3, stride), (inner, outputs, 1, 1))
    self.count = len(sizes)
    for i, size in enumerate(sizes, start=1):
      setattr(self, f"conv{i}", conv(*size))
      setattr(self, f"bn{i}", nn.BatchNorm2d(size[1]))
    self.downsample = None
    if stride > 1 or inputs != outputs:
      self.downsample = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))

  def forward(self, x):
    y = x
    for i in range(1, self.count + 1):
      y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
      y = y if i == self.count else torch.relu(y)
    return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class Network(nn.Module):
  """cifar_resnetD or resnet50, by `arch`."""

  def __init__(self, arch, num_classes):
    super().__init__()
    self.photos = arch == "resnet50"
    if self.photos:
      plan = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
    else:
      plan = tuple((w, (int(arch[12:]) - 2) // 6, s) for w, s in ((16, 1), (32, 2), (64, 2)))
    width = plan[0][0]
    self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False) if self.photos else conv(3, width, 3)
    self.bn1 = nn.BatchNorm2d(width)
    for i, (inner, blocks, stride) in enumerate(plan, start=1):
      outputs, layer = (4 * inner if self.photos else inner), []
      for j in range(blocks):
        layer.append(Residual(width, outputs, stride if j == 0 else 1, inner if self.photos else None))
        width = outputs
      setattr(self, f"layer{i}", nn.Sequential(*layer))
    self.layers = len(plan)
    self.fc = nn.Linear(width, num_classes)

  def forward(self, x):
    x = torch.relu(self.bn1(self.conv1(x)))
    if self.photos:
      x = nn.functional.max_pool2d(x, 3, 2, 1)
    for i in range(1, self.layers + 1):
      x = getattr(self, f"layer{i}")(x)
    x = nn.functional.avg_pool2d(x, x.shape[-1])
    return self.fc(x.flatten(1))


class Normalize(nn.Module):
  """The leading layer, whose numbers are not in the state_dict (`saved` puts them there)."""

  def __init__(self, mean, std, saved=False):
    super().__init__()
    for name, values in (("means", mean), ("sds", std)):
      values = torch.tensor(values)
      if saved:
        self.register_buffer(name, values)
      else:
        setattr(self, name, values)

  def forward(self, x):
    return (x - self.means.view(1, -1, 1, 1)) / self.sds.view(1, -1, 1, 1)


def random_network(arch, num_classes, seed=0):
  """In evaluation, with random weights and running statistics that are far from neutral."""
  torch.manual_seed(seed)
  net = Network(arch, num_classes)
  for module in net.modules():
    if isinstance(module, nn.BatchNorm2d):
      nn.init.uniform_(module.weight, 0.5, 1.5)
      nn.init.normal_(module.bias, 0, 0.2)
      nn.init.normal_(module.running_mean, 0, 0.2)
      nn.init.uniform_(module.running_var, 0.5, 1.5)
  return net.eval()


MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)

# How each project of the field saves.
LAYOUTS = {
  "paper": lambda state: {
    "epoch": 90,
    "arch": "cifar_resnet8",
    "state_dict": state,
    "optimizer": {"state": {}},
  },
  "macer": lambda state: {"net": state, "epoch": 440, "optimizer": {"state": {}}},
  "bare": lambda state: state,
}


def published(arch, num_classes, normalize=True, parallel=False, saved=False):
  """(a network in evaluation as the field wraps it, its state_dict)."""
  net = random_network(arch, num_classes)
  net = nn.DataParallel(net) if parallel else net
  net = nn.Sequential(Normalize(MEAN, STD, saved), net) if normalize else net
  return net.eval(), net.state_dict()


def save(path, state, layout="paper"):
  """Writes a state_dict as one of LAYOUTS; returns the path."""
  torch.save(LAYOUTS[layout](state), path)
  return path

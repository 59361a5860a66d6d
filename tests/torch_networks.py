"""The field's networks in PyTorch under their published names, as a reference for conversion.

Written for the tests, from the papers and the names in published files: He et al. 2016, and torchvision's v1.5;
Zagoruyko and Komodakis 2016, named as RobustBench does; Dosovitskiy et al. 2021, named as timm does.
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


class PreActivation(nn.Module):
  """A block of a wide residual network."""

  def __init__(self, inputs, outputs, stride):
    super().__init__()
    self.bn1 = nn.BatchNorm2d(inputs)
    self.conv1 = conv(inputs, outputs, 3, stride)
    self.bn2 = nn.BatchNorm2d(outputs)
    self.conv2 = conv(outputs, outputs, 3)
    self.convShortcut = conv(inputs, outputs, 1, stride) if stride > 1 or inputs != outputs else None

  def forward(self, x):
    active = torch.relu(self.bn1(x))
    y = self.conv2(torch.relu(self.bn2(self.conv1(active))))
    return y + (x if self.convShortcut is None else self.convShortcut(active))


class WideNetwork(nn.Module):
  """wide_resnetD_K; `unused` is the first part once more, which published code holds and never applies."""

  def __init__(self, depth, widen, num_classes, unused=False):
    super().__init__()
    self.conv1 = conv(3, 16, 3)
    width = 16
    for i, (features, stride) in enumerate(((16, 1), (32, 2), (64, 2)), start=1):
      part = nn.Module()
      outputs, blocks = features * widen, (depth - 4) // 6
      part.layer = nn.Sequential(
        *(PreActivation(width if j == 0 else outputs, outputs, stride if j == 0 else 1) for j in range(blocks))
      )
      width = outputs
      setattr(self, f"block{i}", part)
    if unused:
      self.sub_block1 = nn.Sequential(PreActivation(16, 16 * widen, 1))
    self.bn1 = nn.BatchNorm2d(width)
    self.fc = nn.Linear(width, num_classes)

  def forward(self, x):
    x = self.conv1(x)
    for i in (1, 2, 3):
      x = getattr(self, f"block{i}").layer(x)
    x = torch.relu(self.bn1(x))
    return self.fc(nn.functional.avg_pool2d(x, x.shape[-1]).flatten(1))


class Attention(nn.Module):
  def __init__(self, width, heads):
    super().__init__()
    self.heads = heads
    self.qkv = nn.Linear(width, 3 * width)
    self.proj = nn.Linear(width, width)

  def forward(self, x):
    b, tokens, width = x.shape
    q, k, v = self.qkv(x).reshape(b, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
    x = nn.functional.scaled_dot_product_attention(q, k, v)
    return self.proj(x.transpose(1, 2).reshape(b, tokens, width))


class TransformerBlock(nn.Module):
  def __init__(self, width, heads):
    super().__init__()
    self.norm1 = nn.LayerNorm(width, eps=1e-6)
    self.attn = Attention(width, heads)
    self.norm2 = nn.LayerNorm(width, eps=1e-6)
    self.mlp = nn.Module()
    self.mlp.fc1 = nn.Linear(width, 4 * width)
    self.mlp.fc2 = nn.Linear(4 * width, width)

  def forward(self, x):
    x = x + self.attn(self.norm1(x))
    return x + self.mlp.fc2(nn.functional.gelu(self.mlp.fc1(self.norm2(x))))


class VisionTransformer(nn.Module):
  """vit_tiny_patchP and so on, for square images of `side`."""

  def __init__(self, width, heads, patch, side, num_classes, depth=12):
    super().__init__()
    self.cls_token = nn.Parameter(torch.randn(1, 1, width))
    self.pos_embed = nn.Parameter(torch.randn(1, (side // patch) ** 2 + 1, width))
    self.patch_embed = nn.Module()
    self.patch_embed.proj = nn.Conv2d(3, width, patch, patch)
    self.blocks = nn.Sequential(*(TransformerBlock(width, heads) for _ in range(depth)))
    self.norm = nn.LayerNorm(width, eps=1e-6)
    self.head = nn.Linear(width, num_classes)

  def forward(self, x):
    x = self.patch_embed.proj(x).flatten(2).transpose(1, 2)
    x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
    return self.head(self.norm(self.blocks(x))[:, 0])


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
  if arch.startswith("wide_resnet"):
    net = WideNetwork(*map(int, arch.removeprefix("wide_resnet").split("_")), num_classes, unused=True)
  elif arch == "vit_tiny_patch8":
    net = VisionTransformer(192, 3, 8, 32, num_classes)
  else:
    net = Network(arch, num_classes)
  for module in net.modules():
    if isinstance(module, nn.LayerNorm):
      nn.init.uniform_(module.weight, 0.5, 1.5)
      nn.init.normal_(module.bias, 0, 0.2)
    if isinstance(module, nn.BatchNorm2d):
      nn.init.uniform_(module.weight, 0.5, 1.5)
      nn.init.normal_(module.bias, 0, 0.2)
      nn.init.normal_(module.running_mean, 0, 0.2)
      nn.init.uniform_(module.running_var, 0.5, 1.5)
  return net.eval()


class Parallel(nn.Module):
  """Names tensors as nn.DataParallel does, which would take torchax for a device, once that is imported."""

  def __init__(self, module):
    super().__init__()
    self.module = module


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
  net = Parallel(net) if parallel else net
  net = nn.Sequential(Normalize(MEAN, STD, saved), net) if normalize else net
  return net.eval(), net.state_dict()


def save(path, state, layout="paper"):
  """Writes a state_dict as one of LAYOUTS; returns the path."""
  torch.save(LAYOUTS[layout](state), path)
  return path

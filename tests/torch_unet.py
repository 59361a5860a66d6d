"""The U-Nets of improved and guided diffusion in PyTorch under their published names, as a reference.

Written for the tests, from Nichol and Dhariwal 2021, Dhariwal and Nichol 2021, and the names in published
files.
"""

import math

import torch
from torch import nn
from torch.nn import functional


def norm(channels):
  return nn.GroupNorm(32, channels)


class Residual(nn.Module):
  def __init__(self, inputs, embedded, outputs, resample=None):
    super().__init__()
    self.in_layers = nn.Sequential(norm(inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1))
    self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedded, 2 * outputs))
    last = nn.Conv2d(outputs, outputs, 3, padding=1)
    self.out_layers = nn.Sequential(norm(outputs), nn.SiLU(), nn.Dropout(0.0), last)
    self.skip_connection = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)
    self.resample = {
      None: lambda x: x,
      "down": lambda x: functional.avg_pool2d(x, 2),
      "up": lambda x: functional.interpolate(x, scale_factor=2, mode="nearest"),
    }[resample]

  def forward(self, x, embedded):
    h = self.in_layers[2](self.resample(self.in_layers[:2](x)))
    scale, shift = self.emb_layers(embedded)[:, :, None, None].chunk(2, dim=1)
    h = self.out_layers[0](h) * (1 + scale) + shift
    return self.skip_connection(self.resample(x)) + self.out_layers[1:](h)


class Attention(nn.Module):
  def __init__(self, channels, heads):
    super().__init__()
    self.heads = heads
    self.norm = norm(channels)
    self.qkv = nn.Conv1d(channels, 3 * channels, 1)
    self.proj_out = nn.Conv1d(channels, channels, 1)

  def forward(self, x, embedded):
    b, c, *sides = x.shape
    flat = x.reshape(b, c, -1)
    qkv = self.qkv(self.norm(flat)).reshape(b * self.heads, 3 * c // self.heads, -1)
    q, k, v = qkv.chunk(3, dim=1)
    scale = (c // self.heads) ** -0.25
    weights = torch.softmax(torch.einsum("bct,bcs->bts", q * scale, k * scale), dim=-1)
    mixed = torch.einsum("bts,bcs->bct", weights, v).reshape(b, c, -1)
    return (flat + self.proj_out(mixed)).reshape(b, c, *sides)


class Down(nn.Module):
  def __init__(self, channels):
    super().__init__()
    self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

  def forward(self, x, embedded):
    return self.op(x)


class Up(nn.Module):
  def __init__(self, channels):
    super().__init__()
    self.conv = nn.Conv2d(channels, channels, 3, padding=1)

  def forward(self, x, embedded):
    return self.conv(functional.interpolate(x, scale_factor=2, mode="nearest"))


class First(nn.Conv2d):
  def forward(self, x, embedded):
    return super().forward(x)


class Steps(nn.Sequential):
  def forward(self, x, embedded):
    for layer in self:
      x = layer(x, embedded)
    return x


class UNet(nn.Module):
  """With the arguments of the published code; `attention` are factors by which sides have been divided."""

  def __init__(self, width, multiples, blocks, attention, *, heads=None, head_width=64, residual=False, out=6):
    super().__init__()
    embedded, self.width = 4 * width, width
    attend = lambda c: Attention(c, c // head_width if heads is None else heads)
    self.time_embed = nn.Sequential(nn.Linear(width, embedded), nn.SiLU(), nn.Linear(embedded, embedded))
    channels = width * multiples[0]
    self.input_blocks = nn.ModuleList([Steps(First(3, channels, 3, padding=1))])
    stack, factor = [channels], 1
    for level, multiple in enumerate(multiples):
      for _ in range(blocks):
        layers = [Residual(channels, embedded, width * multiple)]
        channels = width * multiple
        layers += [attend(channels)] if factor in attention else []
        self.input_blocks.append(Steps(*layers))
        stack.append(channels)
      if level < len(multiples) - 1:
        down = Residual(channels, embedded, channels, "down") if residual else Down(channels)
        self.input_blocks.append(Steps(down))
        stack.append(channels)
        factor *= 2
    ends = [Residual(channels, embedded, channels) for _ in range(2)]
    self.middle_block = Steps(ends[0], attend(channels), ends[1])
    self.output_blocks = nn.ModuleList()
    for level, multiple in reversed(list(enumerate(multiples))):
      for i in range(blocks + 1):
        layers = [Residual(channels + stack.pop(), embedded, width * multiple)]
        channels = width * multiple
        layers += [attend(channels)] if factor in attention else []
        if level and i == blocks:
          layers.append(Residual(channels, embedded, channels, "up") if residual else Up(channels))
          factor //= 2
        self.output_blocks.append(Steps(*layers))
    self.out = nn.Sequential(norm(channels), nn.SiLU(), nn.Conv2d(channels, out, 3, padding=1))

  def forward(self, x, timesteps):
    half = self.width // 2
    frequencies = torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float32) / half)
    angles = timesteps[:, None].float() * frequencies[None]
    embedded = self.time_embed(torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1))
    kept = []
    for block in self.input_blocks:
      x = block(x, embedded)
      kept.append(x)
    x = self.middle_block(x, embedded)
    for block in self.output_blocks:
      x = block(torch.cat([x, kept.pop()], dim=1), embedded)
    return self.out(x)

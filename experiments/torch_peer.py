"""The paper's algorithm in PyTorch, in its authors' form and at its fastest: what rsjax is measured against.

Networks and loops are written for this comparison; weights come from the Flax variables of `rsjax.models`. Run
as a script it answers the commands of `torch_process`.
"""

import contextlib
import copy
import json
import os
import sys
import time
import types

import numpy as np
import torch
import torch.nn.functional as F
import torch_objectives
from torch import nn


class ConvNorm(nn.Module):
  def __init__(self, inputs, outputs, kernel, stride):
    super().__init__()
    self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    self.norm = nn.BatchNorm2d(outputs)

  def forward(self, x):
    return self.norm(self.conv(x))

  def fold(self):
    """The convolution with the norm in its kernel and bias."""
    conv, norm = self.conv, self.norm
    k = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    self.conv.weight = nn.Parameter(conv.weight * k[:, None, None, None])
    self.conv.bias = nn.Parameter(norm.bias - norm.running_mean * k)
    self.norm = nn.Identity()


class Block(nn.Module):
  """A basic block, or a bottleneck where `inner` differs from `outputs`."""

  def __init__(self, inputs, inner, outputs, stride):
    super().__init__()
    if inner == outputs:
      sizes = ((inputs, inner, 3, stride), (inner, inner, 3, 1))
    else:
      sizes = ((inputs, inner, 1, 1), (inner, inner, 3, stride), (inner, outputs, 1, 1))
    self.convs = nn.ModuleList(ConvNorm(*size) for size in sizes)
    self.downsample = ConvNorm(inputs, outputs, 1, stride) if stride != 1 or inputs != outputs else None

  def forward(self, x):
    y = x
    for conv in self.convs[:-1]:
      y = F.relu(conv(y))
    return F.relu(self.convs[-1](y) + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
  """cifar_resnetD or resnet50; images [b, c, h, w] in [0, 1]."""

  def __init__(self, arch, num_classes, mean, std):
    super().__init__()
    photos = arch == "resnet50"
    if photos:
      plan, width = ((3, 64, 256, 1), (4, 128, 512, 2), (6, 256, 1024, 2), (3, 512, 2048, 2)), 64
    else:
      n, width = (int(arch.removeprefix("cifar_resnet")) - 2) // 6, 16
      plan = ((n, 16, 16, 1), (n, 32, 32, 2), (n, 64, 64, 2))
    self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
    self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))
    self.stem = ConvNorm(3, width, 7 if photos else 3, 2 if photos else 1)
    self.pool = nn.MaxPool2d(3, 2, 1) if photos else nn.Identity()
    layers = []
    for blocks, inner, outputs, stride in plan:
      layer = []
      for i in range(blocks):
        layer.append(Block(width, inner, outputs, stride if i == 0 else 1))
        width = outputs
      layers.append(nn.Sequential(*layer))
    self.layers = nn.Sequential(*layers)
    self.fc = nn.Linear(width, num_classes)

  def forward(self, x):
    x = ((x - self.mean) / self.std).to(self.stem.conv.weight.dtype)
    x = self.layers(self.pool(F.relu(self.stem(x))))
    return self.fc(x.float().mean((2, 3)))


def network(arch, num_classes, mean, std, variables):
  """The network with the weights of Flax variables, in evaluation."""
  net = ResNet(arch, num_classes, mean, std)
  params, stats = variables["params"], variables["batch_stats"]

  def conv_norm(module, params, stats, number):
    kernel, norm, running = (
      params[f"conv{number}"]["kernel"],
      params[f"bn{number}"],
      stats[f"bn{number}"],
    )
    _set(module.conv.weight, np.transpose(kernel, (3, 2, 0, 1)))
    _set(module.norm.weight, norm["scale"])
    _set(module.norm.bias, norm["bias"])
    _set(module.norm.running_mean, running["mean"])
    _set(module.norm.running_var, running["var"])

  conv_norm(net.stem, params, stats, 1)
  for i, layer in enumerate(net.layers, start=1):
    for j, block in enumerate(layer):
      p, s = params[f"layer{i}"][str(j)], stats[f"layer{i}"][str(j)]
      for k, module in enumerate(block.convs, start=1):
        conv_norm(module, p, s, k)
      if block.downsample is not None:
        conv_norm(block.downsample, p["downsample"], s["downsample"], "")
  _set(net.fc.weight, np.transpose(params["fc"]["kernel"]))
  _set(net.fc.bias, params["fc"]["bias"])
  return net.eval()


def _set(parameter, value):
  with torch.no_grad():
    parameter.copy_(torch.from_numpy(np.array(value)))


def logits(net, images):
  """float32[b, classes] of float32[b, h, w, c]."""
  with torch.no_grad():
    return net(torch.from_numpy(np.moveaxis(images, 3, 1).copy())).numpy()


def device():
  return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class PaperForm:
  """CERTIFY's sampling as its authors wrote it: float32, eager, NCHW, one image, counts on the host."""

  def __init__(self, net, num_classes, batch):
    self._net, self._classes, self._batch = copy.deepcopy(net).to(device()), num_classes, batch

  def count(self, image, n, sigma):
    """int[classes] of n draws of an image, float32[h, w, c]."""
    counts = np.zeros(self._classes, int)
    with torch.no_grad():
      x = torch.from_numpy(np.moveaxis(image, 2, 0).copy()).to(device())
      while n > 0:
        size = min(self._batch, n)
        n -= size
        batch = x.repeat((size, 1, 1, 1))
        noise = torch.randn_like(batch) * sigma
        predictions = self._net(batch + noise).argmax(1)
        for label in predictions.cpu().numpy():
          counts[label] += 1
    return counts


class Best:
  """The same at PyTorch's best: folded, channels-last, counts on the device, a sync an image.

  mode: "eager", "compiled", or a mode of torch.compile.
  """

  def __init__(self, net, num_classes, batch, dtype, mode):
    net = copy.deepcopy(net)
    for module in net.modules():
      if isinstance(module, ConvNorm):
        module.fold()
    net = net.to(device(), memory_format=torch.channels_last)
    net.stem.to(dtype), net.layers.to(dtype)
    self._classes, self._batch = num_classes, batch

    def votes(x, noise, sigma):
      return net(x + sigma * noise).argmax(1)

    self._votes = votes
    if mode != "eager":
      with contextlib.suppress(ImportError, AttributeError):
        from torch._inductor import config

        config.freezing = device().type == "cpu"
      self._votes = torch.compile(votes, **({} if mode == "compiled" else {"mode": mode}))

  def count(self, image, n, sigma):
    """int[classes] of n draws, rounded up to whole batches, of an image, float32[h, w, c]."""
    with torch.inference_mode():
      x = torch.from_numpy(np.moveaxis(image, 2, 0).copy()).to(device())[None]
      shape = (self._batch, *x.shape[1:])
      counts = torch.zeros(self._classes, dtype=torch.int64, device=device())
      for _ in range(-(-n // self._batch)):
        noise = torch.empty(shape, device=device(), memory_format=torch.channels_last).normal_()
        counts += torch.bincount(self._votes(x, noise, sigma), minlength=self._classes)
      return counts.cpu().numpy()


class Training:
  """Steps of SGD on cropped and flipped images that lie on the device; the objective draws its noise.

  dtype: "float32", or "bfloat16" by autocast, which keeps float32 weights, as rsjax does.
  mode: "eager" or "compiled".
  """

  def __init__(self, net, objective, settings, images, labels, votes, batch, dtype, mode):
    self._net = copy.deepcopy(net).to(device(), memory_format=torch.channels_last).train()
    if mode == "compiled":
      self._net = torch.compile(self._net)
    self._objective, self._settings = objective, types.SimpleNamespace(**settings)
    self._images = torch.from_numpy(np.moveaxis(images, 3, 1).copy()).to(device())
    self._labels = torch.from_numpy(labels.astype(np.int64)).to(device())
    self._votes = torch.from_numpy(votes).to(device())
    self._batch, self._half = batch, dtype == "bfloat16"
    self._sgd = torch.optim.SGD(self._net.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)

  def steps(self, count):
    """Seconds of `count` steps."""
    before = time.perf_counter()
    side, loss_of = self._images.shape[-1], getattr(torch_objectives, self._objective)
    for _ in range(count):
      choice = torch.randint(len(self._images), (self._batch,), device=device())
      x = F.pad(self._images[choice].float() / 255, (4, 4, 4, 4))
      rows, columns = (torch.randint(9, (self._batch, 1), device=device()) for _ in range(2))
      span = torch.arange(side, device=device())
      place = torch.arange(self._batch, device=device())[:, None, None]
      x = x[place, :, (rows + span)[:, :, None], (columns + span)[:, None, :]].permute(0, 3, 1, 2)
      flip = torch.rand(self._batch, 1, 1, 1, device=device()) < 0.5
      x = torch.where(flip, x.flip(3), x)
      noise, drawn = torch_objectives.draws(self._objective, self._settings, x, self._votes[choice])
      with torch.autocast(device().type, torch.bfloat16, enabled=self._half):
        loss = loss_of(self._net, x, self._labels[choice], noise, self._settings, drawn)
      self._sgd.zero_grad()
      loss.backward()
      self._sgd.step()
    loss.item()
    return time.perf_counter() - before


def loss(net, objective, settings, images, labels, votes, noise, lam, uniform):
  """The loss of an objective for given draws, all as rsjax has them."""
  first = lambda array: torch.from_numpy(np.moveaxis(array, -1, -3).copy())
  votes, lam, uniform = map(torch.from_numpy, (votes, lam, uniform))
  drawn = lam if objective == "smoothmix" else (uniform, votes)
  settings, labels = types.SimpleNamespace(**settings), torch.from_numpy(labels.astype(np.int64))
  net = copy.deepcopy(net).train()
  return getattr(torch_objectives, objective)(net, first(images), labels, first(noise), settings, drawn).item()


class Server:
  """The commands of another process: each method takes and gives what JSON can say."""

  def __init__(self):
    self._lines = {}

  def network(self, arch, classes, mean, std, path):
    variables = {}
    for name, leaf in np.load(path).items():
      *folders, last = name.split("/")
      tree = variables
      for folder in folders:
        tree = tree.setdefault(folder, {})
      tree[last] = leaf
    self._net, self._classes = network(arch, classes, mean, std, variables), classes
    self._lines.clear()

  def logits(self, images):
    return logits(self._net, np.load(images)).tolist()

  def paper_form(self, name, batch):
    self._lines[name] = PaperForm(self._net, self._classes, batch)

  def best(self, name, batch, dtype, mode):
    self._lines[name] = Best(self._net, self._classes, batch, getattr(torch, dtype), mode)

  def training(self, name, objective, settings, batch, dtype, mode, **paths):
    arrays = {key: np.load(path) for key, path in paths.items()}
    self._lines[name] = Training(self._net, objective, settings, batch=batch, dtype=dtype, mode=mode, **arrays)

  def loss(self, objective, settings, **paths):
    return loss(self._net, objective, settings, **{key: np.load(path) for key, path in paths.items()})

  def count(self, name, image, n, sigma):
    return int(self._lines[name].count(np.load(image), n, sigma).sum())

  def steps(self, name, count):
    return self._lines[name].steps(count)


def serve():
  """Answers each line [command, arguments] of the standard input by a line [answer, error]."""
  answers = os.fdopen(os.dup(1), "w")
  os.dup2(2, 1)  # what PyTorch prints is no answer
  server = Server()
  print(json.dumps([torch.__version__, None]), file=answers, flush=True)
  for line in sys.stdin:
    try:
      command, arguments = json.loads(line)
      said = [getattr(server, command)(**arguments), None]
    except Exception as error:  # the other process tells it, and goes on
      said = [None, f"{type(error).__name__}: {error}"[:300]]
    print(json.dumps(said), file=answers, flush=True)


if __name__ == "__main__":
  serve()

"""The training objectives of rsjax in plain PyTorch, written from the formulas in docs/objectives.md.

Each is a function loss(net, x, y, noise, s, drawn): images x [b, c, h, w] in [0, 1], labels y [b], noise
[b, m, c, h, w], settings s of the objective in rsjax, and what else it draws. The network is in training mode.
There are no warm-ups: settings have their final values.
"""

import contextlib

import torch
import torch.nn.functional as F

AXES = (-3, -2, -1)


def copies(net, x, noise):
  """Logits [b, m, classes] of the noisy copies."""
  rows = (x[:, None] + noise).flatten(0, 1).contiguous(memory_format=torch.channels_last)
  return net(rows).unflatten(0, noise.shape[:2])


@contextlib.contextmanager
def frozen(net):
  """Evaluation mode, without gradients of the weights."""
  net.eval().requires_grad_(False)
  try:
    yield
  finally:
    net.train().requires_grad_(True)


def gradient(net, objective, v):
  """The gradient of objective(v), by the frozen network."""
  with frozen(net), torch.enable_grad():
    v = v.detach().requires_grad_()
    return torch.autograd.grad(objective(v), v)[0]


def lengths(v):
  return v.square().sum(AXES, keepdim=True).sqrt()


def unit(v):
  return v / (lengths(v) + 1e-8)


def project(v, radius):
  length = lengths(v)
  return torch.where(length > radius, v * radius / (length + 1e-7), v)


def log_loss(logits, y):
  """[b], -log of the mean probability of the label."""
  return -logits.softmax(-1).mean(1).gather(1, y[:, None])[:, 0].clamp(min=1e-20).log()


def cross_entropy(logits, y):
  """[b, m]."""
  return -logits.log_softmax(-1).gather(2, y[:, None, None].expand(*logits.shape[:2], 1))[..., 0]


def divergence(target, logits):
  """[b, m], KL(target [b, classes], softmax(logits)), with 0 log 0 = 0 and no gradient there."""
  t = target[:, None]
  return (t * (t.where(t > 0, torch.ones_like(t)).log() - logits.log_softmax(-1))).sum(-1)


def gaussian(net, x, y, noise, s, drawn):
  return F.cross_entropy(copies(net, x, noise)[:, 0], y)


def stability(net, x, y, noise, s, drawn):
  clean, noisy = net(x.contiguous(memory_format=torch.channels_last)), copies(net, x, noise)[:, 0]
  return F.cross_entropy(clean, y) - s.lbd * (clean.softmax(1) * noisy.log_softmax(1)).sum(1).mean()


def smoothadv(net, x, y, noise, s, drawn):
  radius, change = s.epsilon / 256, torch.zeros_like(x)
  for _ in range(s.steps):
    g = gradient(net, lambda d: log_loss(copies(net, x + d, noise), y).mean(), change)
    length = lengths(g)
    direction = torch.where(length > 0, g / length, -torch.randn_like(x))
    change = (x + change + 2 * radius / s.steps * direction).clamp(0, 1) - x
    change = project(change, radius)
  return cross_entropy(copies(net, x + change, noise), y).mean()


def consistency(net, x, y, noise, s, drawn):
  logits = copies(net, x, noise)
  pbar = logits.softmax(-1).mean(1)
  entropy = -(pbar * pbar.clamp(min=1e-20).log()).sum(-1)
  return cross_entropy(logits, y).mean() + s.lbd * divergence(pbar, logits).mean() + s.eta * entropy.mean()


def smoothadv_consistency(net, x, y, noise, s, drawn):
  radius, attacked = s.epsilon / 256, x
  for _ in range(s.steps):
    g = gradient(net, lambda v: log_loss(copies(net, v, noise), y).mean(), attacked)
    attacked = (x + project(attacked + 2 * radius / s.steps * unit(g) - x, radius)).clamp(0, 1)
  return consistency(net, attacked, y, noise, s, drawn)


def macer(net, x, y, noise, s, drawn):
  logits = copies(net, x, noise)
  classification = -(logits.softmax(-1).mean(1).gather(1, y[:, None]) + 1e-10).log().mean()
  top, classes = (s.beta * logits).softmax(-1).mean(1).topk(2)
  xi = lambda top: torch.special.ndtri(top[:, 0]) - torch.special.ndtri(top[:, 1])
  far = xi(top.detach())
  chosen = (classes[:, 0] == y) & far.isfinite() & (far <= s.hinge)
  return classification + s.lbd * s.noise_sd / 2 * (s.hinge - xi(top[chosen])).sum() / len(x)


def smoothmix(net, x, y, noise, s, drawn):
  attacked = x
  for _ in range(s.steps):
    g = gradient(net, lambda v: log_loss(copies(net, v, noise), y).sum(), attacked)
    attacked = (attacked + s.alpha * unit(g)).clamp(0, 1)
  logits = copies(net, x, noise)
  pbar = logits.softmax(-1).mean(1)
  lam = drawn[:, None]
  mixed = (1 - lam[..., None, None]) * x + lam[..., None, None] * attacked
  target = (1 - lam) * pbar + lam / pbar.shape[-1]
  right = (pbar.argmax(1) == y).float()
  mix = (right[:, None] * divergence(target, copies(net, mixed, noise))).mean()
  return cross_entropy(logits, y).mean() + s.eta * mix


def catrs(net, x, y, noise, s, drawn):
  uniform, votes = drawn
  radius, n = s.epsilon / 256, noise
  logits = copies(net, x, noise)
  rms = lambda v: v.square().mean(AXES, keepdim=True).sqrt()
  for _ in range(s.steps):
    g = gradient(net, lambda n: divergence(votes, copies(net, x, n)).sum() / s.noise_vectors, n)
    n = noise + project(n + 2 * radius / s.steps * unit(g) - noise, radius)
    n = noise.mean(AXES, keepdim=True) + (n - n.mean(AXES, keepdim=True)) * rms(noise) / rms(n)
  sure = (logits.argmax(-1) == y[:, None]).float().mean(1)
  k = (uniform < sure[:, None]).sum(1).clamp(min=1)
  smallest = cross_entropy(logits, y).sort(1).values
  low = (smallest * (torch.arange(s.noise_vectors, device=x.device) < k[:, None])).mean(1)
  high = divergence(votes, copies(net, x, n)).amax(1)
  return (low + s.lbd * (k == s.noise_vectors) * high).mean()


def reweighted(net, x, y, noise, s, drawn):
  n, chosen, done = noise, noise, torch.zeros_like(lengths(noise), dtype=torch.bool)
  for _ in range(s.steps):
    seen = {}

    def objective(n, seen=seen):
      seen["logits"] = copies(net, x, n)
      return cross_entropy(seen["logits"], y).sum() / s.noise_vectors

    g = gradient(net, objective, n)
    wrong = (seen["logits"].argmax(-1) != y[:, None])[..., None, None, None]
    chosen, done = torch.where(wrong & ~done, n, chosen), done | wrong
    n = n + s.alpha * unit(g)
    n = n / (lengths(n) + 1e-8) * lengths(noise)
  return cross_entropy(copies(net, x, torch.where(done, chosen, n)), y).mean()


def draws(name, s, x, votes):
  """(noise, what else is drawn) of a step."""
  m = getattr(s, "noise_vectors", 1)
  noise = s.noise_sd * torch.randn(len(x), m, *x.shape[1:], device=x.device)
  if name == "smoothmix":
    return noise, torch.rand(len(x), device=x.device) / 2
  return noise, (torch.rand(len(x), m, device=x.device), votes)

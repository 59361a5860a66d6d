"""PyTorch modules as base classifiers, through torchax: the same logits, evaluation mode, refusals."""

import collections
import functools
import random
import re
import sys

import jax
import numpy as np
import pytest

import rsjax
from rsjax.classifiers.normalization import NAMED
from rsjax.errors import InputError, ResultWarning

pytest.importorskip("torchax", reason="torchax is not installed: PyTorch's modules are not tried on JAX")
torch = pytest.importorskip("torch", reason="PyTorch is not installed: its modules are not tried")
from torch import nn  # noqa: E402
from torch.nn.utils import prune  # noqa: E402
from torch_networks import Normalize, published  # noqa: E402

SHAPE = (8, 8, 3)


class Patches(nn.Module):
  """A small ViT of plain torch.nn: patches, a class token, positions, attention blocks, and a head."""

  def __init__(self, width=16, depth=2, size=8, patch=4, classes=4):
    super().__init__()
    self.patches = nn.Conv2d(3, width, patch, patch)
    self.token = nn.Parameter(torch.randn(1, 1, width))
    self.positions = nn.Parameter(torch.randn(1, (size // patch) ** 2 + 1, width))
    self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
    self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

  def forward(self, x):
    x = self.patches(x).flatten(2).transpose(1, 2)
    x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
    x = x + self.positions[:, torch.arange(x.shape[1])]  # a tensor of no named device
    for block in self.blocks:
      x = block(x)
    return self.head(self.norm(x)[:, 0])


class Block(nn.Module):
  def __init__(self, width, heads=2):
    super().__init__()
    self.heads = heads
    self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
    self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
    self.mlp = nn.Sequential(
      nn.Linear(width, 2 * width), nn.GELU(), nn.Dropout(0.5), nn.Linear(2 * width, width)
    )

  def keys(self, x):
    return nn.functional.linear(input=x, weight=self.qkv.weight, bias=self.qkv.bias)

  def forward(self, x):
    b, t, width = x.shape
    q, k, v = self.keys(self.before(x)).view(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
    x = x + self.out(nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, width))
    return x + self.mlp(self.after(x))


class Encoder(nn.Module):
  """nn.TransformerEncoder over the rows of an array [tokens, width]."""

  def __init__(self, width=16, classes=3):
    super().__init__()
    layer = nn.TransformerEncoderLayer(width, 2, 32, dropout=0.5, batch_first=True)
    self.encoder, self.head = (
      nn.TransformerEncoder(layer, 2, enable_nested_tensor=False),
      nn.Linear(width, classes),
    )

  def forward(self, x):
    return self.head(self.encoder(x).mean(1))


def flat(*layers, inputs=192, classes=4):
  return nn.Sequential(*layers, nn.Flatten(), nn.Linear(inputs, classes))


def by_pytorch(module, x):
  with torch.no_grad():
    return module.eval()(torch.from_numpy(np.ascontiguousarray(x))).numpy()


def inputs(*shape):
  return np.random.default_rng(5).normal(0.5, 0.5, (3, *shape)).astype(np.float32)


def test_a_residual_net_with_its_normalisation_is_certified_in_a_file(tmp_path):
  module = published("cifar_resnet8", 4)[0].train()
  apply, variables = rsjax.from_torch(module, SHAPE)  # it holds its means and deviations
  assert module.training, "the module given is left as it was"
  x = inputs(*SHAPE)
  wanted = by_pytorch(module, np.moveaxis(x, -1, 1))
  np.testing.assert_allclose(jax.jit(apply)(variables, x), wanted, atol=1e-4)
  images = np.random.default_rng(0).integers(0, 256, (3, *SHAPE), np.uint8)
  g = rsjax.smooth(apply, variables, sigma=0.25)
  certify = lambda: g.certify(images, [0, 1, 2], n=200, file=tmp_path / "r.tsv", progress=False)
  found = certify()
  assert found.results.complete and (found.n == 200).all()
  with torch.no_grad():
    module[1].fc.weight.zero_()  # later training changes nothing
  assert certify().radius.tolist() == found.radius.tolist()


def test_a_vit_of_plain_layers_gives_pytorchs_logits():
  torch.manual_seed(0)
  module = Patches()
  mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
  apply, variables = rsjax.from_torch(module, SHAPE, normalization=(mean, std))
  x = inputs(*SHAPE)
  wanted = by_pytorch(module, np.moveaxis((x - np.float32(mean)) / np.float32(std), -1, 1))
  np.testing.assert_allclose(jax.jit(apply)(variables, x), wanted, atol=1e-5)
  images = np.random.default_rng(0).integers(0, 256, (3, *SHAPE), np.uint8)
  assert (rsjax.smooth(apply, variables, sigma=0.25).certify(images, n=200, progress=False).n == 200).all()


def test_a_transformer_encoder_of_arrays_gives_pytorchs_logits():
  torch.manual_seed(0)
  module = Encoder()
  apply, variables = rsjax.from_torch(module, (5, 16))
  x = inputs(5, 16)
  np.testing.assert_allclose(jax.jit(apply)(variables, x), by_pytorch(module, x), atol=1e-5)
  with pytest.raises(InputError, match=r"inputs must be \[5, 16\] for this classifier, got \[4, 16\]"):
    apply(variables, x[:, :4])
  found = rsjax.smooth(apply, variables, sigma=0.25, inputs="arrays").certify(x, n=200, progress=False)
  assert (found.n == 200).all()


def test_bfloat16_and_channels_first_are_taken_as_told():
  torch.manual_seed(0)
  module = flat(inputs=48).to(torch.bfloat16)
  apply, variables = rsjax.from_torch(module, (2, 4, 2, 3), channels_first=True)
  assert {str(v.dtype) for v in variables.values()} == {"bfloat16"}
  x = inputs(2, 4, 2, 3)
  logits = jax.jit(apply)(variables, x)
  wanted = by_pytorch(module.float(), np.moveaxis(x, -1, 1))
  assert logits.dtype == np.float32
  np.testing.assert_allclose(logits, wanted, atol=0.05)


@pytest.mark.parametrize("kind", ["object", "dictionary"])
def test_logits_within_an_object_or_a_dictionary_are_taken(kind):
  made = lambda y: {"logits": y, "z": y} if kind == "dictionary" else type("Output", (), {"logits": y})()
  module = flat()
  apply, variables = rsjax.from_torch(nn.Sequential(module, Function(made)), SHAPE, normalization="inside")
  x = inputs(*SHAPE)
  np.testing.assert_allclose(apply(variables, x), by_pytorch(module, np.moveaxis(x, -1, 1)), atol=1e-5)


def test_the_normalisation_is_taken_in_every_usual_form_and_shown():
  torch.manual_seed(0)
  module, wanted = flat(), None
  for mean, std in (
    ((0.5, 0.5, 0.5), (0.2, 0.2, 0.2)),
    (torch.full((1, 3, 1, 1), 0.5), torch.full((1, 3, 1, 1), 0.2)),
    (np.full((3, 1, 1), 0.5), np.full(3, 0.2, np.float32)),
    ((0.5,), (0.2,)),
    (0.5, [0.2]),
  ):
    apply, variables = rsjax.from_torch(module, SHAPE, normalization=(mean, std))
    assert variables["mean"].tolist() == [0.5] * 3 and variables["std"].tolist() == [np.float32(0.2)] * 3
    logits = np.asarray(apply(variables, inputs(*SHAPE)))
    wanted = logits if wanted is None else wanted
    np.testing.assert_array_equal(logits, wanted)
  _, variables = rsjax.from_torch(module, SHAPE, normalization="cifar10")
  np.testing.assert_allclose([variables["mean"], variables["std"]], NAMED["cifar10"], rtol=1e-6)


@pytest.mark.parametrize(
  ("module", "message"),
  [
    (lambda: flat(inputs=100), "fails in PyTorch on an input of"),
    (lambda: nn.Sequential(flat(), Function(lambda y: {"scores": y})), "got dict of scores"),
    (lambda: nn.Module(), "fails in PyTorch .* missing the required .forward"),
  ],
)
def test_a_forward_that_fails_is_told_before_a_normalisation_is_asked_for(module, message):
  with pytest.raises(InputError, match=message):
    rsjax.from_torch(module(), SHAPE)


def wrapped(kind, module):
  """A wrapper around a module, without its constructor, which would look for devices and processes."""
  made = kind.__new__(kind)
  nn.Module.__init__(made)
  made.module = module
  return made


def test_wrappers_for_several_devices_are_left_out():
  torch.manual_seed(0)
  x, net = inputs(*SHAPE), flat()
  means, deviations = (0.5,) * 3, (0.25,) * 3
  for kind in (nn.DataParallel, nn.parallel.DistributedDataParallel):
    held = nn.Sequential(Normalize(means, deviations), wrapped(kind, net))  # as of the paper
    for module, settings in (
      (held, {}),
      (wrapped(kind, held), {}),
      (wrapped(kind, wrapped(kind, net)), {"normalization": (means, deviations)}),
    ):
      apply, variables = rsjax.from_torch(module, SHAPE, **settings)
      assert not any("module" in name for name in variables), "names are those without wrappers"
      wanted = by_pytorch(net, np.moveaxis((x - 0.5) / 0.25, -1, 1))
      np.testing.assert_allclose(apply(variables, x), wanted, atol=1e-5)
    assert type(held[1]) is kind, "the module given is left as it was"


@pytest.mark.parametrize("kind", ["spectral_norm", "weight_norm", "orthogonal"])
def test_weights_that_are_computed_from_others_are_taken_as_they_are_in_evaluation(kind):
  torch.manual_seed(0)
  layer = getattr(nn.utils.parametrizations, kind)(nn.Conv2d(3, 4, 3))
  module = nn.Sequential(layer, nn.ReLU(), flat(inputs=144)).train()
  module(torch.rand(2, 3, *SHAPE[:2]))
  apply, variables = rsjax.from_torch(module, SHAPE, normalization="inside")
  assert module.training and nn.utils.parametrize.is_parametrized(layer), "the module given is left as it was"
  x = inputs(*SHAPE)
  wanted = by_pytorch(module, np.moveaxis(x, -1, 1))
  np.testing.assert_allclose(apply(variables, x), wanted, atol=1e-5)
  assert set(variables) == {"0.weight", "0.bias", "2.1.weight", "2.1.bias"}


class Function(nn.Module):
  """A layer that computes a function."""

  def __init__(self, function):
    super().__init__()
    self.function = function

  def forward(self, x):
    return self.function(x)


class Stubborn(nn.Dropout):
  def train(self, mode=True):
    return super().train(True)


def of_pytorch_alone(x):
  if type(x) is not torch.Tensor:
    raise RuntimeError("no such operation")
  return x


def in_bfloat16(x):
  with torch.autocast("cpu", dtype=torch.bfloat16):
    return torch.einsum("bchw,dc->bdhw", x, torch.eye(3) / 3).float()


def masked(logits):
  """Without the first class, as in an evaluation of some of them."""
  return torch.cat([torch.full_like(logits[:, :1], -1e9), logits[:, 1:]], 1)


def pruned():
  net = flat(nn.Conv2d(3, 3, 1))
  prune.random_unstructured(net[0], "weight", 0.5)
  net(torch.zeros(1, 3, 8, 8))
  return net


def spectral():
  """An old spectral norm, after a step of training."""
  net = flat(nn.utils.spectral_norm(nn.Conv2d(3, 3, 1)))
  net(torch.zeros(1, 3, 8, 8))
  return net


def rarely(x):
  """An augmentation that was left on, and hardly ever changes a batch."""
  return x.flip(-1) if random.random() < 1e-9 else x


class Dropped(nn.Module):
  def forward(self, weight):
    return nn.functional.dropout(weight, 0.5)


def dropped():
  """A layer whose weights are random in evaluation mode, too."""
  layer = nn.Conv2d(3, 3, 1)
  nn.utils.parametrize.register_parametrization(layer, "weight", Dropped())
  return layer


class Listed(nn.Module):
  """A network with a ParameterList."""

  def __init__(self):
    super().__init__()
    self.net, self.factors = flat(), nn.ParameterList([torch.ones(4)])

  def forward(self, x):
    return self.net(x) * self.factors[0]


airy = lambda x: torch.special.airy_ai(x)
by_value = lambda x: x if x.sum() > 0 else -x


@pytest.mark.parametrize(
  ("module", "message"),
  [
    (lambda: flat(Stubborn()), r"stay in training mode after eval\(\): 0"),
    (lambda: flat(nn.BatchNorm2d(3, track_running_stats=False)), "no running statistics.*: 0"),
    (lambda: flat(Function(nn.functional.dropout)), "differently each time.*dropout"),
    (
      lambda: flat(Function(airy)),
      r"run the layer 0 \(Function\): it has no aten::special_airy_ai",
    ),
    (
      lambda: flat(Function(by_value)),
      r"layer 0 \(Function\) needs the values.*torch.where",
    ),
    (lambda: flat(Function(of_pytorch_alone)), r"cannot run the layer 0 \(Function\): RuntimeError: no such"),
    (lambda: flat(inputs=100), r"fails in PyTorch on an input of \[4, 3, 8, 8\]"),
    (lambda: nn.Flatten(0), r"must return logits \[4, classes\] for 4 inputs, got \[768\]"),
    (lambda: nn.Sequential(flat(), Function(lambda x: x / 0)), "not finite"),
    (
      lambda: nn.Sequential(flat().double(), nn.Linear(4, 4)),
      "got float32, float64.*module.float",
    ),
    (
      lambda: flat(Function((lambda conv: lambda x: conv(x))(nn.Conv2d(3, 3, 1)))),
      r"layer 0 \(Function\) uses layers or tensors .* lambda, .*: use nn.ModuleList",
    ),
    (lambda: flat(Function(in_bfloat16)), r"differ from PyTorch's by [\d.]+ % .* enters torch.autocast"),
    (
      lambda: flat(Function(lambda x: (900 * x).byte().float())),
      r"differ from PyTorch's by \d{2,} % .* casts to integers, as by .byte\(\), clamp",
    ),
    (
      lambda: nn.Sequential(flat(Function(lambda x: (900 * x).byte().float())), Function(masked)),
      r"differ from PyTorch's by \d{2,} %",  # of the other logits, not of -1e9
    ),
    (
      lambda: Listed(),
      "the module uses layers or tensors .* an nn.ParameterList, .*: use nn.ModuleList, an nn.Param",
    ),
    (pruned, "call prune.remove, remove_weight_norm or remove_spectral_norm of torch.nn.utils"),
    (lambda: spectral(), "remove_spectral_norm"),
    (
      lambda: nn.Sequential(flat(), Function(lambda y: {"scores": y, "z": y})),
      r"got dict of scores, z: give a module whose forward .* alone, by the key",
    ),
    (lambda: nn.Sequential(flat(), Function(lambda y: (y, y))), "got tuple: give a module whose forward"),
    (lambda: torch.export.export(flat(), (torch.zeros(2, 3, 8, 8),)), "give the module before torch.export"),
    (
      lambda: nn.Sequential(torch.export.export(flat(), (torch.zeros(2, 3, 8, 8),)).module()),
      "^layer 0 must be the torch.nn.Module itself, before torch.export",
    ),
    (lambda: flat(Function(rarely)), "differently each time"),
    (lambda: flat(dropped()), r"0\.weight is another tensor each time"),
    (
      lambda: nn.Sequential(Function(lambda x: x.view(4, 192)), nn.Linear(192, 4)),
      "4 inputs, but fails with 3",
    ),
    (lambda: "module", "module must be a torch.nn.Module, got str"),
  ],
)
def test_a_module_that_cannot_be_certified_is_refused_by_name(module, message):
  torch.manual_seed(0)
  with pytest.raises(InputError, match=message):
    rsjax.from_torch(module(), SHAPE, normalization="inside")


def test_images_of_another_shape_are_refused_even_where_the_module_would_take_them():
  module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
  apply, variables = rsjax.from_torch(module, SHAPE, normalization="cifar10")  # mean and std can be broadcast
  g = rsjax.smooth(apply, variables, sigma=0.25)
  for given, message in (
    ((8, 8, 1), r"images must be \[8, 8, 3\] \(height, width, channels\).*, got \[8, 8, 1\]"),
    ((16, 16, 3), r"\[8, 8, 3\].*, got \[16, 16, 3\]"),
    ((3, 8, 8), r"got \[3, 8, 8\]: give channels last"),
  ):
    images = np.zeros((1, *given), np.uint8)
    for use in (g.check, g.certify, g.predict, lambda x: g.draws_per_second(x[0])):
      with pytest.raises(InputError, match=message) as raised:
        use(images)
      assert "raised by the classifier" not in "".join(getattr(raised.value, "__notes__", []))


def test_statistics_of_the_batch_are_found_by_the_check_at_the_start():
  apply, variables = rsjax.from_torch(flat(Function(lambda x: x - x.mean(0))), SHAPE, normalization="inside")
  images = np.zeros((1, *SHAPE), np.uint8)
  with pytest.raises(InputError, match="depend on the other images of its batch"):
    rsjax.smooth(apply, variables, sigma=0.25).certify(images, n=100, progress=False)


@pytest.mark.parametrize(
  ("shape", "settings", "message"),
  [
    (SHAPE, {}, "normalization is missing: give \"inside\" if the module takes pixels .*'cifar10', "),
    (SHAPE, {"normalization": "mine"}, "normalization 'mine' is not known: give"),
    (SHAPE, {"normalization": "none"}, 'is called "inside" here'),
    (SHAPE, {"normalization": (0.5, 0.5, 0.5)}, r"must be \(mean, std\)"),
    (
      SHAPE,
      {"normalization": 2 * (torch.zeros(2, 3, 2),)},
      "mean of 12 and a std of 12 numbers do not fit",
    ),
    (SHAPE, {"normalization": ("a", torch.zeros(3, 50))}, r"must be \(mean, std\), [^\n]{30,130}$"),
    (SHAPE, {"normalization": ((125.0,) * 3, (60.0,) * 3)}, "divide it by 255"),
    (
      SHAPE,
      {"normalization": ((0.5,) * 3, (0.5, 0.4))},
      "a mean of 3 and a std of 2 numbers do not fit: give one number per channel, and images have 3",
    ),
    ((8, 8, 1), {"normalization": "cifar10"}, "one number per channel, and images have 1"),
    ((3, 32, 32), {"normalization": "inside"}, r"channels before height and width: give \(h, w, c\)"),
    ((4,), {"normalization": "cifar10"}, "normalization is for images"),
    ((), {}, "example_shape must be"),
    ("images", {}, "example_shape must be"),
  ],
)
def test_arguments_that_cannot_be_used_are_refused(shape, settings, message):
  module = flat(inputs=192 if isinstance(shape, str) else int(np.prod(shape)))
  with pytest.raises(InputError, match=message):
    rsjax.from_torch(module, shape, **settings)


def test_a_normalisation_in_grey_levels_is_refused_unless_the_module_multiplies_first():
  grey = Normalize((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
  module = nn.Sequential(Function(lambda x: 255 * x), grey, flat())
  x = np.random.default_rng(0).random((2, *SHAPE), np.float32)
  for settings in ({}, {"normalization": "inside"}):
    with pytest.raises(InputError, match=r"\[0, 1\], which .* cannot be for: divide means .* by 255"):
      rsjax.from_torch(nn.Sequential(grey, flat()), SHAPE, **settings)
    apply, variables = rsjax.from_torch(module, SHAPE, **settings)
    np.testing.assert_allclose(apply(variables, x), by_pytorch(module, np.moveaxis(x, -1, 1)), atol=1e-4)


class Inside(nn.Module):
  """Computes something of its input, by numbers of any name, before a network, and more after it."""

  def __init__(self, before, net=None, after=lambda self, logits: logits, **numbers):
    super().__init__()
    self.before, self.after = before, after
    self.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), flat(inputs=144)) if net is None else net
    for name, value in numbers.items():
      if isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter):
        self.register_buffer(name, value)
      else:
        setattr(self, name, value)

  def forward(self, x):
    return self.after(self, self.net(self.before(self, x)))


def channels(*values):
  return torch.tensor(values)[:, None, None]


def by_list(self, x):
  return (x - torch.tensor(self.mean)[:, None, None]) / torch.tensor(self.std)[:, None, None]


MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
NORMALISING = {
  "spread of a net with a masked class": lambda: Inside(
    lambda self, x: x / self.spread, after=lambda self, logits: masked(logits), spread=channels(0.2, 0.3, 0.4)
  ),
  "pixel_mean, pixel_std": lambda: Inside(
    lambda self, x: (x - self.pixel_mean) / self.pixel_std, pixel_mean=channels(*MEAN), pixel_std=channels(*STD)
  ),
  "mean, inv_std": lambda: Inside(
    lambda self, x: (x - self.mean) * self.inv_std, mean=channels(*MEAN), inv_std=1 / channels(*STD)
  ),
  "scale": lambda: Inside(  # of scale and shift, the scale shows it
    lambda self, x: x * self.scale + self.shift, scale=1 / channels(*STD), shift=channels(-2.0, -2.0, -1.7)
  ),
  "m, s": lambda: Inside(
    lambda self, x: (255 * x - self.m) / self.s, m=torch.tensor(124.0), s=torch.tensor(60.0)
  ),
  "m": lambda: Inside(lambda self, x: 255 * x.flip(1) - self.m, m=channels(104.0, 117.0, 123.0)),
  "divisor": lambda: Inside(lambda self, x: x / self.divisor, divisor=0.3),
  "learned": lambda: Inside(lambda self, x: x - self.learned, learned=nn.Parameter(torch.full((3, 8, 8), 0.5))),
  "mean, std": lambda: Inside(by_list, mean=[*MEAN], std=STD),
  "middle": lambda: Inside(
    lambda self, x: (x.clamp(0, 1) * 255).round() / 255 - channels(*self.middle).float(), middle=np.array(MEAN)
  ),
  "net.0.means, net.0.sds": lambda: Inside(
    lambda self, x: nn.functional.avg_pool2d(x, 2),
    nn.Sequential(Normalize(MEAN, STD), nn.Conv2d(3, 4, 3), nn.ReLU(), flat(inputs=16)),
  ),
}


class OfClass(Inside):
  mean, std = MEAN, STD


class Apart:
  """Normalises, and is no module."""

  def __init__(self, mean, std):
    self.mean, self.std = mean, std

  def __call__(self, x):
    return by_list(self, x)


class Ensemble(nn.Module):
  """Members that each normalise their input."""

  def __init__(self):
    super().__init__()
    self.a, self.b = (nn.Sequential(Normalize(MEAN, STD), flat()) for _ in range(2))

  def forward(self, x):
    return self.a(x) + self.b(x)


def in_place(self, x):
  return x.sub_(self.mean).div_(self.std)


class Slotted:
  """The same without a dictionary."""

  __slots__ = ("mean", "std")

  def __init__(self, mean, std):
    self.mean, self.std = mean, std


class Numbers(list):
  pass


Pair = collections.namedtuple("Pair", "mean std")
Settings = collections.namedtuple("Settings", "dropout widths")


def by_numbers(x, mean, std):
  return by_list(Pair(mean, std), x)


apart = Apart([*MEAN], [*STD])


class TransformOfClass(Inside):
  transform = apart

  @property
  def unused(self):
    raise AssertionError("nothing needs to be computed")


NORMALISING |= {
  "mean, std of the class": lambda: OfClass(by_list),
  "transform.mean, transform.std of the class": lambda: TransformOfClass(lambda self, x: self.transform(x)),
  "mean, std in place": lambda: Inside(in_place, mean=channels(*MEAN), std=channels(*STD)),
  "mean, std of integers": lambda: Inside(
    lambda self, x: by_list(self, 255 * x), mean=[125, 123, 114], std=[62] * 3
  ),
  "mean, std of int64": lambda: Inside(
    lambda self, x: (255 * x - self.mean) / self.std,
    mean=channels(125, 123, 114),
    std=channels(62, 63, 64),
  ),
  "a.0.means, a.0.sds, b.0.means, b.0.sds": Ensemble,
  "stats.0, stats.1": lambda: Inside(
    lambda self, x: (x - self.stats[0, :, None, None]) / self.stats[1, :, None, None],
    stats=torch.tensor([MEAN, STD]),
  ),
  "norm.0, norm.1": lambda: Inside(
    lambda self, x: by_list(Apart(*self.norm), x),
    norm=(MEAN, STD),
  ),
  "cfg.mean, cfg.std": lambda: Inside(
    lambda self, x: by_list(Apart(**self.cfg), x), cfg={"mean": MEAN, "std": STD}
  ),
  "numbers.mean, numbers.std": lambda: Inside(
    lambda self, x: (x - self.numbers["mean"]) / self.numbers["std"],
    numbers=nn.ParameterDict({"mean": channels(*MEAN), "std": channels(*STD)}),
  ),
  "transform.mean, transform.std": lambda: Inside(lambda self, x: self.transform(x), transform=apart),
  "m0, m1": lambda: Inside(
    lambda self, x: torch.stack([(x[:, 0] - self.m0) / 0.2, (x[:, 1] - self.m1) / 0.3, x[:, 2]], 1),
    m0=0.4,
    m1=0.5,
  ),
  "pair.0, pair.1": lambda: Inside(lambda self, x: by_list(self.pair, x), pair=Pair(MEAN, STD)),
  "mean, std of a list's class": lambda: Inside(by_list, mean=Numbers(MEAN), std=Numbers(STD)),
  "slotted.mean, slotted.std": lambda: Inside(
    lambda self, x: by_list(self.slotted, x), slotted=Slotted([*MEAN], STD)
  ),
  "transform.keywords.mean, transform.keywords.std": lambda: Inside(
    lambda self, x: self.transform(x), transform=functools.partial(by_numbers, mean=MEAN, std=[*STD])
  ),
  "q": lambda: Inside(lambda self, x: x * self.q - 1, q=2),
  "mean, std after rounding": lambda: Inside(
    lambda self, x: by_list(self, (x * 15).round() / 15), mean=MEAN, std=STD
  ),
}


@pytest.mark.parametrize("names", NORMALISING)
def test_a_module_that_normalises_is_not_normalised_twice_whatever_its_numbers_are_called(names):
  torch.manual_seed(0)
  module = NORMALISING[names]()
  kept = {name: value.clone() for name, value in module.state_dict().items()}
  named = re.escape(re.sub(" (of|in|after) .*", "", names))
  with pytest.raises(InputError, match=f"itself, by {named}: leave out normalization"):
    rsjax.from_torch(module, SHAPE, normalization="cifar10")
  apply, variables = rsjax.from_torch(module, SHAPE)
  x = np.random.default_rng(0).random((2, *SHAPE), np.float32)
  np.testing.assert_allclose(apply(variables, x), by_pytorch(module, np.moveaxis(x, -1, 1)), atol=1e-4)
  assert all(torch.equal(value, kept[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize("value", [Settings(0.1, (16, 32)), Settings(0.1, MEAN), torch.Size([3])])
def test_settings_of_any_kind_within_a_module_are_no_matter(value):
  torch.manual_seed(0)
  module = Inside(lambda self, x: x, settings=value)
  apply, variables = rsjax.from_torch(module, SHAPE, normalization="inside")
  x = np.random.default_rng(0).random((2, *SHAPE), np.float32)
  np.testing.assert_allclose(apply(variables, x), by_pytorch(module, np.moveaxis(x, -1, 1)), atol=1e-4)
  assert module.settings is value


class Keeping(Inside):
  """Keeps what it computes of its numbers, one set for each step of the computation."""

  kept = None

  def forward(self, x):
    self.kept = {**(self.kept or {}), self.t: 2 * self.t}
    return super().forward(x) * max(self.kept.values())


def test_what_a_module_keeps_while_its_numbers_are_tried_does_not_get_into_it():
  torch.manual_seed(0)
  module = Keeping(lambda self, x: x, t=0.5)
  apply, variables = rsjax.from_torch(module, SHAPE, normalization="inside")
  x = np.random.default_rng(0).random((2, *SHAPE), np.float32)
  wanted = by_pytorch(module.net, np.moveaxis(x, -1, 1))
  np.testing.assert_allclose(apply(variables, x), wanted, atol=1e-4)
  assert module.kept is None


class OneChannel(nn.Module):
  """A network whose middle layer has a mean and a standard deviation of one number each."""

  def __init__(self):
    super().__init__()
    self.first, self.last, self.middle = nn.Conv2d(1, 4, 3), flat(inputs=144), nn.Module()
    self.middle.register_buffer("mean", torch.tensor([0.2]))
    self.middle.register_buffer("std", torch.tensor([0.7]))

  def forward(self, x):
    return self.last((self.first(x).relu() - self.middle.mean) / self.middle.std)


NOT_NORMALISING = {
  "an offset that is 0": (
    lambda: Inside(lambda self, x: x - self.b, b=nn.Parameter(torch.zeros(3, 1, 1))),
    SHAPE,
  ),
  "a factor that is 1": (lambda: Inside(lambda self, x: x * self.a, a=nn.Parameter(torch.ones(1))), SHAPE),
  "a temperature": (lambda: Inside(lambda self, x: x, after=lambda self, y: y / self.t, t=0.5), SHAPE),
  "a temperature of a network without biases": (
    lambda: Inside(
      lambda self, x: x,
      nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(144, 4, bias=False)),
      lambda self, y: y / self.t,
      t=torch.tensor(0.5),
    ),
    SHAPE,
  ),
  "an offset of the logits": (
    lambda: Inside(lambda self, x: x, flat(classes=3), lambda self, y: y - self.m, m=torch.rand(3)),
    SHAPE,
  ),
  "a prompt": (lambda: Inside(lambda self, x: x + self.p, p=nn.Parameter(torch.rand(3, 8, 8))), SHAPE),
  "a batch norm of images": (lambda: nn.Sequential(nn.BatchNorm2d(3), flat()), SHAPE),
}


@pytest.mark.parametrize("kind", NOT_NORMALISING)
def test_other_numbers_of_a_module_are_no_normalisation(kind):
  torch.manual_seed(0)
  make, shape = NOT_NORMALISING[kind]
  module, pair = make(), ([0.4] * shape[2], [0.2] * shape[2])
  with pytest.raises(InputError, match='normalization is missing: give "inside"'):
    rsjax.from_torch(module, shape)
  apply, variables = rsjax.from_torch(module, shape, normalization=pair)
  x = np.random.default_rng(0).random((2, *shape), np.float32)
  wanted = by_pytorch(module, np.moveaxis((x - 0.4) / 0.2, -1, 1).astype(np.float32))
  np.testing.assert_allclose(apply(variables, x), wanted, rtol=1e-3, atol=1e-4)


class Holds(nn.Module):
  """Holds statistics that it does not use, or only in training, as a layer of noise does."""

  def __init__(self, used_in_training):
    super().__init__()
    self.net, self.used = flat(), used_in_training
    self.register_buffer("mean", torch.full((3,), 0.4))
    self.register_buffer("std", torch.full((3,), 0.2))

  def forward(self, x):
    if self.used and self.training:
      x = self.mean[:, None, None] + self.std[:, None, None] * x
    return self.net(x)


@pytest.mark.parametrize("used_in_training", [False, True])
def test_statistics_that_the_module_does_not_use_are_no_normalisation(used_in_training):
  module = Holds(used_in_training)
  with pytest.raises(InputError, match=r"is missing, and the logits do not depend on mean, std: give"):
    rsjax.from_torch(module, SHAPE)
  apply, variables = rsjax.from_torch(module, SHAPE, normalization=([0.4] * 3, [0.2] * 3))
  x = np.random.default_rng(0).random((2, *SHAPE), np.float32)
  with torch.no_grad():
    wanted = module.eval()(torch.from_numpy(np.moveaxis((x - 0.4) / 0.2, -1, 1).copy())).numpy()
  np.testing.assert_allclose(apply(variables, x), wanted, rtol=1e-3, atol=1e-4)
  assert module.mean.tolist() == pytest.approx([0.4] * 3)


class TwoBranches(nn.Module):
  """One branch normalises its input, the other takes it as it is."""

  def __init__(self):
    super().__init__()
    self.one, self.other = flat(), flat()
    self.register_buffer("mean", channels(*MEAN))
    self.register_buffer("std", channels(*STD))

  def forward(self, x):
    return self.one((x - self.mean) / self.std) + self.other(x)


SUSPECT = {"of features": (OneChannel, (8, 8, 1)), "of one of two branches": (TwoBranches, SHAPE)}


@pytest.mark.parametrize("kind", SUSPECT)
def test_a_mean_and_a_deviation_that_may_normalise_are_asked_about_or_told(kind):
  torch.manual_seed(0)
  make, shape = SUSPECT[kind]
  with pytest.raises(InputError, match=r'and the logits depend on .*std: give "inside" if these norm'):
    rsjax.from_torch(make(), shape)
  with pytest.warns(ResultWarning, match="logits depend on .*mean, .*std: if its input is normalised by them"):
    rsjax.from_torch(make(), shape, normalization=([0.4] * shape[2], [0.2] * shape[2]))


def test_a_mean_and_a_deviation_that_were_swapped_are_told():
  with pytest.warns(ResultWarning, match="is below std .* in every channel: are they swapped"):
    rsjax.from_torch(flat(), SHAPE, normalization=(STD, MEAN))


class Forgetful(nn.Sequential):
  def train(self, mode=True):
    super().train(mode)  # and does not return itself


def test_a_train_that_returns_nothing_is_no_matter():
  _, variables = rsjax.from_torch(Forgetful(nn.Flatten(), nn.Linear(192, 4)), SHAPE, normalization="inside")
  assert set(variables) == {"1.weight", "1.bias"}


def test_a_forward_that_was_replaced_is_refused_and_the_module_left_as_it_was():
  module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(3))
  module(torch.zeros(2, 3, *SHAPE[:2]))
  whole = module.forward
  module.forward = lambda x: whole((x - 0.5) / 0.2)
  before = module[1].running_mean.clone()
  with pytest.raises(InputError, match="forward of the module was replaced by a function"):
    rsjax.from_torch(module, SHAPE, normalization="inside")
  assert torch.equal(module[1].running_mean, before)


def test_variables_of_another_module_are_refused_by_name():
  apply, variables = rsjax.from_torch(flat(), SHAPE, normalization="inside")
  first, *others = variables
  changed = {name: variables[name] for name in others} | {"other.bias": variables[first]}
  with pytest.raises(InputError, match=f"missing: {re.escape(first)}; unknown: other.bias"):
    apply(changed, np.zeros((1, *SHAPE), np.float32))


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_compiled_and_scripted_modules():
  module = flat().eval()
  _, variables = rsjax.from_torch(torch.compile(module), SHAPE, normalization="inside")
  assert set(variables) == set(dict(module.state_dict()))
  inner = nn.Sequential(torch.compile(module), nn.Identity())
  _, variables = rsjax.from_torch(inner, SHAPE, normalization="inside")
  assert set(variables) == {f"0.{name}" for name in module.state_dict()}
  with pytest.raises(InputError, match=r"before torch\.jit"):
    rsjax.from_torch(torch.jit.trace(module, torch.zeros(1, 3, *SHAPE[:2])), SHAPE, normalization="inside")


def test_without_torchax_the_command_that_mends_it_is_said(monkeypatch):
  monkeypatch.setitem(sys.modules, "torchax", None)
  with pytest.raises(InputError, match="pip install torch 'torchax"):
    rsjax.from_torch(flat(), SHAPE, normalization="inside")

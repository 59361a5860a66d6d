"""Networks: their published size and layout, and the same function compiled, folded and in bfloat16."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rsjax import devices, models
from rsjax.errors import InputError

SHAPE = (16, 16, 3)
# One of each family, the smallest where the family is large.
FAMILIES = ("convnet", "cifar_resnet20", "cifar_resnet110", "resnet50", "wide_resnet16_2", "vit_tiny_patch4")


def create(arch, dtype="float32", **kwargs):
  return models.create(arch, **{"num_classes": 10, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.25)} | kwargs
                       | {"dtype": dtype})  # fmt: skip


@functools.cache
def variables(arch, shape=SHAPE):
  """Random weights of the usual size and random running statistics, as training would leave them."""
  rng, model = np.random.default_rng(0), create(arch)
  shapes = jax.eval_shape(lambda key: models.init(model, key, shape), jax.random.key(0))

  def draw(path, leaf):
    if path[-1].key in ("var", "scale"):
      return rng.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
    scale = np.sqrt(2 / np.prod(leaf.shape[:-1])) if path[-1].key == "kernel" else 0.2
    return rng.normal(0, scale, leaf.shape).astype(np.float32)

  return jax.tree_util.tree_map_with_path(draw, shapes)


def names(tree):
  leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
  return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


@functools.cache
def compiled_network(arch, dtype="float32"):
  return devices.jit(models.apply(create(arch, dtype)))


@pytest.mark.parametrize("arch", FAMILIES)
@pytest.mark.parametrize("dtype", models.DTYPES)
def test_compiled_is_eager(arch, dtype):
  """With the library's compiler options; the compiler's own defaults give NaN in some versions."""
  apply = models.apply(create(arch, dtype))
  x = np.random.default_rng(1).uniform(-0.5, 1.5, (5, *SHAPE)).astype(np.float32)
  compiled = compiled_network(arch, dtype)(variables(arch), x)
  eager = apply(variables(arch), x)
  assert compiled.dtype == eager.dtype == jnp.float32
  assert np.isfinite(compiled).all()
  scale = np.abs(np.asarray(eager)).max()
  tolerance = {"float32": 1e-4, "bfloat16": 0.06}[dtype] * (3 if arch.endswith("110") else 1)
  np.testing.assert_allclose(compiled, eager, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize("arch", [*FAMILIES, "cifar_resnet8"])
def test_folded_is_unfolded(arch):
  """Exact up to float32's rounding, with running statistics that are far from neutral."""
  model, x = create(arch), np.random.default_rng(3).uniform(0, 1, (5, *SHAPE)).astype(np.float32)
  wanted = np.asarray(compiled_network(arch)(variables(arch), x))
  apply, folded = models.inference(model, variables(arch))
  found = np.asarray(devices.jit(apply)(folded, x))
  assert found.dtype == np.float32
  np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("arch", ["convnet", "cifar_resnet20", "resnet50"])
def test_folding_leaves_no_norm(arch):
  _, folded = models.inference(create(arch), variables(arch))
  assert set(folded) == {"params"}
  assert not any("bn" in name for name in names(folded))
  model = create(arch)
  without_norms = model.clone(folded=True) if any(model.CONVOLUTIONS.values()) else model
  wanted = jax.eval_shape(lambda: models.init(without_norms, jax.random.key(0), SHAPE)["params"])
  shapes = lambda tree: {name: (leaf.shape, leaf.dtype) for name, leaf in names(tree).items()}
  assert shapes(folded["params"]) == shapes(wanted)


@pytest.mark.parametrize("arch", ["convnet", "cifar_resnet8"])
def test_weights_converted_beforehand_are_those_that_a_step_would_convert(arch):
  model, x = create(arch, "bfloat16"), np.random.default_rng(3).uniform(0, 1, (4, *SHAPE)).astype(np.float32)
  apply, ready = models.inference(model, variables(arch))
  dtypes = {name: leaf.dtype for name, leaf in names(ready).items()}
  assert all((dtype == "bfloat16") == ("conv" in name) for name, dtype in dtypes.items())
  unready = models.fold(variables(arch), model.CONVOLUTIONS)
  run = devices.jit(apply)
  np.testing.assert_array_equal(np.asarray(run(ready, x)), np.asarray(run(unready, x)))


@pytest.mark.parametrize("repeat", range(3))
def test_bfloat16_is_float32_to_rounding(repeat):
  """A wrong fusion shows as NaN or as numbers that are not near."""
  x = np.random.default_rng(repeat).uniform(0, 1, (64, *SHAPE)).astype(np.float32)
  low, high = (
    np.asarray(compiled_network("cifar_resnet20", d)(variables("cifar_resnet20"), x))
    for d in ("bfloat16", "float32")
  )
  assert np.abs(low - high).max() < 0.1 * np.abs(high).max()


def test_names_read_like_the_papers_networks():
  found = names(variables("cifar_resnet20"))
  for name, shape in {
    "params/conv1/kernel": (3, 3, 3, 16),
    "params/bn1/scale": (16,),
    "params/layer1/0/conv1/kernel": (3, 3, 16, 16),
    "params/layer2/0/conv1/kernel": (3, 3, 16, 32),
    "params/layer2/0/downsample/conv/kernel": (1, 1, 16, 32),
    "params/layer3/2/bn2/bias": (64,),
    "params/fc/kernel": (64, 10),
    "batch_stats/layer3/0/downsample/bn/mean": (64,),
  }.items():
    assert found[name].shape == shape, name
  assert not any("layer1/0/downsample" in name for name in found)
  assert {leaf.dtype for leaf in found.values()} == {np.dtype(np.float32)}


def test_convolutions_are_drawn_as_in_the_paper():
  model = create("cifar_resnet20")
  found = names(devices.jit(lambda key: models.init(model, key, SHAPE), once=True)(jax.random.key(0)))
  values = np.concatenate([v.ravel() for k, v in found.items() if "conv" in k and v.shape[2:] == (64, 64)])
  assert values.std() == pytest.approx(np.sqrt(2 / (9 * 64)), rel=0.01)
  fc = np.asarray(found["params/fc/kernel"])
  assert np.abs(fc).max() <= 1 / 8
  assert fc.std() == pytest.approx(1 / 8 / np.sqrt(3), rel=0.1)


def test_strides_pad_one_pixel_on_each_side():
  """A 3x3 convolution of stride 2 looks at rows -1, 0, 1 first: moved by one pixel from 'SAME'."""
  from rsjax.models.layers import Shortcut, conv_norm

  class Strided(Shortcut):
    @nn.compact
    def __call__(self, x, train):
      return conv_norm(x, train, 1, 3, 2, ("conv", "bn"), self)

  kernel = jnp.zeros((3, 3, 1, 1)).at[0, 0].set(1)
  x = jnp.arange(16.0).reshape(1, 4, 4, 1)
  params = {"conv": {"kernel": kernel, "bias": jnp.zeros(1)}}
  y = Strided(1, 2, jnp.float32, folded=True).apply({"params": params}, x, train=False)
  assert y.reshape(-1).tolist() == [0, 0, 0, 5]


def test_the_input_is_normalised_inside():
  """Shifting the input and the mean alike changes nothing."""
  tree = variables("convnet")
  x = np.random.default_rng(2).uniform(0, 1, (4, *SHAPE)).astype(np.float32)
  shifted = create("convnet", mean=(0.75, 0.65, 0.55))
  a, b = models.apply(create("convnet"))(tree, x), models.apply(shifted)(tree, x + np.float32(0.25))
  np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize(
  "arch",
  [
    "cifar_resnet21",
    "cifar_resnet2",
    "cifar_resnet",
    "resnet",
    "ConvNet",
    "",
    "wide_resnet28",
    "wide_resnet28_0",
    "wide_resnet27_10",
    "vit_huge_patch14",
    "vit_tiny_patch0",
  ],
)
def test_unknown_architectures_are_refused(arch):
  with pytest.raises(InputError, match="cifar_resnet20"):
    create(arch)


@pytest.mark.parametrize(
  ("arch", "num_classes", "parameters"),
  [
    ("resnet50", 1000, 25_557_032),  # torchvision's
    # He et al. 2016, table 6, and a projection in each of the two shortcuts that change shape
    ("cifar_resnet20", 10, 272_474),
    ("cifar_resnet32", 10, 466_906),
    ("cifar_resnet44", 10, 661_338),
    ("cifar_resnet56", 10, 855_770),
    ("cifar_resnet110", 10, 1_730_714),
    # Zagoruyko and Komodakis 2016, table 4: 36.5, 8.9 and, for the depth of TRADES, 46.2 million
    ("wide_resnet28_10", 10, 36_479_194),
    ("wide_resnet40_2", 10, 2_243_546),
    ("wide_resnet34_10", 10, 46_160_474),
  ],
)
def test_parameters_are_as_many_as_published(arch, num_classes, parameters):
  model = create(arch, num_classes=num_classes)
  assert (
    models.parameter_count(jax.eval_shape(lambda: models.init(model, jax.random.key(0), SHAPE))) == parameters
  )


@pytest.mark.parametrize(
  ("arch", "num_classes", "side", "parameters"),
  [
    ("vit_base_patch16", 1000, 224, 86_567_656),  # timm's
    ("vit_small_patch16", 1000, 224, 22_050_664),
    ("vit_tiny_patch16", 1000, 224, 5_717_416),
  ],
)
def test_transformers_have_as_many_parameters_as_published(arch, num_classes, side, parameters):
  model = create(arch, num_classes=num_classes)
  shapes = jax.eval_shape(lambda: models.init(model, jax.random.key(0), (side, side, 3)))
  assert models.parameter_count(shapes) == parameters


def test_patches_must_tile_the_image():
  with pytest.raises(InputError, match="patches of 7 x 7 pixels do not tile images of 16 x 16"):
    models.init(create("vit_tiny_patch7"), jax.random.key(0), SHAPE)


def test_a_wide_networks_folding_takes_the_norm_after_the_convolution():
  """The norm before it, and the one at the end, stay."""
  _, folded = models.inference(create("wide_resnet16_2"), variables("wide_resnet16_2"))
  left = {name.partition("/")[2] for name in names(folded) if "bn" in name}
  assert {name.split("/")[-2] for name in left} == {"bn1"}


def test_resnet50_has_torchvisions_layout():
  """Shapes of its weights, and of its feature maps at 224x224: strides in the 3x3 convolutions."""
  model = create("resnet50", num_classes=1000)
  x = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
  tree = jax.eval_shape(lambda: models.init(model, jax.random.key(0), (224, 224, 3)))
  found = {name: leaf.shape for name, leaf in names(tree).items()}
  assert found["params/conv1/kernel"] == (7, 7, 3, 64)
  assert [sum(f"layer{k}/{i}/conv2/kernel" in n for n in found for i in range(9)) for k in range(1, 5)] == [
    3,
    4,
    6,
    3,
  ]
  assert found["params/layer2/0/conv2/kernel"] == (3, 3, 128, 128)
  assert found["params/layer2/0/downsample/conv/kernel"] == (1, 1, 256, 512)
  assert found["params/layer1/0/downsample/conv/kernel"] == (1, 1, 64, 256)  # also where only the width changes
  assert found["params/fc/kernel"] == (2048, 1000)
  seen = jax.eval_shape(
    lambda v, x: model.apply(v, x, capture_intermediates=True, mutable=["intermediates"]), tree, x
  )
  maps = seen[1]["intermediates"]
  assert maps["layer1"]["__call__"][0].shape == (1, 56, 56, 256)
  assert maps["layer4"]["__call__"][0].shape == (1, 7, 7, 2048)
  block = maps["layer2"]["0"]
  assert block["conv1"]["__call__"][0].shape == (1, 56, 56, 128)
  assert block["conv2"]["__call__"][0].shape == (1, 28, 28, 128)


@pytest.mark.parametrize("side", [8, 28])
def test_convnet_is_for_small_grey_images(side):
  model = create("convnet", mean=(0.5,), std=(0.25,))
  tree = jax.eval_shape(lambda: models.init(model, jax.random.key(0), (side, side, 1)))
  assert jax.eval_shape(models.apply(model), tree, jnp.zeros((2, side, side, 1))).shape == (2, 10)
  assert models.parameter_count(tree) == 23_946


def test_lenet_is_the_published_one_and_refuses_images_that_are_too_small():
  """Also in the order of fc1's features: channel by channel, as PyTorch flattens."""
  model = create("lenet", mean=(0.0,), std=(1.0,))
  tree = jax.tree.map(np.array, models.init(model, jax.random.key(0), (28, 28, 1)))
  assert models.parameter_count(tree) == 431_080
  params = tree["params"]
  bounds = {"conv1": 25, "conv2": 500, "fc1": 800, "fc2": 500}
  for name, fan_in in bounds.items():
    for leaf in params[name].values():
      assert 0.9 * np.abs(leaf).max() < fan_in**-0.5 and np.abs(leaf).max() <= fan_in**-0.5
  images = np.random.default_rng(0).uniform(size=(2, 28, 28, 1)).astype(np.float32)
  features = nn.Conv(20, (5, 5), padding="VALID").apply({"params": params["conv1"]}, images)
  features = nn.max_pool(nn.relu(features), (2, 2), (2, 2))
  features = nn.Conv(50, (5, 5), padding="VALID").apply({"params": params["conv2"]}, features)
  features = nn.max_pool(nn.relu(features), (2, 2), (2, 2))
  rows = [
    np.concatenate([image[..., channel].ravel() for channel in range(50)]) for image in np.asarray(features)
  ]
  hidden = np.maximum(rows @ params["fc1"]["kernel"] + params["fc1"]["bias"], 0)
  wanted = hidden @ params["fc2"]["kernel"] + params["fc2"]["bias"]
  np.testing.assert_allclose(models.apply(model)(tree, images), wanted, atol=1e-4)
  with pytest.raises(InputError, match="at least 16x16 pixels, got 8x8"):
    models.init(model, jax.random.key(0), (8, 8, 1))


def test_other_depths_are_known():
  assert create("cifar_resnet56").depth == 56


def test_unknown_dtypes_are_refused():
  with pytest.raises(InputError, match="bfloat16"):
    create("convnet", "float16")


@pytest.mark.parametrize("dtype", models.DTYPES)
@pytest.mark.parametrize("arch", ["convnet", "cifar_resnet20"])
def test_one_images_logits_do_not_depend_on_the_other_rows(arch, dtype):
  model, tree = create(arch, dtype), variables(arch, (8, 8, 3))
  x = np.random.default_rng(0).normal(size=(16, 8, 8, 3)).astype(np.float32)
  other = np.random.default_rng(1).normal(size=x.shape).astype(np.float32)
  other[::3] = x[::3]
  apply = devices.jit(models.apply(model))
  logits = np.asarray(apply(tree, x))
  np.testing.assert_array_equal(logits[::3], apply(tree, other)[::3])
  # Nor on the row's place: a continued run packs its rows otherwise, and must find the same votes.
  order = np.random.default_rng(2).permutation(16)
  np.testing.assert_array_equal(logits[order], apply(tree, x[order]))

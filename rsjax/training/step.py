"""One step of training: the weights, everything that is carried with them, and the jitted update."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from rsjax import devices, models
from rsjax.models import cpu
from rsjax.noise import threefry
from rsjax.training.augment import augment
from rsjax.training.objectives import Batch, Network, Objective, chooses_images
from rsjax.training.recipe import Recipe, make_optimizer

# Folded into the seed's key, so that training, its evaluation and certification never share noise.
COUNT, INIT, TRAIN, EVALUATE = 2**32 - 4, 2**32 - 3, 2**32 - 2, 2**32 - 1


class State(NamedTuple):
  """Everything that training carries from step to step."""

  step: Any  # int32[], of gradient computations; `accumulate` of them make an update
  params: Any
  batch_stats: Any
  opt_state: Any
  sums: Any  # float32[2 + k], of loss, accuracy and the objective's k statistics over the epoch so far
  sampling: Any = None  # float32[images], the weights of an objective that chooses the images of each epoch

  def saved(self) -> dict[str, Any]:
    """Its fields, without those that this training has not."""
    return {name: value for name, value in self._asdict().items() if value is not None}

  @property
  def variables(self) -> dict[str, Any]:
    """The variables that the model is applied with."""
    return {"params": self.params, **({"batch_stats": self.batch_stats} if self.batch_stats else {})}


def initial_state(
  model: nn.Module,
  image_shape: tuple[int, ...],
  objective: Objective,
  recipe: Recipe,
  variables: Any = None,
  *,
  images: int = 0,
) -> State:
  """The weights to begin with and the optimiser's first state, for images of (h, w, c).

  The weights are random, or `variables`. `images` is the size of the training set, for an objective that
  chooses among them.
  """
  if variables is None:
    key = jax.random.fold_in(threefry.base_key(recipe.seed), INIT)
    variables = make_init(model, tuple(image_shape))(key)
  params = variables["params"]
  opt_state = make_optimizer(recipe, 1).init(params)
  sums = jnp.zeros(2 + len(objective.statistics), jnp.float32)
  sampling = jnp.zeros(images, jnp.float32) if chooses_images(objective) else None
  return State(jnp.int32(0), params, variables.get("batch_stats", {}), opt_state, sums, sampling)


def make_network(
  model: nn.Module,
  params: Any,
  batch_stats: Any,
  layers: Callable[[], contextlib.AbstractContextManager] = contextlib.nullcontext,
) -> Network:
  """The network that an objective is given.

  Args:
    model: the module.
    params, batch_stats: its weights and running statistics.
    layers: a context within which the passes are traced.
  """

  def variables(params, batch_stats):
    return {"params": params, **({"batch_stats": batch_stats} if batch_stats else {})}

  def apply(given, x, train, **kwargs):
    rows = x.reshape(-1, *x.shape[-3:])
    return model.apply(given, rows, train=train, **kwargs)

  def train(x, batch_stats):
    with layers():
      outputs, updates = apply(variables(params, batch_stats), x, True, mutable=["batch_stats"])
    return outputs.reshape(*x.shape[:-3], *outputs.shape[1:]), updates.get("batch_stats", {})

  def evaluate(x, batch_stats):
    frozen = jax.lax.stop_gradient(variables(params, batch_stats))
    with layers():
      outputs = apply(frozen, x, False)
    return outputs.reshape(*x.shape[:-3], *outputs.shape[1:])

  return Network(train, evaluate, batch_stats)


# The functions below are cached, so that training again with the same settings compiles nothing.


@functools.lru_cache(maxsize=8)
def make_init(model: nn.Module, image_shape: tuple[int, ...]) -> Callable[[jax.Array], Any]:
  """init(key) -> random variables, computed on the CPU: GPUs' compilers take longer for it than for a step."""
  init, host = lambda key: models.init(model, key, image_shape), devices.host()
  if host is None:
    return devices.jit(init, once=True)
  on_host = devices.jit(init, host, once=True)
  return lambda key: jax.device_get(on_host(jax.device_put(key, host)))


@functools.lru_cache(maxsize=8)
def make_step(
  model: nn.Module, objective: Objective, recipe: Recipe, steps: int, select: Callable, replicated: Any
) -> Any:
  """step(state, arrays, batch) -> (state, float32[] loss); one jit, no sync.

  Args:
    model, objective, recipe: what is trained, and how.
    steps: the number of steps in an epoch.
    select: (arrays, batch) -> (uint8 images, int32 labels, int32 indices, votes, classifier), from a source in
      `batches`; of the last two, those that the objective needs.
    replicated: the sharding of the state.
  """
  model = models.recomputing(model) if recipe.remat else model
  optimizer = make_optimizer(recipe, steps // recipe.accumulate)
  mesh = replicated.mesh
  one_cpu = mesh.size == 1 and mesh.devices.flat[0].platform == "cpu"
  layers = functools.partial(cpu.gradients, devices.onednn()) if one_cpu else contextlib.nullcontext

  def step(state, arrays, batch):
    key = jax.random.fold_in(threefry.base_key(recipe.seed), TRAIN)
    augment_key, objective_key = jax.random.split(jax.random.fold_in(key, state.step))
    images, labels, indices, *more = select(arrays, batch)
    images = augment(recipe.augment, augment_key, images.astype(jnp.float32) / 255)
    given = Batch(images, labels, indices, objective_key, state.step, state.step // steps, *more)
    if given.classifier is not None:
      given = given._replace(classifier=_within(layers, given.classifier))

    def loss_of(params):
      loss = objective(make_network(model, params, state.batch_stats, layers), given)
      return loss.value, loss

    (value, loss), gradients = jax.value_and_grad(loss_of, has_aux=True)(state.params)
    updates, opt_state = optimizer.update(gradients, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    accuracy = _accuracy(loss.logits, labels)
    if set(loss.statistics) != set(objective.statistics):
      raise ValueError(
        f"{objective.name} declares the statistics {objective.statistics} but returns {tuple(loss.statistics)}"
      )
    told = [value, accuracy, *(loss.statistics[name] for name in objective.statistics)]
    sums = jnp.where(state.step % steps == 0, 0.0, state.sums) + jnp.stack(told)
    return State(state.step + 1, params, loss.batch_stats, opt_state, sums, state.sampling), value

  return devices.jit(step, barriers=one_cpu or recipe.remat, donate_argnums=0, out_shardings=replicated)


def _within(context: Callable[[], contextlib.AbstractContextManager], function: Callable) -> Callable:
  """The same function, traced within a context."""

  def wrapped(*args):
    with context():
      return function(*args)

  return wrapped


def _accuracy(logits: Any, labels: Any) -> Any:
  """float32[], the share of right answers; 0 if there are no logits."""
  if logits is None:
    return jnp.float32(0)
  return (logits.argmax(-1) == labels.reshape(-1, *[1] * (logits.ndim - 2))).mean(dtype=jnp.float32)


@functools.cache
def _make_all_finite() -> Any:
  return devices.jit(lambda leaves: jnp.stack([jnp.isfinite(leaf).all() for leaf in leaves]).all())


def all_finite(tree: Any) -> bool:
  """Whether every number of a tree is finite; waits for it."""
  return bool(_make_all_finite()(jax.tree.leaves(tree)))

"""One training step, many of them in one dispatch, and evaluation: pure functions."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int32, PRNGKeyArray, UInt8

from cnn_jax.config import Experiment
from cnn_jax.data import augment, pipeline, views
from cnn_jax.data.pipeline import Batch, Colours, DeviceSplit, Normalization, RawBatch
from cnn_jax.models import Model, Variables
from cnn_jax.train.metrics import Sums, measure
from cnn_jax.train.state import TrainState


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What stays the same from step to step, and is compiled in.

    Attributes:
      experiment: the config.
      model: the network.
      optimizer: without its learning rate.
      classes: how many there are.
    """

    experiment: Experiment
    model: Model
    optimizer: optax.GradientTransformation
    classes: int

    @property
    def compiled_in(self) -> str:
        """Names all that the compiled programs depend on: the seed, the learning rates and the data are arguments."""
        experiment = self.experiment
        train = experiment.train.model_copy(update={"epochs": 1, "steps_per_dispatch": 1, "eval_every_epochs": 1})
        optimizer = experiment.optimizer.model_copy(update={"learning_rate": 1.0})
        parts = (experiment.model, experiment.augment, optimizer, train, experiment.pretrained)
        return " ".join([str(self.classes), *(part.model_dump_json() for part in parts)])

    @property
    def matmul_precision(self) -> contextlib.AbstractContextManager[None]:
        """The precision in which products are traced: all of a program, for gradients have products of their own."""
        precision = self.experiment.train.matmul_precision
        return contextlib.nullcontext() if precision is None else jax.default_matmul_precision(precision)


def train_step(
    recipe: Recipe, state: TrainState, batch: Batch, rate: Float[Array, ""], key: PRNGKeyArray
) -> TrainState:
    """One step of gradient descent.

    Args:
      recipe: config, network and optimizer.
      state: before the step.
      batch: normalised images and their targets, which label smoothing then changes.
      rate: the learning rate.
      key: of this step, for dropout.

    Returns:
      The state after the step, its metrics added to the sums.
    """
    learns = _learning(recipe.experiment.pretrained.freeze, state.params)
    parts, examples = recipe.experiment.train.accumulate, jnp.sum(batch.weights)
    work = functools.partial(_gradients, recipe, state.params, learns, examples)
    if parts == 1:
        gradients, batch_stats, sums = work(state.batch_stats, batch, key)
    else:
        gradients, batch_stats, sums = _accumulated(work, parts, state, batch, key)
    directions, opt_state = recipe.optimizer.update(gradients, state.opt_state, state.params)
    params = jax.tree.map(
        lambda old, direction, moves: old - rate * direction if moves else old, state.params, directions, learns
    )
    return TrainState(
        step=state.step + 1,
        params=params,
        batch_stats=batch_stats,
        opt_state=opt_state,
        averaged=_averaged(state, params, recipe.experiment.train.ema_decay),
        epoch_sums=state.epoch_sums + sums,
        window_sums=state.window_sums + sums,
    )


def _gradients(
    recipe: Recipe,
    params: Any,
    learns: Any,
    examples: Float[Array, ""],
    batch_stats: Any,
    batch: Batch,
    key: PRNGKeyArray,
) -> tuple[Any, Any, Sums]:
    """Gradients of the losses' sum over `examples`, the running statistics moved, and the metrics' sums."""
    train = recipe.experiment.train

    def loss_of(params: Any) -> tuple[Array, tuple[Array, Variables]]:
        # No gradient is worked out for what does not learn, nor for the layers before it.
        learning = jax.tree.map(lambda array, moves: array if moves else jax.lax.stop_gradient(array), params, learns)
        variables = {"params": learning, "batch_stats": batch_stats}
        logits, aux_logits, moved = recipe.model.apply(variables, batch.images, train=True, key=key)
        targets = optax.smooth_labels(batch.targets, train.label_smoothing)
        losses = optax.softmax_cross_entropy(logits, targets)
        for each in aux_logits:
            losses += train.aux_loss_weight * optax.softmax_cross_entropy(each, targets)
        return jnp.sum(losses * batch.weights) / examples, (logits, moved)

    gradients, (logits, moved) = jax.grad(loss_of, has_aux=True)(params)
    return gradients, moved, measure(logits, batch.targets, batch.weights)


def _accumulated(
    work: Callable[[Any, Batch, PRNGKeyArray], tuple[Any, Any, Sums]],
    parts: int,
    state: TrainState,
    batch: Batch,
    key: PRNGKeyArray,
) -> tuple[Any, Any, Sums]:
    """Works on parts of a batch one after the other; a part holds every parts-th image, so that devices share each."""

    def apart(array: Array) -> Array:
        return jnp.moveaxis(array.reshape(-1, parts, *array.shape[1:]), 1, 0)

    def body(done: tuple[Any, Any, Sums], part: tuple[Batch, Array]) -> tuple[tuple[Any, Any, Sums], None]:
        total, batch_stats, sums = done
        some, number = part
        gradients, batch_stats, more = work(batch_stats, some, jax.random.fold_in(key, number))
        return (jax.tree.map(jnp.add, total, gradients), batch_stats, sums + more), None

    start = (jax.tree.map(jnp.zeros_like, state.params), state.batch_stats, Sums.zero())
    done, _ = jax.lax.scan(body, start, (jax.tree.map(apart, batch), jnp.arange(parts)))
    return done


def _learning(freeze: tuple[str, ...], params: Any) -> Any:
    """Marks the parameters that change: all but those of frozen layers."""
    frozen = tuple(tuple(name.split("/")) for name in freeze)

    def moves(path: Any, _: Any) -> bool:
        keys = tuple(key.key for key in path)
        return not any(keys[: len(name)] == name for name in frozen)

    return jax.tree_util.tree_map_with_path(moves, params)


def _averaged(state: TrainState, params: Any, decay: float) -> Any:
    """Moves the running mean towards new parameters, faster in the first steps, when it has seen few."""
    if not decay:
        return state.averaged
    kept = jnp.minimum(decay, (1.0 + state.step) / (10.0 + state.step))
    return jax.tree.map(lambda mean, new: kept * mean + (1 - kept) * new, state.averaged, params)


def train_on_pixels(
    recipe: Recipe,
    state: TrainState,
    batch: RawBatch,
    constants: Normalization,
    colours: Colours | None,
    rate: Float[Array, ""],
    key: PRNGKeyArray,
) -> TrainState:
    """One step on a batch as it comes from the data: augmentation and normalisation, then `train_step`.

    Args:
      recipe: config, network and optimizer.
      state: before the step.
      batch: of images.
      constants: of the normalisation.
      colours: of the training images, where `augment.wants_colours`.
      rate: the learning rate.
      key: the experiment's, for training.

    Returns:
      The state after the step.
    """
    augment_key, model_key = jax.random.split(jax.random.fold_in(key, state.step))
    pixels, labels, weights = batch
    targets = jax.nn.one_hot(labels, recipe.classes)
    images, targets = augment.augment(augment_key, pixels, targets, recipe.experiment.augment, constants, colours)
    return train_step(recipe, state, Batch(images, targets, weights), rate, model_key)


def train_steps(
    recipe: Recipe,
    state: TrainState,
    data: DeviceSplit,
    constants: Normalization,
    colours: Colours | None,
    order: Int32[Array, "steps b"],
    rates: Float[Array, " steps"],
    first: Int32[Array, ""],
    last: Int32[Array, ""],
    key: PRNGKeyArray,
) -> TrainState:
    """Steps `first` to `last` (excluded) of an epoch, in one dispatch.

    The loop's bounds are values, not constants: one compiled program serves chunks of any length, so a
    resumed run repeats the arithmetic of an undisturbed one bit for bit wherever it was cut.

    Args:
      recipe: config, network and optimizer.
      state: before the first step.
      data: all training images.
      constants: of the normalisation.
      colours: of the training images, where `augment.wants_colours`.
      order: the epoch's batches.
      rates: the epoch's learning rates.
      first, last: steps within the epoch.
      key: the experiment's, for training.

    Returns:
      The state after the last step.
    """

    def body(position: Array, state: TrainState) -> TrainState:
        return train_on_pixels(
            recipe, state, pipeline.take(data, order, position), constants, colours, rates[position], key
        )

    with recipe.matmul_precision:
        return jax.lax.fori_loop(first, last, body, state)


def predict(
    recipe: Recipe, variables: Variables, pixels: UInt8[Array, "b h w c"], constants: Normalization
) -> Float[Array, "b k"]:
    """The logits of images, as evaluation computes them: the means over their views, where it looks at several."""
    train = recipe.experiment.train

    def logits_of(some: UInt8[Array, "b h w c"]) -> Float[Array, "b k"]:
        return recipe.model.apply(variables, pipeline.normalize(some, constants), train=False)[0]

    with recipe.matmul_precision:
        if views.count(train.eval_mirrored, train.eval_shift) == 1:
            return logits_of(pixels)
        seen = views.views(pixels, train.eval_mirrored, train.eval_shift)
        return jnp.mean(jax.lax.map(logits_of, seen), axis=0)


def measure_pixels(recipe: Recipe, variables: Variables, batch: RawBatch, constants: Normalization) -> Sums:
    """Measures a network on a batch as it comes from the data; the arguments are those of `evaluate`."""
    pixels, labels, weights = batch
    targets = jax.nn.one_hot(labels, recipe.classes)
    return measure(predict(recipe, variables, pixels, constants), targets, weights)


def evaluate(
    recipe: Recipe, variables: Variables, data: DeviceSplit, constants: Normalization, order: Int32[Array, "steps b"]
) -> Sums:
    """Measures a network on every image of a split.

    Args:
      recipe: config and network.
      variables: of the network.
      data: the split.
      constants: of the normalisation.
      order: its batches, as `pipeline.file_order` gives them.

    Returns:
      The sums over the split.
    """

    def body(step: Array, sums: Sums) -> Sums:
        return sums + measure_pixels(recipe, variables, pipeline.take(data, order, step), constants)

    return jax.lax.fori_loop(0, order.shape[0], body, Sums.zero())

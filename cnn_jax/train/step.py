"""Train and evaluation steps as pure functions of a frozen config and arrays.

`inputs.py` compiles them with `compilation.compile_once`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import AbstractMesh
from jaxtyping import Array, Float, Int32, PRNGKeyArray, UInt8

from cnn_jax import config as cfg
from cnn_jax import models
from cnn_jax.blocks.policy import is_in_any
from cnn_jax.data.device import augment, pipeline, tta
from cnn_jax.data.device.pipeline import Batch, DeviceSplit, Normalization
from cnn_jax.models import Variables
from cnn_jax.ops.platform import platform
from cnn_jax.train import optimizer
from cnn_jax.train.metrics import Sums, measure


@dataclasses.dataclass(frozen=True)
class StepConfig:
    """Static argument of every step and cache key of the compiled programs.

    A step depends on nothing else of the experiment, so no field can be missing from the key. Create it with `of`.

    Attributes:
      model: Config of the network.
      augment: Random augmentation of the training images.
      optimizer: Config of the optimizer; its learning rate is an array argument of the steps instead.
      train: Loss, accumulation, evaluation and precision.
      freeze: Paths of the frozen layers.
      num_classes: Width of the logits.
      mesh: Mesh of the devices that share a batch; None for a program on one device.
    """

    model: cfg.Model
    augment: cfg.Augment
    optimizer: cfg.Optimizer
    train: cfg.Train
    freeze: tuple[str, ...]
    num_classes: int
    mesh: AbstractMesh | None = None

    @classmethod
    def of(cls, experiment: cfg.Experiment, num_classes: int, mesh: AbstractMesh | None = None) -> StepConfig:
        """Extracts the fields of an experiment that its steps depend on.

        Fields that reach the steps as arrays, or not at all, are set to a fixed value, so that runs that differ only in
        them share compiled programs.
        """
        unused = {"epochs": 1, "eval_every_epochs": 1, "steps_per_dispatch": 1}
        return cls(
            model=experiment.model,
            augment=experiment.augment,
            optimizer=experiment.optimizer.model_copy(update={"learning_rate": 1.0}),
            train=experiment.train.model_copy(update=unused),
            freeze=experiment.pretrained.freeze,
            num_classes=num_classes,
            mesh=mesh,
        )

    @property
    def network(self) -> models.Model:
        """The network as pure functions."""
        return models.create(self.model, self.num_classes, self.freeze)

    @contextlib.contextmanager
    def tracing(self) -> Iterator[None]:
        """Enters the context of a step: the precision of products and the mesh of the devices."""
        with contextlib.ExitStack() as stack:
            if self.train.matmul_precision is not None:
                stack.enter_context(jax.default_matmul_precision(self.train.matmul_precision))
            if self.mesh is not None:
                stack.enter_context(jax.sharding.use_abstract_mesh(self.mesh))
            yield


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TrainState:
    """State of training; together with the config it determines the rest of the run.

    Attributes:
      step: Steps taken since the start.
      params: Parameters of the network.
      batch_stats: Running statistics of batch norm; empty without batch norm.
      opt_state: State of the optimizer.
      averaged: Exponential moving average of the parameters; empty unless train.ema_decay is set.
      epoch_sums: Metrics since the start of the epoch.
      window_sums: Metrics since the last record.
    """

    step: Int32[Array, ""]
    params: Any
    batch_stats: Any
    opt_state: Any
    averaged: Any
    epoch_sums: Sums
    window_sums: Sums

    @property
    def variables(self) -> dict[str, Any]:
        """The variables to evaluate: the averaged parameters, if any, and the running statistics."""
        return {"params": self.averaged or self.params, "batch_stats": self.batch_stats}

    def reset(self, sums: str) -> TrainState:
        """Sets epoch_sums or window_sums to zero."""
        return dataclasses.replace(self, **{sums: jax.tree.map(jnp.zeros_like, getattr(self, sums))})


def create_state(config: StepConfig, variables: Variables) -> TrainState:
    """Creates the state before the first step from a network's initial variables."""
    params = variables["params"]
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        opt_state=optimizer.build(config.optimizer).init(params),
        averaged=jax.tree.map(jnp.copy, params) if config.train.ema_decay > 0 else {},
        epoch_sums=Sums.zero(config.num_classes),
        window_sums=Sums.zero(config.num_classes),
    )


def state_shape(config: StepConfig, image_shape: tuple[int, int, int]) -> TrainState:
    """Returns the shapes and types of a training state, for images of (height, width, channels) pixels."""
    variables = config.network.variable_shapes(image_shape)
    shapes: TrainState = jax.eval_shape(functools.partial(create_state, config), variables)
    return shapes


def train_step(
    config: StepConfig, state: TrainState, batch: Batch, learning_rate: Float[Array, ""], key: PRNGKeyArray
) -> tuple[TrainState, tuple[Sums, Sums]]:
    """Takes one training step: augmentation, normalization, gradients, update.

    Args:
      config: Static part of the step.
      state: State before the step.
      batch: Pixels and labels, with the constants that normalize them.
      learning_rate: Learning rate of this step.
      key: Key of the run's steps; the step number is folded in.

    Returns:
      (state after the step, (epoch_sums, window_sums)). The sums can be read after the state is donated to the next
      step.
    """
    with config.tracing():
        augment_key, dropout_key = jax.random.split(jax.random.fold_in(key, state.step))
        targets = jax.nn.one_hot(batch.labels, config.num_classes)
        images, targets = augment.augment(augment_key, batch.images, targets, config.augment, *batch.preprocessing)
        trainable = _trainable(config.freeze, state.params)
        examples = jnp.sum(batch.weights)

        def loss_fn(params: Any, batch_stats: Any, part: Any, key: PRNGKeyArray) -> tuple[Array, tuple[Any, Sums]]:
            images, targets, weights = part
            # Skips the gradients of frozen parameters, and of the layers below them if all are frozen.
            params = jax.tree.map(lambda leaf, train: leaf if train else jax.lax.stop_gradient(leaf), params, trainable)
            variables = {"params": params, "batch_stats": batch_stats}
            logits, aux_logits, batch_stats = config.network.apply(variables, images, train=True, key=key)
            losses = cross_entropy(config.train, logits, aux_logits, targets)
            return jnp.sum(losses * weights) / examples, (batch_stats, measure(logits, targets, weights))

        grad_fn = jax.grad(loss_fn, has_aux=True)
        whole = (images, targets, batch.weights)
        if config.train.accumulate == 1:
            gradients, (batch_stats, sums) = grad_fn(state.params, state.batch_stats, whole, dropout_key)
        else:
            gradients, (batch_stats, sums) = _accumulate(grad_fn, config.train.accumulate, state, whole, dropout_key)
        if platform() == "gpu" and config.mesh is not None and config.mesh.size > 1:
            # Without the barrier XLA fuses the update of a 1x1 kernel with its cast for the backward convolution, so
            # that the backward pass waits for the gradients' all-reduce.
            gradients = jax.lax.optimization_barrier(gradients)
        updates, opt_state = optimizer.build(config.optimizer).update(gradients, state.opt_state, state.params)
        params = jax.tree.map(
            lambda old, update, train: old - learning_rate * update if train else old, state.params, updates, trainable
        )
        state = TrainState(
            step=state.step + 1,
            params=params,
            batch_stats=batch_stats,
            opt_state=opt_state,
            averaged=_moving_average(state, params, config.train.ema_decay),
            epoch_sums=state.epoch_sums + sums,
            window_sums=state.window_sums + sums,
        )
        return state, (state.epoch_sums, state.window_sums)


def cross_entropy(
    config: cfg.Train,
    logits: Float[Array, "b k"],
    aux_logits: tuple[Float[Array, "b k"], ...],
    targets: Float[Array, "b k"],
) -> Float[Array, " b"]:
    """Computes the training loss of each image, in nats.

    Args:
      config: Label smoothing and the weight of auxiliary classifiers.
      logits: Logits of the network.
      aux_logits: Logits of the auxiliary classifiers.
      targets: Probabilities of the classes, before smoothing.
    """
    targets = optax.smooth_labels(targets, config.label_smoothing)
    losses = optax.softmax_cross_entropy(logits, targets)
    for each in aux_logits:
        losses += config.aux_loss_weight * optax.softmax_cross_entropy(each, targets)
    return losses


def _accumulate(
    grad_fn: Callable[..., Any], parts: int, state: TrainState, whole: Any, key: PRNGKeyArray
) -> tuple[Any, tuple[Any, Sums]]:
    """Accumulates gradients over parts of a batch; a part holds every parts-th image, so devices share each part."""

    def split(array: Array) -> Array:
        return jnp.moveaxis(array.reshape(-1, parts, *array.shape[1:]), 1, 0)

    def body(carry: Any, x: Any) -> tuple[Any, None]:
        total, (batch_stats, sums) = carry
        part, number = x
        gradients, (batch_stats, new_sums) = grad_fn(state.params, batch_stats, part, jax.random.fold_in(key, number))
        return (jax.tree.map(jnp.add, total, gradients), (batch_stats, sums + new_sums)), None

    init = (jax.tree.map(jnp.zeros_like, state.params), (state.batch_stats, Sums.zero(whole[1].shape[1])))
    carry, _ = jax.lax.scan(body, init, (jax.tree.map(split, whole), jnp.arange(parts)))
    return carry


def _trainable(freeze: tuple[str, ...], params: Any) -> Any:
    """Returns a tree of booleans: False for the parameters of frozen layers."""

    def is_trained(path: Any, _: Any) -> bool:
        return not is_in_any(tuple(key.key for key in path), freeze)

    return jax.tree_util.tree_map_with_path(is_trained, params)


def _moving_average(state: TrainState, params: Any, decay: float) -> Any:
    """Updates the moving average of the parameters; the decay is smaller in the first steps."""
    if not decay:
        return state.averaged
    decay_now = jnp.minimum(decay, (1.0 + state.step) / (10.0 + state.step))
    return jax.tree.map(lambda mean, new: decay_now * mean + (1 - decay_now) * new, state.averaged, params)


def train_steps(
    config: StepConfig,
    state: TrainState,
    data: DeviceSplit,
    order: Int32[Array, "steps b"],
    learning_rates: Float[Array, " steps"],
    bounds: tuple[Int32[Array, ""], Int32[Array, ""]],
    key: PRNGKeyArray,
) -> tuple[TrainState, tuple[Sums, Sums]]:
    """Takes several steps of an epoch in one dispatch, on images in device memory.

    The bounds are traced, so that one compiled program serves chunks of any length and a resumed run repeats the
    arithmetic of an uninterrupted one bit for bit.

    Args:
      config: Static part of the steps.
      state: State before the first step.
      data: All training images.
      order: Image indices of the epoch's batches.
      learning_rates: Learning rates of the epoch.
      bounds: First step within the epoch, and the one after the last.
      key: Key of the run's steps.

    Returns:
      The result of the last `train_step`.
    """

    def body(position: Array, state: TrainState) -> TrainState:
        return train_step(config, state, pipeline.take(data, order, position), learning_rates[position], key)[0]

    state = jax.lax.fori_loop(*bounds, body, state)
    return state, (state.epoch_sums, state.window_sums)


def predict(
    config: StepConfig, variables: Variables, pixels: UInt8[Array, "b h w c"], normalization: Normalization
) -> Float[Array, "b k"]:
    """Computes the logits of images, averaged over the views of test-time augmentation if it is on.

    Args:
      config: Static part of the step.
      variables: Variables of the network.
      pixels: Pixels 0 to 255.
      normalization: Constants that normalize them.
    """
    train = config.train
    network = config.network

    def logits_of(some: UInt8[Array, "b h w c"]) -> Float[Array, "b k"]:
        return network.apply(variables, pipeline.normalize(some, normalization), train=False)[0]

    with config.tracing():
        if tta.count(train.eval_mirrored, train.eval_shift) == 1:
            return logits_of(pixels)
        views = jnp.stack(tta.views(pixels, train.eval_mirrored, train.eval_shift))
        return jnp.mean(jax.lax.map(logits_of, views), axis=0)


def eval_step(config: StepConfig, variables: Variables, batch: Batch) -> Sums:
    """Evaluates a network on one batch, and returns the sums of its metrics."""
    logits = predict(config, variables, batch.images, batch.preprocessing.normalization)
    return measure(logits, jax.nn.one_hot(batch.labels, config.num_classes), batch.weights)


def evaluate(config: StepConfig, variables: Variables, data: DeviceSplit, order: Int32[Array, "steps b"]) -> Sums:
    """Evaluates a network on a split in device memory, and returns the sums of its metrics.

    Args:
      config: Static part of the step.
      variables: Variables of the network.
      data: The split.
      order: Image indices of its batches, from `pipeline.file_order`.
    """

    def body(step: Array, sums: Sums) -> Sums:
        return sums + eval_step(config, variables, pipeline.take(data, order, step))

    return jax.lax.fori_loop(0, order.shape[0], body, Sums.zero(config.num_classes))

"""A training step of a network on two images, whose every gradient must be finite and not zero."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax import models
from cnn_jax.config import Experiment, Model, Sgd
from cnn_jax.data.device.pipeline import Batch, Normalization, Preprocessing
from cnn_jax.train.step import StepConfig, TrainState, create_state, state_shape, train_step
from support.quick_programs import QUICK

CLASSES = 3


def trainable(config: Model, side: int) -> Model:
    """The config, with another norm and activation where batch norm would see one value of a channel in each image.

    It makes -1 and 1 of the two, so that no gradient passes it; and of the few values of a single pixel all may
    lie where a ReLU has no slope.
    """
    rows = models.create(config, CLASSES).layers((side, side, 3))
    blind = any(row.kind == "batch_norm" and row.output_shape[:2] == (1, 1) for row in rows)
    changed = {"norm": "group", "norm_groups": 1, "activation": "leaky_relu"}
    if hasattr(config, "early_activation"):
        changed["early_activation"] = "leaky_relu"
    return config.model_copy(update=changed) if blind else config


def step_config(config: Model) -> StepConfig:
    """The static part of the step's program: plain descent."""
    return StepConfig.of(Experiment(model=config, optimizer=Sgd(momentum=0.0)), CLASSES)


_starts: dict[Any, TrainState] = {}


def started(config: Model, side: int) -> TrainState:
    """The state before the first step, drawn once for configs that differ in padding and whose variables do not."""
    this, shape = step_config(config), (side, side, 3)
    leaves, structure = jax.tree.flatten(state_shape(this, shape))
    shapes = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
    like = config.model_copy(update={"padding": "SAME"}), structure, shapes
    if like not in _starts:
        start = jax.jit(lambda key: create_state(this, this.network.init(key, shape)), compiler_options=QUICK)
        _starts[like] = start(jax.random.key(1))
    return _starts[like]


def check_step(config: Model, side: int, compute: str, without_gradient: tuple[str, ...] = ()) -> None:
    """Takes the step and checks the loss, the gradients and the statistics.

    Args:
      config: The network's config.
      side: Side of the images in pixels.
      compute: Type of maps and products.
      without_gradient: Parts of the paths of parameters whose gradients may be zero.
    """
    config = trainable(config.model_copy(update={"lowering": "xla"}), side)
    before = started(config, side)
    this = step_config(config.model_copy(update={"compute": compute}))
    if compute != "float32":
        same = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), (before, state_shape(this, (side, side, 3))))
        assert same[0] == same[1]
    images = jax.random.normal(jax.random.key(2), (2, side, side, 3))
    batch = Batch(images, jnp.array([0, 1]), jnp.ones(2), Preprocessing(Normalization(jnp.zeros(3), jnp.ones(3))))
    step = jax.jit(functools.partial(train_step, this), compiler_options=QUICK)
    after, _ = step(before, batch, jnp.float32(1.0), jax.random.key(3))
    assert np.isfinite(after.epoch_sums.loss)
    # Plain descent at rate 1: what a parameter moved by is its gradient.
    moved = jax.tree.map(lambda old, new: np.asarray(old) - np.asarray(new), before.params, after.params)
    for path, gradient in jax.tree_util.tree_leaves_with_path(moved):
        name = jax.tree_util.keystr(path)
        assert gradient.dtype == np.float32
        assert np.isfinite(gradient).all(), name
        assert gradient.any() or any(part in name for part in without_gradient), f"no gradient: {name}"
    for path, statistic in jax.tree_util.tree_leaves_with_path(after.batch_stats):
        assert statistic.dtype == np.float32
        assert np.isfinite(statistic).all(), jax.tree_util.keystr(path)

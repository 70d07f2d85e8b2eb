"""Builds optax optimizers and learning-rate schedules from the config."""

from __future__ import annotations

import functools
from typing import Any, assert_never

import jax
import numpy as np
import optax
from jaxtyping import Float32

from cnn_jax import config as cfg
from cnn_jax.config import registry
from cnn_jax.config.optimizer import OPTIMIZERS


def build(config: cfg.Optimizer) -> optax.GradientTransformation:
    """Builds an optimizer without its learning rate.

    The train step multiplies the updates by the learning rate, so that runs that differ only in it share a program.

    Args:
      config: Config of an optimizer in `OPTIMIZERS`, with weight decay and clipping.

    Returns:
      A transformation of gradients to updates, which the train step subtracts.

    Raises:
      ValueError: If no optimizer has this name.
    """
    clip = () if config.clip_norm is None else (optax.clip_by_global_norm(config.clip_norm),)
    mask = decayed if config.weight_decay_mask == "kernels" else None
    decay = optax.add_decayed_weights(config.weight_decay, mask) if config.weight_decay else optax.identity()
    return optax.chain(*clip, *registry.builder(OPTIMIZERS, config.name)(config, decay))


Parts = tuple[optax.GradientTransformation, ...]


def sgd(config: cfg.Sgd, decay: optax.GradientTransformation) -> Parts:
    """Stochastic gradient descent with momentum."""
    return decay, optax.trace(config.momentum, config.nesterov)


def rmsprop(config: cfg.RmsProp, decay: optax.GradientTransformation) -> Parts:
    """RMSProp with momentum; weight decay is added to the gradient."""
    return decay, optax.scale_by_rms(config.decay, config.eps, initial_scale=1.0), optax.trace(config.momentum)


def adam(config: cfg.Adam, decay: optax.GradientTransformation) -> Parts:
    """Adam; weight decay is added to the gradient."""
    return decay, optax.scale_by_adam(config.b1, config.b2, config.eps)


def adamw(config: cfg.AdamW, decay: optax.GradientTransformation) -> Parts:
    """Adam with decoupled weight decay."""
    return optax.scale_by_adam(config.b1, config.b2, config.eps), decay


def decayed(params: Any) -> Any:
    """Marks the parameters that weight decay touches: kernels, not biases or scales."""
    return jax.tree.map(lambda array: array.ndim > 1, params)


@functools.lru_cache(maxsize=64)  # runs that differ in the seed need not compile the schedule again
def learning_rates(
    schedule: cfg.Schedule, peak: float, epochs: int, steps_per_epoch: int
) -> Float32[np.ndarray, "epochs steps"]:
    """Computes the learning rate of every training step.

    Args:
      schedule: Constant, cosine, one-cycle or step schedule; the epochs include warm-up.
      peak: Learning rate of the config, the schedule's maximum.
      epochs: Number of epochs.
      steps_per_epoch: Number of batches per epoch.

    Returns:
      One row per epoch, read-only.
    """
    total = epochs * steps_per_epoch
    if isinstance(schedule, cfg.OneCycle):
        rates = _one_cycle(schedule, peak, total)
    else:
        each_step = jax.jit(jax.vmap(_schedule_function(schedule, peak, steps_per_epoch, total)))
        rates = np.asarray(each_step(np.arange(total, dtype=np.int32)), np.float32)
    rates.setflags(write=False)
    return rates.reshape(epochs, steps_per_epoch)


def _schedule_function(
    schedule: cfg.Constant | cfg.Cosine | cfg.Step, peak: float, steps_per_epoch: int, total: int
) -> optax.Schedule:
    """Returns the learning rate as a function of the step."""
    warmup = min(round(schedule.warmup_epochs * steps_per_epoch), total - 1)
    main = total - warmup
    match schedule:
        case cfg.Constant():
            after = optax.constant_schedule(peak)
        case cfg.Cosine():
            after = optax.cosine_decay_schedule(peak, max(main - 1, 1), schedule.final_fraction)
        case cfg.Step():
            after = optax.piecewise_constant_schedule(peak, _drops(schedule, steps_per_epoch, total, warmup))
        case _:
            assert_never(schedule)
    if not warmup:
        return after
    # The first step has a positive learning rate: the ramp starts from zero one step earlier.
    ramp = optax.linear_schedule(peak / (warmup + 1), peak * warmup / (warmup + 1), max(warmup - 1, 1))
    return optax.join_schedules([ramp, after], [warmup])


def _one_cycle(schedule: cfg.OneCycle, peak: float, total: int) -> Float32[np.ndarray, " steps"]:
    """Computes the one-cycle schedule: half a cosine up to the step of the peak, another down to the last step.

    The formula is that of PyTorch's OneCycleLR, whose peak is one step earlier for the same fraction of training.
    With only one or two steps, the last step has the peak rate.
    """
    top = 0 if total == 1 else min(max(round(schedule.peak * total), 1), max(total - 2, 1))
    steps = np.arange(total)
    lowest = np.where(steps < top, schedule.initial_fraction, schedule.final_fraction)
    distance = np.where(steps < top, (top - steps) / max(top, 1), (steps - top) / max(total - 1 - top, 1))
    return (peak * (lowest + (1 - lowest) * (1 + np.cos(np.pi * distance)) / 2)).astype(np.float32)


def _drops(schedule: cfg.Step, steps_per_epoch: int, total: int, warmup: int) -> dict[int, float]:
    """Returns the factor of each drop by its step after warm-up.

    Drops are moved to between the second and the last step; several may coincide.
    """
    drops: dict[int, float] = {}
    for epoch in schedule.boundaries if total > 1 else ():
        step = min(max(round(epoch * steps_per_epoch), 1), total - 1) - warmup
        drops[step] = drops.get(step, 1.0) * schedule.factor
    return drops

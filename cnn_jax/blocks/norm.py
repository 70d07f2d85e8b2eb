"""Batch norm with running statistics, group norm, layer norm and local response normalization."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cnn_jax import ops
from cnn_jax.blocks.policy import Policy
from cnn_jax.layer_rows import LayerRow, emit, naming
from cnn_jax.ops import GeometryError


class BatchNormInputs(NamedTuple):
    """Arguments of `ops.batch_norm_train` other than the feature maps."""

    scale: Array
    bias: Array
    shift: Array
    eps: float
    parts: int


class FusedNorm(NamedTuple):
    """Batch norm with the batch's statistics, fused with the layer before or after it.

    Attributes:
      shape: Shape [b, h, w, c] of the normalized maps.
      compute: Returns the result of the fused layers, in the form of `ops.batch_norm_train`.
    """

    shape: tuple[int, ...]
    compute: Callable[[BatchNormInputs], tuple[Array, Array, Array]]


class Norm(nn.Module):
    """The policy's batch, group or layer norm, with a scale and a bias for each channel.

    In training batch norm uses the statistics of the batch, or of groups of norm_images images, and updates the running
    statistics (with the unbiased variance, as in PyTorch). In evaluation and in frozen layers it uses the running
    statistics.

    Attributes:
      policy: The network's policy.
      zero_init: Whether the scale is initialized to zero instead of one.
    """

    policy: Policy
    zero_init: bool = False

    @nn.nowrap
    def row(self, shape: tuple[int, ...]) -> LayerRow:
        """Returns the layer's row, without sources, for maps of shape (height, width, channels)."""
        settings: tuple[tuple[str, Any], ...] = (("eps", self.policy.norm_eps),)
        if self.policy.norm == "group":
            settings += (("groups", self.policy.norm_groups),)
        return LayerRow("/".join(self.path), f"{self.policy.norm}_norm", shape, shape, 2 * shape[-1], settings=settings)

    @nn.compact
    def __call__(
        self, x: Float[Array, "b h w c"], train: bool, fused: FusedNorm | None = None
    ) -> Float[Array, "b oh ow o"]:
        """Normalizes feature maps.

        Args:
          x: Feature maps; with `fused` the input of the fused computation.
          train: Whether to use the statistics of the batch.
          fused: Fused computation to use in training; the caller then records both layers.

        Returns:
          Feature maps.
        """
        policy, shape = self.policy, fused.shape if fused else x.shape
        channels, row = shape[-1], self.row(shape[1:])
        start = nn.initializers.zeros if self.zero_init else nn.initializers.ones
        scale = self.param("scale", start, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        if policy.norm == "group":
            if channels % policy.norm_groups:
                with naming(row.name, x.shape[1:]):
                    raise GeometryError(
                        f"norm_groups={policy.norm_groups} does not divide {channels} channels; "
                        f"use norm_groups={math.gcd(policy.norm_groups, channels)}"
                    )
            return emit(row, ops.group_norm(x, scale, bias, groups=policy.norm_groups, eps=policy.norm_eps))
        if policy.norm == "layer":
            return emit(row, ops.layer_norm(x, scale, bias, eps=policy.norm_eps))
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,))
        running_variance = self.variable("batch_stats", "variance", jnp.ones, (channels,))
        if not policy.uses_batch_statistics(self.path, train):
            y = ops.batch_norm(x, scale, bias, running_mean.value, running_variance.value, eps=policy.norm_eps)
            return emit(row, y)
        parts = max(1, len(x) // (policy.norm_images or len(x)))
        inputs = BatchNormInputs(scale, bias, jnp.asarray(running_mean.value), policy.norm_eps, parts)
        y, mean, variance = fused.compute(inputs) if fused else ops.batch_norm_train(x, **inputs._asdict())
        count, momentum = math.prod(shape[:-1]) // parts, policy.norm_momentum
        if not self.is_initializing():
            running_mean.value = momentum * running_mean.value + (1 - momentum) * mean
            unbiased = variance * (count / max(count - 1, 1))
            running_variance.value = momentum * running_variance.value + (1 - momentum) * unbiased
        return y if fused else emit(row, y)


class NormActivation(nn.Module):
    """The policy's norm, if any, then its activation."""

    policy: Policy

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b h w c"]:
        if self.policy.norm != "none":
            x = Norm(self.policy, name="norm")(x, train)
        return self.policy.activate(x)


def lrn(name: str, x: Float[Array, "b h w c"], k: float, mean: bool) -> Float[Array, "b h w c"]:
    """Local response normalization over 5 channels with alpha 1e-4 and beta 0.75, recorded as the layer `name`.

    `k` and `mean` are those of `ops.local_response_norm`: 2 and False in AlexNet, 1 and True in GoogLeNet.
    """
    row = LayerRow(name, "lrn", x.shape[1:], x.shape[1:], settings=(("k", k), ("mean", mean)))
    return emit(row, ops.local_response_norm(x, k=k, mean=mean))

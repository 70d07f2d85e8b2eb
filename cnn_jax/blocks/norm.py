"""Normalisation: batch norm with its running statistics, group norm, and local response normalisation."""

from __future__ import annotations

import math
from collections.abc import Callable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cnn_jax import ops
from cnn_jax.blocks.policy import Policy
from cnn_jax.layer_rows import LayerRow, emit, naming, record_fused
from cnn_jax.ops import GeometryError


class Norm(nn.Module):
    """Batch or group norm, as the policy has it, with a scale and a bias for each channel.

    In training batch norm uses the mean and variance of the batch, or of every norm_images of it, and moves the
    running ones towards their mean (the variance by its unbiased estimate, as PyTorch does); otherwise, and in a frozen
    layer, it uses the running ones.
    """

    policy: Policy
    zero_scale: bool = False

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b h w c"],
        train: bool,
        maps: tuple[int, ...] | None = None,
        joined: Callable[..., tuple[Array, Array, Array]] | None = None,
    ) -> Float[Array, "b oh ow o"]:
        """Normalises.

        Args:
          x: feature maps.
          train: whether by the batch's own statistics.
          maps: shape of what is normalised, where it is not x's.
          joined: in training with batch norm, does the work of `ops.batch_norm_train` and that of a layer beside it.
        """
        policy, name, shape = self.policy, "/".join(self.path), maps or x.shape
        channels = shape[-1]
        record_fused(LayerRow(name, f"{policy.norm}_norm", shape[1:], shape[1:], 2 * channels))
        start = nn.initializers.zeros if self.zero_scale else nn.initializers.ones
        scale = self.param("scale", start, (channels,))
        bias = self.param("bias", nn.initializers.zeros, (channels,))
        if policy.norm == "group":
            if channels % policy.norm_groups:
                with naming(name, x.shape[1:]):
                    raise GeometryError(
                        f"norm_groups={policy.norm_groups} does not divide {channels} channels; "
                        f"use norm_groups={math.gcd(policy.norm_groups, channels)}"
                    )
            return ops.group_norm(x, scale, bias, groups=policy.norm_groups, eps=policy.norm_eps)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, (channels,))
        running_variance = self.variable("batch_stats", "variance", jnp.ones, (channels,))
        if not train or policy.is_frozen(self.path):
            return ops.batch_norm(x, scale, bias, running_mean.value, running_variance.value, eps=policy.norm_eps)
        parts = max(1, len(x) // (policy.norm_images or len(x)))
        y, mean, variance = (joined or ops.batch_norm_train)(
            x, scale, bias, near=jnp.asarray(running_mean.value), eps=policy.norm_eps, parts=parts
        )
        count, kept = math.prod(shape[:-1]) // parts, policy.norm_momentum
        if not self.is_initializing():
            running_mean.value = kept * running_mean.value + (1 - kept) * mean
            unbiased = variance * (count / max(count - 1, 1))
            running_variance.value = kept * running_variance.value + (1 - kept) * unbiased
        return y


class NormActivation(nn.Module):
    """Normalisation, where the policy has one, then the activation."""

    policy: Policy

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b h w c"]:
        if self.policy.norm != "none":
            x = Norm(self.policy, name="norm")(x, train)
        return self.policy.activate(x)


def lrn(name: str, x: Float[Array, "b h w c"], k: float, mean: bool) -> Float[Array, "b h w c"]:
    """Local response normalisation over 5 channels with alpha 1e-4 and beta 0.75, recorded as a layer.

    Args:
      name: of the layer.
      x: feature maps.
      k, mean: as `ops.local_response_norm` takes them: 2 and False are AlexNet's, 1 and True GoogLeNet's.

    Returns:
      Feature maps of the same shape.
    """
    return emit(LayerRow(name, "lrn", x.shape[1:], x.shape[1:]), ops.local_response_norm(x, k=k, mean=mean))

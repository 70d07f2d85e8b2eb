"""Chooses the adjacent parts of a convolution block that one function of `ops` computes.

Fused functions write fewer feature maps to memory:

- `conv2d_relu_max_pool`: convolution, ReLU and 2x2 max pooling.
- `pointwise_batch_norm_train`: a 1x1 convolution and batch norm with the batch's statistics.
- `batch_norm_max_pool_train`: batch norm with the batch's statistics and max pooling, then a monotonic activation.

The last two are faster on TPUs, where memory bandwidth is the limit.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from cnn_jax.blocks.policy import MONOTONIC_ACTIVATIONS
from cnn_jax.ops.padding import pair

if TYPE_CHECKING:
    from cnn_jax.blocks.conv import ConvBlock

FusedParts = tuple[str, ...]  # adjacent parts of a block that are computed together


def parts_of(block: ConvBlock) -> tuple[str, ...]:
    """Lists the parts of a block in the order of computation: "conv", "norm", "activation" and "pooling"."""
    parts = tuple(part for part in block.order.split("-") if part != "norm" or block.policy.norm != "none")
    return parts if block.pooling is None else (*parts, "pooling")


def plan(
    block: ConvBlock, channels: int, batch_statistics: bool, platform: str, watched: Collection[str] = ()
) -> tuple[FusedParts, ...]:
    """Groups the parts of a block into those that are computed together.

    Args:
      block: Settings of the block.
      channels: Channels of the block's input.
      batch_statistics: Whether the norm uses the batch's own statistics, as in training.
      platform: Platform as JAX names it: "cpu", "gpu" or "tpu".
      watched: Parts, "conv", "norm" or "activation", that must be computed separately because their outputs are read
        or perturbed, or because the following ReLU has a special backward pass.

    Returns:
      All parts of the block in order, in groups that are computed together.
    """
    fusible = list(_fusible(block, channels, batch_statistics, platform))
    rest, groups = parts_of(block), []
    while rest:
        fused = (parts for parts in fusible if rest[: len(parts)] == parts and not set(parts[:-1]) & set(watched))
        group = next(fused, rest[:1])
        groups.append(group)
        rest = rest[len(group) :]
    return tuple(groups)


def _fusible(block: ConvBlock, channels: int, batch_statistics: bool, platform: str) -> Iterator[FusedParts]:
    """Yields the groups of adjacent parts that one function of `ops` computes."""
    parts, policy, pooling = parts_of(block), block.policy, block.pooling
    strides, dilation = pair(block.strides, "strides"), pair(block.dilation, "dilation")
    if (
        policy.activation == "relu"
        and pooling is not None
        and pooling.is_2x2_max
        and (strides, dilation, block.groups) == ((1, 1), (1, 1), 1)
    ):
        yield "conv", "activation", "pooling"
    if platform != "tpu" or not batch_statistics or policy.lowering not in ("auto", "space_to_depth"):
        return
    window = pair(block.kernel_size, "kernel_size")
    # The fused version reads the input again instead of storing the convolution's output, which is faster only if the
    # input has at most half as many channels (see ops/pointwise_norm.py).
    if (window, block.groups, block.padding) == ((1, 1), 1, None) and 2 * channels <= block.features:
        yield "conv", "norm"
    if pooling is not None and pooling.kind == "max":
        if parts == ("conv", "norm", "pooling"):
            yield "norm", "pooling"
        if parts == ("conv", "norm", "activation", "pooling") and policy.activation in MONOTONIC_ACTIVATIONS:
            yield "norm", "activation", "pooling"

"""Which neighbouring parts of a convolution block are computed together.

`ops` can compute some sequences of layers in one function, which writes fewer feature maps to memory:

- `conv2d_relu_max_pool`: convolution, ReLU and 2x2 max pooling.
- `pointwise_batch_norm_train`: a 1x1 convolution and batch norm with the batch's statistics.
- `batch_norm_max_pool_train`: batch norm with the batch's statistics and max pooling, a monotonic activation last.

The last two pay on TPUs, where memory is the bound.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from cnn_jax.blocks.policy import MONOTONIC_ACTIVATIONS
from cnn_jax.ops.padding import pair

if TYPE_CHECKING:
    from cnn_jax.blocks.conv import ConvBlock

Step = tuple[str, ...]


def parts_of(block: ConvBlock) -> Step:
    """Lists the parts of a block in the order of computation: "conv", "norm", "activation" and "pooling"."""
    parts = tuple(part for part in block.order.split("-") if part != "norm" or block.policy.norm != "none")
    return parts if block.pooling is None else (*parts, "pooling")


def plan(
    block: ConvBlock, channels: int, batch_statistics: bool, platform: str, watched: Collection[str] = ()
) -> tuple[Step, ...]:
    """Groups the parts of a block into steps.

    Args:
      block: Settings of the block.
      channels: Channels of the block's input.
      batch_statistics: Whether the norm uses the batch's own statistics, as in training.
      platform: JAX's name of the device kind: "cpu", "gpu" or "tpu".
      watched: Parts, "conv", "norm" or "activation", that must be computed by themselves, because their outputs are
        read or perturbed or because the rectifier after them has a backward pass of its own.

    Returns:
      All parts of the block in order, grouped; the parts of one step are computed together.
    """
    groups = list(_fusible(block, channels, batch_statistics, platform))
    rest, steps = parts_of(block), []
    while rest:
        fused = (group for group in groups if rest[: len(group)] == group and not set(group[:-1]) & set(watched))
        step = next(fused, rest[:1])
        steps.append(step)
        rest = rest[len(step) :]
    return tuple(steps)


def _fusible(block: ConvBlock, channels: int, batch_statistics: bool, platform: str) -> Iterator[Step]:
    """The groups of neighbouring parts that one function of `ops` computes."""
    parts, policy, pooling = parts_of(block), block.policy, block.pooling
    steps, dilation = pair(block.strides, "strides"), pair(block.dilation, "dilation")
    if (
        policy.activation == "relu"
        and pooling is not None
        and pooling.is_2x2_max
        and (steps, dilation, block.groups) == ((1, 1), (1, 1), 1)
    ):
        yield "conv", "activation", "pooling"
    if platform != "tpu" or not batch_statistics or policy.lowering not in ("auto", "space_to_depth"):
        return
    window = pair(block.kernel_size, "kernel_size")
    # The fused norm reads and writes the fewer channels, for a few more multiplications.
    if (window, block.groups, block.padding) == ((1, 1), 1, None) and 2 * channels <= block.features:
        yield "conv", "norm"
    if pooling is not None and pooling.kind == "max":
        if parts == ("conv", "norm", "pooling"):
            yield "norm", "pooling"
        if parts == ("conv", "norm", "activation", "pooling") and policy.activation in MONOTONIC_ACTIVATIONS:
            yield "norm", "activation", "pooling"

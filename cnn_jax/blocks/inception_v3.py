"""Blocks of Inception v3: parallel branches of convolutions, concatenated along the channels."""

from __future__ import annotations

from typing import NamedTuple

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax.blocks.conv import ConvBlock
from cnn_jax.blocks.joining import concat, crop_to
from cnn_jax.blocks.policy import Policy
from cnn_jax.blocks.pooling import Pooling
from cnn_jax.layer_rows import Branches, naming
from cnn_jax.ops.padding import IntPair, Padding, output_sizes


class BranchConv(NamedTuple):
    """A convolution of a branch.

    Attributes:
      name: Name in the block.
      features: Output channels.
      kernel_size: Kernel in pixels.
      strides: Strides.
      padding: Padding; None is the policy's, and no padding for a 1x1 kernel.
    """

    name: str
    features: int
    kernel_size: IntPair = 1
    strides: int = 1
    padding: Padding | None = None

    def output_size(self, size: tuple[int, int], policy: Policy) -> tuple[int, int]:
        """Computes the output size from the input size."""
        padding = policy.padding if self.padding is None else self.padding
        if self.kernel_size == 1 and self.padding is None:
            padding = "VALID"
        height, width = output_sizes(size, self.kernel_size, self.strides, padding)
        return height, width


class Branch(NamedTuple):
    """A branch of a block.

    Attributes:
      steps: Consecutive convolutions.
      ends: Parallel convolutions of the last step's output; if empty, the last step is the branch's output.
      pooling: Pooling before the steps, (kind, strides, padding) of 3x3 windows; None for no pooling.
    """

    steps: tuple[BranchConv, ...] = ()
    ends: tuple[BranchConv, ...] = ()
    pooling: tuple[str, int, Padding] | None = None

    def output_sizes(self, size: tuple[int, int], policy: Policy) -> list[tuple[int, int]]:
        """Computes the output size of each end from the input size."""
        if self.pooling is not None:
            _, strides, padding = self.pooling
            height, width = output_sizes(size, 3, strides, padding)
            size = (height, width)
        for step in self.steps:
            size = step.output_size(size, policy)
        return [end.output_size(size, policy) for end in self.ends] or [size]


class InceptionV3Block(nn.Module):
    """Parallel branches whose outputs are concatenated along the channels.

    If padding makes some outputs smaller than others, all are center-cropped to the smallest.

    Attributes:
      branches: Branches in the order of their output channels.
      policy: The network's policy.

    Source: Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, "Rethinking the Inception architecture for computer vision",
      2016, figures 5 to 7 and 10.
    """

    branches: tuple[Branch, ...]
    policy: Policy

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b oh ow o"]:
        with naming("/".join(self.path), x.shape[1:]):
            sizes = [
                size for branch in self.branches for size in branch.output_sizes((x.shape[1], x.shape[2]), self.policy)
            ]
        size = (min(height for height, _ in sizes), min(width for _, width in sizes))
        rows, outputs = Branches(), []
        for number, branch in enumerate(self.branches, start=1):
            with rows.branch():
                outputs += self._run(branch, number, x, size, train)
        return concat("/".join(self.path), outputs)

    def _run(self, branch: Branch, number: int, x: Array, size: tuple[int, int], train: bool) -> list[Array]:
        """Computes the outputs of a branch, cropped to `size`."""
        last = f"path{number}"
        if branch.pooling is not None:
            kind, strides, padding = branch.pooling
            last = f"path{number}_pool"
            x = Pooling("/".join((*self.path, last)), kind, 3, strides, padding, count_include_pad=True)(x)
        for step in branch.steps:
            x, last = self._convolve(step, x, train), step.name
        if not branch.ends:
            return [crop_to("/".join((*self.path, last)), x, size)]
        rows, outputs = Branches(), []
        for end in branch.ends:
            with rows.branch():
                outputs.append(crop_to("/".join((*self.path, end.name)), self._convolve(end, x, train), size))
        return outputs

    def _convolve(self, conv: BranchConv, x: Array, train: bool) -> Array:
        block: Array = ConvBlock(
            conv.features, conv.kernel_size, self.policy, strides=conv.strides, padding=conv.padding, name=conv.name
        )(x, train)
        return block

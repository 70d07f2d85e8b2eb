"""The modules of Inception v3: paths of convolutions side by side, stacked along the channels."""

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


class Conv(NamedTuple):
    """A convolution of a path.

    Attributes:
      name: Name in the module.
      features: Output channels.
      kernel_size: Kernel in pixels.
      strides: Strides.
      padding: Padding; None is the policy's, or none where the kernel is a single pixel.
    """

    name: str
    features: int
    kernel_size: IntPair = 1
    strides: int = 1
    padding: Padding | None = None

    def output_size(self, size: tuple[int, int], policy: Policy) -> tuple[int, int]:
        """The size of the maps that it makes of maps of a size."""
        padding = policy.padding if self.padding is None else self.padding
        if self.kernel_size == 1 and self.padding is None:
            padding = "VALID"
        height, width = output_sizes(size, self.kernel_size, self.strides, padding)
        return height, width


class Path(NamedTuple):
    """A path of a module.

    Attributes:
      steps: Convolutions, one after the other.
      ends: Convolutions that read the last step side by side; empty ends the path with the steps.
      pooling: Pooling before the steps, (kind, strides, padding) of 3x3 windows; None for none.
    """

    steps: tuple[Conv, ...] = ()
    ends: tuple[Conv, ...] = ()
    pooling: tuple[str, int, Padding] | None = None

    def output_sizes(self, size: tuple[int, int], policy: Policy) -> list[tuple[int, int]]:
        """The sizes of the maps that it makes of maps of a size, one for each of its ends."""
        if self.pooling is not None:
            _, strides, padding = self.pooling
            height, width = output_sizes(size, 3, strides, padding)
            size = (height, width)
        for step in self.steps:
            size = step.output_size(size, policy)
        return [end.output_size(size, policy) for end in self.ends] or [size]


class InceptionModule(nn.Module):
    """Paths over one map, their outputs stacked along the channels.

    Where padding makes some outputs smaller than others, all are cut to the smallest, around the middle.

    Attributes:
      paths: The paths in the order of their channels.
      policy: The network's policy.

    Source: Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, "Rethinking the Inception architecture for computer vision",
      2016, figures 5 to 7 and 10.
    """

    paths: tuple[Path, ...]
    policy: Policy

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b oh ow o"]:
        with naming("/".join(self.path), x.shape[1:]):
            sizes = [size for path in self.paths for size in path.output_sizes((x.shape[1], x.shape[2]), self.policy)]
        size = (min(height for height, _ in sizes), min(width for _, width in sizes))
        branches, outputs = Branches(), []
        for number, path in enumerate(self.paths, start=1):
            with branches.branch():
                outputs += self._follow(path, number, x, size, train)
        return concat("/".join(self.path), outputs)

    def _follow(self, path: Path, number: int, x: Array, size: tuple[int, int], train: bool) -> list[Array]:
        """The outputs of a path, of one size."""
        last = f"path{number}"
        if path.pooling is not None:
            kind, strides, padding = path.pooling
            last = f"path{number}_pool"
            x = Pooling("/".join((*self.path, last)), kind, 3, strides, padding, count_include_pad=True)(x)
        for step in path.steps:
            x, last = self._convolve(step, x, train), step.name
        if not path.ends:
            return [crop_to("/".join((*self.path, last)), x, size)]
        branches, outputs = Branches(), []
        for end in path.ends:
            with branches.branch():
                outputs.append(crop_to("/".join((*self.path, end.name)), self._convolve(end, x, train), size))
        return outputs

    def _convolve(self, conv: Conv, x: Array, train: bool) -> Array:
        block: Array = ConvBlock(
            conv.features, conv.kernel_size, self.policy, strides=conv.strides, padding=conv.padding, name=conv.name
        )(x, train)
        return block

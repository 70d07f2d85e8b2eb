"""Inverted residual block and squeeze-and-excitation, for MobileNets and EfficientNet."""

from __future__ import annotations

import dataclasses

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax.blocks.conv import ConvBlock
from cnn_jax.blocks.drop_path import DropPath
from cnn_jax.blocks.joining import add, crop_to
from cnn_jax.blocks.policy import Policy, activate
from cnn_jax.blocks.pooling import adaptive_pool
from cnn_jax.layer_rows import Branches, LayerRow, emit
from cnn_jax.ops.padding import IntPair, pair


def make_divisible(width: float) -> int:
    """Rounds to the nearest multiple of 8, at least 8, but up if rounding down would lose over a tenth.

    Source: the authors' code of Sandler et al., "MobileNetV2", 2018.
    """
    rounded = max(8, int(width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * width else rounded


@dataclasses.dataclass(frozen=True)
class Squeeze:
    """Settings of squeeze-and-excitation.

    Attributes:
      features: Number of squeezed values.
      activation: Activation of the squeezed values, a key of ACTIVATIONS.
      gate: Activation of the factors, a key of ACTIVATIONS.
    """

    features: int
    activation: str
    gate: str


class SqueezeExcite(nn.Module):
    """Scales each map by a factor computed from the means of all maps.

    Source: Hu, Shen and Sun, "Squeeze-and-excitation networks", 2018, section 3.
    """

    squeeze: Squeeze
    policy: Policy

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b h w c"]:
        name, plain = "/".join(self.path), dataclasses.replace(self.policy, norm="none")
        reducing = dataclasses.replace(plain, activation=self.squeeze.activation)
        branches = Branches()
        with branches.branch():
            maps = x
        with branches.branch():
            means = adaptive_pool(f"{name}/pool", x, 1)
            squeezed = ConvBlock(self.squeeze.features, 1, reducing, name="reduce")(means, train)
            factors = ConvBlock(x.shape[-1], 1, plain, order="conv", name="expand")(squeezed, train)
            factors = activate(self.squeeze.gate, factors)
        row = LayerRow(f"{name}/multiply", "multiply", x.shape[1:], x.shape[1:])
        return emit(row, maps * factors.astype(maps.dtype))


class InvertedResidual(nn.Module):
    """A 1x1 expansion, a depthwise convolution, and a linear 1x1 projection.

    With stride 1 and as many output as input channels, the input is added to the output. If padding makes the output
    smaller, the input is center-cropped.

    Attributes:
      features: Channels of the output.
      expanded: Channels inside the block; if equal to the input's, there is no expansion.
      policy: The network's policy.
      kernel_size: Kernel of the depthwise convolution in pixels.
      strides: Strides of the depthwise convolution.
      squeeze: Squeeze-and-excitation after the depthwise convolution; None omits it.
      drop_path: Rate at which images skip the convolutions in training (stochastic depth).

    Sources: Sandler, Howard, Zhu, Zhmoginov and Chen, "MobileNetV2", 2018, table 1 and figure 4d; Howard et al.,
      "Searching for MobileNetV3", 2019, figure 4.
    """

    features: int
    expanded: int
    policy: Policy
    kernel_size: IntPair = 3
    strides: IntPair = 1
    squeeze: Squeeze | None = None
    drop_path: float = 0.0

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b oh ow o"]:
        residual = x.shape[-1] == self.features and pair(self.strides, "strides") == (1, 1)
        branches = Branches()
        with branches.branch():
            y = self._convolve(x, train)
            if residual and self.drop_path:
                y = DropPath(self.drop_path, name="drop_path")(y, train)
        if not residual:
            return y
        with branches.branch():
            skipped = crop_to("/".join((*self.path, "shortcut")), x, (y.shape[1], y.shape[2]))
        return add("/".join(self.path), y, skipped)

    def _convolve(self, x: Array, train: bool) -> Array:
        """Computes the branch with the convolutions."""
        if self.expanded != x.shape[-1]:
            x = ConvBlock(self.expanded, 1, self.policy, name="expand")(x, train)
        x = ConvBlock(
            self.expanded,
            self.kernel_size,
            self.policy,
            strides=self.strides,
            groups=self.expanded,
            name="depthwise",
        )(x, train)
        if self.squeeze is not None:
            x = SqueezeExcite(self.squeeze, self.policy, name="squeeze")(x, train)
        return ConvBlock(self.features, 1, self.policy, order="conv-norm", name="project")(x, train)

"""ConvNeXt block."""

from __future__ import annotations

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax.blocks.conv import ConvBlock
from cnn_jax.blocks.drop_path import DropPath
from cnn_jax.blocks.joining import add, crop_to
from cnn_jax.blocks.policy import Policy
from cnn_jax.layer_rows import Branches, LayerRow, emit
from cnn_jax.ops.padding import IntPair


class LayerScale(nn.Module):
    """Multiplies each map by a learned factor.

    Source: Touvron, Cord, Sablayrolles, Synnaeve and Jegou, "Going deeper with image transformers", 2021, section 2.
    """

    start: float

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        channels = x.shape[-1]
        gamma = self.param("gamma", nn.initializers.constant(self.start), (channels,))
        return emit(
            LayerRow("/".join(self.path), "scale", x.shape[1:], x.shape[1:], channels), x * gamma.astype(x.dtype)
        )


class ConvNeXtBlock(nn.Module):
    """A depthwise convolution, a norm, and two 1x1 convolutions with an activation between them, added to the input.

    If padding makes the convolutions' maps smaller than the input, the input is center-cropped.

    Attributes:
      expansion: Factor on the channels between the 1x1 convolutions.
      policy: The network's policy.
      kernel_size: Kernel of the depthwise convolution in pixels.
      layer_scale: Initial factor on the maps before they are added; None omits the factors.
      drop_path: Rate at which images skip the convolutions in training (stochastic depth).

    Source: Liu, Mao, Wu, Feichtenhofer, Darrell and Xie, "A ConvNet for the 2020s", 2022, figure 4.
    """

    expansion: int
    policy: Policy
    kernel_size: IntPair
    layer_scale: float | None
    drop_path: float

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b oh ow c"]:
        channels, branches = x.shape[-1], Branches()
        with branches.branch():
            y = ConvBlock(
                channels,
                self.kernel_size,
                self.policy,
                groups=channels,
                order="conv-norm",
                name="depthwise",
            )(x, train)
            y = ConvBlock(self.expansion * channels, 1, self.policy, order="conv-activation", name="expand")(y, train)
            y = ConvBlock(channels, 1, self.policy, order="conv", bias=True, name="project")(y, train)
            if self.layer_scale is not None:
                y = LayerScale(self.layer_scale, name="layer_scale")(y)
            if self.drop_path:
                y = DropPath(self.drop_path, name="drop_path")(y, train)
        with branches.branch():
            skipped = crop_to("/".join((*self.path, "shortcut")), x, (y.shape[1], y.shape[2]))
        return add("/".join(self.path), y, skipped)

"""Fire module of SqueezeNet."""

from __future__ import annotations

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax.blocks.conv import ConvBlock
from cnn_jax.blocks.joining import concat, crop_to
from cnn_jax.blocks.policy import Policy
from cnn_jax.layer_rows import Branches, naming
from cnn_jax.ops.padding import IntPair, output_sizes


class FireBlock(nn.Module):
    """A 1x1 squeeze convolution, then parallel 1x1 and 3x3 convolutions concatenated along the channels.

    If padding makes the two differ in size, the larger is center-cropped to the smaller.

    Attributes:
      features: Channels of the squeeze convolution, of the 1x1 and of the 3x3 expand convolution.
      policy: The network's policy.
      kernel_size: Window of the larger expand convolution in pixels.

    Source: Iandola, Han, Moskewicz, Ashraf, Dally and Keutzer, "SqueezeNet: AlexNet-level accuracy with 50x fewer
      parameters and <0.5MB model size", 2016, section 3.2.
    """

    features: tuple[int, int, int]
    policy: Policy
    kernel_size: IntPair = 3

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b oh ow o"]:
        squeezed, ones, threes = self.features
        with naming("/".join(self.path), x.shape[1:]):
            larger = output_sizes(x.shape[1:3], self.kernel_size, 1, self.policy.padding)
        size = (min(x.shape[1], larger[0]), min(x.shape[2], larger[1]))
        x = ConvBlock(squeezed, 1, self.policy, name="squeeze")(x, train)
        branches, outputs = Branches(), []
        for name, features, kernel in (("expand1x1", ones, 1), ("expand3x3", threes, self.kernel_size)):
            with branches.branch():
                maps = ConvBlock(features, kernel, self.policy, name=name)(x, train)
                outputs.append(crop_to("/".join((*self.path, name)), maps, size))
        return concat("/".join(self.path), outputs)

"""DenseNet layer, whose output is concatenated with its input."""

from __future__ import annotations

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax.blocks.conv import ConvBlock
from cnn_jax.blocks.dense import Dropout
from cnn_jax.blocks.joining import concat, crop_to
from cnn_jax.blocks.policy import Policy
from cnn_jax.layer_rows import Branches, naming
from cnn_jax.ops.padding import IntPair, output_sizes


class DenseNetLayer(nn.Module):
    """A 1x1 and a larger convolution, each after norm and activation, whose output is concatenated with the input.

    If padding makes input and output differ in size, the larger is center-cropped to the smaller.

    Attributes:
      features: Channels that the layer adds.
      bottleneck: Channels of the 1x1 convolution.
      policy: The network's policy.
      kernel_size: Kernel of the second convolution in pixels.
      dropout: Dropout rate of the added maps.

    Source: Huang, Liu, van der Maaten and Weinberger, "Densely connected convolutional networks", 2017, section 3.
    """

    features: int
    bottleneck: int
    policy: Policy
    kernel_size: IntPair = 3
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b oh ow o"]:
        name, order = "/".join(self.path), "norm-activation-conv"
        with naming(name, x.shape[1:]):
            larger = output_sizes(x.shape[1:3], self.kernel_size, 1, self.policy.padding)
        size = (min(x.shape[1], larger[0]), min(x.shape[2], larger[1]))
        branches = Branches()
        with branches.branch():
            kept = crop_to(f"{name}/input", x, size)
        with branches.branch():
            y = ConvBlock(self.bottleneck, 1, self.policy, order=order, name="conv1")(x, train)
            y = ConvBlock(self.features, self.kernel_size, self.policy, order=order, name="conv2")(y, train)
            if self.dropout:
                y = Dropout(self.dropout, name="dropout")(y, train)
            y = crop_to(f"{name}/added", y, size)
        return concat(name, [kept.astype(y.dtype), y])

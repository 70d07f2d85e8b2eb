"""Inception block and auxiliary classifier of GoogLeNet."""

from __future__ import annotations

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax.blocks.conv import ConvBlock
from cnn_jax.blocks.dense import DenseHead
from cnn_jax.blocks.joining import concat, crop_to
from cnn_jax.blocks.policy import Policy
from cnn_jax.blocks.pooling import Pooling, adaptive_pool
from cnn_jax.layer_rows import Branches, naming
from cnn_jax.ops.padding import IntPair, output_sizes


class InceptionBlock(nn.Module):
    """Four parallel branches whose outputs are concatenated along the channels.

    If padding makes some outputs smaller than others, all are center-cropped to the smallest.

    Attributes:
      features: Output channels (1x1, 3x3 reduce, 3x3, 5x5 reduce, 5x5, pool projection), as in table 1 of the paper.
      policy: The network's policy.
      branch3_kernel: Kernel of the third branch in pixels; 5 in the paper.
      pooling: "max", "avg" or "min" pooling, with 3x3 windows of stride 1.

    Source: Szegedy et al., "Going deeper with convolutions", 2015, figure 2b.
    """

    features: tuple[int, int, int, int, int, int]
    policy: Policy
    branch3_kernel: IntPair = 5
    pooling: str = "max"

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b oh ow o"]:
        ones, reduce3, threes, reduce5, fives, pooled = self.features

        with naming("/".join(self.path), x.shape[1:]):
            sizes = [output_sizes(x.shape[1:3], kernel, 1, self.policy.padding) for kernel in (3, self.branch3_kernel)]
        size = tuple(map(min, zip(x.shape[1:3], *sizes, strict=True)))

        def conv(name: str, features: int, kernel: IntPair, maps: Array) -> Array:
            block: Array = ConvBlock(features, kernel, self.policy, name=name)(maps, train)
            return block

        def cut(name: str, maps: Array) -> Array:
            return crop_to("/".join((*self.path, name)), maps, (size[0], size[1]))

        branches, outputs = Branches(), []
        with branches.branch():
            outputs.append(cut("branch1", conv("branch1", ones, 1, x)))
        with branches.branch():
            outputs.append(cut("branch2", conv("branch2", threes, 3, conv("branch2_reduce", reduce3, 1, x))))
        with branches.branch():
            reduced = conv("branch3_reduce", reduce5, 1, x)
            outputs.append(cut("branch3", conv("branch3", fives, self.branch3_kernel, reduced)))
        with branches.branch():
            window = Pooling("/".join((*self.path, "branch4_pool")), self.pooling, 3, 1, "SAME")
            outputs.append(cut("branch4", conv("branch4", pooled, 1, window(x))))
        return concat("/".join(self.path), outputs)


class AuxiliaryHead(nn.Module):
    """Classifier on intermediate maps: average pooling, 1x1 convolution, one hidden layer, logits.

    Attributes:
      features: Output channels of the convolution.
      hidden: Width of the hidden layer.
      num_classes: Width of the logits.
      policy: The network's policy.
      dropout: Dropout rate of the hidden layer's outputs.
      adaptive: Whether maps of any size are pooled to 4x4 instead of by 5x5 windows of stride 3.

    Source: Szegedy et al., "Going deeper with convolutions", 2015, section 5.
    """

    features: int
    hidden: int
    num_classes: int
    policy: Policy
    dropout: float
    adaptive: bool

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b k"]:
        name = "/".join((*self.path, "pool"))
        x = adaptive_pool(name, x, 4) if self.adaptive else Pooling(name, "avg", 5, 3)(x)
        x = ConvBlock(self.features, 1, self.policy, name="conv")(x, train)
        head = DenseHead((self.hidden,), self.num_classes, self.policy, self.dropout, name="head")
        logits: Array = head(x, train)
        return logits

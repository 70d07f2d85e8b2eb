"""Residual block."""

from __future__ import annotations

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from cnn_jax.blocks.conv import ConvBlock
from cnn_jax.blocks.joining import add, crop_to
from cnn_jax.blocks.norm import NormActivation
from cnn_jax.blocks.policy import Policy
from cnn_jax.layer_rows import Branches, LayerRow, emit
from cnn_jax.ops.padding import IntPair, pair

EXPANSION = 4  # a bottleneck's output channels over its inner channels


class ResidualBlock(nn.Module):
    """Basic or bottleneck block: convolutions with a shortcut that adds the input to their output.

    A basic block has two 3x3 convolutions, a bottleneck a 1x1, a 3x3 and a 1x1 convolution. If padding makes their maps
    smaller than the input, the shortcut center-crops the input.

    Attributes:
      features: Output channels.
      policy: The network's policy.
      strides: Strides of the block.
      bottleneck_features: Inner channels of a bottleneck; None is a basic block.
      bottleneck_groups: Groups of a bottleneck's 3x3 convolution.
      stride_in: Strided convolution of a bottleneck, "3x3" or "1x1".
      shortcut: Shortcut of a block that changes the shape: "projection" (1x1 convolution) or "padded" (strided, zeros
        for new channels). "none" omits all shortcuts, as in a plain net.
      pre_activation: Whether norm and activation precede each convolution instead of following it.
      zero_init: Whether the branch's last scale (or kernel) starts at zero, so that the block starts as the identity.
      dropout: Dropout rate of the last 3x3 convolution's inputs.

    Source: He et al., "Deep residual learning for image recognition", 2016, figures 2 and 5; for `pre_activation` He et
    al., "Identity mappings in deep residual networks", 2016, figure 1b; for groups Xie et al., "Aggregated residual
    transformations for deep neural networks", 2017, figure 3c.
    """

    features: int
    policy: Policy
    strides: IntPair = 1
    bottleneck_features: int | None = None
    bottleneck_groups: int = 1
    stride_in: str = "3x3"
    shortcut: str = "projection"
    pre_activation: bool = False
    zero_init: bool = False
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], train: bool) -> Float[Array, "b oh ow o"]:
        changes = x.shape[-1] != self.features or pair(self.strides, "strides") != (1, 1)
        first = x
        branches = Branches()
        with branches.branch():
            if self.pre_activation:
                first = NormActivation(self.policy, name="preact")(x, train)
            y = self._convolve(first, train)
        if self.shortcut == "none":
            return y
        with branches.branch():
            # The projection of a pre-activation block reads what the first convolution reads.
            projects = changes and self.shortcut == "projection"
            skipped = self._shortcut(first if projects else x, (y.shape[1], y.shape[2]), projects, train)
        total = add("/".join(self.path), y, skipped)
        return total if self.pre_activation else self.policy.activate(total)

    def _convolve(self, x: Array, train: bool) -> Array:
        """Computes the branch with the convolutions."""
        if self.bottleneck_features is None:
            convolutions = [(3, self.features, self.strides), (3, self.features, 1)]  # (kernel, features, strides)
        else:
            inner = self.bottleneck_features
            early = self.stride_in == "1x1"
            convolutions = [
                (1, inner, self.strides if early else 1),
                (3, inner, 1 if early else self.strides),
                (1, self.features, 1),
            ]
        last_3x3 = max(number for number, (kernel, _, _) in enumerate(convolutions) if kernel == 3)
        for number, (kernel, features, strides) in enumerate(convolutions):
            last = number == len(convolutions) - 1
            if self.pre_activation:
                order = "norm-activation-conv" if number else "conv"
            else:
                order = "conv-norm" if last and self.shortcut != "none" else "conv-norm-activation"
            x = ConvBlock(
                features,
                kernel,
                self.policy,
                strides=strides,
                groups=self.bottleneck_groups if kernel == 3 and self.bottleneck_features is not None else 1,
                order=order,
                dropout=self.dropout if number == last_3x3 else 0.0,
                zero_init=last and self.zero_init,
                name=f"conv{number + 1}",
            )(x, train)
        return x

    def _shortcut(self, x: Array, size: tuple[int, int], projects: bool, train: bool) -> Array:
        name = "/".join((*self.path, "shortcut"))
        if projects:
            x = crop_to(name, x, size, self.strides, subsample=False)
            order = "conv" if self.pre_activation else "conv-norm"
            block = ConvBlock(self.features, 1, self.policy, strides=self.strides, order=order, name="shortcut")
            projected: Array = block(x, train)
            return projected
        x = crop_to(name, x, size, self.strides)
        more = self.features - x.shape[-1]
        if more > 0:
            row = LayerRow(f"{name}/pad", "pad", x.shape[1:], (*size, self.features))
            x = emit(row, jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, more))))
        return x[..., : self.features]

"""SqueezeNet 1.0 and 1.1, which differ in their config defaults."""

from __future__ import annotations

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax.blocks import ConvBlock, ConvHead, FireBlock, Policy, pool
from cnn_jax.config.networks import SqueezeNet10, SqueezeNet11
from cnn_jax.layer_rows import SlidingWindow

FIRST_FIRE = 2  # the paper counts the layers: conv1, fire2 to fire9, conv10
EXPANDED = 128  # output channels of the first two fire modules; each further pair has 128 more


class SqueezeNetModule(nn.Module):
    """A convolution, eight fire modules, and a convolution to one map per class, whose mean is the logit.

    SqueezeNet 1.0 has 1,248,424 parameters; 1.1 has 1,235,496 and 2.3 times fewer multiply-adds.

    Sources: Iandola, Han, Moskewicz, Ashraf, Dally and Keutzer, "SqueezeNet: AlexNet-level accuracy with 50x fewer
      parameters and <0.5MB model size", 2016, table 1 and section 5; for 1.1 the authors' repository.
    """

    config: SqueezeNet10 | SqueezeNet11
    num_classes: int
    policy: Policy

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"], train: bool) -> tuple[Float[Array, "b k"], tuple[()]]:
        config, policy = self.config, self.policy
        stem = ConvBlock(
            max(1, round(config.width * config.stem_features)),
            config.stem_kernel_size,
            policy,
            strides=config.stem_strides,
            padding=config.stem_padding,
            name="conv1",
        )
        x = self._pool(1, stem(images, train))  # for 224 pixels 111x111, pooled 55x55; in 1.0 109x109 and 54x54
        for number in range(FIRST_FIRE, FIRST_FIRE + config.modules):
            fire = FireBlock(self._features(number), policy, config.kernel_size, name=f"fire{number}")
            x = self._pool(number, fire(x, train))  # to 13x13x512
        head = ConvHead(self.num_classes, policy, config.dropout, config.head_activation, name="head")
        return head(x, train), ()

    def _features(self, number: int) -> tuple[int, int, int]:
        """Returns the channels of a fire module's squeeze, 1x1 and 3x3 convolutions."""
        config = self.config
        expanded = max(2, round(config.width * EXPANDED * (1 + (number - FIRST_FIRE) // 2)))
        squeezed = max(1, round(config.squeeze_ratio * expanded))
        threes = min(expanded - 1, max(1, round(config.share_3x3 * expanded)))
        return squeezed, expanded - threes, threes

    def _pool(self, number: int, x: Array) -> Array:
        config = self.config
        if number not in config.pool_after:
            return x
        window = SlidingWindow(config.pool_window, config.pool_strides, config.pool_padding, ceil_mode=config.pool_ceil)
        return pool(f"pool{number}", x, config.pooling, window)

"""VGG: five stages of 3x3 convolutions, each followed by pooling."""

from __future__ import annotations

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax.blocks import ConvBlock, DenseHead, Policy, Pooling, adaptive_pool
from cnn_jax.config.networks import Vgg

FEATURES = (64, 128, 256, 512, 512)
CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


class VggModule(nn.Module):
    """Eight to sixteen convolutions and two hidden dense layers.

    With 224x224x3 images and 1000 classes VGG-16 has 138,357,544 parameters, with batch norm 138,365,992.

    Source: Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", 2015, table 1.
    """

    config: Vgg
    num_classes: int
    policy: Policy

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"], train: bool) -> tuple[Float[Array, "b k"], tuple[()]]:
        config, x = self.config, images
        for stage, count in enumerate(CONVOLUTIONS[config.depth]):
            for number in range(count):
                pooling = None
                if number == count - 1 and config.stage_pools[stage] and config.pooling != "none":
                    pooling = Pooling(
                        f"pool{stage + 1}",
                        config.pooling,
                        config.pool_window,
                        config.pool_strides,
                        config.pool_padding,
                    )
                x = ConvBlock(
                    max(1, round(config.width * FEATURES[stage])),
                    config.kernel_size,
                    self.policy,
                    pooling=pooling,
                    bias=config.conv_bias,
                    name=f"conv{stage + 1}_{number + 1}",
                )(x, train)  # for 224 pixels, pooled: 112x112x64, 56x56x128, 28x28x256, 14x14x512, 7x7x512
        if config.head_size is not None:
            x = adaptive_pool("head_pool", x, config.head_size)
        return DenseHead(config.dense, self.num_classes, self.policy, config.dropout, name="head")(x, train), ()

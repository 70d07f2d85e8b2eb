"""MobileNetV2: inverted residual blocks of depthwise convolutions."""

from __future__ import annotations

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax.blocks import ConvBlock, GlobalHead, InvertedResidual, Policy, make_divisible
from cnn_jax.config.networks import MobileNetV2

FEATURES = (16, 24, 32, 64, 96, 160, 320)  # output channels of the seven stages


class MobileNetV2Module(nn.Module):
    """A convolution, seven stages of inverted residual blocks, a 1x1 convolution, and a global head.

    It has 3,504,872 parameters.

    Source: Sandler, Howard, Zhu, Zhmoginov and Chen, "MobileNetV2: inverted residuals and linear bottlenecks", 2018,
      table 2.
    """

    config: MobileNetV2
    num_classes: int
    policy: Policy

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"], train: bool) -> tuple[Float[Array, "b k"], tuple[()]]:
        config, policy = self.config, self.policy
        x = ConvBlock(
            make_divisible(config.width * config.stem_features),
            config.stem_kernel_size,
            policy,
            strides=config.stem_strides,
            name="stem",
        )(images, train)  # 112x112x32
        for stage, count in enumerate(config.blocks):
            for number in range(count):
                x = InvertedResidual(
                    make_divisible(config.width * FEATURES[stage]),
                    x.shape[-1] * (config.expansion if stage else 1),
                    policy,
                    config.kernel_size,
                    config.stage_strides[stage] if number == 0 else 1,
                    name=f"stage{stage + 1}_block{number + 1}",
                )(x, train)  # 112x112x16, 56x56x24, 28x28x32, 14x14x64, 14x14x96, 7x7x160, 7x7x320
        features = make_divisible(max(config.width, 1.0) * config.head_features)
        x = ConvBlock(features, 1, policy, name="last")(x, train)
        return GlobalHead(self.num_classes, policy, config.dropout, name="head")(x, train), ()

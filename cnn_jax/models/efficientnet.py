"""EfficientNet: inverted residual blocks with squeeze-and-excitation, in seven stages."""

from __future__ import annotations

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax.blocks import ConvBlock, GlobalHead, InvertedResidual, Policy, Squeeze, drop_rates, make_divisible
from cnn_jax.config.networks import EfficientNet

FEATURES = (16, 24, 40, 80, 112, 192, 320)  # output channels of the seven stages


class EfficientNetModule(nn.Module):
    """A convolution, seven stages of inverted residual blocks, a 1x1 convolution, and a global head.

    EfficientNet-B0 has 5,288,548 parameters.

    Source: Tan and Le, "EfficientNet: rethinking model scaling for convolutional neural networks", 2019, table 1.
    """

    config: EfficientNet
    num_classes: int
    policy: Policy

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"], train: bool) -> tuple[Float[Array, "b k"], tuple[()]]:
        config, policy = self.config, self.policy
        rates = iter(drop_rates(config.drop_path, sum(config.blocks) + 1))
        x = ConvBlock(
            make_divisible(config.width * config.stem_features),
            config.stem_kernel_size,
            policy,
            strides=config.stem_strides,
            name="stem",
        )(images, train)  # 112x112x32
        for stage, count in enumerate(config.blocks):
            for number in range(count):
                squeeze = None
                if config.squeeze_ratio:
                    squeezed = max(1, int(config.squeeze_ratio * x.shape[-1]))
                    squeeze = Squeeze(squeezed, config.activation, config.gate)
                x = InvertedResidual(
                    make_divisible(config.width * FEATURES[stage]),
                    make_divisible(x.shape[-1] * config.expansion) if stage else x.shape[-1],
                    policy,
                    config.kernel_size[stage],
                    config.stage_strides[stage] if number == 0 else 1,
                    squeeze,
                    next(rates),
                    name=f"stage{stage + 1}_block{number + 1}",
                )(x, train)  # 112x112x16, 56x56x24, 28x28x40, 14x14x80, 14x14x112, 7x7x192, 7x7x320
        x = ConvBlock(make_divisible(config.width * config.head_features), 1, policy, name="last")(x, train)
        return GlobalHead(self.num_classes, policy, config.dropout, name="head")(x, train), ()

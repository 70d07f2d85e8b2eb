"""ConvNeXt: a residual network with design choices of vision transformers."""

from __future__ import annotations

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax.blocks import ConvBlock, ConvNeXtBlock, GlobalHead, Policy, drop_rates
from cnn_jax.config.networks import ConvNeXt


class ConvNeXtModule(nn.Module):
    """A patch convolution, four stages of blocks with norm and strided convolution in between, and a global head.

    ConvNeXt-T has 28,589,128 parameters.

    Source: Liu, Mao, Wu, Feichtenhofer, Darrell and Xie, "A ConvNet for the 2020s", 2022, section 3.
    """

    config: ConvNeXt
    num_classes: int
    policy: Policy

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"], train: bool) -> tuple[Float[Array, "b k"], tuple[()]]:
        config, policy = self.config, self.policy
        rates = iter(drop_rates(config.drop_path, sum(config.blocks)))
        x = ConvBlock(
            config.features[0],
            config.stem_size,
            policy,
            strides=config.stem_size,
            padding=config.patch_padding,
            order="conv-norm",
            name="stem",
        )(images, train)  # 56x56x96
        for stage, (features, count) in enumerate(zip(config.features, config.blocks, strict=True), start=1):
            if stage > 1:
                size = config.stage_strides[stage - 2]
                x = ConvBlock(
                    features,
                    size,
                    policy,
                    strides=size,
                    padding=config.patch_padding,
                    order="norm-conv",
                    bias=True,
                    name=f"downsample{stage}",
                )(x, train)  # 28x28x192, 14x14x384, 7x7x768
            for number in range(1, count + 1):
                x = ConvNeXtBlock(
                    config.expansion,
                    policy,
                    config.kernel_size,
                    config.layer_scale,
                    next(rates),
                    name=f"stage{stage}_block{number}",
                )(x, train)
        return GlobalHead(self.num_classes, policy, norm=True, name="head")(x, train), ()

"""DenseNet: each layer of a block reads the maps of all preceding layers."""

from __future__ import annotations

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax.blocks import ConvBlock, DenseNetLayer, GlobalHead, NormActivation, Policy, Pooling, pool
from cnn_jax.config.networks import DenseNet
from cnn_jax.layer_rows import SlidingWindow


class DenseNetModule(nn.Module):
    """A convolution, dense blocks with transitions in between that halve the map size, and a global head.

    DenseNet-121 has 7,978,856 parameters, -161 28,681,000, -169 14,149,480 and -201 20,013,928.

    Source: Huang, Liu, van der Maaten and Weinberger, "Densely connected convolutional networks", 2017, table 1.
    """

    config: DenseNet
    num_classes: int
    policy: Policy

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"], train: bool) -> tuple[Float[Array, "b k"], tuple[()]]:
        config, policy = self.config, self.policy
        pooling = None
        if config.stem_pooling != "none":
            pooling = Pooling(
                "stem_pool",
                config.stem_pooling,
                config.stem_pool_window,
                config.stem_pool_strides,
                config.stem_pool_padding,
            )
        x = ConvBlock(
            config.stem_features,
            config.stem_kernel_size,
            policy,
            strides=config.stem_strides,
            pooling=pooling,
            name="stem",
        )(images, train)  # 56x56x64
        for block, count in enumerate(config.blocks, start=1):
            for number in range(1, count + 1):
                x = DenseNetLayer(
                    config.growth,
                    config.bottleneck * config.growth,
                    policy,
                    config.kernel_size,
                    config.dropout,
                    name=f"block{block}_layer{number}",
                )(x, train)  # 56x56x256, 28x28x512, 14x14x1024, 7x7x1024
            if block < len(config.blocks):
                kept = max(1, int(config.compression * x.shape[-1]))
                x = ConvBlock(kept, 1, policy, order="norm-activation-conv", name=f"transition{block}")(x, train)
                x = pool(f"pool{block}", x, config.transition_pooling, SlidingWindow(2, 2))
        x = NormActivation(policy, name="last")(x, train)
        return GlobalHead(self.num_classes, policy, name="head")(x, train), ()

"""ZFNet: AlexNet with smaller kernels and strides in the first two convolutions."""

from __future__ import annotations

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax.blocks import ConvBlock, DenseHead, Policy, lrn, pool
from cnn_jax.config.networks import ZFNet
from cnn_jax.layer_rows import SlidingWindow


class ZFNetModule(nn.Module):
    """Five convolutions and two hidden dense layers, with 62,357,608 parameters.

    Source: Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014, figure 3.
    """

    config: ZFNet
    num_classes: int
    policy: Policy

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"], train: bool) -> tuple[Float[Array, "b k"], tuple[()]]:
        config, x = self.config, images
        window = SlidingWindow(config.pool_window, config.pool_strides, config.pool_padding, ceil_mode=config.pool_ceil)
        for number, (features, kernel) in enumerate(zip(config.features, config.kernel_size, strict=True), start=1):
            early = number <= 2
            x = ConvBlock(
                features,
                kernel,
                self.policy,
                strides=config.strides[number - 1] if early else 1,
                padding=config.early_padding[number - 1] if early else None,
                name=f"conv{number}",
            )(x, train)  # for 224 pixels 110x110x96, 26x26x256, 13x13x384, 13x13x384, 13x13x256
            if early or number == 5:
                x = pool(f"pool{number}", x, config.pooling, window)  # 55x55, 13x13, 6x6
            if early and config.lrn:
                x = lrn(f"lrn{number}", x, k=2.0, mean=False)
        return DenseHead(config.dense, self.num_classes, self.policy, config.dropout, name="head")(x, train), ()

"""AlexNet as in the paper (the lecture's table 13-2) and as in torchvision, which differ in their config defaults."""

from __future__ import annotations

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax.blocks import ConvBlock, DenseHead, Policy, adaptive_pool, lrn, pool
from cnn_jax.config.model import AlexNet, TorchvisionAlexNet
from cnn_jax.layer_rows import SlidingWindow


class AlexNetModule(nn.Module):
    """Five convolutions and two hidden dense layers.

    C1 maps 224x224 images to 55x55. SAME would give 56 = ceil(224 / 4); the lecture's arithmetic drops a "+1". Pads of
    1 and 2 (227 pixels), or torchvision's pads of 2, give 55. The lecture's table ends with 13x13 maps; with the
    paper's last pooling, on by default, they are 6x6. The network has 62,378,344 parameters with it and 201,838,952
    without; torchvision's has 61,100,840.

    Sources: Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks",
    2012, section 3.5; Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014.
    """

    config: AlexNet | TorchvisionAlexNet
    num_classes: int
    policy: Policy

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"], train: bool) -> tuple[Float[Array, "b k"], tuple[()]]:
        config, x = self.config, images
        kernels = (config.stem_kernel_size, *config.kernel_size)
        for number, (features, kernel) in enumerate(zip(config.features, kernels, strict=True), start=1):
            first = number == 1
            x = ConvBlock(
                features,
                kernel,
                self.policy,
                strides=config.stem_strides if first else 1,
                padding=config.stem_padding if first else None,
                groups=config.groups if number in (2, 4, 5) else 1,
                name=f"conv{number}",
            )(x, train)  # 55x55x96, 27x27x256, 13x13x384, 13x13x384, 13x13x256
            if config.lrn and number <= 2:
                x = lrn(f"lrn{number}", x, k=2.0, mean=False)
            if number <= 2 or (number == 5 and config.last_pool):
                window = SlidingWindow(config.pool_window, config.pool_strides, config.pool_padding)
                x = pool(f"pool{number}", x, config.pooling, window)  # 27x27, 13x13, 6x6
        if config.head_size is not None:
            x = adaptive_pool("head_pool", x, config.head_size)
        head = DenseHead(config.dense, self.num_classes, self.policy, config.dropout, config.dropout_on, name="head")
        return head(x, train), ()

"""Residual networks for large and for small images, and plain networks of the same depths."""

from __future__ import annotations

import functools

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax.blocks import ConvBlock, GlobalHead, NormActivation, Policy, Pooling, ResidualBlock
from cnn_jax.blocks.residual import EXPANSION
from cnn_jax.blocks.scan import can_scan, scan_blocks
from cnn_jax.config.model import CifarResNet, ResNet

BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
BOTTLENECKS_FROM = 50  # smallest depth with bottleneck blocks


class ResNetModule(nn.Module):
    """Four stages of basic (18, 34) or bottleneck blocks (50, 101, 152) with 1, 2, 4 and 8 times the width.

    Source: He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016, table 1.
    """

    config: ResNet
    num_classes: int
    policy: Policy

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"], train: bool) -> tuple[Float[Array, "b k"], tuple[()]]:
        config = self.config
        pooling = None
        if config.stem_pooling != "none":
            pooling = Pooling(
                "stem_pool",
                config.stem_pooling,
                config.stem_pool_window,
                config.stem_pool_strides,
                config.stem_pool_padding,
            )
        x = _stem(self, images, train, pooling)
        widths = [config.width * 2**stage for stage in range(4)]
        if config.depth < BOTTLENECKS_FROM:
            return _stages(self, x, train, BLOCKS[config.depth], widths, None), ()
        inner = [width * config.bottleneck_width for width in widths]
        return _stages(self, x, train, BLOCKS[config.depth], [EXPANSION * width for width in widths], inner), ()


class CifarResNetModule(nn.Module):
    """Three stages of basic blocks with 1, 2 and 4 times the width.

    Sources: He et al., 2016, section 4.2; Zagoruyko and Komodakis, "Wide residual networks", 2016, table 1.
    """

    config: CifarResNet
    num_classes: int
    policy: Policy

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"], train: bool) -> tuple[Float[Array, "b k"], tuple[()]]:
        config = self.config
        widths = [config.width * config.widen * 2**stage for stage in range(3)]
        return _stages(self, _stem(self, images, train, None), train, ((config.depth - 2) // 6,) * 3, widths, None), ()


def _stem(module: ResNetModule | CifarResNetModule, images: Array, train: bool, pooling: Pooling | None) -> Array:
    """Applies the first convolution; pre-activation blocks contain its norm and activation."""
    config = module.config
    x: Array = ConvBlock(
        config.width,
        config.stem_kernel_size,
        module.policy,
        strides=config.stem_strides,
        order="conv" if config.activation_order == "pre" else "conv-norm-activation",
        pooling=pooling,
        name="stem",
    )(images, train)
    return x


def _stages(
    module: ResNetModule | CifarResNetModule,
    x: Array,
    train: bool,
    blocks: tuple[int, ...],
    features: list[int],
    bottlenecks: list[int] | None,
) -> Array:
    """Applies the residual blocks and the head."""
    config, policy = module.config, module.policy
    for stage, count in enumerate(blocks):
        block = functools.partial(
            ResidualBlock,
            features[stage],
            policy,
            bottleneck_features=bottlenecks[stage] if bottlenecks else None,
            bottleneck_groups=getattr(config, "bottleneck_groups", 1),
            stride_in=getattr(config, "stride_in", "3x3"),
            shortcut=config.shortcut,
            pre_activation=config.activation_order == "pre",
            zero_init=config.zero_init_scale,
            dropout=config.dropout,
        )
        first, *equal = [f"stage{stage + 1}_block{number + 1}" for number in range(count)]
        x = block(strides=config.stage_strides[stage], name=first)(x, train)
        if config.scan and len(equal) > 1 and can_scan(module) and not policy.frozen:
            x = scan_blocks(module, block(parent=None), equal, x, train)
        else:
            for name in equal:
                x = block(name=name)(x, train)
    if config.activation_order == "pre":
        x = NormActivation(policy, name="last")(x, train)
    logits: Array = GlobalHead(module.num_classes, policy, name="head")(x, train)
    return logits

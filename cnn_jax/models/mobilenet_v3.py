"""MobileNetV3, large and small, which differ in their tables of blocks."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax.blocks import ConvBlock, GlobalHead, InvertedResidual, Policy, Squeeze, make_divisible
from cnn_jax.config.networks import MobileNetV3Large, MobileNetV3Small

STEM_FEATURES = 16
LAST_EXPANSION = 6  # the last convolution's channels over the last block's


class Row(NamedTuple):
    """A block in the paper's tables; the flags are squeeze-and-excitation, early activation and stride 2."""

    kernel: int
    expanded: int
    features: int
    squeezes: bool
    early: bool
    halves: bool


# Tables 1 and 2 of the paper.
ROWS = {
    "mobilenet_v3_large": (
        Row(3, 16, 16, False, True, False),
        Row(3, 64, 24, False, True, True),
        Row(3, 72, 24, False, True, False),
        Row(5, 72, 40, True, True, True),
        Row(5, 120, 40, True, True, False),
        Row(5, 120, 40, True, True, False),
        Row(3, 240, 80, False, False, True),
        Row(3, 200, 80, False, False, False),
        Row(3, 184, 80, False, False, False),
        Row(3, 184, 80, False, False, False),
        Row(3, 480, 112, True, False, False),
        Row(3, 672, 112, True, False, False),
        Row(5, 672, 160, True, False, True),
        Row(5, 960, 160, True, False, False),
        Row(5, 960, 160, True, False, False),
    ),
    "mobilenet_v3_small": (
        Row(3, 16, 16, True, True, True),
        Row(3, 72, 24, False, True, True),
        Row(3, 88, 24, False, True, False),
        Row(5, 96, 40, True, False, True),
        Row(5, 240, 40, True, False, False),
        Row(5, 240, 40, True, False, False),
        Row(5, 120, 48, True, False, False),
        Row(5, 144, 48, True, False, False),
        Row(5, 288, 96, True, False, True),
        Row(5, 576, 96, True, False, False),
        Row(5, 576, 96, True, False, False),
    ),
}


class MobileNetV3Module(nn.Module):
    """A convolution, inverted residual blocks, a 1x1 convolution, and a global head with one hidden layer.

    The large network has 5,483,032 parameters, the small one 2,542,856.

    Source: Howard et al., "Searching for MobileNetV3", 2019, tables 1 and 2.
    """

    config: MobileNetV3Large | MobileNetV3Small
    num_classes: int
    policy: Policy

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"], train: bool) -> tuple[Float[Array, "b k"], tuple[()]]:
        config, policy = self.config, self.policy
        early = dataclasses.replace(policy, activation=config.early_activation)
        strides = iter(config.stage_strides)
        x = ConvBlock(
            make_divisible(config.width * STEM_FEATURES),
            config.stem_kernel_size,
            policy,
            strides=config.stem_strides,
            name="stem",
        )(images, train)  # 112x112x16
        for number, row in enumerate(ROWS[config.name][: config.modules], start=1):
            expanded = make_divisible(config.width * row.expanded)
            squeeze = None
            if row.squeezes and config.squeeze_ratio:
                squeeze = Squeeze(make_divisible(int(config.squeeze_ratio * expanded)), "relu", config.gate)
            x = InvertedResidual(
                make_divisible(config.width * row.features),
                expanded,
                early if row.early else policy,
                row.kernel,
                next(strides) if row.halves else 1,
                squeeze,
                name=f"block{number}",
            )(x, train)  # to 7x7x160 and 7x7x96
        x = ConvBlock(LAST_EXPANSION * x.shape[-1], 1, policy, name="last")(x, train)
        hidden = (make_divisible(config.width * config.head_features),)
        head = GlobalHead(self.num_classes, policy, config.dropout, hidden, name="head")
        return head(x, train), ()

"""Configurable stack of convolutions; the lecture's network by default."""

from __future__ import annotations

import functools
from typing import Any

import flax.linen as nn
from jaxtyping import Array, Float

from cnn_jax.blocks import ConvBlock, DenseHead, Policy, Pooling
from cnn_jax.config.model import Cnn, is_per_stage


class CnnModule(nn.Module):
    """Stages of convolution, normalization, activation and pooling, then a dense head.

    With the default config and 28x28x1 images this is the lecture's Keras network, with 93,322 parameters.
    """

    config: Cnn
    num_classes: int
    policy: Policy

    @nn.compact
    def __call__(self, images: Float[Array, "b h w c"], train: bool) -> tuple[Float[Array, "b k"], tuple[()]]:
        config, x = self.config, images
        for stage, features in enumerate(config.features):
            at = functools.partial(_at, config, stage=stage)
            pooling = None
            if at("pooling") != "none":
                pooling = Pooling(
                    f"pool{stage + 1}", at("pooling"), at("pool_window"), at("pool_strides"), at("pool_padding")
                )
            x = ConvBlock(
                features,
                at("kernel_size"),
                self.policy,
                strides=at("strides"),
                padding=at("padding"),
                dilation=at("dilation"),
                groups=at("groups"),
                order=config.order,
                pooling=pooling,
                name=f"conv{stage + 1}",
            )(x, train)
        return DenseHead(config.dense, self.num_classes, self.policy, config.dropout, name="head")(x, train), ()


def _at(config: Cnn, field: str, stage: int) -> Any:
    """Returns a field's value at one stage, counted from 0."""
    value = getattr(config, field)
    if not is_per_stage(field, value):
        return value
    return value[stage] if len(value) > 1 else value[0]
